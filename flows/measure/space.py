"""Every core worth trying on given layers: what a search over sizes and shapes chooses from.

A core that computes no fewer pixels at once than another, and takes as many turns for each of the
layers, is larger for nothing. So of all numbers of lanes those are tried that save a turn
somewhere, and of all numbers of filters likewise. Of several layers nearly every number saves a
turn of one of them; there those are tried that save SAVED of all dense work over the last one
tried, and likewise windows. Drains are doubled until results leave as fast as any layer makes them.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from compress.model.graph import Geometry
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.fit import batch_of, fed, feed
from rtl.program.layout import Layout
from rtl.program.pack import layout_of

MOST_LANES, MOST_FILTERS, MOST_SPAN = 256, 64, 64
SAVED = 0.01
"""So much slower at most is a chip of several layers for a number of lanes or filters that was not
tried."""
TILES = (1, 2, 3, 4, 6, 8, 12, 16)
BANK_BYTES = (2, 4, 8)
INDEX_BITS = (8, 10, 12)
MASKS = ((9, 0), (18, 0), (27, 0), (54, 0), (3, 3), (9, 2))
"""mask_bits and run_bits. Masks of a kernel row, of which most are full, take the fewest bits where
little is pruned."""
DOTS = (2, 4, 8)
"""Channels of a dense array's dot products."""
STREAMS = (2, 3, 4, 6, 8)
DOT_INDEX_BITS = (8, 10)
"""Of sparse cores with several streams: their distances are shorter."""
SPANS = ((1, 1, 3), (1, 1, 4), (3, 1, 3), (3, 2, 2), (3, 2, 3), (3, 3, 2), (3, 3, 3))
"""window_span, beats and step_bits of the "window" coding."""
SHARERS = (2, 3, 4)
"""Filters that share a window."""
SHARED = ((1, 1, 3), (3, 1, 3), (3, 2, 3), (3, 3, 3), (3, 4, 3))
"""window_span, beats and step_bits where filters share it: a window serves more weights, and so may
take more beats."""
MASKED_ROWS = ((3, 1, 3), (3, 2, 3), (3, 3, 3))
"""window_span, beats and run_bits of masks that are windows of a kernel row, of `window_span` bits;
more rows have MASKED_BITS."""
MASKED_BITS, MASKED_RUNS = 9, (0, 2)
WIDE_BEATS = (4, 5, 6, 8)
"""Of windows that serve several rows of a kernel."""
WINDOWS = ((3, 3), (6, 3))
"""window_reads and window_span of sparse-rows."""


