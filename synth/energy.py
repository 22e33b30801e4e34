"""Energy of a core's cycle: OpenSTA prices every cell, a replay says how often each one toggles.

OpenSTA (2.0) accepts activities of input ports alone and propagates them as probabilities. We want
the counts of a real run, so its power report is asked for twice, with every net at no and at one
toggle a cycle: a cell's dynamic power is linear in its toggles, and what it takes without any is
its clock pin. Between these two reports the replayed toggles of the cell's output interpolate.

Behind a clock gate a clock pin takes energy in the cycles in which it ticks. OpenSTA adds up what a
gate takes enabled and disabled, so its internal energy is that of the Liberty tables
(synth.liberty.clockgates); what loads the gated clock is OpenSTA's and counts when it ticks. The
clock is ideal (no tree), nets load by the library's wire-load model, or by the wires of a placement
where the netlist has some, and glitches are not seen.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cosign import CosignError, scratch
from rtl import sram as rtl_sram
from rtl.config import CoreConfig
from synth import sram
from synth.liberty import ClockGate, Library, clock_gates
from synth.pdk import LIBERTY, Pdk
from synth.place.timing import SPEF
from synth.process import run_tool
from synth.replay import Activity
from synth.sta import OUTPUT_LOAD_FF, PACKAGE

PERIOD_NS = 1.0  # energies of a cycle do not depend on it

_SCRIPT = """\
read_liberty {liberty}
read_liberty {macros}
set_cmd_units -time ns -capacitance fF
read_verilog {netlist}
link_design {top}
create_clock -name clk -period {period} [get_ports clk]
{wires}
foreach activity {{0 1}} {{
  sta::set_power_global_activity $activity 0.5
  report_power -instances [get_cells *] -digits 9 > power_$activity.rpt
}}
"""
_INSTANCE = re.compile(r"^  (\w+) (\w+) \(", re.M)
_ROW = re.compile(r"^\s*([\d.e+-]+)\s+([\d.e+-]+)\s+([\d.e+-]+)\s+[\d.e+-]+\s+(\S+)$")


class PowerRow(NamedTuple):
    """What a power report says of an instance, in watts."""

    internal: float
    switching: float
    leakage: float

    @property
    def dynamic(self) -> float:
        return self.internal + self.switching


class Powers(NamedTuple):
    """Of each instance in watts, for a cycle of PERIOD_NS.

    Parameters
    ----------
    quiet, busy : (dynamic, leakage) with all nets at no and at one toggle a cycle
    resting : dynamic, of the clock gates, in a cycle in which they do not tick
    """

    quiet: dict[str, tuple[float, float]]
    busy: dict[str, tuple[float, float]]
    resting: dict[str, float]


@dataclass(frozen=True)
class LogicEnergy:
    """A mean cycle of the logic. `clock_pj` is what the flip-flops' clock pins take, toggling or
    not, clock gates and what they drive included; `toggle_pj` all other dynamic energy. `annotated`
    is the share of driven pins whose toggles were counted."""

    clock_pj: float
    toggle_pj: float
    leakage_uw: float
    toggles: float
    annotated: float


@dataclass(frozen=True)
class MemoryEnergy:
    """The SRAMs of one purpose: energy of an access of one of them, accesses of all of them in a
    mean cycle, leakage of all of them."""

    read_pj: float
    write_pj: float
    reads: float
    writes: float
    leakage_uw: float


def cell_powers(folder: Path, pdk: Pdk, top: str = "cosign_core") -> Powers:
    """Of the netlist that synth.report left in `folder`.

    Where a SPEF lies beside it, as in the folder of a placed core, nets load by that.

    Raises CosignError when files or `sta` are missing, or the report has no cell of the netlist.
    """
    for name in ("netlist.v", "cosign_sram.lib"):
        if not (folder / name).is_file():
            raise CosignError(f"{folder} has no {name}; synthesise the core into it first.")
    with scratch("energy") as work:
        script = _SCRIPT.format(
            liberty=LIBERTY,
            macros=f"{{{(folder / 'cosign_sram.lib').resolve()}}}",
            netlist=f"{{{(folder / 'netlist.v').resolve()}}}",
            top=top,
            period=PERIOD_NS,
            wires=_wires(folder),
        )
        pdk.provide(work)
        (work / "power.tcl").write_text(script)
        command = ("sta", "-no_splash", "-no_init", "-exit", "power.tcl")
        log = run_tool(command, work / "power.log", work, PACKAGE)
        if match := re.search(r"^Error: (.*)", log, re.M):
            raise CosignError(f"OpenSTA refused {folder}: {match[1].rstrip('.')}.")
        quiet, busy = (parse_power(work / f"power_{activity}.rpt") for activity in (0, 1))
    return _powers(quiet, busy, _gates_of(folder / "netlist.v", pdk.library))


def _gates_of(netlist: Path, library: Library) -> dict[str, ClockGate]:
    """The clock gates of a netlist by instance."""
    kinds = {gate.name: gate for gate in clock_gates(library)}
    cells = _INSTANCE.findall(netlist.read_text()) if kinds else ()
    return {name: kinds[kind] for kind, name in cells if kind in kinds}


def _powers(
    quiet: dict[str, PowerRow], busy: dict[str, PowerRow], gates: dict[str, ClockGate]
) -> Powers:
    """The reports, with a clock gate's internal energy of a tick from its tables."""
    watts = 1e-6 / PERIOD_NS  # of a femtojoule a period
    ticks = {name: gate.open_fj * watts + quiet[name].switching for name, gate in gates.items()}
    return Powers(
        quiet={n: (ticks.get(n, row.dynamic), row.leakage) for n, row in quiet.items()},
        busy={
            n: (row.dynamic + ticks.get(n, quiet[n].dynamic) - quiet[n].dynamic, row.leakage)
            for n, row in busy.items()
        },
        resting={name: gate.closed_fj * watts for name, gate in gates.items()},
    )


