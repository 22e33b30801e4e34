"""The weight stream of each kind of core, and how long its passes take to issue and to load.

`encode` makes the stream; `Work` is what the cycle model needs, without making it.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.grouping import filter_order
from rtl.program.layout import Layout
from rtl.program.masks import mask_counts, mask_plan, masked_words
from rtl.program.packed import code_rows, mask_words, packed_words
from rtl.program.places import place_counts, place_words
from rtl.program.reads import ReadPlan, read_plan, window_weights
from rtl.program.structured import filter_parts
from rtl.program.windows import window_counts, window_words
from rtl.program.words import to_bytes

Values = TypeVar("Values", int, np.ndarray)


@dataclass(frozen=True, eq=False)
class Work:
    """What the weights of a layer cost.

    Parameters
    ----------
    entries : int64 [passes], issues of one tile of a pass, fillers included (`sparse-rows`: zero)
    words : int64 [passes], words of the weight stream
    stored : int64 [passes], words of the fullest weight buffer
    mask_words : int64 [passes], mask words, 0 without; one number stands for as many in each
    table_words : words of the table of tap addresses, 0 without
    windows : int64 [passes, windows], issues of the fullest row (`sparse-rows`), else empty
    reads : int64 [windows], reads of the activation memory, else empty
    rows, first : int64 [passes, filters], a row's stream words, and its issues in the first window
    """

    entries: np.ndarray
    words: np.ndarray
    stored: np.ndarray
    mask_words: np.ndarray = field(default_factory=lambda: np.array(0))
    table_words: int = 0
    windows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    reads: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    first: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def __post_init__(self) -> None:
        each = np.broadcast_to(self.mask_words, self.words.shape)
        object.__setattr__(self, "mask_words", each)


def work(layer: Layer, layout: Layout, config: CoreConfig, grouped: bool = True) -> Work:
    """The cost of `layer`'s weights; `grouped` as `rows_order` has it."""
    g = layer.geometry
    if config.dense:
        taps = np.full(passes_of(layout, config) * g.groups, layout.taps, np.int64)
        if not config.packed:
            return Work(taps, taps, taps)
        rows = code_rows(layer, passes_of(layout, config), config)
        masks = np.array(mask_words(layer, config))
        return Work(taps, masks + rows, rows, masks)
    if config.core == "sparse-rows":
        return _rows_work(layer, layout, config, grouped)
    if config.masked:
        plan = mask_plan(layout, config)
        issues, levels, masks = mask_counts(layer, plan, config)
        return Work(issues, levels + masks, levels, masks, len(plan.table))
    if config.stepped:
        entries = window_counts(layer, layout, config)
    else:
        entries = place_counts(layer, layout, config)
    return Work(entries, entries, entries)


