"""A standard cell library: which cell serves for what, and the text that tools read of it.

Yosys, ABC and OpenSTA read no file of the user's. They get one text with the cells that may be
picked alone, in a plain spelling, so whatever they would stumble on never reaches them.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from cosign import CosignError
from synth.liberty import files
from synth.liberty.cells import FlipFlop, Header, LibCell, read_cell
from synth.liberty.plain import for_tools
from synth.liberty.syntax import Group

SLOW = 2.0
"""A buffer or inverter this many times as slow as the fastest, without load, is for delays."""


@dataclass(frozen=True)
class Library:
    """A standard cell library: what sizing may choose from and what the netlist may hold.

    Parameters
    ----------
    cells : all, by name; those that are refused too
    variants : by cell the ladder of its family, from the weakest
    wire_ff : capacitance of a net by fan-out
    buffers, inverters : the ladders that trees and inversions are made of
    tie_high, tie_low : (cell, pin) that is constant; None where only a gate on a rail can be
    flip_flops : the ladder of the family that registers become
    header : units and defaults
    wire_load : name of the wire-load model, empty without one
    notes : what a reader of results should know of the library
    prefix, suffix : that the names of all cells have
    text : the library for tools, in Liberty
    sha256 : of the files it was read from
    """

    name: str
    cells: dict[str, LibCell]
    variants: dict[str, tuple[LibCell, ...]]
    wire_ff: tuple[float, ...]
    buffers: tuple[LibCell, ...]
    inverters: tuple[LibCell, ...]
    tie_high: tuple[str, str] | None
    tie_low: tuple[str, str] | None
    flip_flops: tuple[LibCell, ...]
    header: Header
    wire_load: str
    notes: tuple[str, ...]
    prefix: str
    suffix: str
    text: str = field(repr=False)
    sha256: str

    def wire_load_ff(self, fanout: int) -> float:
        """Capacitance of a net with `fanout` sinks by the library's default wire-load model."""
        known = len(self.wire_ff) - 1
        if fanout <= known:
            return self.wire_ff[fanout]
        step = self.wire_ff[known] - self.wire_ff[known - 1] if known > 1 else 0.0
        return self.wire_ff[known] + step * (fanout - known)

    @property
    def ties(self) -> frozenset[str]:
        """The cells that drive constants."""
        return frozenset(tie[0] for tie in (self.tie_high, self.tie_low) if tie is not None)

    def family_name(self, name: str) -> str:
        """What cells of all drives have in common: nand2 of sky130_fd_sc_hd__nand2_4."""
        return re.sub(r"(?:_[xX]?\d+|[xX]p?\d+(?:p\d+)?[a-zA-Z]?)$", "", self.short_name(name))

    def short_name(self, name: str) -> str:
        """The name of a cell without what all names have."""
        return name.removeprefix(self.prefix).removesuffix(self.suffix) or name

    @property
    def flip_flop(self) -> FlipFlop:
        found = self.flip_flops[0].flip_flop
        assert found is not None
        return found

    @property
    def inverting(self) -> bool:
        """Whether registers show the inverse of what they sample, and nothing else."""
        return not any(same for _, same in self.flip_flop.outputs)


@lru_cache(maxsize=4)
def read_library(*paths: Path) -> Library:
    """Read a standard cell library, from one file or from several.

    Raises CosignError, in a sentence, when a file is missing, is no Liberty, or the library lacks
    what mapping needs: a D flip-flop, a buffer, an inverter, a gate of two inputs, delays.
    """
    top, sha256 = files.read(paths)
    where = " and ".join(map(str, paths))
    try:
        header = Header.of(top)
        cells = {group.name: read_cell(group, header) for group in top.all("cell")}
    except CosignError as error:
        raise CosignError(f"{where} cannot be used: {error}") from error
    if not cells:
        raise CosignError(f"{where} has no cells; give the library's file with cells.")
    cells = _without_delays(cells)
    inverters = _ladder_of(cells, passes=False)
    if not inverters:
        raise CosignError(f"{where} has no inverter; use a complete standard cell library.")
    if inverters[0].delay_ns is None:
        raise CosignError(f"{where} has no delay tables; give the library with its timing.")
    cells, flip_flops = _with_flip_flops(cells, inverters[0].area_um2, where)
    buffers = _ladder_of(cells, passes=True)
    if not buffers:
        refused = (f"{c.name}: {c.refused}" for c in cells.values() if c.passes)
        found = next(refused, "no cell with one input and its value")
        raise CosignError(
            f"{where} has no buffer cell ({found}); use a complete standard cell library."
        )
    if not any(len(c.capacitance_ff) == 2 for c in cells.values() if c.usable and not c.sequential):
        raise CosignError(f"{where} has no gate of two inputs; use a complete library.")
    ties = {value: _tie(cells, value) for value in "01"}
    tied = {tie[0] for tie in ties.values() if tie}
    kept = {cell.name: cell for cell in cells.values() if cell.usable or cell.name in tied}
    name = _identifier(top.name)
    wire_load, wire_ff = _wire_load(top, header.capacitance_ff)
    return Library(
        name=name,
        cells=cells,
        variants=_variants(cells),
        wire_ff=wire_ff,
        buffers=buffers,
        inverters=inverters,
        tie_high=ties["1"],
        tie_low=ties["0"],
        flip_flops=flip_flops,
        header=header,
        wire_load=wire_load,
        notes=tuple(_notes(ties, flip_flops[0], inverters[0], wire_load)),
        prefix=_common(cells, 1),
        suffix=_common(cells, -1),
        text=for_tools(top, name, kept),
        sha256=sha256,
    )


