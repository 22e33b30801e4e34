"""The registers' own rules, cycle by cycle, in Amaranth's simulator."""

import pytest
from amaranth import Signal
from amaranth.sim import Simulator

from rtl.config import CoreConfig
from rtl.layer import Error
from rtl.soc import registerfile
from rtl.soc.registerfile import RegisterFile
from rtl.soc.registers import CORE_ERRORS_AT, STREAM_ERRORS, STREAM_ERRORS_AT, register_map

CONFIG = CoreConfig(lanes=2, act_banks=2)
MAP = register_map(CONFIG)
CONTROL = {field.name: field.mask for field in MAP["control"].fields}
STATUS = {field.name: field.mask for field in MAP["status"].fields}


def simulate(part: RegisterFile, testbench) -> None:
    simulator = Simulator(part)
    simulator.add_clock(1e-9)
    simulator.add_testbench(testbench)
    simulator.run()


async def offer(ctx, part: RegisterFile, name: str, value: int, strobes: int = 15) -> None:
    """A write that acts in the cycle that begins when this returns."""
    ctx.set(part.s_axi_bready, 1)
    ctx.set(part.s_axi_awaddr, MAP[name].offset)
    ctx.set(part.s_axi_wdata, value)
    ctx.set(part.s_axi_wstrb, strobes)
    ctx.set(part.s_axi_awvalid, 1)
    ctx.set(part.s_axi_wvalid, 1)
    await ctx.tick()
    ctx.set(part.s_axi_awvalid, 0)
    ctx.set(part.s_axi_wvalid, 0)


async def read(ctx, part: RegisterFile, name: str) -> int:
    ctx.set(part.s_axi_araddr, MAP[name].offset)
    ctx.set(part.s_axi_arvalid, 1)
    ctx.set(part.s_axi_rready, 1)
    await ctx.tick()
    ctx.set(part.s_axi_arvalid, 0)
    assert ctx.get(part.s_axi_rvalid)
    value: int = ctx.get(part.s_axi_rdata)
    await ctx.tick()
    return value


EVENTS = {
    "done": ("ended", 1),
    **{f"error_{e.name.lower()}": ("core_errors", 1 << e) for e in Error},
    **{
        f"error_{name}": ("stream_errors", 1 << number)
        for number, name in enumerate(STREAM_ERRORS)
        if name != "start_busy"
    },
}


@pytest.mark.parametrize("bit", EVENTS)
def test_an_event_is_kept_when_its_bit_is_cleared_in_the_same_cycle(bit: str) -> None:
    part = RegisterFile(CONFIG)
    port, value = EVENTS[bit]

    async def testbench(ctx) -> None:
        async def happens(until_clear: int) -> int:
            """The status after an event so many cycles before a write that clears all."""
            for cycle in range(6):
                ctx.set(getattr(part, port), value if cycle == 3 - until_clear else 0)
                if cycle == 2:
                    await offer(ctx, part, "status", 0xFFFFFFFF)
                else:
                    await ctx.tick()
            return await read(ctx, part, "status")

        assert await happens(until_clear=1) == 0
        assert await happens(until_clear=0) == STATUS[bit]
        assert await happens(until_clear=-1) == STATUS[bit]
        # Another bit that is cleared leaves it alone.
        await offer(ctx, part, "status", 0xFFFFFFFF & ~STATUS[bit])
        await ctx.tick()
        assert await read(ctx, part, "status") == STATUS[bit]
        # A start clears what happened before it, and keeps what happens with it.
        await offer(ctx, part, "control", CONTROL["start"])
        await ctx.tick()
        assert await read(ctx, part, "status") == 0
        await offer(ctx, part, "control", CONTROL["start"])
        ctx.set(getattr(part, port), value)
        await ctx.tick()
        ctx.set(getattr(part, port), 0)
        assert await read(ctx, part, "status") == STATUS[bit]

    simulate(part, testbench)


