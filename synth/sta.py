"""Timing sign-off by OpenSTA: constraints, reports kept as the tool wrote them, one parser.

The clock is ideal. Wires load by the library's default wire-load model, which OpenSTA applies by
itself. Inputs arrive, and outputs are wanted, IO_NS from the clock edge. The layer descriptor
(`layer__*`) is held stable while a core works (rtl.layer), so it has two cycles to arrive; but not
`layer__new_map`, which acts in the cycle of the start.
"""

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from cosign import CosignError, atomic_write
from synth.liberty import Library
from synth.pdk import LIBERTY, Pdk
from synth.process import Conversation, run_tool

PACKAGE = "opensta (apt)"
END = "@@end-of-answer"
UNCERTAINTY_NS = 0.05
IO_NS = 0.2
OUTPUT_LOAD_FF = 10.0

SETUP = """\
read_liberty {liberty}
read_liberty {macros}
set_cmd_units -time ns -capacitance fF
read_verilog {netlist}
link_design {top}
create_clock -name clk -period {period} [get_ports {clock}]
set_clock_uncertainty {uncertainty} [get_clocks clk]
foreach port [all_inputs] {{
  if {{[get_full_name $port] != "{clock}"}} {{
    set_input_delay {io} -clock clk $port
    set_driving_cell -lib_cell {driver} $port
    if {{[string match "layer__*" [get_full_name $port]]
         && "layer__new_map" != [get_full_name $port]}} {{
      set_multicycle_path -setup 2 -from $port
    }}
  }}
}}
set_output_delay {io} -clock clk [all_outputs]
set_load {load} [all_outputs]
"""

SIGN_OFF = """\
check_setup -verbose -loops -unconstrained_endpoints -no_clock > check_setup.rpt
report_checks -path_delay max -fields {slew cap fanout} -digits 4 > timing.rpt
report_checks -path_delay max -fields {slew cap fanout} -digits 4 -group_count 20 > timing_top20.rpt
report_checks -path_delay min -fields {slew cap fanout} -digits 4 > timing_hold.rpt
report_tns > timing_tns.rpt
"""

DRIVERS = """\
set drivers {}
foreach pin [get_pins */*] {
  if {[get_property $pin direction] == "output"} {
    lappend drivers [get_full_name $pin] $pin
  }
}
"""

SLACKS = """\
set out [open slack.txt w]
foreach {name pin} $drivers {
  puts $out "$name [get_property $pin max_rise_slack] [get_property $pin max_fall_slack]"
}
close $out
"""


@dataclass(frozen=True)
class Stage:
    """One cell on a path: instance, port, cell, delay through it and the net behind (ns)."""

    instance: str
    pin: str
    kind: str
    delay_ns: float
    load_ff: float


@dataclass(frozen=True)
class TimingRecord:
    """The slowest path. `slack_ns` is against `period_ns`; negative means violated."""

    period_ns: float
    slack_ns: float
    start: str
    end: str
    stages: tuple[Stage, ...]

    @property
    def fmax_hz(self) -> float:
        """The clock at which the slack is zero: all else is constant, whatever the period."""
        return 1e9 / (self.period_ns - self.slack_ns)

    def words(self, library: Library) -> str:
        """The path as an engineer would tell it, cells by the names of their families."""
        spent: dict[str, list[float]] = {}
        for stage in self.stages:
            spent.setdefault(library.family_name(stage.kind), []).append(stage.delay_ns)
        costly = sorted(spent.items(), key=lambda item: -sum(item[1]))[:3]
        parts = ", ".join(f"{len(d)} {kind} {1000 * sum(d):.0f} ps" for kind, d in costly)
        total = sum(stage.delay_ns for stage in self.stages)
        return (
            f"{self.start} to {self.end}: {len(self.stages)} cells, {1000 * total:.0f} ps; "
            f"most of it in {parts}"
        )


def opensta_version(folder: Path) -> str:
    """Raises CosignError when `sta` is not installed."""
    text = run_tool(("sta", "-version"), folder / "sta_version.log", folder, PACKAGE)
    return f"OpenSTA {text.strip()}"


def _setup(netlist: Path, top: str, pdk: Pdk, macros: Path, period_ns: float) -> str:
    return SETUP.format(
        liberty=LIBERTY,
        macros=macros.name,
        netlist=netlist.name,
        top=top,
        clock="clk",
        period=f"{period_ns:.6g}",
        uncertainty=UNCERTAINTY_NS,
        io=IO_NS,
        driver=pdk.library.buffers[min(2, len(pdk.library.buffers) - 1)].name,
        load=OUTPUT_LOAD_FF,
    )


def _raise_on_error(log: str, top: str) -> None:
    if match := re.search(r"module (\S+) not found\.\s+Creating black box", log):
        raise CosignError(
            f"the netlist of {top} holds the unmapped cell {match[1]}; "
            "use a Liberty file with the usual gates and D flip-flops."
        )
    if match := re.search(r"^Error: (.*)", log, re.M):
        raise CosignError(f"OpenSTA refused {top}: {match[1].rstrip('.')}.")


