"""A soft reset in every cycle of a layer, with maps under way: the next layer is right.

Maps are numbered and differ, so that a layer that gets another one than its own is seen; so do the
weights of one start and the next.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from malformed import run_of
from random_layers import obeying, random_input, random_layer
from soc_bus import Bus, simulate_top, words
from streams import Steady

from compress.model.graph import Geometry
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer, unpack_outputs
from rtl.soc.axi import AxiTop
from sim.golden import layer_output

SMALL = {"act_banks": 2, "act_depth": 8, "weight_depth": 16}
CONFIGS = {
    "sparse": CoreConfig(lanes=5, act_buffers=2, **SMALL),
    "sparse-one-buffer": CoreConfig(lanes=4, **SMALL),
    "bitmask": CoreConfig(
        lanes=4, coding="bitmask", mask_bits=5, mask_depth=4, tap_depth=32, act_buffers=2, **SMALL
    ),
    "dense-2d": CoreConfig("dense-2d", lanes=4, filters=2, drain=2, act_buffers=2, **SMALL),
    "dense-packed": CoreConfig(
        "dense-packed", lanes=4, filters=2, mask_bits=4, mask_depth=4, drain=2, **SMALL
    ),
    "sparse-rows": CoreConfig(
        "sparse-rows", lanes=2, filters=2, window_span=2, tap_depth=16, act_buffers=2, **SMALL
    ),
    "sparse-nm": CoreConfig("sparse-nm", lanes=2, filters=2, **SMALL | {"act_banks": 4}),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS if name != "sparse"]
PATIENCE = 600
MAPS = 5


class Feed:
    """Packets for a stream, each word on offer until it is taken.

    open : words may be offered; `limit` : packets that may be begun, None for all
    """

    def __init__(self, packets: Iterator[list[int]]):
        self._packets = packets
        self.begun = 0
        self.open = True
        self.limit: int | None = None
        self._left: list[int] = []
        self._fresh, self._offers = True, False

    def offer(self, ctx: Any, top: AxiTop, name: str, rests: bool) -> None:
        if not self._left:
            self._left, self._fresh = list(next(self._packets)), True
        waits = self._fresh and self.limit is not None and self.begun >= self.limit
        self._offers = self._offers or (self.open and not waits and not rests)
        ctx.set(getattr(top, f"s_axis_{name}_tvalid"), self._offers)
        if self._offers:
            ctx.set(getattr(top, f"s_axis_{name}_tdata"), self._left[0])
            ctx.set(getattr(top, f"s_axis_{name}_tlast"), len(self._left) == 1)

    def go_on(self, ctx: Any, top: AxiTop, name: str) -> None:
        if self._offers and ctx.get(getattr(top, f"s_axis_{name}_tready")):
            self.begun += self._fresh
            self._fresh, self._offers = False, False
            del self._left[0]


class Machine(Bus):
    """The top with a DMA on every stream, and layers to run."""

    def __init__(self, ctx: Any, top: AxiTop, config: CoreConfig, late: bool, seed: int):
        super().__init__(ctx, top, config)
        self._late = late
        self._config, self._rng = config, random.Random(seed)
        geometry = Geometry("conv", 1, config.filters, 4, 4, (3, 3))
        layers = [obeying(random_layer(geometry, 0.6, seed=n), config) for n in range(2)]
        runs = [run_of(layer, config) for layer in layers]
        self.program = pack_layer(layers[0], config)
        inputs = [random_input(geometry, seed=n) for n in range(MAPS)]
        self._maps = [words(pack_layer(layers[0], config).maps(x[0], config)[0]) for x in inputs]
        self._weights = [words(run.weights) for run in runs]
        self._biases = [run.biases.tolist() for run in runs]
        self._expected = [[layer_output(layer, x)[0] for x in inputs] for layer in layers]
        self.starts, self.map = 0, 0  # layers begun, the map that the next one gets
        self.rest, self.taking = 0.0, 1.0
        self.packets: list[list[int]] = []
        self.connect()

    def connect(self) -> None:
        """The DMA begins anew, with what the next start takes."""
        first, start = self.map, self.starts

        def each(of: list[list[int]], number: int) -> Iterator[list[int]]:
            while True:
                yield of[number % len(of)]
                number += 1

        self.feeds = {
            "acts": Feed(each(self._maps, first)),
            "weights": Feed(each(self._weights, start)),
            "biases": Feed(each(self._biases, start)),
        }
        self.first = first
        self._hold_back()
        self._steady, self._raw = Steady("m_axis_out"), []

    def _hold_back(self) -> None:
        """Maps that come late are those of layers that were started."""
        if self._late:
            self.feeds["acts"].limit = self.map - self.first

    @property
    def begun(self) -> int:
        """Maps of which a row was taken."""
        return self.first + self.feeds["acts"].begun

    async def step(self) -> None:
        ctx, top = self._ctx, self._top
        ctx.set(top.m_axis_out_tready, self._rng.random() < self.taking)
        for name, feed in self.feeds.items():
            feed.offer(ctx, top, name, self._rng.random() < self.rest)
        for name, feed in self.feeds.items():
            feed.go_on(ctx, top, name)
        valid, ready = ctx.get(top.m_axis_out_tvalid), ctx.get(top.m_axis_out_tready)
        word, last = ctx.get(top.m_axis_out_tdata), ctx.get(top.m_axis_out_tlast)
        self._steady.cycle(valid, ready, (word, last))
        if valid and ready:
            self._raw.append(word)
            if last:
                self.packets.append(self._raw)
                self._raw = []
        await ctx.tick()

    async def until(self, wanted: Callable[[int], bool], what: str) -> int:
        for _ in range(PATIENCE):
            status = await self.status()
            if wanted(status):
                return status
        raise AssertionError(what)

    async def idle(self) -> int:
        """The status when nothing runs and nothing is discarded."""
        busy = sum(m for n, m in self.bits.items() if n == "busy" or n.startswith("discard"))
        return await self.until(lambda status: not status & busy, "the top stays busy")

    async def reset_with_dma(self) -> None:
        """The DMA drops what it offers, and the write comes a cycle later: from then on nothing is
        on offer at the output."""
        self.map = max(self.map, self.begun)
        self.connect()
        for feed in self.feeds.values():
            feed.open = False
        await self.offer("control", self.control["soft_reset"] | self.control["clear_streams"])
        self._steady.forget()
        await self.step()
        self._steady.forget()
        for _ in range(12):
            assert not self._ctx.get(self._top.m_axis_out_tvalid)
            await self.step()
        for feed in self.feeds.values():
            feed.open = True

    async def start(self) -> None:
        """The next layer; its map is the next one of which no row was taken, or that waits."""
        await self.offer("control", self.control["start"])
        self.starts += 1
        self.map += 1
        self._hold_back()

    async def layer(self) -> None:
        """Run a layer from its start to its end: the packet is its own, and right."""
        weights, number = self.starts % len(self._weights), self.map % MAPS
        self.packets.clear()
        await self.start()
        status = await self.until(lambda s: bool(s & self.bits["done"]), "the layer hangs")
        errors = sum(mask for name, mask in self.bits.items() if name.startswith("error"))
        assert not status & errors
        (packet,) = self.packets
        bytes_ = len(self._top.m_axis_out_tdata) // 8
        raw = np.frombuffer(b"".join(w.to_bytes(bytes_, "little") for w in packet), np.int8)
        outputs = unpack_outputs(self.program, self._config, [raw])
        assert np.array_equal(outputs, self._expected[weights][number])
        await self.write("status", status)


def sweep(config: CoreConfig, clears: bool, late: bool, rest: float, step: int = 1) -> int:
    """A reset so many cycles after the start, for all that a layer takes; returns their number.

    clears : the DMA is reset too
    late : maps come when their layer waits for them, not ahead
    rest : share of cycles in which a stream rests
    """
    swept = 0

    async def test(ctx: Any, top: AxiTop) -> None:
        nonlocal swept
        machine = Machine(ctx, top, config, late, seed=step)
        await machine.begin()
        for name, value in machine.program.descriptor.items():
            await machine.write(f"layer_{name}", value)
        await machine.layer()
        after = 0
        while True:
            machine.rest, machine.taking = rest, 0.0 if clears else 0.7
            machine.packets.clear()
            await machine.start()
            for _ in range(after):
                await machine.step()
            if clears:
                await machine.reset_with_dma()
            else:
                await machine.offer("control", machine.control["soft_reset"])
                machine.map = max(machine.map, machine.begun)
                await machine.step()  # to the write's answer
            machine.rest, machine.taking = 0.0, 1.0
            status = await machine.idle()
            assert len(machine.packets) == (not clears), after
            assert status & ~machine.bits["done"] == 0, after
            await machine.write("status", status)
            await machine.layer()
            if status & machine.bits["done"]:
                break
            swept, after = swept + 1, after + step
            if clears and after > 60:  # its output is never taken, so that it never ends
                break

    simulate_top(config, test)
    return swept


@pytest.mark.parametrize("late", [False, True], ids=["ahead", "late"])
@pytest.mark.parametrize("clears", [False, True], ids=["plain", "clear"])
@pytest.mark.parametrize("name", ["sparse", *SLOW])
def test_a_reset_in_any_cycle_leaves_the_next_layer_alone(
    name: str, clears: bool, late: bool
) -> None:
    for rest, step in ((0.0, 1), (0.5, 3)):
        assert sweep(CONFIGS[name], clears, late, rest, step) >= 30 // step
