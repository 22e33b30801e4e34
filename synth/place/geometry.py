"""Where things stand: rows of sites, memories around them, ports; and where each cell was put.

Lengths are micrometres, from the lower left corner of the die.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from synth.place.lef import Outline

Pin = tuple[str, str, int]
"""Instance (or empty for a port), port, bit."""


class Spot(NamedTuple):
    """Lower left corner of a cell, and how it is turned, as DEF has it: N, or FS (upside down)."""

    x: float
    y: float
    orient: str = "N"


Spots = dict[str, Spot]
"""By instance."""


@dataclass(frozen=True)
class Block:
    """A memory: its instance, outline, lower left corner, and orientation (N, S, W, E)."""

    instance: str
    outline: Outline
    x: float
    y: float
    orient: str

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) as it stands."""
        width, height = self.outline.width_um, self.outline.height_um
        return (width, height) if self.orient in "NS" else (height, width)

    def pin(self, name: str) -> tuple[float, float]:
        """Where a pin is on the die."""
        x, y = self.outline.pins[name]
        width, height = self.outline.width_um, self.outline.height_um
        turned = {
            "N": (x, y),
            "S": (width - x, height - y),
            "W": (height - y, x),
            "E": (y, width - x),
        }[self.orient]
        return self.x + turned[0], self.y + turned[1]


@dataclass(frozen=True)
class Floorplan:
    """A die.

    Parameters
    ----------
    width_um, height_um : of the die
    x_um, y_um : lower left corner of the rows
    site_um, row_um : size of a site; a row is as high
    sites, rows : of a row, and how many rows
    blocks : memories
    ports : where each bit of a port is, by (port, bit)
    """

    width_um: float
    height_um: float
    x_um: float
    y_um: float
    site_um: float
    row_um: float
    sites: int
    rows: int
    blocks: tuple[Block, ...]
    ports: dict[tuple[str, int], tuple[float, float]] = field(repr=False)

    @property
    def core_um(self) -> tuple[float, float]:
        """(width, height) of the rows."""
        return self.sites * self.site_um, self.rows * self.row_um

    @property
    def core_um2(self) -> float:
        return self.core_um[0] * self.core_um[1]
