"""cocotb side of the bench: clock, reset, wait. All streaming is done by bench.sv."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge


@cocotb.test()
async def run_jobs(dut) -> None:  # type: ignore[no-untyped-def]
    """Run all jobs of the +jobs list; fails when the core stops answering."""
    dut.rst.value = 1
    Clock(dut.clk, 2, unit="step").start(start_high=False)
    await ClockCycles(dut.clk, 16)
    dut.rst.value = 0
    await First(RisingEdge(dut.finished), RisingEdge(dut.hung))
    assert not dut.hung.value, "the core stopped answering"
