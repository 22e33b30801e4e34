"""LEF: outlines and pins of cells, sites and routing layers; lengths in micrometres.

Only what a placement needs is read: SITE, LAYER (TYPE ROUTING) and MACRO (SIZE, PIN with its
shapes). Other statements and blocks are skipped.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cosign import CosignError
from synth.pdk import Pdk

_SHAPES = {"RECT": 4, "POLYGON": None, "PATH": None}


@dataclass(frozen=True)
class Layer:
    """A routing layer: `horizontal` or vertical, distance of its tracks, width of its wires (um);
    ohms a square, and capacitance to ground by area (pF/um2) and by edge (pF/um)."""

    name: str
    horizontal: bool
    pitch_um: float
    width_um: float
    ohm_square: float = 0.0
    area_pf: float = 0.0
    edge_pf: float = 0.0

    @property
    def ohm_um(self) -> float:
        """Resistance of a micrometre of wire."""
        return self.ohm_square / self.width_um if self.width_um else 0.0

    @property
    def ff_um(self) -> float:
        """Capacitance to ground of a micrometre of wire, fF; what neighbours add is not in LEF."""
        return 1e3 * (self.area_pf * self.width_um + 2 * self.edge_pf)


@dataclass(frozen=True)
class Outline:
    """A cell: its size and, by pin, the middle of the pin's shapes from the lower left corner.

    `core` tells cells that stand in rows from pads and blocks."""

    name: str
    width_um: float
    height_um: float
    pins: dict[str, tuple[float, float]]
    core: bool = True

    def pin(self, name: str) -> tuple[float, float]:
        """Where a pin is. Raises CosignError where the LEF has no shapes of it."""
        if name not in self.pins:
            raise CosignError(
                f"the LEF has no pin {name} of {self.name}; give that of the same library with "
                "--lef."
            )
        return self.pins[name]


@dataclass(frozen=True)
class Lef:
    """A library's geometry.

    Parameters
    ----------
    files : it was read from
    sha256 : of these files
    site : name of the site that cells stand on
    site_um : its width
    row_um : its height
    layers : for routing, from the lowest
    cells : by name
    """

    files: tuple[Path, ...]
    sha256: str = field(repr=False)
    site: str
    site_um: float
    row_um: float
    layers: tuple[Layer, ...]
    cells: dict[str, Outline] = field(repr=False)

    def outline(self, kind: str) -> Outline:
        """The outline of cell `kind`. Raises CosignError where the LEF lacks it."""
        found = self.cells.get(kind)
        if found is None:
            where = " and ".join(path.name for path in self.files)
            raise CosignError(
                f"the netlist holds {kind}, which {where} does not have; "
                "give the LEF of the same library with --lef."
            )
        return found

    def in_a_row(self, kind: str) -> Outline:
        """The outline of cell `kind`, which stands in one row.

        Raises CosignError where the LEF lacks it, or it is higher or lower than a row.
        """
        found = self.outline(kind)
        if abs(found.height_um - self.row_um) > 1e-4:
            raise CosignError(
                f"{kind} is {found.height_um:g} um high, a row {self.row_um:g}; only cells of one "
                "row can be placed, so use a Liberty file without it."
            )
        return found


def find_lef(pdk: Pdk, files: Sequence[Path] = ()) -> Lef:
    """The geometry of `pdk` that `files` hold, or what lies beside NanGate 45 in its wheel.

    Raises CosignError when there is none, or a file is missing or is no LEF.
    """
    paths = tuple(map(Path, files))
    if not paths:
        paths = tuple(pdk.files[0].with_name(name) for name in ("rtk-tech.lef", "stdcells.lef"))
        if not all(path.is_file() for path in paths):
            raise CosignError(
                f"no LEF is known for {pdk.name}, so nothing can be placed; "
                "give the library's files with --lef."
            )
    return read_lef(*paths)


@lru_cache(maxsize=4)
def read_lef(*paths: Path) -> Lef:
    """Read LEF files, technology and cells in any order.

    Raises CosignError, in a sentence, when a file is missing, damaged, or what placement needs is
    in none of them: a site for cells, routing layers of both directions, cells.
    """
    parts: list[_Part] = []
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CosignError(f"cannot read the LEF file {path}: {error.strerror}.") from error
        digest.update(content)
        parts.append(_Part(path, content.decode(errors="replace")))
    where = " and ".join(map(str, paths))
    layers = [layer for part in parts for layer in part.layers]
    cells = {cell.name: cell for part in parts for cell in part.cells}
    if not cells:
        raise CosignError(f"{where} has no MACRO, so no cell's outline; give the cells' LEF too.")
    for horizontal in (True, False):
        if not any(layer.horizontal is horizontal for layer in layers):
            way = "horizontal" if horizontal else "vertical"
            raise CosignError(
                f"{where} has no {way} routing layer; give the technology's LEF as well."
            )
    site = _site(parts, cells, where)
    return Lef(
        paths, digest.hexdigest(), site.name, site.width_um, site.height_um, tuple(layers), cells
    )


def _site(parts: Sequence["_Part"], cells: dict[str, Outline], where: str) -> Outline:
    """The core site that is a row's height for most cells."""
    sites = [site for part in parts for site in part.sites if site.core]
    if not sites:
        raise CosignError(f"{where} has no SITE of CLASS CORE; give the technology's LEF as well.")
    heights = [cell.height_um for cell in cells.values()]
    return max(sites, key=lambda site: sum(abs(h - site.height_um) < 1e-6 for h in heights))


