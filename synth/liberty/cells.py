"""Cells of a Liberty library, and why one of them must not be picked.

What a cell is decides where it says so: its functions, its flip-flop, its attributes. Clock and
delay cells say it in their names alone.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cosign import CosignError
from synth.liberty import expression
from synth.liberty.expression import Expression
from synth.liberty.syntax import Group, split

PINS = 6
"""Inputs of a gate at most: what ABC matches, and a replay simulates."""


@dataclass(frozen=True)
class FlipFlop:
    """A D flip-flop.

    Parameters
    ----------
    data, clock : its pins
    falling : whether it samples at the clock's falling edge
    ties : the level at which each set and reset pin does nothing
    outputs : by pin, whether it shows what was sampled (True) or the inverse
    """

    data: str
    clock: str
    falling: bool
    ties: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class LibCell:
    """A library cell. Capacitances are femtofarads, area is square micrometres.

    Parameters
    ----------
    function : by output its Liberty expression, in one spelling
    sequential : the text of the ff or latch groups, empty for gates
    refused : why a mapper must not pick it, empty if it may
    flip_flop : what it is as a D flip-flop, None if it is none
    delay_ns : of a gate without load, by its tables; None without tables
    """

    name: str
    area_um2: float
    capacitance_ff: dict[str, float]
    max_load_ff: float
    function: dict[str, str]
    sequential: str
    refused: str = ""
    flip_flop: FlipFlop | None = None
    delay_ns: float | None = field(default=None, compare=False)

    @property
    def usable(self) -> bool:
        return not self.refused

    @property
    def family(self) -> tuple[object, ...]:
        """Equal for cells that can stand in for each other: same pins, same logic."""
        logic = tuple(sorted(self.function.items()))
        return (tuple(sorted(self.capacitance_ff)), logic, self.sequential)

    @property
    def passes(self) -> bool | None:
        """True for a buffer, False for an inverter, None for other cells."""
        if self.sequential or len(self.capacitance_ff) != 1 or len(self.function) != 1:
            return None
        found = _literal(next(iter(self.function.values())))
        return found[1] if found is not None and found[0] in self.capacitance_ff else None

    def constant(self, value: str) -> str | None:
        """The output that is always `value`, "0" or "1", of a tie cell."""
        if self.capacitance_ff or self.sequential:
            return None
        outputs = (pin for pin, text in self.function.items() if text == value)
        return next(outputs, None)


@dataclass(frozen=True)
class Header:
    """What a library says for all of its cells: units, defaults, the axes of its tables.

    `loads` has by template the axis that is the load, and its default values; `max_transition` is
    in the library's unit.
    """

    time_ns: float
    capacitance_ff: float
    input_ff: float
    max_load_ff: float
    max_transition: float
    loads: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, library: Group) -> "Header":
        """Raises CosignError on a unit that is none."""
        capacitance = _capacitance_unit(library)
        loads = {}
        for template in library.groups:
            for axis in "123":
                if template.get(f"variable_{axis}") == "total_output_net_capacitance":
                    known = [raw for name, raw in template.lists if name == f"index_{axis}"]
                    loads[template.name] = (f"index_{axis}", known[0] if known else "")
        return cls(
            _time_unit(library.get("time_unit", "1ns")),
            capacitance,
            capacitance * library.number("default_input_pin_cap"),
            capacitance * library.number("default_max_capacitance"),
            library.number("default_max_transition"),
            loads,
        )


def _time_unit(text: str) -> float:
    """Nanoseconds per unit."""
    match = re.fullmatch(r"([\d.]*)\s*([pn])s", text.strip().lower())
    if not match:
        raise CosignError(f"the library's time_unit is {text!r}; it must be in ns or ps.")
    return float(match[1] or 1) * {"n": 1.0, "p": 1e-3}[match[2]]


def _capacitance_unit(library: Group) -> float:
    """Femtofarads per unit; a picofarad where a library says nothing."""
    said = library.listed("capacitive_load_unit")
    words = said[0] if said else library.get("capacitive_load_unit", "1 pf").split(",")
    match = re.fullmatch(r"([\d.e+-]+)\s*([pf])f", " ".join(words).strip().lower())
    if not match:
        raise CosignError(
            f"the library's capacitive_load_unit is {' '.join(words)!r}; it must be in pf or ff."
        )
    return float(match[1]) * {"p": 1000.0, "f": 1.0}[match[2]]


# Of a cell, what says that it is for another purpose than logic.
_PURPOSES = {
    "dont_use": "dont_use",
    "is_isolation_cell": "isolation cell",
    "is_level_shifter": "level shifter",
    "always_on": "always-on cell",
    "retention_cell": "retention cell",
    "is_macro_cell": "macro",
    "is_memory_cell": "memory",
    "interface_timing": "macro",
    "pad_cell": "pad",
    "auxiliary_pad_cell": "pad",
    "physical_only": "physical cell",
    "is_filler_cell": "filler",
    "is_decap_cell": "capacitor",
    "is_tap_cell": "tap",
}
_KINDS = {
    "test_cell": "scan cell",
    "statetable": "state table",
    "memory": "memory",
    "bus": "has a bus",
    "bundle": "has a bundle",
    "ff_bank": "bank of flip-flops",
    "latch_bank": "bank of latches",
    "latch": "latch",
}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_CLOCK_CELL = re.compile(r"(?:^|_)(?:clk|ck)|clk(?:buf|inv)", re.I)
_DELAY_CELL = re.compile(r"dly|delay|(?:^|_)del", re.I)


def read_cell(group: Group, header: Header) -> LibCell:
    """The cell of a group. Raises CosignError where a number is none."""
    capacitance: dict[str, float] = {}
    function: dict[str, str] = {}
    loads: list[float] = []
    odd = ""
    for pin in group.all("pin"):
        direction = pin.get("direction").lower()
        for name in pin.args:
            if direction == "input":
                capacitance[name] = _input_ff(pin, header)
            elif direction == "output":
                function[name] = _logic(pin.get("function"))
                loads.append(_max_load_ff(pin, header))
                odd = odd or ("three-state" if pin.get("three_state") else "")
            elif direction == "inout":
                odd = odd or "pin in both directions"
    states = [g for kind in ("ff", "latch") for g in group.all(kind)]
    flip_flop = _flip_flop(states[0], capacitance, function) if len(states) == 1 else None
    cell = LibCell(
        name=group.name,
        area_um2=group.number("area"),
        capacitance_ff=capacitance,
        max_load_ff=min(loads, default=0.0) or math.inf,
        function=function,
        sequential="; ".join(f"{g.kind} {', '.join(g.args)} {_state(g)}" for g in states),
        flip_flop=flip_flop,
        delay_ns=None if states else _delay_ns(group, header),
    )
    return dataclasses.replace(cell, refused=_refused(group, cell, odd))


def _input_ff(pin: Group, header: Header) -> float:
    said = ("capacitance", "rise_capacitance", "fall_capacitance")
    values = [pin.number(name) for name in said if pin.get(name)]
    return header.capacitance_ff * values[0] if values else header.input_ff


def _tables(group: Group, kinds: Sequence[str] = ("cell_rise", "cell_fall")) -> Iterator[Group]:
    for timing in group.all("timing"):
        for kind in kinds:
            yield from timing.all(kind)


def _max_load_ff(pin: Group, header: Header) -> float:
    """What the pin may drive: as it says, as its tables reach, or as the library says.

    Some say what was characterised instead: less where edges get slower than they may.
    """
    if pin.get("max_capacitance"):
        said = header.capacitance_ff * pin.number("max_capacitance")
    else:
        reached = max((max(_loads(t, header), default=0.0) for t in _tables(pin)), default=0.0)
        said = header.capacitance_ff * reached or header.max_load_ff
    return min([said, *_edge_limits_ff(pin, header)])


def _edge_limits_ff(pin: Group, header: Header) -> Iterator[float]:
    """Loads at which edges take as long as they may, if the input's is the steepest."""
    most = pin.number("max_transition", header.max_transition)
    for table in _tables(pin, ("rise_transition", "fall_transition")):
        loads = _loads(table, header)
        rows = [
            _numbers(row) for name, raw in table.lists if name == "values" for row in split(raw)
        ]
        by_row = header.loads.get(table.name, ("", ""))[0] == "index_1" and len(rows) > 1
        steep = [row[0] for row in rows if row] if by_row else rows[0] if rows else []
        if most > 0 and len(steep) == len(loads) > 1 and steep[-1] > most:
            yield header.capacitance_ff * float(np.interp(most, steep, loads))


