"""The little of a Liberty file that mapping and sizing need: cells, pins, loads, families.

Timing tables stay with the tools that use them (ABC, OpenSTA); they are skipped here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from cosign import CosignError


@dataclass
class Group:
    """`kind(args) { attributes; groups }` as Liberty nests them."""

    kind: str
    args: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def all(self, kind: str) -> Iterator["Group"]:
        return (g for g in self.groups if g.kind == kind)


@dataclass(frozen=True)
class LibCell:
    """A library cell. Capacitances are femtofarads, area is square micrometres.

    `function` maps an output to its Liberty expression; `sequential` is the text of the ff or
    latch group, empty for gates; `usable` is False for what a mapper must not pick (dont_use,
    clock gates, scan cells, tri-states).
    """

    name: str
    area_um2: float
    capacitance_ff: dict[str, float]
    max_load_ff: float
    function: dict[str, str]
    sequential: str
    usable: bool

    @property
    def family(self) -> tuple[object, ...]:
        """Equal for cells that can stand in for each other: same pins, same logic."""
        logic = tuple(sorted((pin, _squeeze(f)) for pin, f in self.function.items()))
        return (tuple(sorted(self.capacitance_ff)), logic, self.sequential)


@dataclass(frozen=True)
class Library:
    """A standard cell library: what sizing may choose from and what the netlist may hold."""

    name: str
    cells: dict[str, LibCell]
    variants: dict[str, tuple[LibCell, ...]]
    wire_ff: tuple[float, ...]
    buffers: tuple[LibCell, ...]
    tie_high: tuple[str, str]
    tie_low: tuple[str, str]
    flip_flops: tuple[str, ...]

    def wire_load_ff(self, fanout: int) -> float:
        """Capacitance of a net with `fanout` sinks by the library's default wire-load model."""
        known = len(self.wire_ff) - 1
        if fanout <= known:
            return self.wire_ff[fanout]
        step = self.wire_ff[known] - self.wire_ff[known - 1] if known > 1 else 0.0
        return self.wire_ff[known] + step * (fanout - known)


def _squeeze(expression: str) -> str:
    return re.sub(r"\s+", "", expression)


def _number(text: str | None, default: float = 0.0) -> float:
    try:
        return float(text) if text is not None else default
    except ValueError:
        return default


