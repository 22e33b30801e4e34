"""The exact cycle model: what the core's `cycles` counter shows when no stream ever waits.

A tile of a pass costs max(entries, drain of the tile before it). On top come the loading of the
first pass, what a pass takes longer to load than the one before it to compute, and a
constant for the pipeline. Tests hold the model equal to the RTL.
"""

import numpy as np

from compress.container import Geometry, Layer
from rtl.config import CoreConfig
from rtl.layer import COMMAND_EDGE, OPERAND_EDGE, OUTPUT_LATENCY
from rtl.layout import Layout
from rtl.pack import entry_counts, shape_of


def layer_cycles(layer: Layer, config: CoreConfig, batch: int = 1) -> int:
    """Clock cycles from start to done for one image (linear: one batch) of `layer`."""
    layout = Layout(layer.geometry, batch)
    return pass_cycles(entry_counts(layer, layout, config), layout, config)


def dense_cycles(geometry: Geometry, config: CoreConfig, batch: int = 1) -> int:
    """Clock cycles of a dense core, which depend on the shape alone."""
    layout = Layout(geometry, batch)
    passes, _, _ = shape_of(layout, config)
    entries = np.full(geometry.groups * passes, geometry.columns, np.int64)
    return pass_cycles(entries, layout, config)


def pass_cycles(entries: np.ndarray, layout: Layout, config: CoreConfig) -> int:
    """Clock cycles when pass k has entries[k] weight words, fillers included (int64 [passes])."""
    _, tiles, last_shifts = shape_of(layout, config)
    late = 0 if config.core == "sparse" else OPERAND_EDGE - 2
    drain = config.tile_shifts
    # A pass's biases are taken when its first tile reaches the lanes; then the next ones load.
    refill = COMMAND_EDGE + 2 + config.filters
    loaded = 0  # cycle from which the pass can be read
    end = before = -1  # cycles in which the last entries of the pass and of the one before issue
    drained, biases = 0, config.filters
    for count in entries.tolist():
        loaded = max(loaded, before + 1 + (late if before >= 0 else 0)) + count
        first_tile = max(max(end + 1, loaded) + count - 1, drained, biases)
        before, end = end, first_tile + (tiles - 1) * max(count, drain)
        drained = end + last_shifts
        biases = first_tile + refill
    return drained + OUTPUT_LATENCY + 2