def _wires(folder: Path) -> str:
    """The commands that load nets: outputs by a port's load, which a SPEF holds already."""
    spef = folder / SPEF
    if spef.is_file():
        return f"read_spef {{{spef.resolve()}}}"
    return f"set_load {OUTPUT_LOAD_FF} [all_outputs]"


def parse_power(path: Path) -> dict[str, PowerRow]:
    """What `report_power -instances` says, by instance.

    Raises CosignError when the report is missing or empty.
    """
    text = path.read_text() if path.exists() else ""
    rows = (_ROW.match(line) for line in text.splitlines())
    found = {row[4]: PowerRow(*(float(row[column]) for column in (1, 2, 3))) for row in rows if row}
    if not found:
        raise CosignError(f"OpenSTA's power report {path} names no cell; synthesise again.")
    return found


def combine(powers: Powers, activity: Activity) -> LogicEnergy:
    """The mean cycle, from prices and counts. A cell toggles as often as its outputs do on the
    average. Behind a clock gate what it takes without toggles counts in the cycles that tick."""
    rates: dict[str, list[float]] = {}
    for pin, (toggles, _) in activity.pins.items():
        rates.setdefault(pin.partition("/")[0], []).append(toggles / activity.cycles)
    clock = toggle = leakage = 0.0
    counted = 0
    for cell, (idle_w, leak_w) in powers.quiet.items():
        ticks = activity.clocked.get(cell, activity.cycles) / activity.cycles
        clock += idle_w * ticks + powers.resting.get(cell, 0.0) * (1 - ticks)
        leakage += leak_w
        if cell in rates:
            counted += 1
            toggle += (powers.busy[cell][0] - idle_w) * sum(rates[cell]) / len(rates[cell])
    picojoule = PERIOD_NS * 1e3  # of a watt for a period
    return LogicEnergy(
        clock_pj=clock * picojoule,
        toggle_pj=toggle * picojoule,
        leakage_uw=leakage * 1e6,
        toggles=sum(t for t, _ in activity.pins.values()) / activity.cycles,
        annotated=counted / len(powers.quiet),
    )


def memory_energy(config: CoreConfig, activity: Activity) -> dict[str, MemoryEnergy]:
    """{purpose: energy} of the core's SRAMs, OpenRAM's macros in both area models.

    Memories of equal shape are told apart by nothing; their purposes share an entry.
    """
    kinds: dict[str, list[rtl_sram.Macro]] = {}
    for macro in rtl_sram.macros(config):
        kinds.setdefault(macro.name, []).append(macro)
    counted = {kind for kind, _, _ in activity.accesses.values()}
    if counted != set(kinds):
        raise CosignError(
            f"the replay holds the SRAMs {', '.join(sorted(counted))}, the core "
            f"{', '.join(sorted(kinds))}; they are not of the same core."
        )
    found: dict[str, MemoryEnergy] = {}
    for kind, macros in kinds.items():
        purpose = "/".join(dict.fromkeys(macro.purpose for macro in macros))
        while purpose in found:  # index memories of two shapes
            purpose += "+"
        read, write = sram.energy_per_access(macros[0])
        own = [(r, w) for name, r, w in activity.accesses.values() if name == kind]
        found[purpose] = MemoryEnergy(
            read_pj=read,
            write_pj=write,
            reads=sum(r for r, _ in own) / activity.cycles,
            writes=sum(w for _, w in own) / activity.cycles,
            leakage_uw=len(own) * sram.tile(macros[0].words, macros[0].bits).leakage_uw,
        )
    return found