class Space:
    """Sizes of cores for layers.

    Parameters
    ----------
    geometries : the layers that a core has to execute
    batch : images that are the pixels of a linear layer
    most : multipliers that a core may have
    act_bits : of the cores' activations
    """

    def __init__(
        self,
        geometries: Sequence[Geometry],
        batch: int,
        most: int,
        act_bits: int = CoreConfig.act_bits,
    ) -> None:
        self.geometries = tuple(geometries)
        self.batch = batch
        self.most = most
        self.act_bits = act_bits
        self._images = [batch_of(g, batch) for g in self.geometries]
        self._layouts = functools.cache(self._layouts_of)

    def layouts(self, tiles: int, element: int = 1) -> tuple[Layout, ...]:
        """Of each layer, that of the part of its map which one of so many lockstep tiles holds.

        element : that of the cores
        """
        return self._layouts(tiles, element)

    def _layouts_of(self, tiles: int, element: int) -> tuple[Layout, ...]:
        return tuple(
            layout_of(g, images, tiles, element)
            for g, images in zip(self.geometries, self._images, strict=True)
        )

    def lanes(self, tiles: int) -> list[int]:
        """Numbers of lanes that save turns over all smaller ones."""
        totals = [layout.positions for layout in self.layouts(tiles)]
        works = [
            g.weights / images for g, images in zip(self.geometries, self._images, strict=True)
        ]
        return self._saving(_divisors(totals, MOST_LANES), _turns(totals, works))

    def filters(self) -> list[int]:
        """Numbers of filters that save passes over all smaller ones."""
        totals = [g.out_channels // g.groups for g in self.geometries]
        works = [g.macs / g.out_channels for g in self.geometries]
        return self._saving(_divisors(totals, MOST_FILTERS), _turns(totals, works))

    def spans(self) -> list[int]:
        """Bytes of a map within which lie the taps of a layer's kernel, or of as many of its rows,
        at least two, as MOST_SPAN holds."""
        layouts = self.layouts(1)
        found = set()
        for layout in layouts:
            count = min(layout.geometry.kernel[0], _rows_in(layout, MOST_SPAN))
            if count > 1:
                row, further = _row_and_pitch(layout)
                found.add((count - 1) * further + row)

        def windows(span: int) -> float:
            """Dense work, each row of a kernel that takes a window of its own counted."""
            return sum(
                layout.geometry.macs * -(-layout.geometry.kernel[0] // _rows_in(layout, span))
                for layout in layouts
            )

        return self._saving(sorted(found), windows, windows(0))

    def _saving(
        self, sizes: list[int], work: Callable[[int], float], last: float = math.inf
    ) -> list[int]:
        """Those of the rising `sizes` of which each does with SAVED less work than the one before;
        of a single layer all. `last` : work without any of them"""
        if len(self.geometries) == 1:
            return sizes
        kept = []
        for size in sizes:
            if (now := work(size)) < (1 - SAVED) * last:
                kept.append(size)
                last = now
        return kept

    @property
    def fewest_columns(self) -> int:
        return min(g.columns for g in self.geometries)

    @property
    def fewest_rows(self) -> int:
        """Of outputs: more lockstep tiles than these have nothing to do."""
        return min(self.batch if g.kind == "linear" else g.out_height for g in self.geometries)

    def sizes(self, several: bool) -> Iterator[tuple[int, int, int]]:
        """(tiles, lanes, filters) within `most`; `several`: more filters than one are possible."""
        for tiles in TILES:
            if tiles > self.fewest_rows:
                break
            for lanes, filters in itertools.product(
                self.lanes(tiles), self.filters() if several else (1,)
            ):
                if tiles * lanes * filters <= self.most:
                    yield tiles, lanes, filters


def _divisors(totals: Iterable[int], most: int) -> list[int]:
    """All ceil(total / n) up to `most`: the least divisors for each number of turns."""
    found: set[int] = set()
    for total in totals:
        found |= {-(-total // n) for n in range(-(-total // most), total + 1)}
    return sorted(found)


def _turns(totals: Sequence[int], works: Sequence[float]) -> Callable[[int], float]:
    """The sum of ceil(total / size), each times its work, by size."""
    return lambda size: sum(-(-t // size) * w for t, w in zip(totals, works, strict=True))


def _row_and_pitch(layout: Layout) -> tuple[int, int]:
    """Bytes of a map that a row of the kernel spans, and from it to the next one."""
    dilation = layout.geometry.dilation
    return (layout.geometry.kernel[1] - 1) * dilation[1] + 1, dilation[0] * layout.pitch


def _rows_in(layout: Layout, span: int) -> int:
    """Rows of the kernel that lie within so many bytes, at least one."""
    row, further = _row_and_pitch(layout)
    return max(0, span - row) // further + 1


def dense(space: Space) -> Iterator[CoreConfig]:
    """dense-2d of any aspect, dense-scalar where it has one filter."""
    for tiles, lanes, filters in space.sizes(several=True):
        kind = "dense-2d" if filters > 1 else "dense-scalar"
        for drain in _drains(lanes, filters, space.fewest_columns):
            wide = -(-lanes // drain) * drain if filters > 1 else lanes
            if wide <= MOST_LANES and tiles * wide * filters <= space.most:
                yield _core(kind, wide, filters, tiles, drain)


def dense_dot(space: Space) -> Iterator[CoreConfig]:
    """Dense arrays whose lanes add up the products of several neighbouring channels in a cycle: one
    accumulator, and one place in the drain, for all of them. They are sparse-nm with N = M."""
    for group in DOTS:
        for tiles, lanes, filters in space.sizes(several=True):
            for drain in _drains(lanes, filters, space.fewest_columns // group):
                wide = -(-lanes // drain) * drain if filters > 1 else lanes
                if wide * group <= MOST_LANES and tiles * wide * filters * group <= space.most:
                    yield _core(
                        "sparse-nm", wide, filters, tiles, drain, nm_keep=group, nm_group=group
                    )


def sparse(space: Space) -> Iterator[CoreConfig]:
    """Distances of several widths and bitmasks of several, with up to eight requantisers."""
    codings: list[dict[str, Any]] = [
        *({"coding": "relative", "index_bits": bits} for bits in INDEX_BITS),
        *({"coding": "bitmask", "mask_bits": bits, "run_bits": runs} for bits, runs in MASKS),
    ]
    for (tiles, lanes, _), coding in itertools.product(space.sizes(several=False), codings):
        for drain in _drains(lanes, 1, space.fewest_columns // 8):
            yield _core("sparse", lanes, 1, tiles, drain, **coding)


def sparse_dot(space: Space) -> Iterator[CoreConfig]:
    """Sparse cores whose lanes add up the products of several streams in a cycle."""
    for bits in DOT_INDEX_BITS:
        yield from _streamed(space, STREAMS, index_bits=bits)
    for bits, runs in MASKS:
        yield from _streamed(space, STREAMS, coding="bitmask", mask_bits=bits, run_bits=runs)


def sparse_window(space: Space) -> Iterator[CoreConfig]:
    """Sparse cores with windows, of one stream and of several."""
    for span, beats, step_bits in SPANS:
        windows = {"window_span": span, "beats": beats, "step_bits": step_bits}
        yield from _streamed(space, (1, *STREAMS), coding="window", **windows)
    for span, beats, filters, listed in itertools.product(
        space.spans(), WIDE_BEATS, (1, 2), (0, 1)
    ):
        windows = {"window_span": span, "beats": beats, "step_bits": 3, "listed": listed}
        yield from _streamed(space, (1, *STREAMS), filters, coding="window", **windows)
    for span, beats, runs in _masked_windows(space):
        bits = min(span, MASKED_BITS)
        masks = {"mask_bits": bits, "run_bits": runs, "windows": 1}
        windows = {"window_span": span, "beats": beats}
        yield from _streamed(space, (1, *STREAMS), coding="bitmask", **masks, **windows)
    most = max(g.out_channels // g.groups for g in space.geometries)
    for filters, (span, beats, step_bits) in itertools.product(SHARERS, SHARED):
        windows = {"window_span": span, "beats": beats, "step_bits": step_bits}
        if filters <= most:
            yield from _streamed(space, (1, *STREAMS), filters, coding="window", **windows)


def _masked_windows(space: Space) -> Iterator[tuple[int, int, int]]:
    """(window_span, beats, run_bits) of masks that are windows."""
    yield from MASKED_ROWS
    yield from itertools.product(space.spans(), WIDE_BEATS, MASKED_RUNS)


def _streamed(
    space: Space, streams: Iterable[int], filters: int = 1, **coding: Any
) -> Iterator[CoreConfig]:
    """Sparse cores of all sizes, with each of these numbers of streams and so many filters."""
    channels = max(g.in_channels // g.groups for g in space.geometries)
    for count, (tiles, lanes, _) in itertools.product(streams, space.sizes(several=False)):
        if count <= channels:
            for drain in _drains(lanes, filters, filters * space.fewest_columns // (8 * count)):
                wide = -(-lanes // drain) * drain if filters > 1 else lanes
                if wide <= MOST_LANES and tiles * wide * count <= space.most:
                    yield _core("sparse", wide, filters, tiles, drain, streams=count, **coding)


def sparse_rows(space: Space) -> Iterator[CoreConfig]:
    """sparse-rows with several filters."""
    for (tiles, lanes, filters), (reads, span) in itertools.product(
        space.sizes(several=True), WINDOWS
    ):
        if filters > 1 and tiles == 1:
            yield _core(
                "sparse-rows", lanes, filters, tiles, 1, window_reads=reads, window_span=span
            )


def sparse_nm(space: Space) -> Iterator[CoreConfig]:
    """sparse-nm for two weights of four."""
    for tiles, lanes, filters in space.sizes(several=True):
        if 2 * tiles * lanes * filters <= space.most:
            for drain in _drains(lanes, filters, space.fewest_columns // 4):
                wide = -(-lanes // drain) * drain if filters > 1 else lanes
                if wide <= MOST_LANES // 4:
                    yield _core("sparse-nm", wide, filters, tiles, drain, nm_keep=2, nm_group=4)


def dense_packed(space: Space) -> Iterator[CoreConfig]:
    """dense-packed of any aspect, with mask words of some 32 bits."""
    for tiles, lanes, filters in space.sizes(several=True):
        for drain in _drains(lanes, filters, space.fewest_columns):
            wide = -(-lanes // drain) * drain if filters > 1 else lanes
            if wide <= MOST_LANES and tiles * wide * filters <= space.most:
                bits = max(2, 32 // filters)
                yield _core("dense-packed", wide, filters, tiles, drain, mask_bits=bits)


def _drains(lanes: int, filters: int, entries: int) -> Iterator[int]:
    """1, 2, 4, 8, until a tile's results leave within `entries` cycles, or all at once."""
    for drain in (1, 2, 4, 8):
        yield drain
        if filters * -(-lanes // drain) <= entries or drain >= lanes:
            return


def _core(kind: str, lanes: int, filters: int, tiles: int, drain: int, **more: Any) -> CoreConfig:
    start = _start(kind, tuple(more.items()))
    return fed(start.resized(lanes=lanes, filters=filters, tiles=tiles, drain=drain))


@functools.cache
def _start(kind: str, more: tuple[tuple[str, Any], ...]) -> CoreConfig:
    return feed(CoreConfig(), core=kind, lanes=1, **dict(more))


KINDS: dict[str, Callable[[Space], Iterator[CoreConfig]]] = {
    "dense": lambda space: itertools.chain(dense(space), dense_dot(space)),
    "sparse": lambda space: itertools.chain(sparse(space), sparse_dot(space), sparse_window(space)),
    "sparse-rows": sparse_rows,
    "sparse-nm": sparse_nm,
    "dense-packed": dense_packed,
}
"""What is searched, by the name that results call it."""


def banked(config: CoreConfig, bank_bytes: int) -> CoreConfig:
    """The same core with activation banks of that width, as few as feed it."""
    return fed(config.resized(bank_bytes=bank_bytes))


def candidates(kind: str, space: Space) -> list[CoreConfig]:
    """The cores of that name in KINDS. Raises CosignError when there is no such name."""
    if kind not in KINDS:
        raise CosignError(f"{kind!r} is no kind of core; there are {', '.join(KINDS)}.")
    found = KINDS[kind](space)
    if space.act_bits != CoreConfig.act_bits:
        found = (core.for_activations(space.act_bits) for core in found)
    return list(dict.fromkeys(found))
