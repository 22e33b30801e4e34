"""The order in which a sparse core visits the weights of a filter: stream by stream, by address."""

import functools
import itertools

import numpy as np

from compress.model.graph import Layer
from rtl.program.layout import Layout

_FEW = 1 << 20  # weights


def parts(layer: Layer) -> list[tuple[int, int]]:
    """Ranges of filters that hold few weights at a time: large arrays are slow."""
    number = layer.row_ptr // _FEW
    ends = np.flatnonzero(np.diff(number)) + 1
    return list(itertools.pairwise(sorted({0, *ends.tolist(), layer.geometry.out_channels})))


@functools.lru_cache(maxsize=4)
def visits(layer: Layer, layout: Layout, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """(cell, address) of each weight of the filters `first` to `last` - 1, in the order in which
    they are visited, int64 [weights] each.

    A cell is a stream of a filter, their number (filter - first) * streams + stream; `layout` has
    an element for all streams.
    """
    place, stream, address = _columns(layout)
    row = _rows(layer, first, last)
    rank = _ranks(layer, layout, first, last)
    if np.any(np.diff(place) < 0):
        rank.sort()
    at = rank - row * layer.geometry.columns  # as many weights of a filter as before
    return row * layout.element + stream[at], address[at]


def visit_order(layer: Layer, layout: Layout, first: int, last: int) -> np.ndarray:
    """int64 [weights]: which of these filters' weights is visited each time."""
    return np.argsort(_ranks(layer, layout, first, last), kind="stable")


def _rows(layer: Layer, first: int, last: int) -> np.ndarray:
    return np.repeat(np.arange(last - first), np.diff(layer.row_ptr[first : last + 1]))


def _ranks(layer: Layer, layout: Layout, first: int, last: int) -> np.ndarray:
    """int64 [weights]: numbers that rise as weights are visited."""
    row_ptr = layer.row_ptr[first : last + 1]
    column = layer.col_idx[row_ptr[0] : row_ptr[-1]]
    return _rows(layer, first, last) * layer.geometry.columns + _columns(layout)[0][column]


@functools.lru_cache(maxsize=64)
def _columns(layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(int64 [columns], the place of each of a filter's columns in the order of visits; int64
    [columns] each, stream and address of each place)."""
    tap, stream = layout.dealt()
    address = layout.tap_addresses()[tap]
    order = np.lexsort((address, stream))
    return np.argsort(order), stream[order], address[order]
