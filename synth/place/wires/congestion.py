"""Where a router would run out of tracks: wire in each bin of the die over what its tracks hold.

A wire of a Steiner tree that goes both across and up takes each way of at most two bends with equal
probability (Westra, Bartels and Groeneveld 2004, with Z as likely as L). The layers between the
lowest, which pins take, and `HIGHEST` carry wires; a share `FREE` of their tracks is left by power
rails and vias. Bins that lie under a memory are not looked at.
"""

from dataclasses import dataclass

import numpy as np

from synth.place.geometry import Floorplan
from synth.place.lef import Layer, Lef
from synth.place.wires.steiner import Trees

BIN_ROWS = 10
"""Height of a bin in rows; it is as wide."""
HIGHEST = 6
"""Layers beyond this many are for power, the clock and what crosses the core."""
FREE = 0.8


@dataclass(frozen=True, eq=False)
class Congestion:
    """Demand over capacity, float64 [across, up], the worse of both directions; NaN under
    memories. `bin_um` is a bin's side, the first begins at the die's corner."""

    ratio: np.ndarray
    bin_um: float
    layers: tuple[str, ...]

    @property
    def worst(self) -> float:
        """Of the fullest bin."""
        return float(np.nanmax(self.ratio))

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of the bins in which points of the die lie, float64 [points]; 0 under memories."""
        across, up = (np.floor(where / self.bin_um).astype(np.int64) for where in (x, y))
        return np.nan_to_num(self.ratio[across, up])


def routed_layers(lef: Lef) -> list[Layer]:
    """The layers whose tracks are counted; all, where there are only two."""
    return list(lef.layers[1:HIGHEST] if len(lef.layers) > 2 else lef.layers)


def congestion(trees: Trees, plan: Floorplan, lef: Lef) -> Congestion:
    """Demand over capacity of the wires of `trees`."""
    size = BIN_ROWS * plan.row_um
    shape = (int(np.ceil(plan.width_um / size)), int(np.ceil(plan.height_um / size)))
    _, upper, lower = trees.edges()
    ends_x, ends_y = (
        np.stack([values[upper], values[lower]]) / size for values in (trees.x, trees.y)
    )
    across = np.zeros(shape)
    up = np.zeros(shape)
    _lay_all(across, ends_x, ends_y)
    _lay_all(up.T, ends_y, ends_x)
    layers = routed_layers(lef)
    ratios = []
    for wires, horizontal in ((across, True), (up, False)):
        tracks = sum(size / layer.pitch_um for layer in layers if layer.horizontal is horizontal)
        ratios.append(wires / (FREE * tracks))
    ratio = np.maximum(*ratios)
    for block in plan.blocks:
        width, height = block.size
        left, low = int(block.x / size), int(block.y / size)
        right, high = np.ceil((block.x + width) / size), np.ceil((block.y + height) / size)
        ratio[left : int(right), low : int(high)] = np.nan
    return Congestion(ratio, size, tuple(layer.name for layer in layers))


def _lay_all(wires: np.ndarray, ends: np.ndarray, beside: np.ndarray) -> None:
    """Add the length, in bins, that wires take along the first axis of `wires`.

    ends, beside : float64 [2, wires], where each begins and ends along that axis and the other one

    A box of m by n bins has m ways with the wire along the first axis at either end of the box,
    half of it each, and n with all of it in one of the rows.
    """
    columns, rows = (_last(values) - _first(values) + 1 for values in (ends, beside))
    share = columns / (columns + rows)
    for end in beside:
        _lay(wires, ends, np.floor(end).astype(np.int64), 0.5 * share)
    which = np.repeat(np.arange(len(rows)), rows)
    step = np.arange(len(which)) - np.repeat(np.cumsum(rows) - rows, rows)
    each = 1 / (columns + rows)
    _lay(wires, ends[:, which], _first(beside)[which] + step, each[which])


def _first(ends: np.ndarray) -> np.ndarray:
    return np.floor(ends.min(0)).astype(np.int64)


def _last(ends: np.ndarray) -> np.ndarray:
    return np.floor(ends.max(0)).astype(np.int64)


def _lay(wires: np.ndarray, ends: np.ndarray, row: np.ndarray, share: np.ndarray) -> None:
    """Add `share` of the length of straight wires in every bin of their rows."""
    long = ends.max(0) > ends.min(0)
    ends, share = ends[:, long], share[long]
    row = np.clip(row[long], 0, wires.shape[1] - 1)
    low, high = ends.min(0), ends.max(0)
    first = _first(ends)
    counts = _last(ends) - first + 1
    which = np.repeat(np.arange(len(low)), counts)
    step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    bins = first[which] + step
    covered = np.minimum(high[which], bins + 1) - np.maximum(low[which], bins)
    bins = np.clip(bins, 0, wires.shape[0] - 1)
    np.add.at(wires, (bins, row[which]), share[which] * covered)