def _loads(table: Group, header: Header) -> list[float]:
    """The axis of a table that is the load; empty where it has none."""
    axis, default = header.loads.get(table.name, ("", ""))
    return _numbers(next((raw for name, raw in table.lists if name == axis), default))


def _numbers(raw: str) -> list[float]:
    try:
        return [float(text) for part in split(raw) for text in re.split(r"[,\s]+", part) if text]
    except ValueError:
        return []


def _delay_ns(group: Group, header: Header) -> float | None:
    """Mean of the first values of all delay tables: no load, steep edges."""
    tables = [table for pin in group.all("pin") for table in _tables(pin)]
    raw = [raw for table in tables for name, raw in table.lists if name == "values"]
    firsts = [float(number[0]) for text in raw if (number := _NUMBER.search(text))]
    return header.time_ns * sum(firsts) / len(firsts) if firsts else None


def _state(group: Group) -> str:
    keys = ("next_state", "clocked_on", "clear", "preset", "enable", "data_in")
    return " ".join(f"{key} {_logic(group.get(key))}" for key in keys if group.get(key))


def _logic(text: str) -> str:
    """An expression in one spelling; what cannot be read stays as it is."""
    try:
        return expression.written(expression.parse(text))
    except CosignError:
        return text


def _literal(text: str) -> tuple[str, bool] | None:
    try:
        return expression.literal(expression.parse(text))
    except CosignError:
        return None


