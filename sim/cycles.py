"""The exact cycle model: the busy cycles of a core when no stream ever waits.

A tile of a pass costs max(entries, drain of the tile before it). On top come the loading of the
first pass, what a pass takes longer to load than the one before it to compute, and a
constant for the pipeline. Tests hold the model equal to the RTL.
"""

import numpy as np

from compress.file.container import Geometry, Layer
from rtl.config import CoreConfig
from rtl.layer import ACT_EDGE, command_edge, output_latency
from rtl.program.encode import Work, passes_of, work
from rtl.program.layout import Layout
from rtl.program.pack import shape_of, stripes_of


def layer_cycles(layer: Layer, config: CoreConfig, batch: int = 1) -> int:
    """Clock cycles from start to done for one image (linear: one batch) of `layer`."""
    stripes, layout = stripes_of(layer.geometry, batch, config)
    return stripes // config.tiles * run_cycles(work(layer, layout, config), layout, config)


def dense_cycles(geometry: Geometry, config: CoreConfig, batch: int = 1) -> int:
    """Clock cycles of a dense core, which depend on the shape alone."""
    stripes, layout = stripes_of(geometry, batch, config)
    words = np.full(geometry.groups * passes_of(layout, config), geometry.columns, np.int64)
    return stripes // config.tiles * run_cycles(Work(words, words, words), layout, config)


def run_cycles(cost: Work, layout: Layout, config: CoreConfig) -> int:
    """Cycles of one run of the core, in which every pass issues what `cost` says.

    Cycles are counted from the one after the start; `loaded` is the first in which all of a pass's
    words can be read, `end` that in which its last entry issues.
    """
    tiles, last_shifts = shape_of(layout, config)
    late = ACT_EDGE - 2 if config.dense else 0
    # Words that are read ahead of their use take two cycles more.
    ahead = 2
    drain = config.tile_shifts
    # A pass's biases are taken when its first tile reaches the lanes; then the next ones load.
    refill = command_edge(config) + 2 + config.filters
    rows = _Rows(cost, tiles, drain, cost.table_words) if config.core == "sparse-rows" else None
    loaded = cost.table_words
    end = before = -1
    drained, biases = 0, config.filters
    passes = zip(cost.entries.tolist(), cost.words.tolist(), strict=True)
    for number, (count, words) in enumerate(passes):
        begun = max(loaded, before + 1 + (late if before >= 0 else 0))
        loaded = begun + words
        start = max(end + 1, loaded)
        if cost.mask_words:
            start = max(start, begun + cost.mask_words + ahead)
        before = end
        if rows:
            # Each row begins when its own words are there.
            starts = begun + ahead + np.cumsum(cost.rows[number])
            first_tile, end = rows.run(number, starts, drained, biases)
        else:
            first_tile = max(start + count - 1, drained, biases)
            end = first_tile + (tiles - 1) * max(count, drain)
        drained = end + last_shifts
        biases = first_tile + refill
    return drained + output_latency(config) + 2


class _Rows:
    """Passes of `sparse-rows`: windows that are used up row by row while the next one is filled.

    With window k used from S_k on, done with at A_k and filled at F_k,

        F_k = max(F_(k-1), A_(k-2)) + reads_k        S_k = max(A_(k-1), F_k) + 1
        A_k = S_k + entries_k - 1

    so that within a tile, from its third window on, S_k = S_(k-1) + max(entries_(k-1), reads_k).
    """

    def __init__(self, cost: Work, tiles: int, drain: int, begin: int) -> None:
        self._cost, self._tiles, self._drain = cost, tiles, drain
        # A of the last two windows, F of the last one.
        self._state = (-1, -1, begin - 1)

    def run(self, number: int, starts: np.ndarray, drained: int, biases: int) -> tuple[int, int]:
        """(end of the first tile, end) of a pass whose rows can issue from `starts` on."""
        entries = self._cost.windows[number]
        bulk = self._bulk(entries)
        first = int((starts + self._cost.first[number]).max()) - 1  # through with window 0
        limit = max(drained, biases)
        ends: list[int] = []
        for tile in range(self._tiles):
            before = self._state
            self._state = self._tile(entries, bulk, -1 if tile else first, limit)
            ends.append(self._state[0])
            limit = ends[-1] + self._drain
            shift = self._state[0] - before[0]
            if tile and all(a - b == shift for a, b in zip(self._state, before, strict=True)):
                # Steady: all further tiles take as long as this one.
                left = (self._tiles - 1 - tile) * shift
                self._state = tuple(value + left for value in self._state)  # type: ignore[assignment]
                break
        return ends[0], self._state[0]

    def _bulk(self, entries: np.ndarray) -> tuple[int, int]:
        """Cycles from S_1 to that of the last window but one, and from there to the last one's."""
        steps = np.maximum(entries[1:-1], self._cost.reads[2:])
        return int(steps[:-1].sum()), int(steps[-1:].sum())

    def _tile(
        self, entries: np.ndarray, bulk: tuple[int, int], first: int, limit: int
    ) -> tuple[int, int, int]:
        """State after a tile whose first window ends at `first` or later, its last at `limit`."""
        reads = self._cost.reads
        last, before, filled = self._state
        filled = max(filled, before) + int(reads[0])
        used = max(last, filled) + 1
        done = max(used + int(entries[0]) - 1, first)
        if len(entries) == 1:
            return max(done, limit), last, filled
        filled = max(filled, last) + int(reads[1])
        used = max(done, filled) + 1
        last, done = done, used + int(entries[1]) - 1
        if len(entries) > 2:
            used += bulk[0]
            last = used + int(entries[-2]) - 1
            filled = used - 1 + int(reads[-1])
            done = used + bulk[1] + int(entries[-1]) - 1
        return max(done, limit), last, filled