def test_what_control_does() -> None:
    part = RegisterFile(CONFIG)

    async def testbench(ctx) -> None:
        async def pulses(value: int, strobes: int = 15) -> tuple[int, int, int]:
            await offer(ctx, part, "control", value, strobes)
            found = tuple(ctx.get(s) for s in (part.start, part.reset, part.clear))
            await ctx.tick()
            assert not any(ctx.get(s) for s in (part.start, part.reset, part.clear))
            return found  # type: ignore[return-value]

        start, reset, clear = (CONTROL[n] for n in ("start", "soft_reset", "clear_streams"))
        assert await pulses(start) == (1, 0, 0)
        assert await pulses(start, strobes=14) == (0, 0, 0)
        assert await pulses(reset) == (0, 1, 0)
        assert await pulses(reset | clear) == (0, 1, 1)
        assert await pulses(clear) == (0, 0, 0)
        assert await pulses(start | reset) == (0, 1, 0)
        assert await read(ctx, part, "status") == STATUS["error_start_busy"]
        assert await pulses(start) == (1, 0, 0)
        assert await read(ctx, part, "status") == 0
        ctx.set(part.busy, 1)
        assert await pulses(start) == (0, 0, 0)
        assert await read(ctx, part, "status") == STATUS["busy"] | STATUS["error_start_busy"]
        # The interrupt follows `done` and its enable, which a strobe can leave alone.
        ctx.set(part.ended, 1)
        await ctx.tick()
        ctx.set(part.ended, 0)
        assert not ctx.get(part.interrupt)
        await pulses(CONTROL["interrupt_enable"])
        assert ctx.get(part.interrupt)
        await pulses(0, strobes=14)
        assert ctx.get(part.interrupt)
        assert await read(ctx, part, "control") == CONTROL["interrupt_enable"]
        await pulses(0)
        assert not ctx.get(part.interrupt)

    simulate(part, testbench)


def test_a_start_copies_the_descriptor_and_clears_the_counters() -> None:
    part = RegisterFile(CONFIG)

    async def testbench(ctx) -> None:
        await offer(ctx, part, "layer_last_pass", 0x1234)
        await ctx.tick()
        assert ctx.get(part.layer.last_pass) == 0
        await offer(ctx, part, "control", CONTROL["start"])
        await ctx.tick()
        assert ctx.get(part.layer.last_pass) == 0x1234
        await offer(ctx, part, "layer_last_pass", 0xFF56, strobes=1)
        await ctx.tick()
        assert await read(ctx, part, "layer_last_pass") == 0x1256
        assert ctx.get(part.layer.last_pass) == 0x1234
        ctx.set(part.working, 1)
        ctx.set(part.events.nonzeros, 1)
        for _ in range(7):
            await ctx.tick()
        ctx.set(part.working, 0)
        for _ in range(2):
            await ctx.tick()
        ctx.set(part.events.nonzeros, 0)
        found = [await read(ctx, part, f"{name}_low") for name in ("busy", "nonzeros", "fillers")]
        assert found == [7, 9, 0]
        await offer(ctx, part, "control", CONTROL["start"])
        await ctx.tick()
        assert await read(ctx, part, "busy_low") == 0

    simulate(part, testbench)


def test_the_halves_of_a_counter_belong_together_while_it_counts(monkeypatch) -> None:
    """Counters that carry into their high part between the two reads, whichever is read between."""

    def nearly_full(*shape, name=None, **more):
        counts = name is not None and name.startswith("count_")
        return Signal(*shape, name=name, **more, **({"init": (7 << 32) - 5} if counts else {}))

    monkeypatch.setattr(registerfile, "Signal", nearly_full)
    part = RegisterFile(CONFIG)

    async def testbench(ctx) -> None:
        ctx.set(part.working, 1)
        ctx.set(part.events.nonzeros, 1)
        assert await read(ctx, part, "busy_low") == (1 << 32) - 5
        for _ in range(9):
            await ctx.tick()
        assert await read(ctx, part, "nonzeros_low") < 32
        assert await read(ctx, part, "busy_high") == 6
        assert await read(ctx, part, "nonzeros_high") == 7
        assert await read(ctx, part, "busy_low") < 32
        assert await read(ctx, part, "busy_high") == 7

    simulate(part, testbench)


def test_the_status_bits_lie_where_the_map_says() -> None:
    assert STATUS["error_weights"] == 1 << CORE_ERRORS_AT
    assert STATUS["error_weights_short"] == 1 << STREAM_ERRORS_AT