def encode(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    if config.packed:
        return packed_words(layer, passes_of(layout, config), config)
    if config.dense:
        levels = layer.dense_levels()
        parts = filter_parts(layer, config) if config.structured else levels
        return _dense_words(parts, layout, config)
    if config.core == "sparse-rows":
        return _rows_words(layer, layout, config)
    if config.masked:
        return masked_words(layer, layout, config)
    if config.stepped:
        return window_words(layer, layout, config)
    return place_words(layer, layout, config)


def passes_of(layout: Layout, config: CoreConfig) -> int:
    """Passes of a convolution group."""
    g = layout.geometry
    return -(-(g.out_channels // g.groups) // config.filters)


def shape_of(layout: Layout, config: CoreConfig) -> tuple[int, int]:
    """(lane tiles of a pass, drain cycles of its last tile)."""
    tiles = -(-layout.positions // config.lanes)
    last = layout.positions - (tiles - 1) * config.lanes
    return tiles, -(-last // config.drain) if config.filters == 1 else config.tile_shifts


# Dense: a word for every tap, of levels or of what `sparse-nm` keeps of them.


def _dense_words(parts: np.ndarray, layout: Layout, config: CoreConfig) -> np.ndarray:
    """One word per tap: the parts, int [filters, taps], of the pass's filters, filter 0 lowest."""
    g = layout.geometry
    shape = (g.groups * passes_of(layout, config), config.filters, layout.taps)
    padded = np.zeros(shape, parts.dtype).reshape(g.groups, -1, layout.taps)
    padded[:, : g.out_channels // g.groups] = parts.reshape(g.groups, -1, layout.taps)
    words = padded.reshape(shape).transpose(0, 2, 1).reshape(-1, config.filters)
    return to_bytes(words, config.filter_bits)


# sparse-rows: per pass and filter the entries {last, window's last, read, shift, code}.
#
# The stream is a row of cells: pass by pass, filter by filter, one for each window. A cell holds
# its weights in the order of their columns, or one filler, since every row must say when it is
# through with a window. So a weight's word is found by counting: its cell's start, plus the weights
# of the cell before it.


def rows_order(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [filters]: the filter that is computed in each place.

    `sparse-rows` computes filters of like density together where that is faster; every other core
    goes through them in the network's order.
    """
    if config.core != "sparse-rows":
        return np.arange(layer.geometry.out_channels)
    return _order(layer, read_plan(layout, config), layout, config)


def _order(layer: Layer, plan: ReadPlan, layout: Layout, config: CoreConfig) -> np.ndarray:
    entries = np.maximum(window_weights(layer, plan), 1)
    tiles = -(-layout.positions // config.lanes)
    groups = layer.geometry.groups
    return filter_order(entries, plan.of_windows(config), groups, config.filters, tiles)


def _cells(
    layer: Layer, plan: ReadPlan, layout: Layout, config: CoreConfig, order: np.ndarray
) -> np.ndarray:
    """int64 [passes, filters, windows]: weights of each cell.

    order : the filter that is computed in each place

    Filters that pad a group's last pass have cells without weights.
    """
    g = layer.geometry
    passes = passes_of(layout, config)
    weights = np.zeros((g.groups, passes * config.filters, plan.windows), np.int64)
    ordered = window_weights(layer, plan)[order].reshape(g.groups, -1, plan.windows)
    weights[:, : ordered.shape[1]] = ordered
    return weights.reshape(g.groups * passes, config.filters, plan.windows)


def _row_entry(read: Values, shift: Values, code: Values, config: CoreConfig) -> Values:
    """An entry's fields as one number, without its marks."""
    return (read << config.shift_bits | shift) << config.weight_bits | code


def _rows_work(layer: Layer, layout: Layout, config: CoreConfig, grouped: bool) -> Work:
    plan = read_plan(layout, config)
    order = (
        _order(layer, plan, layout, config) if grouped else np.arange(layer.geometry.out_channels)
    )
    entries = np.maximum(_cells(layer, plan, layout, config, order), 1)
    rows = entries.sum(axis=2)
    return Work(
        entries=np.zeros(len(entries), np.int64),
        words=rows.sum(axis=1),
        stored=rows.max(axis=1),
        table_words=len(plan.table),
        windows=entries.max(axis=1),
        reads=plan.of_windows(config),
        rows=rows,
        first=entries[:, :, 0],
    )


def _rows_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """The table of a channel's reads, then the cells."""
    plan = read_plan(layout, config)
    places = _order(layer, plan, layout, config)
    weights = _cells(layer, plan, layout, config, places)
    ends = np.cumsum(np.maximum(weights, 1)).reshape(weights.shape)
    filler = _row_entry((1 << config.read_bits) - 1, 0, 0, config)
    words = np.full(int(ends[-1, -1, -1]), filler, np.int64)

    column = layer.col_idx
    codes = level_codes(layer.levels, config.weight_bits).astype(np.int64)
    entries = _row_entry(plan.read[column], plan.shift[column], codes, config)
    row = np.argsort(places)[layer.row_idx]
    # A channel's reads need not follow its columns.
    order = np.lexsort((plan.window[column], row))
    starts = ends - np.maximum(weights, 1)
    words[_ranges(starts, weights)] = entries[order]

    words[ends - 1] |= 1 << (config.entry_bits - 1)
    words[ends[..., -1] - 1] |= 1 << (config.stream_bits - 1)
    return to_bytes(np.concatenate([plan.table, words])[:, None], config.stream_bits)


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """int64 [sum of counts]: counts[0] numbers from starts[0] on, counts[1] from starts[1] on..."""
    starts, counts = starts.reshape(-1), counts.reshape(-1)
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
