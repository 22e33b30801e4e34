"""AXI4-Lite: channels that come and go as they like, against a list of what was sent."""

import random

from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import Steady

from rtl.soc.axilite import OKAY, SLVERR, AxiLite

CHANNELS = {
    "aw": ("addr", "prot"),
    "w": ("data", "strb"),
    "b": ("resp",),
    "ar": ("addr", "prot"),
    "r": ("data", "resp"),
}
REGISTERS = 8


def watcher(part: AxiLite, channel: str):  # type: ignore[no-untyped-def]
    steady = Steady(f"channel {channel}")
    names = ("valid", "ready", *CHANNELS[channel])
    signals = [getattr(part, f"s_axi_{channel}{name}") for name in names]

    async def watch(ctx) -> None:  # type: ignore[no-untyped-def]
        async for _, _, valid, ready, *carried in ctx.tick().sample(*signals):
            steady.cycle(valid, ready, carried)

    return watch


def simulate(part: AxiLite, testbench) -> None:
    simulator = Simulator(part)
    simulator.add_clock(1e-9)
    simulator.add_testbench(testbench)
    for channel in CHANNELS:
        simulator.add_testbench(watcher(part, channel), background=True)
    simulator.run()


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.9, 1.0]))
def test_every_write_acts_once_and_every_answer_comes_in_order(seed: int, eager: float) -> None:
    """Further addresses and data are on offer before an answer is taken."""
    rng = random.Random(seed)
    part = AxiLite()
    writes = [
        (rng.randrange(2 * REGISTERS), rng.getrandbits(32), rng.getrandbits(4)) for _ in range(15)
    ]
    reads = [rng.randrange(2 * REGISTERS) for _ in range(15)]
    registers = [rng.getrandbits(32) for _ in range(REGISTERS)]
    acted, answers, expected, got = [], [], [], []

    async def testbench(ctx) -> None:
        sent = dict.fromkeys(("aw", "w", "ar"), 0)
        values = {"aw": [w[0] for w in writes], "w": [w[1:] for w in writes], "ar": reads}
        offered = dict.fromkeys(sent, False)
        for _ in range(2000):
            for channel, number in sent.items():
                offered[channel] |= number < len(values[channel]) and rng.random() < eager
                ctx.set(getattr(part, f"s_axi_{channel}valid"), offered[channel])
                if number < len(values[channel]):
                    value = values[channel][number]
                    if channel == "w":
                        ctx.set(part.s_axi_wdata, value[0])
                        ctx.set(part.s_axi_wstrb, value[1])
                    else:
                        ctx.set(getattr(part, f"s_axi_{channel}addr"), 4 * value)
            ctx.set(part.s_axi_bready, rng.random() < eager / 2)
            ctx.set(part.s_axi_rready, rng.random() < eager / 2)
            index = ctx.get(part.write_index)
            ctx.set(part.write_ok, index < REGISTERS)
            address = ctx.get(part.read_index)
            ctx.set(part.read_ok, address < REGISTERS)
            ctx.set(part.read_data, registers[address] if address < REGISTERS else 0xDEAD)
            if offered["ar"] and ctx.get(part.s_axi_arready):
                there = address < REGISTERS
                expected.append((registers[address], OKAY) if there else (0, SLVERR))
            if ctx.get(part.write):
                mask = ctx.get(part.write_mask)
                acted.append((index, ctx.get(part.write_data), mask))
                if index < REGISTERS:
                    kept = registers[index] & ~mask
                    registers[index] = kept | (ctx.get(part.write_data) & mask)
            if ctx.get(part.s_axi_bvalid) and ctx.get(part.s_axi_bready):
                answers.append(ctx.get(part.s_axi_bresp))
                assert len(answers) <= len(acted)
            if ctx.get(part.s_axi_rvalid) and ctx.get(part.s_axi_rready):
                got.append((ctx.get(part.s_axi_rdata), ctx.get(part.s_axi_rresp)))
            for channel in sent:
                if offered[channel] and ctx.get(getattr(part, f"s_axi_{channel}ready")):
                    offered[channel] = False
                    sent[channel] += 1
            if len(answers) == len(writes) and len(got) == len(reads):
                return
            await ctx.tick()

    simulate(part, testbench)
    masks = [sum(0xFF << 8 * n for n in range(4) if strobe >> n & 1) for *_, strobe in writes]
    assert acted == [(*write[:2], mask) for write, mask in zip(writes, masks, strict=True)]
    assert answers == [OKAY if index < REGISTERS else SLVERR for index, *_ in writes]
    assert got == expected


def test_a_write_waits_until_the_answer_before_it_is_taken() -> None:
    part = AxiLite()
    acted = []

    async def testbench(ctx) -> None:
        ctx.set(part.s_axi_awvalid, 1)
        ctx.set(part.s_axi_wvalid, 1)
        ctx.set(part.write_ok, 1)
        for _ in range(8):
            acted.append(ctx.get(part.write))
            await ctx.tick()
        assert ctx.get(part.s_axi_bvalid)
        ctx.set(part.s_axi_bready, 1)
        acted.append(ctx.get(part.write))
        await ctx.tick()
        assert ctx.get(part.s_axi_bvalid)  # the second answer, right behind the first

    simulate(part, testbench)
    assert acted == [0, 1, *[0] * 6, 1]