class _Part:
    """One file: its sites, layers and cells."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.sites: list[Outline] = []
        self.layers: list[Layer] = []
        self.cells: list[Outline] = []
        plain = re.sub(r"#[^\n]*", "", text)
        if not re.search(r"^\s*(?:LAYER|SITE|MACRO)\s+\S+", plain, re.M):
            raise CosignError(f"{path} holds no layer, site or cell; it is no LEF file.")
        # The statements of a block lie between its name and END with the name again.
        block = re.compile(
            r"^[ \t]*(LAYER|SITE|MACRO)[ \t]+(\S+)[ \t]*\n(.*?)^[ \t]*END[ \t]+\2[ \t]*$",
            re.M | re.S,
        )
        for kind, name, body in block.findall(plain):
            try:
                self._add(kind, name, body)
            except (ValueError, IndexError) as error:
                raise CosignError(f"{path}: {kind} {name} is damaged ({error}).") from error

    def _add(self, kind: str, name: str, body: str) -> None:
        said = {words[0]: words[1:] for words in _statements(body)}
        if kind == "SITE":
            core = said.get("CLASS", ["CORE"])[0].upper() == "CORE"
            self.sites.append(Outline(name, *_size(said), {}, core))
        elif kind == "LAYER" and said.get("TYPE", [""])[0].upper() == "ROUTING":
            self.layers.append(_layer(name, said))
        elif kind == "MACRO":
            core = said.get("CLASS", ["CORE"])[0].upper() == "CORE"
            origin = [float(word) for word in said.get("ORIGIN", ["0", "0"])[:2]]
            pins = re.findall(
                r"^[ \t]*PIN[ \t]+(\S+)[ \t]*\n(.*?)^[ \t]*END[ \t]+\1[ \t]*$", body, re.M | re.S
            )
            places = {pin: where for pin, text in pins if (where := _middle(text, origin))}
            self.cells.append(Outline(name, *_size(said), places, core))


def _statements(text: str) -> Iterator[list[str]]:
    """The words of each statement up to its semicolon, the statement's own line breaks ignored."""
    for statement in text.split(";"):
        words = statement.split()
        while words and words[0] in ("END", "PORT"):  # closes or opens a block, has no semicolon
            words = words[2:] if words[0] == "END" and len(words) > 2 else words[1:]
        if words:
            yield words


def _size(said: dict[str, list[str]]) -> tuple[float, float]:
    words = said.get("SIZE")
    if words is None or len(words) < 3:
        raise ValueError("it has no SIZE")
    width, height = float(words[0]), float(words[2])
    if not (width > 0 and height > 0):
        raise ValueError("its SIZE is not positive")
    return width, height


def _layer(name: str, said: dict[str, list[str]]) -> Layer:
    horizontal = said.get("DIRECTION", ["HORIZONTAL"])[0].upper() == "HORIZONTAL"
    pitches = [float(word) for word in said["PITCH"]] if "PITCH" in said else []
    if not pitches:
        raise ValueError("it has no PITCH")
    pitch = pitches[-1] if horizontal else pitches[0]  # of both: the first is that of x

    def number(statement: str) -> float:
        return float(said.get(statement, ["0"])[-1])

    return Layer(
        name=name,
        horizontal=horizontal,
        pitch_um=pitch,
        width_um=number("WIDTH") or pitch / 2,
        ohm_square=number("RESISTANCE"),
        area_pf=number("CAPACITANCE"),
        edge_pf=number("EDGECAPACITANCE"),
    )


def _middle(text: str, origin: list[float]) -> tuple[float, float] | None:
    """The middle of the box around a pin's shapes, from the lower left corner of the cell."""
    xs: list[float] = []
    ys: list[float] = []
    for words in _statements(text):
        if words[0] in _SHAPES:
            numbers = [float(w) for w in words[1:] if re.fullmatch(r"-?[\d.]+(?:[eE][+-]?\d+)?", w)]
            xs += numbers[0::2]
            ys += numbers[1::2]
    if not xs or not ys:
        return None
    return (min(xs) + max(xs)) / 2 + origin[0], (min(ys) + max(ys)) / 2 + origin[1]


def merged(lef: Lef, blocks: Sequence[Outline]) -> Lef:
    """`lef` with the outlines of further `blocks`."""
    return dataclasses.replace(lef, cells=lef.cells | {block.name: block for block in blocks})
