"""Where a router would run out of tracks: wire in each bin of the die over what its tracks hold.

A wire of a Steiner tree that goes both across and up takes either of its two corners, half of it
each. The layers between the lowest, which pins take, and `HIGHEST` carry wires; a share `FREE` of
their tracks is left by power rails and vias. Bins that lie under a memory are not looked at.
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
    for corner in (0, 1):
        _lay(across, ends_x, ends_y[corner], shape)
        _lay(up.T, ends_y, ends_x[1 - corner], shape[::-1])
    layers = routed_layers(lef)
    ratios = []
    for wires, horizontal in ((across, True), (up, False)):
        tracks = sum(size / layer.pitch_um for layer in layers if layer.horizontal is horizontal)
        ratios.append(0.5 * wires / (FREE * tracks))
    ratio = np.maximum(*ratios)
    for block in plan.blocks:
        width, height = block.size
        left, low = int(block.x / size), int(block.y / size)
        right, high = np.ceil((block.x + width) / size), np.ceil((block.y + height) / size)
        ratio[left : int(right), low : int(high)] = np.nan
    return Congestion(ratio, size, tuple(layer.name for layer in layers))


def _lay(wires: np.ndarray, ends: np.ndarray, beside: np.ndarray, shape: tuple[int, int]) -> None:
    """Add the length of straight wires in every bin, in bins: from ends[0] to ends[1] along the
    first axis of `wires`, at `beside` along the second."""
    low, high = np.minimum(*ends), np.maximum(*ends)
    long = high > low
    low, high, row = low[long], high[long], beside[long]
    row = np.clip(row.astype(np.int64), 0, shape[1] - 1)
    first = np.clip(low.astype(np.int64), 0, shape[0] - 1)
    counts = np.clip(np.ceil(high).astype(np.int64), 1, shape[0]) - first
    counts = np.maximum(counts, 1)
    which = np.repeat(np.arange(len(low)), counts)
    step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    bins = first[which] + step
    covered = np.minimum(high[which], bins + 1) - np.maximum(low[which], bins)
    np.add.at(wires, (bins, row[which]), np.maximum(covered, 0.0))
