"""Clock gates of a library: integrated cells whose output is the clock while they are enabled.

A latch holds the enable while the clock is high, so that the gated clock has whole pulses. Mapping,
sizing, timing and the replay find these cells in a library that `with_clock_gates` has made; in one
that it has not, they are refused like any other cell for clocks.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from cosign import CosignError
from synth.liberty import expression, files
from synth.liberty.cells import Header, LibCell
from synth.liberty.library import Library, read_library
from synth.liberty.plain import for_tools
from synth.liberty.syntax import Group, split

SHARE = 0.3
"""Of a gate's maximum load, that its delay and its energy are read at: what sizing gives it."""
_KIND = "latch_posedge"
_EDGES = ("rise_power", "fall_power")


@dataclass(frozen=True)
class ClockGate(LibCell):
    """A clock gate of the rising edge. Its `function` is the enable: in which cycles it ticks.

    Parameters
    ----------
    enable, clock, output : its pins
    tests : pins that are tied to zero, as a scan chain is not here
    insertion_ns : from the clock to the gated clock, which its enable must be earlier by
    closed_fj, open_fj : internal energy of a cycle without a tick and of one with, the output's
        load left out
    """

    enable: str = ""
    clock: str = ""
    output: str = ""
    tests: tuple[str, ...] = ()
    insertion_ns: float = 0.0
    closed_fj: float = 0.0
    open_fj: float = 0.0


def clock_gates(library: Library) -> tuple[ClockGate, ...]:
    """The clock gates that a netlist may hold, from the weakest; none without clock gating."""
    found = (cell for cell in library.cells.values() if isinstance(cell, ClockGate))
    return tuple(sorted(found, key=lambda cell: cell.area_um2))


@lru_cache(maxsize=4)
def with_clock_gates(*paths: Path) -> Library:
    """What `read_library` reads, with its clock gates among the cells to pick from.

    Of several families the one without test pins, and then that of most drives. What tools read
    asks for the enable earlier by the gate's own delay: a clock tree brings the edge to a gate
    before it brings it to the flip-flops behind, and the ideal clock does not.

    Raises CosignError when there are none, or the flip-flops sample at the falling edge.
    """
    library = read_library(*paths)
    top, _ = files.read(paths)
    header = Header.of(top)
    groups = {group.name: group for group in top.all("cell")}
    families: dict[tuple[str, ...], list[ClockGate]] = {}
    for name, group in groups.items():
        if (gate := _gate(group, library.cells[name], header)) is not None:
            families.setdefault((gate.enable, gate.clock, gate.output, *gate.tests), []).append(
                gate
            )
    if not families:
        raise CosignError(
            f"{library.name} has no clock gate of the rising edge (clock_gating_integrated_cell : "
            f"{_KIND}); leave out --clock-gating or use the library's file with its clock cells."
        )
    if library.flip_flop.falling:
        raise CosignError(
            f"the flip-flops of {library.name} sample at the falling edge, and clocks are gated "
            "for the rising one; leave out --clock-gating."
        )
    gates = min(families.values(), key=lambda f: (len(f[0].tests), -len(f), f[0].area_um2))
    steps: list[ClockGate] = []  # who is larger and no stronger than another is no step
    for gate in sorted(gates, key=lambda g: (g.area_um2, -g.max_load_ff, g.name)):
        if not steps or gate.max_load_ff > steps[-1].max_load_ff:
            steps.append(gate)
    rungs = {gate.name: gate for gate in steps}
    cells = {**library.cells, **rungs}
    kept = {n: c for n, c in cells.items() if c.usable or n in library.ties or n in rungs}
    told = [_earlier(g, rungs[g.name], header) if g.name in rungs else g for g in top.groups]
    return dataclasses.replace(
        library,
        cells=cells,
        variants=library.variants | dict.fromkeys(rungs, tuple(steps)),
        text=for_tools(dataclasses.replace(top, groups=told), library.name, kept),
    )


