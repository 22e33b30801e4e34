"""The least that a layer costs on a core, from the non-zeros of each filter alone.

Exact cycles and memories need the weight stream of each coding; these bounds need none. They are
never above what `RandomMasks.cycles` and `RandomMasks.stored` find.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from compress.model.graph import Geometry
from flows.measure.workload import buffers_of
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from synth.breakeven import Stored


class Floor(NamedTuple):
    """Bounds of one layer.

    Parameters
    ----------
    entries : int64 [passes], issues of one turn of each pass, at least
    stored : words in the weight memories, at least
    """

    entries: np.ndarray
    stored: Stored

    def cycles(self, turns: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """float64 [cores]: cycles at least, of cores that take so many `turns` for a pass and so
        many `shifts` for the results of a turn. Both int64 [cores]."""
        several, place = np.unique(shifts, return_inverse=True)
        whole = np.maximum(self.entries[None, :], several[:, None]).sum(axis=1)
        found: np.ndarray = (turns - 1) * whole[place] + int(self.entries.sum())
        return found.astype(float)


def floor_of(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> Floor:
    """Bounds of a layer on cores with the weight stream of `config`.

    nonzeros : int64 [filters]
    """
    return _FLOORS[config.core](config, layout, nonzeros)


def _by_pass(g: Geometry, values: np.ndarray, filters: int) -> np.ndarray:
    """int64 [passes, filters]: a value of each filter, zeros where a group's last pass has none."""
    passes = -(-(g.out_channels // g.groups) // filters)
    padded = np.zeros((g.groups, passes * filters), np.int64)
    padded[:, : g.out_channels // g.groups] = values.reshape(g.groups, -1)
    return padded.reshape(-1, filters)


def _dense(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> Floor:
    g = layout.geometry
    passes = len(_by_pass(g, nonzeros, config.filters))
    entries = np.full(passes, g.columns, np.int64)
    return Floor(entries, Stored(layer=passes * g.columns, filter=g.columns))


def _sparse(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> Floor:
    kept = np.maximum(nonzeros, 1)
    masks = 0
    if config.masked:
        # A mask word is at most all of its bits.
        masks = -(-layout.geometry.columns // config.mask_bits)
    stored = Stored(
        layer=int(kept.sum()),
        filter=int(kept.max()),
        layer_masks=masks * len(kept),
        filter_masks=masks,
    )
    return Floor(kept, stored)


def _rows(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> Floor:
    fullest = np.maximum(_by_pass(layout.geometry, nonzeros, config.filters).max(axis=1), 1)
    stored = Stored(
        layer=int(nonzeros.sum()), filter=int(fullest.max()), buffers=buffers_of(config)
    )
    return Floor(fullest, stored)


_FLOORS: dict[str, Callable[[CoreConfig, Layout, np.ndarray], Floor]] = {
    "dense-scalar": _dense,
    "dense-2d": _dense,
    "sparse": _sparse,
    "sparse-rows": _rows,
}