def _flip_flop(
    group: Group, inputs: Mapping[str, float], function: Mapping[str, str]
) -> FlipFlop | None:
    data, clock = _literal(group.get("next_state")), _literal(group.get("clocked_on"))
    if group.kind != "ff" or data is None or clock is None or group.get("clocked_on_also"):
        return None
    if not {data[0], clock[0]} <= set(inputs):
        return None
    ties = []
    for kind in ("clear", "preset"):
        if group.get(kind):
            pin = _literal(group.get(kind))
            if pin is None or pin[0] not in inputs:
                return None
            ties.append((pin[0], "0" if pin[1] else "1"))
    states = dict(zip(group.args, (data[1], not data[1]), strict=False))
    outputs = []
    for pin_name, text in function.items():
        shown = _literal(text)
        if shown is None or shown[0] not in states:
            return None
        outputs.append((pin_name, states[shown[0]] == shown[1]))
    used = {data[0], clock[0], *(pin for pin, _ in ties)}
    if not outputs or used != set(inputs):
        return None
    return FlipFlop(data[0], clock[0], not clock[1], tuple(ties), tuple(outputs))


def _refused(group: Group, cell: LibCell, odd: str) -> str:
    """Why no mapper must pick the cell, empty if it may."""
    for name, purpose in _PURPOSES.items():
        if group.true(name):
            return purpose
    if group.get("clock_gating_integrated_cell"):
        return "clock gate"
    for kind, purpose in _KINDS.items():
        if any(True for _ in group.all(kind)):
            return purpose
    if odd:
        return odd
    if not any(cell.function.values()):
        return "no function"
    for name in (cell.name, *cell.capacitance_ff, *cell.function):
        if not _NAME.fullmatch(name):
            return f"a name that Verilog does not have: {name}"
    if cell.area_um2 <= 0:
        return "no area"
    if not cell.capacitance_ff:
        return "constant"
    if _CLOCK_CELL.search(cell.name):  # balanced edges, slow data
        return "clock cell"
    if cell.sequential:
        return "" if cell.flip_flop else "scan or enable flip-flop"
    if cell.passes is not None and _DELAY_CELL.search(cell.name):
        return "delay cell"
    return _refused_gate(cell)


def _refused_gate(cell: LibCell) -> str:
    read: set[str] = set()
    for pin, text in cell.function.items():
        if not text:
            return f"no function of {pin}"
        try:
            parsed: Expression = expression.parse(text)
        except CosignError:
            return f"a function that cannot be read: {text}"
        read |= expression.names(parsed)
    inputs = set(cell.capacitance_ff)
    if read != inputs:
        odd = sorted(read ^ inputs)[0]
        return f"{odd} is no input" if odd in read else f"its function ignores {odd}"
    if len(inputs) > PINS:
        return f"more than {PINS} inputs"
    return ""
