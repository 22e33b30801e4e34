"""The least that a layer costs on a core, from the non-zeros of each filter alone.

Exact cycles and memories need the weight stream of each coding; these bounds need none. They are
never above what `RandomMasks.cycles` and `RandomMasks.stored` find.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compress.model.graph import Layer
from flows.measure.workload import buffers_of
from rtl.config import CoreConfig
from rtl.program.grouping import orders
from rtl.program.layout import Layout
from rtl.program.masks import mask_issues, mask_plan
from rtl.program.places import fullest
from rtl.program.reads import read_plan, window_weights
from rtl.program.windows import fewest_words
from synth.breakeven import Stored

_Least = tuple[np.ndarray, Stored]
_EARLY = 8
"""Cycles by which a word may come before it is asked for: it waits outside the core."""


class Alike(NamedTuple):
    """A number of each core, told by the few that there are.

    Parameters
    ----------
    several : int64, the different ones
    place : int64 [cores], which of them is whose
    """

    several: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Alike":
        return cls(*np.unique(numbers, return_inverse=True))


class Floor(NamedTuple):
    """Bounds of one layer.

    Parameters
    ----------
    entries : int64 [passes], issues of one turn of each pass, at least
    stored : words in the weight memories, at least
    map_bits : what a run moves of its map, at least
    """

    entries: np.ndarray
    stored: Stored
    map_bits: int

    def cycles(self, turns: np.ndarray, shifts: Alike) -> np.ndarray:
        """float64 [cores]: cycles at least, of cores that take so many `turns` for a pass, int64
        [cores], and so many `shifts` for the results of a turn."""
        whole = np.maximum(self.entries[None, :], shifts.several[:, None]).sum(axis=1)
        found: np.ndarray = (turns - 1) * whole[shifts.place] + int(self.entries.sum())
        return found.astype(float)

    def within(
        self, cycles: np.ndarray, word_bits: np.ndarray, bytes_per_cycle: float
    ) -> np.ndarray:
        """float64 [cores]: at least, where `cycles` do without a limit to the memory outside.

        word_bits : int64 [2, cores], of a word of weights there and of one of masks
        """
        moved = np.array([self.stored.layer, self.stored.layer_masks]) @ word_bits
        # The map comes first, and nothing is computed before.
        found = np.maximum(cycles, moved / 8 / bytes_per_cycle)
        return found + self.map_bits / 8 / bytes_per_cycle - _EARLY


def bounded(config: CoreConfig) -> tuple[Any, ...]:
    """What the bounds of a core's layers depend on: of the coding of a sparse core nothing but its
    masks."""
    masks = (config.mask_bits, config.run_bits) if config.masked else ()
    return config.core, config.filters, config.tiles, config.element, config.act_bits, masks


def floor_of(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> Floor:
    """Bounds of a layer on all cores of which `bounded` says what it says of `config`.

    nonzeros : int64 [filters]
    """
    g = layout.geometry
    entries, stored = _FLOORS[config.core](config, layout, nonzeros)
    images = layout.batch * config.tiles
    values = images * g.in_channels * g.in_height * g.in_width
    return Floor(entries, stored, values * config.act_bits)


def _dense(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> _Least:
    g = layout.geometry
    words = layout.taps
    passes = g.groups * -(-(g.out_channels // g.groups) // config.filters)
    entries = np.full(passes, words, np.int64)
    return entries, Stored(layer=passes * words, filter=words)


def _packed(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> _Least:
    entries, _ = _dense(config, layout, nonzeros)
    g = layout.geometry
    rows = np.maximum(-(-_of_passes(config, layout, nonzeros) // config.filters), 1)
    masks = -(-g.columns // config.mask_bits)
    stored = Stored(
        layer=int(rows.sum()),
        filter=int(rows.max()),
        layer_masks=masks * len(entries),
        filter_masks=masks,
    )
    return entries, stored


def _of_passes(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> np.ndarray:
    """int64 [passes]: the non-zeros of each pass's filters."""
    g = layout.geometry
    begins = np.arange(0, g.out_channels // g.groups, config.filters)
    found: np.ndarray = np.add.reduceat(nonzeros.reshape(g.groups, -1), begins, axis=1)
    return found.reshape(-1)


def _sparse(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> _Least:
    kept = np.maximum(-(-_of_passes(config, layout, nonzeros) // config.streams), 1)
    masks = np.zeros(len(kept), np.int64)
    if config.masked:
        # A mask word is at most all of its bits.
        masks += -(-layout.taps // config.mask_bits)
    if config.run_bits:
        # Each pruned weight is in a word that is stored, with as many others as it has bits.
        pruned = layout.taps * config.streams - _of_passes(config, layout, nonzeros)
        least = -(-np.maximum(pruned, 1) // (config.mask_bits * config.streams))
        masks = np.maximum(least, -(-masks >> config.run_bits))
    stored = Stored(
        layer=int(kept.sum()),
        filter=int(kept.max()),
        layer_masks=int(masks.sum()),
        filter_masks=int(masks.max()),
    )
    return kept, stored


def _rows(config: CoreConfig, layout: Layout, nonzeros: np.ndarray) -> _Least:
    # However filters are grouped: the fullest ones together make the fullest rows' sum least.
    g = layout.geometry
    falling = -np.sort(-nonzeros.reshape(g.groups, -1), axis=1)
    fullest = np.maximum(falling[:, :: config.filters].reshape(-1), 1)
    stored = Stored(
        layer=int(nonzeros.sum()), filter=int(fullest.max()), buffers=buffers_of(config)
    )
    return fullest, stored


def turn_cycles(config: CoreConfig, layout: Layout, layer: Layer) -> int:
    """Cycles at least in which all passes of a layer take one turn each, told closer than by
    `Floor.entries` where that needs some work: of the "window" coding without the fillers that
    move, of masks that are windows exactly, of several streams by the fullest of each filter, of
    `sparse-rows` by the fullest row of each window. Else 0.

    config : any of those that differ in lanes and drain alone
    """
    if config.windows:
        return int(mask_issues(layer, mask_plan(layout, config), config).sum())
    if config.stepped:
        return fewest_words(layer, layout, config)
    if config.streams > 1:
        return int(np.maximum(_fullest(layer, config.streams), 1).sum())
    if config.core != "sparse-rows":
        return 0
    several, reads = _windows(layer, layout, config.window_reads, config.window_span)
    firsts = np.arange(0, several[0].shape[1], config.filters)
    least = []
    for entries in several:
        fullest = np.maximum.reduceat(entries, firsts, axis=1)
        # While a window is used the next one is filled.
        inner = np.maximum(fullest[..., :-1], reads[1:]).sum(dtype=np.int64)
        least.append(int(inner + fullest[..., -1].sum(dtype=np.int64)))
    return min(least)


_fullest = functools.lru_cache(maxsize=16)(fullest)


@functools.lru_cache(maxsize=8)
def _windows(
    layer: Layer, layout: Layout, window_reads: int, window_span: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """(int32 [groups, filters of a group, windows], issues of each filter in each window, by each
    order that rtl.program.grouping chooses from; int32 [windows], reads)."""
    config = CoreConfig("sparse-rows", 1, window_reads=window_reads, window_span=window_span)
    plan = read_plan(layout, config)
    g = layer.geometry
    entries = np.maximum(window_weights(layer, plan), 1).astype(np.int32)
    several = [
        entries[order].reshape(g.groups, -1, plan.windows) for order in orders(entries, g.groups)
    ]
    return several, plan.of_windows(config).astype(np.int32)


_FLOORS: dict[str, Callable[[CoreConfig, Layout, np.ndarray], _Least]] = {
    "dense-scalar": _dense,
    "dense-2d": _dense,
    "dense-packed": _packed,
    "sparse": _sparse,
    "sparse-nm": _dense,
    "sparse-rows": _rows,
}