class Timer:
    """OpenSTA kept alive on one netlist, retimed after cells were exchanged.

    A context manager. Sign-off is done afterwards by a fresh process on the written file.
    """

    def __init__(
        self,
        netlist: Path,
        top: str,
        pdk: Pdk,
        macros: Path,
        period_ns: float,
        cancel: threading.Event | None = None,
    ) -> None:
        self._top = top
        self._steps = 0
        self._folder = netlist.parent
        self._library = pdk.library.name
        pdk.provide(netlist.parent)
        setup = _setup(netlist, top, pdk, macros, period_ns)
        self._tool = Conversation(
            ("sta", "-no_splash", "-no_init"), netlist.parent, PACKAGE, cancel
        )
        self._tell(setup + DRIVERS)

    def __enter__(self) -> "Timer":
        return self

    def __exit__(self, *_: object) -> None:
        self._tool.close()

    def _tell(self, commands: str) -> None:
        # OpenSTA reads a script line by line and answers before it has seen the end of the file:
        # the next step must not overwrite it.
        self._steps += 1
        script = self._folder / f"step_{self._steps % 2}.tcl"
        script.write_text(f"{commands}\nputs {END}\nflush stdout\n")
        _raise_on_error(self._tool.ask(f"source {script.name}\n", END), self._top)

    def exchange(self, kinds: dict[str, str]) -> None:
        """Give instances another library cell: {instance: cell}."""
        self._tell(
            "\n".join(
                f"replace_cell [get_cells {name}] [get_lib_cells {self._library}/{kind}]"
                for name, kind in kinds.items()
            )
        )

    def slacks(self) -> dict[str, float]:
        """For every instance the worst setup slack of its outputs, ns."""
        self._tell(SLACKS)
        found: dict[str, float] = {}
        for line in (self._folder / "slack.txt").read_text().splitlines():
            pin, rise, fall = line.split()
            instance = pin.rpartition("/")[0]
            found[instance] = min(float(rise), float(fall), found.get(instance, float("inf")))
        if min(found.values(), default=float("inf")) == float("inf"):
            raise CosignError(f"{self._top} has no path between registers, so it has no Fmax.")
        return found


def sign_off(
    netlist: Path,
    top: str,
    pdk: Pdk,
    macros: Path,
    period_ns: float,
    cancel: threading.Event | None = None,
) -> TimingRecord:
    """Time `netlist` (mapped Verilog) at `period_ns`; the reports stay beside it.

    Raises CosignError when `sta` is missing, a cell is unmapped, the logic has a combinational
    loop, or no path was reported.
    """
    folder = netlist.parent
    pdk.provide(folder)
    with atomic_write(folder / "sta.tcl") as file:
        file.write((_setup(netlist, top, pdk, macros, period_ns) + SIGN_OFF).encode())
    (folder / "timing.rpt").unlink(missing_ok=True)
    command = ("sta", "-no_splash", "-no_init", "-exit", "sta.tcl")
    _raise_on_error(run_tool(command, folder / "sta.log", folder, PACKAGE, cancel), top)
    checks = (folder / "check_setup.rpt").read_text()
    if re.search(r"combinational loop", checks, re.I):
        raise CosignError(f"{top} holds a combinational loop; break it with a register.")
    return parse_timing(folder / "timing.rpt", period_ns)


_NUMBER = r"-?\d+\.\d+"
_STAGE = re.compile(
    rf"^\s*(?:\d+\s+)?(?:({_NUMBER})\s+)?{_NUMBER}\s+({_NUMBER})\s+{_NUMBER}\s+[v^]\s+"
    r"(\S+)/(\S+)\s+\((\S+)\)\s*$"
)


def parse_timing(path: Path, period_ns: float) -> TimingRecord:
    """Read a `report_checks` text. Raises CosignError when it holds no constrained path."""
    try:
        text = path.read_text()
    except OSError as error:
        raise CosignError(
            f"OpenSTA wrote no timing report at {path}; see sta.log there."
        ) from error
    start = re.search(r"^Startpoint: (\S+)", text, re.M)
    end = re.search(r"^Endpoint: (\S+)", text, re.M)
    slack = re.search(rf"({_NUMBER})\s+slack \((?:MET|VIOLATED)\)", text)
    if not (start and end and slack):
        raise CosignError(
            f"the timing report {path} holds no path; the core has no register that a clock "
            "reaches, or its ports are unconstrained."
        )
    stages = []
    for line in text[: slack.start()].splitlines():
        if line.strip().startswith("data arrival"):
            break
        match = _STAGE.match(line)
        if match and match[1]:
            stages.append(Stage(match[3], match[4], match[5], float(match[2]), float(match[1])))
    return TimingRecord(period_ns, float(slack[1]), start[1], end[1], tuple(stages))