def _variants(cells: dict[str, LibCell]) -> dict[str, tuple[LibCell, ...]]:
    """By usable cell, the cells of its family from the weakest: of each drive the smallest."""
    families: dict[tuple[object, ...], list[LibCell]] = {}
    for cell in cells.values():
        if cell.usable:
            families.setdefault(cell.family, []).append(cell)
    variants = {}
    for members in families.values():
        ladder = _ladder(members)
        variants.update({cell.name: ladder for cell in members})
    return variants


def _ladder(members: Sequence[LibCell]) -> tuple[LibCell, ...]:
    """More drive for more area: who is larger and no stronger than another is no step."""
    steps: list[LibCell] = []
    for cell in sorted(members, key=lambda c: (c.area_um2, -c.max_load_ff, c.name)):
        if not steps or cell.max_load_ff > steps[-1].max_load_ff:
            steps.append(cell)
    return tuple(steps)


def _ladder_of(cells: dict[str, LibCell], passes: bool) -> tuple[LibCell, ...]:
    """The longest ladder of buffers (`passes`) or inverters, the smallest of equals."""
    families: dict[tuple[object, ...], list[LibCell]] = {}
    for cell in cells.values():
        if cell.usable and cell.passes is passes:
            families.setdefault(cell.family, []).append(cell)
    ladders = (_ladder(members) for members in families.values())
    return max(ladders, key=lambda steps: (len(steps), -steps[0].area_um2), default=())


def _without_delays(cells: dict[str, LibCell]) -> dict[str, LibCell]:
    """Buffers and inverters that are slow by intent are refused."""
    found = dict(cells)
    for passes in (True, False):
        same = [c for c in cells.values() if c.usable and c.passes is passes and c.delay_ns]
        least = min((c.delay_ns or math.inf for c in same), default=0.0)
        for cell in same:
            times = (cell.delay_ns or 0.0) / least if least > 0 else 0.0
            if times > SLOW:
                reason = f"over {SLOW:g} times as slow as the fastest of its kind"
                found[cell.name] = dataclasses.replace(cell, refused=reason)
    return found


def _with_flip_flops(
    cells: dict[str, LibCell], inverter_um2: float, where: str
) -> tuple[dict[str, LibCell], tuple[LibCell, ...]]:
    """The ladder that registers become; other flip-flops are refused.

    Rising edge before falling, without set and reset before with (they are tied off), and then the
    smallest, an inverter behind an inverted output counted in.
    """
    able = [c for c in cells.values() if c.usable and c.flip_flop]
    if not able:
        found = {c.refused for c in cells.values() if c.sequential}
        only = f"only: {', '.join(sorted(found))}" if found else "no cell with a state"
        raise CosignError(
            f"{where} has no D flip-flop that registers can become ({only}); "
            "use the library's file with sequential cells."
        )

    def cost(cell: LibCell) -> tuple[bool, int, float, str]:
        assert cell.flip_flop is not None
        same = any(same for _, same in cell.flip_flop.outputs)
        area = cell.area_um2 + (0.0 if same else inverter_um2)
        return cell.flip_flop.falling, len(cell.flip_flop.ties), area, cell.name

    best = min(able, key=cost)
    kept = [cell for cell in able if cell.family == best.family]
    others = {
        cell.name: dataclasses.replace(cell, refused=f"{best.name} is the flip-flop")
        for cell in able
        if cell.family != best.family
    }
    return cells | others, _ladder(kept)


def _tie(cells: dict[str, LibCell], value: str) -> tuple[str, str] | None:
    for cell in sorted(cells.values(), key=lambda c: (c.area_um2, c.name)):
        pin = cell.constant(value)
        if pin is not None and cell.area_um2 > 0:
            return cell.name, pin
    return None


def _wire_load(top: Group, unit: float) -> tuple[str, tuple[float, ...]]:
    """Net capacitance by fan-out, 0..64; zero when the library has no default wire-load model."""
    name = top.get("default_wire_load")
    for group in top.all("wire_load"):
        if group.name == name:
            per_length = unit * group.number("capacitance")
            slope = group.number("slope")
            pairs = [list(map(float, pair[:2])) for pair in group.listed("fanout_length")]
            table = sorted(pairs) or [[0.0, 0.0]]
            fanouts, lengths = [p[0] for p in table], [p[1] for p in table]
            counts = np.arange(65.0)
            beyond = np.maximum(counts - fanouts[-1], 0) * slope
            length = np.interp(counts, [0.0, *fanouts], [0.0, *lengths]) + beyond
            return name, tuple((per_length * length).tolist())
    return "", (0.0, 0.0)


def _notes(
    ties: dict[str, tuple[str, str] | None], register: LibCell, inverter: LibCell, wire_load: str
) -> Iterator[str]:
    missing = [value for value, tie in sorted(ties.items()) if tie is None]
    if missing:
        yield (
            f"no cell ties a net to {' or '.join(missing)}: "
            f"{inverter.name} with its input on a rail does"
        )
    kind = register.flip_flop
    assert kind is not None
    if kind.ties:
        pins = ", ".join(pin for pin, _ in kind.ties)
        yield f"no flip-flop without set or reset: {pins} of {register.name} is tied off"
    if kind.falling:
        yield f"no flip-flop of the rising edge: the clock of {register.name} is inverted"
    if not any(same for _, same in kind.outputs):
        yield f"{register.name} shows the inverse: it is inverted again where the state is read"
    if not wire_load:
        yield "no default wire-load model: wires have no capacitance"


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII) or "library"


def _common(cells: dict[str, LibCell], step: int) -> str:
    """What the names of all usable cells begin (`step` 1) or end (-1) with, up to an underscore."""
    names = [cell.name[::step] for cell in cells.values() if cell.usable]
    low, high = min(names), max(names)  # what these two share, all do
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[: low.rfind("_", 0, same) + 1][::step]