def parse(text: str, source: str) -> Group:
    """Parse Liberty text into its top group. Raises CosignError if it is no Liberty file."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
    text = re.sub(r"\b(values|index_\d)\s*\([^)]*\)\s*;?", " ", text)
    root = Group("file", "")
    stack = [root]
    head = ""
    for token in re.finditer(r"[{};\n]|[^{};\n]+", text):
        part = token.group()
        if part == "{":
            match = re.match(r"\s*(\w+)\s*\((.*)\)\s*$", head, re.S)
            if not match:
                break
            group = Group(match[1], match[2].replace('"', "").strip())
            stack[-1].groups.append(group)
            stack.append(group)
            head = ""
        elif part in ";}\n":
            match = re.match(r'\s*(\w+)\s*:\s*"?([^"]*?)"?\s*$', head, re.S)
            if match:
                stack[-1].attributes[match[1]] = match[2]
                head = ""
            elif part != "\n":
                complex_one = re.match(r"\s*(\w+)\s*\((.*)\)\s*$", head, re.S)
                if complex_one:  # may repeat: fanout_length(1, ...); fanout_length(2, ...)
                    name, old = complex_one[1], stack[-1].attributes.get(complex_one[1])
                    value = complex_one[2] if old is None else f"{old};{complex_one[2]}"
                    stack[-1].attributes[name] = value
                head = ""
            if part == "}":
                if len(stack) == 1:
                    break
                stack.pop()
        else:
            head += part
    else:
        libraries = list(root.all("library"))
        if len(stack) == 1 and len(libraries) == 1:
            return libraries[0]
    raise CosignError(
        f"{source} is not a Liberty file; give the .lib of a standard cell library to --liberty."
    )


@lru_cache(maxsize=4)
def read_library(path: Path) -> Library:
    """Read a standard cell library.

    Raises CosignError, in a sentence, when the file is missing, is no Liberty, or lacks what
    mapping needs: a D flip-flop, a buffer, tie cells.
    """
    try:
        text = Path(path).read_text(errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CosignError(
            f"cannot read the Liberty file {path}: {reason}; give the .lib file to --liberty."
        ) from error
    top = parse(text, str(path))
    unit = _capacitance_unit(top.attributes.get("capacitive_load_unit", "1,pf"))
    cells = {g.args: _cell(g, unit) for g in top.all("cell")}
    usable = [c for c in cells.values() if c.usable]
    flip_flops = tuple(sorted(c.name for c in usable if _plain_dff(c)))
    if not flip_flops:
        raise CosignError(
            f"{path} has no D flip-flop, so no register can be mapped; "
            "use the library's file with sequential cells."
        )
    families: dict[tuple[object, ...], list[LibCell]] = {}
    for cell in usable:
        families.setdefault(cell.family, []).append(cell)
    variants = {}
    for members in families.values():
        by_drive: dict[float, LibCell] = {}
        for cell in sorted(members, key=lambda c: (c.area_um2, c.name)):
            by_drive.setdefault(cell.max_load_ff, cell)
        ladder = tuple(by_drive[load] for load in sorted(by_drive))
        for cell in members:
            variants[cell.name] = ladder
    buffers = [c for c in usable if not c.sequential and _is_buffer(c)]
    if not buffers:
        raise CosignError(f"{path} has no buffer cell; use a complete standard cell library.")
    return Library(
        name=top.args,
        cells=cells,
        variants=variants,
        wire_ff=_wire_load(top, unit),
        buffers=variants[min(buffers, key=lambda c: (c.area_um2, c.name)).name],
        tie_high=_tie(cells, "1", path),
        tie_low=_tie(cells, "0", path),
        flip_flops=flip_flops,
    )


def _capacitance_unit(text: str) -> float:
    """Femtofarads per unit."""
    value, _, unit = text.replace('"', "").partition(",")
    return _number(value, 1.0) * {"ff": 1.0, "pf": 1000.0}.get(unit.strip().lower(), 1000.0)


def _cell(group: Group, unit: float) -> LibCell:
    capacitance: dict[str, float] = {}
    function: dict[str, str] = {}
    max_load: list[float] = []
    odd = group.attributes.get("dont_use") == "true"
    odd |= "clock_gating_integrated_cell" in group.attributes
    odd |= group.args.upper().startswith("CLK")  # clock buffers: balanced edges, slow data
    odd |= any(True for _ in group.all("test_cell")) or any(True for _ in group.all("statetable"))
    for pin in group.all("pin"):
        if pin.attributes.get("direction") == "input":
            capacitance[pin.args] = unit * _number(pin.attributes.get("capacitance"))
        elif pin.attributes.get("direction") == "output":
            function[pin.args] = pin.attributes.get("function", "")
            max_load.append(unit * _number(pin.attributes.get("max_capacitance")))
            odd |= "three_state" in pin.attributes
    states = [g for kind in ("ff", "latch") for g in group.all(kind)]
    sequential = "; ".join(f"{g.kind} {g.args} {sorted(g.attributes.items())}" for g in states)
    return LibCell(
        name=group.args,
        area_um2=_number(group.attributes.get("area")),
        capacitance_ff=capacitance,
        max_load_ff=min(max_load, default=0.0),
        function=function,
        sequential=sequential,
        usable=not odd and bool(function),
    )


def _plain_dff(cell: LibCell) -> bool:
    text = cell.sequential
    data = re.search(r"'next_state', '\s*(\w+)\s*'", text)
    return (
        text.startswith("ff ")
        and data is not None
        and data[1] in cell.capacitance_ff
        and not re.search(r"'(clear|preset|power_down_function)'", text)
    )


def _is_buffer(cell: LibCell) -> bool:
    if len(cell.capacitance_ff) != 1 or len(cell.function) != 1:
        return False
    (pin,) = cell.capacitance_ff
    return _squeeze(next(iter(cell.function.values()))).strip("()") == pin


def _tie(cells: dict[str, LibCell], value: str, path: Path) -> tuple[str, str]:
    for cell in sorted(cells.values(), key=lambda c: (c.area_um2, c.name)):
        if not cell.capacitance_ff and list(map(_squeeze, cell.function.values())) == [value]:
            return cell.name, next(iter(cell.function))
    raise CosignError(f"{path} has no cell that ties a net to {value}; use a complete library.")


def _wire_load(top: Group, unit: float) -> tuple[float, ...]:
    """Net capacitance by fan-out, 0..64; zero when the library has no default wire-load model."""
    name = top.attributes.get("default_wire_load", "")
    for group in top.all("wire_load"):
        if group.args == name:
            per_length = unit * _number(group.attributes.get("capacitance"))
            slope = _number(group.attributes.get("slope"))
            table = [
                [float(v) for v in pair.split(",")]
                for pair in group.attributes.get("fanout_length", "").split(";")
                if pair
            ] or [[0.0, 0.0]]
            fanouts, lengths = [p[0] for p in table], [p[1] for p in table]
            counts = np.arange(65.0)
            beyond = np.maximum(counts - fanouts[-1], 0) * slope
            length = np.interp(counts, [0.0, *fanouts], [0.0, *lengths]) + beyond
            return tuple((per_length * length).tolist())
    return (0.0, 0.0)