def _gate(group: Group, cell: LibCell, header: Header) -> ClockGate | None:
    """The clock gate of a group; None where it is no such cell, or not told in full."""
    kind = group.get("clock_gating_integrated_cell")
    if not kind.startswith(_KIND) or group.true("dont_use"):
        return None
    pins = {name: pin for pin in group.all("pin") for name in pin.args}
    roles = {
        role: tuple(name for name, pin in pins.items() if pin.true(f"clock_gate_{role}_pin"))
        for role in ("enable", "clock", "out", "test")
    }
    (enable, *_), (clock, *_), (out, *_) = (roles[r] or ("",) for r in ("enable", "clock", "out"))
    if {enable, clock, *roles["test"]} != set(cell.capacitance_ff) or {out} != set(cell.function):
        return None
    load_ff = SHARE * cell.max_load_ff
    closed = dict.fromkeys((enable, *roles["test"], out), 0)
    opened = closed | {enable: 1}
    delays = _values(pins[out], "timing", ("cell_rise", "cell_fall"), opened, load_ff, header)
    # Both edges of the clock while the output rests, and both edges of the output.
    rests = _values(pins[clock], "internal_power", _EDGES, closed, load_ff, header)
    ticks = _values(pins[out], "internal_power", _EDGES, opened, load_ff, header)
    inherited = {field.name: getattr(cell, field.name) for field in dataclasses.fields(LibCell)}
    return ClockGate(
        **inherited | {"function": {out: enable}},
        enable=enable,
        clock=clock,
        output=out,
        tests=roles["test"],
        insertion_ns=header.time_ns * max(delays, default=0.0),
        # The unit of internal power is that of capacitance times a squared volt.
        closed_fj=header.capacitance_ff * sum(rests),
        open_fj=header.capacitance_ff * sum(ticks),
    )


def _values(
    pin: Group,
    kind: str,
    tables: Sequence[str],
    state: Mapping[str, int],
    load_ff: float,
    header: Header,
) -> list[float]:
    """Of each of the `tables` the first value that `state` does not rule out, at steep edges and
    `load_ff`; those that the library lacks are left out."""
    found: dict[str, float] = {}
    for group in pin.all(kind):
        if not group.get("when") or _holds(group.get("when"), state):
            for name in tables:
                for table in group.all(name):
                    found.setdefault(name, _read(table, load_ff, header))
    return list(found.values())


def _holds(when: str, state: Mapping[str, int]) -> bool:
    """Whether a condition holds; one that asks for other pins than `state` has does not."""
    try:
        return expression.table(expression.parse(when), dict(state), 1) == 1
    except CosignError:
        return False


def _read(table: Group, load_ff: float, header: Header) -> float:
    """A table's value at its steepest edge, where it has a load at `load_ff`."""
    rows = [_numbers(row) for name, raw in table.lists if name == "values" for row in split(raw)]
    axis, default = header.loads.get(table.name, ("", ""))
    own = next((raw for name, raw in table.lists if name == axis), default)
    loads = [header.capacitance_ff * load for part in split(own) for load in _numbers(part)]
    by_edge = axis == "index_2" and rows and len(rows[0]) == len(loads)
    along = rows[0] if by_edge else [row[0] for row in rows if row]
    if len(loads) == len(along) > 0:
        return float(np.interp(load_ff, loads, along))
    return along[0] if along else 0.0


def _numbers(text: str) -> list[float]:
    """Those of a part of a list."""
    return [float(word) for word in re.split(r"[,\s]+", text) if word]


def _earlier(group: Group, gate: ClockGate, header: Header) -> Group:
    """The cell with the setup of its enable longer by the gate's delay."""
    told = copy.deepcopy(group)
    for pin in told.all("pin"):
        if gate.enable in pin.args:
            for timing in pin.all("timing"):
                if timing.get("timing_type").startswith("setup_"):
                    for table in timing.groups:
                        table.lists[:] = [
                            (name, _raised(raw, gate.insertion_ns / header.time_ns))
                            if name == "values"
                            else (name, raw)
                            for name, raw in table.lists
                        ]
    return told


def _raised(raw: str, by: float) -> str:
    rows = (", ".join(f"{value + by:.6g}" for value in _numbers(row)) for row in split(raw))
    return ", ".join(f'"{row}"' for row in rows)
