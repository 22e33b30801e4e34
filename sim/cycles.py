"""The exact cycle model: the busy cycles of a core when no stream ever waits, or when all share a
channel (`sim.channel`).

A tile of a pass costs max(entries, drain of the tile before it). On top come the loading of the
first pass, what a pass takes longer to load than the one before it to compute, what filters that
follow each other fast wait for their biases, and a constant for the pipeline. Tests hold the
model equal to the RTL.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.program.encode import Work, passes_of, shape_of, work
from rtl.program.layout import Layout
from rtl.program.pack import stripes_of
from rtl.timing import bias_places, command_edge, output_latency, read_ahead, read_late
from sim import channel


def layer_cycles(
    layer: Layer, config: CoreConfig, batch: int = 1, bytes_per_cycle: float | None = None
) -> int:
    """Clock cycles from start to done for one image (linear: one batch) of `layer`."""
    stripes, layout = stripes_of(layer.geometry, batch, config)
    cost = work(layer, layout, config)
    return stripes // config.tiles * run_cycles(cost, layout, config, bytes_per_cycle)


def dense_cycles(
    geometry: Geometry, config: CoreConfig, batch: int = 1, bytes_per_cycle: float | None = None
) -> int:
    """Clock cycles of a dense core, which depend on the shape alone."""
    stripes, layout = stripes_of(geometry, batch, config)
    words = np.full(geometry.groups * passes_of(layout, config), layout.taps, np.int64)
    cost = Work(words, words, words)
    return stripes // config.tiles * run_cycles(cost, layout, config, bytes_per_cycle)


def run_cycles(
    cost: Work, layout: Layout, config: CoreConfig, bytes_per_cycle: float | None = None
) -> int:
    """Cycles of one run of the core, in which every pass issues what `cost` says.

    bytes_per_cycle : of the channel that all streams share, and that loads the map, a multiple of
        0.125; None where no stream ever waits, and the map is there

    Cycles are counted from the one after the start; `loaded` is the first in which all of a pass's
    words can be read, `end` that in which its last entry issues.
    """
    if bytes_per_cycle is not None:
        return channel.run_cycles(cost, layout, config, bytes_per_cycle)
    tiles, last_shifts = shape_of(layout, config)
    late = read_late(config)
    ahead = read_ahead(config)
    drain = config.tile_shifts
    biases = _Biases(config, drain if tiles > 1 else last_shifts)
    rows = _Rows(cost, tiles, drain) if config.core == "sparse-rows" else None
    loaded = cost.table_words
    end = before = -1
    drained = 0
    several = cost.entries, cost.words, cost.mask_words
    passes = zip(*(of_pass.tolist() for of_pass in several), strict=True)
    for number, (count, words, masks) in enumerate(passes):
        # Masks are read at the issue, weights `late` cycles behind it.
        begun = max(loaded, before + 1)
        free = before + 1 + (late if before >= 0 else 0)
        loaded = max(begun + masks, free) + words - masks
        start = max(end + 1, loaded)
        if masks:
            start = max(start, begun + masks + ahead)
        before = end
        if rows:
            # Each row begins with the first window when its own words are there.
            starts = begun + ahead + np.cumsum(cost.rows[number])
            through = int((starts + cost.first[number]).max()) - 1
            end, drained = rows.run(cost.windows[number], through, drained, biases.drain)
        else:
            end = max(start + count - 1, drained)
            drained = biases.drain(end)
            if tiles > 1:
                end = max(end + count, drained) + (tiles - 2) * max(count, drain)
        if tiles > 1:
            drained = end + last_shifts
    return drained + output_latency(config) + 2


class _Biases:
    """The drains of the passes' first tiles, whose filters claim their words of the bias stream.

    A word comes in a cycle of its own, when it is wanted and finds a place; it can be claimed
    from the next one on, and leaves its place when the claim's command has reached the biases.
    """

    def __init__(self, config: CoreConfig, tile_shifts: int) -> None:
        self._rows, self._shifts = config.filters, tile_shifts // config.filters
        self._stay = command_edge(config) + 1
        self._wanted, self._came = 0, -1
        self._claims = deque([-self._stay] * bias_places(config), bias_places(config))

    def drain(self, end: int) -> int:
        """The last cycle of the drain of a first tile that ended in cycle `end`."""
        if self._shifts * len(self._claims) > self._stay:  # a place is free again before its turn
            return end + self._rows * self._shifts
        claim = end + 1
        for _ in range(self._rows):
            self._came = max(self._came + 1, self._wanted, self._claims[0] + self._stay)
            claim = max(claim, self._came + 1)
            self._claims.append(claim)
            claim += self._shifts
        self._wanted = end + 1  # those of the next pass
        return claim - 1


class _Window(NamedTuple):
    """The cycle in which the rows of `sparse-rows` begin with a window, and that of their last
    entry in it."""

    start: int
    end: int


class _Rows:
    """Passes of `sparse-rows`: while the rows use up one of two windows, the other one is filled.

    Window k is used from cycle S_k to E_k. It is filled in reads_k cycles from S_(k-1) on, since
    from then on nothing is left to do in window k-2; its fullest row has entries_k entries:

        S_k = max(E_(k-1) + 1, S_(k-1) + reads_k)        E_k = S_k + entries_k - 1

    A tile's first and last window can end later than that (`run`). Between them nothing else is
    waited for: from a tile's third window on, S_k = S_(k-1) + max(entries_(k-1), reads_k).
    """

    def __init__(self, cost: Work, tiles: int, drain: int) -> None:
        self._reads, self._tiles, self._drain = cost.reads, tiles, drain
        # Before the first pass no window is in use, and the table of addresses is loaded.
        self._window = _Window(cost.table_words, -1)

    def run(
        self, entries: np.ndarray, first: int, last: int, drain: Callable[[int], int]
    ) -> tuple[int, int]:
        """(end of a pass, whose words may still be loading, end of its first tile's drain).

        entries : int64 [windows], those of the fullest row
        first, last : the first tile's first and last window do not end before
        drain : the end of the first tile's drain, of the end of the tile
        """
        inner = int(np.maximum(entries[1:-1], self._reads[2:]).sum())
        window = self._tile(self._window, entries, inner, first, last)
        drained = last = drain(window.end)
        for left in range(self._tiles - 1, 0, -1):
            before = window
            window = self._tile(before, entries, inner, first, last)
            took = window.end - before.end
            if window.start - before.start == took and last == before.end + self._drain:
                # Steady: all further tiles take as long as this one.
                window = _Window(*(cycle + (left - 1) * took for cycle in window))
                break
            last = window.end + self._drain
        self._window = window
        return window.end, drained

    def _tile(
        self, window: _Window, entries: np.ndarray, inner: int, first: int, last: int
    ) -> _Window:
        """The last window of the tile after `window`.

        inner : cycles from the start of the tile's second window to that of its last one
        first, last : its first and last window do not end before
        """
        window = self._next(window, 0, entries)
        window = window._replace(end=max(window.end, first))
        if len(entries) > 1:
            start = self._next(window, 1, entries).start + inner
            window = _Window(start, start + int(entries[-1]) - 1)
        return window._replace(end=max(window.end, last))

    def _next(self, window: _Window, k: int, entries: np.ndarray) -> _Window:
        """Window k of a tile, after `window`."""
        start = max(window.end + 1, window.start + int(self._reads[k]))
        return _Window(start, start + int(entries[k]) - 1)
