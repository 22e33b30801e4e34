"""The weight stream of the sparse core whose entries tell a place: a distance or an address.

A word has an entry {place, code} for each stream of input channels, and `last` of a filter on top.
A stream's entries lie in the order of their addresses. A filter takes as many words as its fullest
stream has entries; behind theirs the others rest, with fillers of code 1, which move no address.
"""

import itertools

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from rtl.program.words import to_bytes

_FEW = 1 << 20  # weights


def place_counts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [filters]: words of each filter, at least one."""
    words = np.zeros(layer.geometry.out_channels, np.int64)
    for first, last in parts(layer):
        cell, _, _, fillers = _places(layer, layout, config, first, last)
        words[first:last] = _longest(_counts(cell, fillers, last - first, config))
    return words


def place_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    filters, streams = layer.geometry.out_channels, config.streams
    cell, order, place, fillers = _places(layer, layout, config, 0, filters)
    counts = _counts(cell, fillers, filters, config)
    of_filter = _longest(counts)
    ends = np.cumsum(of_filter)
    starts = ends - of_filter

    filler = ((1 << config.place_bits) - 1) << config.weight_bits
    words = np.full((int(ends[-1]), streams), filler, np.int64)
    if streams > 1:
        number = np.arange(len(words)) - np.repeat(starts, of_filter)  # of a word in its filter
        words[number[:, None] >= np.repeat(counts, of_filter, axis=0)] = filler | 1
    row, stream = np.divmod(cell, streams)
    through = np.cumsum(fillers + 1) - 1  # entries before, of all streams one behind the other
    begun = np.cumsum(counts) - counts.reshape(-1)
    codes = level_codes(layer.levels[order], config.weight_bits).astype(np.int64)
    words[starts[row] + through - begun[cell], stream] = place << config.weight_bits | codes

    last = np.zeros(len(words), bool)
    last[ends - 1] = True
    return to_bytes(words, config.place_bits + config.weight_bits, last)


def fullest(layer: Layer, streams: int) -> np.ndarray:
    """int64 [filters]: weights of the fullest stream."""
    g = layer.geometry
    stream = layer.col_idx // (g.kernel[0] * g.kernel[1]) % streams
    cell = layer.row_idx * streams + stream
    counts = np.bincount(cell, minlength=g.out_channels * streams)
    most: np.ndarray = counts.reshape(-1, streams).max(axis=1)
    return most


def parts(layer: Layer, begins: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Ranges of filters that hold few weights at a time: large arrays are slow.

    begins : int64, filters at which a range may begin, 0 and the number of filters among them; all
    """
    if begins is None:
        begins = np.arange(layer.geometry.out_channels + 1)
    number = layer.row_ptr[begins] // _FEW
    ends = begins[np.flatnonzero(np.diff(number)) + 1]
    return list(itertools.pairwise(sorted({0, *ends.tolist(), layer.geometry.out_channels})))


def _places(
    layer: Layer, layout: Layout, config: CoreConfig, first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(cell, order, place, fillers before) of each non-zero of the filters `first` to `last` - 1.

    A cell is a stream of a filter, their number (filter - first) * streams + stream; within one,
    non-zeros are visited by address.
    """
    streams = config.streams
    row_ptr = layer.row_ptr[first : last + 1]
    cell = np.repeat(np.arange(last - first), np.diff(row_ptr))
    column = layer.col_idx[row_ptr[0] : row_ptr[-1]]
    tap, stream = layout.dealt()
    taps = layout.tap_addresses()[tap]
    if streams > 1:
        cell = cell * streams + stream[column]
    address = taps[column]
    order = np.arange(len(cell))
    if streams > 1 or np.any(np.diff(taps) < 0):  # columns are not in the order of their addresses
        order = np.lexsort((address, cell))
        cell, address = cell[order], address[order]
    if config.coding == "absolute":
        return cell, order, address, np.zeros_like(address)
    delta = np.diff(address, prepend=0)
    begins = np.diff(cell, prepend=-1) != 0
    delta[begins] = address[begins]
    fillers, delta = np.divmod(delta, (1 << config.index_bits) - 1)
    return cell, order, delta, fillers


def _counts(cell: np.ndarray, fillers: np.ndarray, filters: int, config: CoreConfig) -> np.ndarray:
    """int64 [filters, streams]: entries of each stream, fillers included."""
    cells = filters * config.streams
    counts = np.bincount(cell, weights=fillers + 1, minlength=cells).astype(np.int64)
    return counts.reshape(filters, -1)


def _longest(counts: np.ndarray) -> np.ndarray:
    """int64 [filters]: words, of the fullest stream's entries; a filter without has one filler."""
    return np.maximum(counts.max(axis=1), 1)
