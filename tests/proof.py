"""Netlists against the RTL they were mapped from, by Yosys' SAT solver.

The cells are those of the user's Liberty file as Yosys itself reads them, so this knows nothing of
what synth.liberty made of it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from synth.gating import gated_clocks, split
from synth.liberty import ClockGate, Library
from synth.map import map_core, yosys
from synth.netlist import Netlist
from synth.pdk import find_pdk
from synth.sizing import buffer_fanout, close_timing, ideal_nets, tie_constants
from synth.sram import write_liberty
from synth.sta import Timer, TimingRecord, sign_off

RTL = """
module top (clk, rst, en, d, q, count, fixed);
  input clk; input rst; input en; input [2:0] d;
  output reg [2:0] q; output reg [2:0] count; output [1:0] fixed;
  assign fixed = 2'b10;
  always @(posedge clk) begin
    if (rst) count <= 5; else if (en) count <= count + d;
    q <= d ^ (count & {3{en}});
  end
endmodule
"""


def mapped(
    liberty: Sequence[Path], folder: Path, rtl: str = RTL, *, clock_gating: bool = False
) -> tuple[Netlist, Library]:
    """`rtl` (of a module top) mapped and buffered as a core is."""
    pdk = find_pdk(liberty, clock_gating=clock_gating)
    macros = folder / "macros.lib"
    write_liberty([], macros)
    path = map_core({"top.v": rtl}, "top", pdk, macros, folder)
    netlist = Netlist.from_yosys(path, "top", pdk.registers)
    library = pdk.library
    if library.tie_high is None or library.tie_low is None:
        tie_constants(netlist, library)
    split(netlist, library)
    ideal = ideal_nets(netlist, library, "clk") | gated_clocks(netlist, library)
    buffer_fanout(netlist, library, ideal)
    return netlist, library


def timed(
    netlist: Netlist,
    liberty: Sequence[Path],
    folder: Path,
    period_ns: float,
    *,
    clock_gating: bool = False,
) -> TimingRecord:
    """Sized for `period_ns` and signed off; writes `netlist.v`."""
    pdk = find_pdk(liberty, clock_gating=clock_gating)
    path, macros = folder / "netlist.v", folder / "macros.lib"

    def open_timer(current: Netlist) -> Timer:
        current.write(path)
        return Timer(path, "top", pdk, macros, period_ns)

    close_timing(netlist, pdk.library, open_timer)
    netlist.write(path)
    return sign_off(path, "top", pdk, macros, period_ns)


def prove(
    liberty: Sequence[Path],
    folder: Path,
    rtl: str = RTL,
    steps: int = 9,
    gates: Sequence[ClockGate] = (),
) -> None:
    """`netlist.v` in `folder` does what `rtl` does for `steps` half periods, from a reset on.

    gates : clock gates, which Yosys does not read from a library; they are latches and gates here

    Raises CosignError with a counterexample's first words when it does not.
    """
    (folder / "gold.v").write_text(rtl.replace("module top", "module gold"))
    text = (folder / "netlist.v").read_text()
    (folder / "gate.v").write_text(re.sub(r"\bmodule top\b", "module gate", text))
    reads = [f"read_liberty -ignore_miss_func {path}" for path in liberty]
    (folder / "gates.v").write_text("".join(map(_model, gates)))
    script = [
        *reads,
        "read_verilog -overwrite gates.v",
        "read_verilog gold.v gate.v",
        "proc",
        "flatten gold gate",
        "miter -equiv -flatten -ignore_gold_x -make_outputs gold gate miter",
        "hierarchy -top miter",
        "clk2fflogic",
        "opt -full",
        _sat(steps),
    ]
    yosys("\n".join(script), folder, "proof")


def _model(gate: ClockGate) -> str:
    """A latch that is open while the clock is low, and its state lets the clock through."""
    return (
        f"module {gate.name} (input {gate.clock}, input {gate.enable}, output {gate.output});\n"
        f"  reg on; always @* if (!{gate.clock}) on = {gate.enable};\n"
        f"  assign {gate.output} = {gate.clock} & on;\nendmodule\n"
    )


def _sat(steps: int) -> str:
    """Reset through the first rising edges, then anything."""
    sets = "".join(
        f" -set-at {step} in_clk {step % 2}" + (f" -set-at {step} in_rst 1" if step <= 4 else "")
        for step in range(1, steps + 5)
    )
    return f"sat -verify -prove-asserts -prove trigger 0 -seq {steps + 4} -prove-skip 4{sets} miter"
