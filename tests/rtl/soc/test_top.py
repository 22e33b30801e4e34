"""The SoC top around a small core, in Amaranth's simulator: resets in the middle of packets.

`test_axi.py` has the whole of it, with the buses of cocotbext-axi on Verilator.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from malformed import is_right, run_of
from random_layers import obeying, random_layer
from soc_bus import Bus, simulate_top, words
from streams import Steady

from compress.model.graph import Geometry
from rtl.config import CoreConfig
from rtl.program.words import from_bytes
from rtl.soc.axi import AxiTop, stream_bits
from rtl.soc.registers import register_map

CONFIG = CoreConfig(lanes=2, act_banks=2, act_depth=8, weight_depth=16)
MAP = register_map(CONFIG)
CONTROL = {field.name: field.mask for field in MAP["control"].fields}
STATUS = {field.name: field.mask for field in MAP["status"].fields}
LAYER = random_layer(Geometry("conv", 1, 1, 4, 4, (3, 3)), 0.5)  # a pass, a bias, some words
RUN = run_of(LAYER, CONFIG)
PATIENCE = 500


class Machine(Bus):
    """The top's registers and streams."""

    async def send(self, name: str, words: Sequence[int], last: bool = True) -> None:
        """A packet, or its beginning; AssertionError when it isn't taken."""
        ctx, top = self._ctx, self._top
        data, end, valid, ready = (
            getattr(top, f"s_axis_{name}_t{part}") for part in ("data", "last", "valid", "ready")
        )
        for number, word in enumerate(words):
            ctx.set(data, word)
            ctx.set(end, last and number == len(words) - 1)
            ctx.set(valid, 1)
            for _ in range(PATIENCE):
                taken = ctx.get(ready)
                await ctx.tick()
                if taken:
                    break
            else:
                raise AssertionError(f"{name} are not taken")
        ctx.set(valid, 0)

    async def start(self) -> None:
        for name, value in RUN.descriptor.items():
            await self.write(f"layer_{name}", value)
        await self.write("control", CONTROL["start"])

    async def layer(self, rows: Sequence[int]) -> None:
        """Run LAYER on a map; its outputs, taken slowly, are right."""
        ctx, top = self._ctx, self._top
        await self.send("acts", rows)
        await self.start()
        await self.send("weights", words(RUN.weights))
        await self.send("biases", RUN.biases.tolist())
        steady, raw, ended = Steady("m_axis_out"), bytearray(), False
        for cycle in range(PATIENCE):
            ctx.set(top.m_axis_out_tready, cycle % 40 == 39)
            valid, ready = ctx.get(top.m_axis_out_tvalid), ctx.get(top.m_axis_out_tready)
            word, end = ctx.get(top.m_axis_out_tdata), ctx.get(top.m_axis_out_tlast)
            steady.cycle(valid, ready, (word, end))
            if valid and ready:
                raw.append(word)
                ended = bool(end)
            await ctx.tick()
            if ended:
                break
        assert ended, "the output packet does not end"
        assert is_right(np.frombuffer(bytes(raw), np.int8), LAYER, CONFIG)
        assert await self.status() & ~STATUS["busy"] == STATUS["done"]


def simulate(test: Callable[[Machine], Any]) -> None:
    async def testbench(ctx: Any, top: AxiTop) -> None:
        machine = Machine(ctx, top, CONFIG)
        await machine.begin()
        await test(machine)

    simulate_top(CONFIG, testbench)


MAP_ROWS = words(RUN.acts)
LONG_MAP = MAP_ROWS + [0] * (CONFIG.act_depth - len(MAP_ROWS))


def test_a_soft_reset_in_mid_map_and_then_a_map_as_long_as_the_memory() -> None:
    async def test(bus: Machine) -> None:
        await bus.layer(MAP_ROWS)
        await bus.send("acts", [1, 2, 3], last=False)
        await bus.write("control", CONTROL["soft_reset"])
        assert await bus.status() & STATUS["discard_acts"]
        await bus.send("acts", [4, 5])  # what is left of it
        assert not await bus.status() & STATUS["discard_acts"]
        await bus.layer(LONG_MAP)

    simulate(test)


def test_a_clear_while_a_map_and_a_layer_are_owed() -> None:
    async def test(bus: Machine) -> None:
        await bus.start()
        await bus.send("acts", [1, 2, 3], last=False)
        owed = STATUS["discard_acts"] | STATUS["discard_weights"] | STATUS["discard_biases"]
        await bus.write("control", CONTROL["soft_reset"])
        assert await bus.status() & owed == owed
        await bus.write("control", CONTROL["soft_reset"] | CONTROL["clear_streams"])
        assert not await bus.status() & owed
        for _ in range(10):
            await bus.write("layer_last_pass", 0)  # the core's reset takes some cycles
        await bus.layer(MAP_ROWS)

    simulate(test)


@pytest.mark.parametrize("padded", [False, True])
def test_words_lie_in_the_lowest_bits_however_wide_tdata_is(padded: bool) -> None:
    """What is above them at the inputs is noise, and zero at the output."""
    memories = {"act_banks": 2, "act_depth": 8, "weight_depth": 16}
    config = CoreConfig("dense-2d", lanes=3, filters=3, drain=3, act_bits=5, **memories)
    layer = obeying(random_layer(Geometry("conv", 1, 3, 4, 4, (3, 3)), 0.5), config)
    run = run_of(layer, config)
    streams = {"acts": run.acts, "weights": run.weights}
    packets = {name: words(values) for name, values in streams.items()}
    packets["biases"] = run.biases.tolist()
    raw: list[int] = []

    async def testbench(ctx: Any, top: AxiTop) -> None:
        widths = {n: len(getattr(top, f"{n}_tdata")) for n in stream_bits(config)}
        wanted = (64, 32, 64, 16) if padded else (40, 24, 48, 16)
        assert tuple(widths.values()) == wanted
        machine = Machine(ctx, top, config)
        await machine.begin()
        for name, value in run.descriptor.items():
            await machine.write(f"layer_{name}", value)
        await machine.write("control", machine.control["start"])
        for name, packet in packets.items():
            bits = stream_bits(config)[f"s_axis_{name}"]
            noise = random.Random(7).getrandbits(widths[f"s_axis_{name}"]) >> bits << bits
            await machine.send(name, [word | noise for word in packet])
        ctx.set(top.m_axis_out_tready, 1)
        for _ in range(PATIENCE):
            if ctx.get(top.m_axis_out_tvalid):
                raw.append(ctx.get(top.m_axis_out_tdata))
                if ctx.get(top.m_axis_out_tlast):
                    break
            await ctx.tick()

    simulate_top(config, testbench, AxiTop(config, padded))
    assert max(raw) < 1 << 15
    found = from_bytes(np.array(raw, "<u2").view(np.uint8).reshape(-1, 2), 5, 3)
    assert is_right(found.reshape(-1), layer, config)
