"""cocotb side of the bench: wait for it. Clock, reset and all streaming are done by bench.sv."""

import cocotb
from cocotb.triggers import Timer

_STEPS = 4096
"""Between two looks at the bench; a callback at every change of a signal slows every cycle down."""


@cocotb.test()
async def run_jobs(dut) -> None:  # type: ignore[no-untyped-def]
    """Run all jobs of the +jobs list; fails when the core stops answering."""
    while True:
        await Timer(_STEPS, unit="step")
        if dut.hung.value == 1 or dut.finished.value == 1:
            break
    assert not dut.hung.value, "the core stopped answering"
