"""The weight stream of the sparse core whose entries tell a place: a distance or an address.

A word has an entry {place, code} for each stream of input channels, and `last` of a filter on top.
A stream's entries lie in the order of their addresses. A filter takes as many words as its fullest
stream has entries; behind theirs the others rest, with fillers of code 1, which move no address.
"""

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from rtl.program.visits import Part, changes, longest, order_on, parts, visit_order, visits, whole
from rtl.program.words import to_bytes


def place_counts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [filters]: words of each filter, at least one."""
    words = np.zeros(layer.geometry.out_channels, np.int64)
    for part in parts(layer):
        cell, _, fillers = _places(layer, layout, config, part)
        counts = _counts(cell, fillers, part.last - part.first, config)
        words[part.first : part.last] = longest(counts)
    return words


def place_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    filters, streams = layer.geometry.out_channels, config.streams
    cell, place, fillers = _places(layer, layout, config, whole(layer))
    counts = _counts(cell, fillers, filters, config)
    of_filter = longest(counts)
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
    levels = layer.levels[visit_order(layer, order_on(layout)[0], whole(layer))]
    codes = level_codes(levels, config.weight_bits).astype(np.int64)
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


def _places(
    layer: Layer, layout: Layout, config: CoreConfig, part: Part
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cell, place, fillers before) of each weight of `part`, as rtl.program.visits orders them and
    numbers the cells."""
    order, addresses = order_on(layout)
    cell, at = visits(layer, order, part)
    address = addresses[at]
    if config.coding == "absolute":
        return cell, address, np.zeros_like(address)
    delta = np.diff(address, prepend=0)
    begins = changes(cell)
    delta[begins] = address[begins]
    fillers, delta = np.divmod(delta, (1 << config.index_bits) - 1)
    return cell, delta, fillers


def _counts(cell: np.ndarray, fillers: np.ndarray, filters: int, config: CoreConfig) -> np.ndarray:
    """int64 [filters, streams]: entries of each stream, fillers included."""
    cells = filters * config.streams
    counts = np.bincount(cell, weights=fillers + 1, minlength=cells).astype(np.int64)
    return counts.reshape(filters, -1)
