"""The ports of the SoC top in Amaranth's simulator, as a processor and its DMA use them."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from amaranth.sim import Simulator
from rtl_models import with_models

from rtl.config import CoreConfig
from rtl.soc.axi import AxiTop
from rtl.soc.registers import register_map

_PINS = {"s_axi_bready": 1, "s_axi_rready": 1, "s_axi_wstrb": 15}


class Bus:
    """AXI4-Lite of a top, and its clock: every cycle is a `step`."""

    def __init__(self, ctx: Any, top: AxiTop, config: CoreConfig):
        self._ctx, self._top = ctx, top
        self._map = register_map(config)
        self.control = {field.name: field.mask for field in self._map["control"].fields}
        self.bits = {field.name: field.mask for field in self._map["status"].fields}

    async def step(self) -> None:
        """A cycle; who drives more than the registers does so here."""
        await self._ctx.tick()

    async def begin(self) -> None:
        for _ in range(2):
            await self.step()
        self._ctx.set(self._top.aresetn, 1)
        for name, value in _PINS.items():
            self._ctx.set(getattr(self._top, name), value)
        for _ in range(10):  # as long as the core's reset takes
            await self.step()

    async def offer(self, name: str, value: int) -> None:
        """A write that acts in the cycle that begins when this returns."""
        ctx, top = self._ctx, self._top
        while not (ctx.get(top.s_axi_awready) and ctx.get(top.s_axi_wready)):
            await self.step()
        ctx.set(top.s_axi_awaddr, self._map[name].offset)
        ctx.set(top.s_axi_wdata, value)
        ctx.set(top.s_axi_awvalid, 1)
        ctx.set(top.s_axi_wvalid, 1)
        await self.step()
        ctx.set(top.s_axi_awvalid, 0)
        ctx.set(top.s_axi_wvalid, 0)

    async def write(self, name: str, value: int) -> None:
        await self.offer(name, value)
        for _ in range(2):
            await self.step()

    async def read(self, name: str) -> int:
        ctx, top = self._ctx, self._top
        ctx.set(top.s_axi_araddr, self._map[name].offset)
        ctx.set(top.s_axi_arvalid, 1)
        await self.step()
        ctx.set(top.s_axi_arvalid, 0)
        found: int = ctx.get(top.s_axi_rdata)
        await self.step()
        return found

    async def status(self) -> int:
        return await self.read("status")


def words(values: np.ndarray) -> list[int]:
    return [int.from_bytes(value.tobytes(), "little") for value in values]


def simulate_top(
    config: CoreConfig, test: Callable[[Any, AxiTop], Awaitable[None]], top: AxiTop | None = None
) -> None:
    """Run `test` on a top around a core of `config`."""
    top = AxiTop(config) if top is None else top
    simulator = Simulator(with_models(top, config))

    async def clock(ctx: Any) -> None:
        while True:
            ctx.set(top.aclk, 0)
            await ctx.delay(1e-9)
            ctx.set(top.aclk, 1)
            await ctx.delay(1e-9)

    async def testbench(ctx: Any) -> None:
        await test(ctx, top)

    simulator.add_testbench(clock, background=True)
    simulator.add_testbench(testbench)
    simulator.run()
