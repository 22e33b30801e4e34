"""The order in which a sparse core visits the weights of a filter: stream by stream, by address."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from compress.model.graph import Layer
from rtl.program.layout import Layout

_FEW = 1 << 20  # weights


@dataclass(frozen=True, eq=False)
class Order:
    """That of a filter's columns; layouts with the same one share the object.

    Parameters
    ----------
    place : int64 [columns], of each column among them
    stream : int64 [columns], of the column of each place
    streams : how many there are
    """

    place: np.ndarray
    stream: np.ndarray
    streams: int


@functools.lru_cache(maxsize=1024)
def order_on(layout: Layout) -> tuple[Order, np.ndarray]:
    """(order, int64 [columns], the address of the column of each place) where an element has one
    channel of each stream."""
    tap, stream = layout.dealt()
    address = layout.tap_addresses()[tap]
    visits = np.lexsort((address, stream))
    return _order(visits.tobytes(), stream.tobytes(), layout.element), address[visits]


@functools.lru_cache(maxsize=1024)
def _order(visits: bytes, stream: bytes, streams: int) -> Order:
    column = np.frombuffer(visits, np.int64)
    return Order(np.argsort(column), np.frombuffer(stream, np.int64)[column], streams)


def parts(layer: Layer) -> list[tuple[int, int]]:
    """Ranges of filters that hold few weights at a time: large arrays are slow."""
    number = layer.row_ptr // _FEW
    ends = np.flatnonzero(np.diff(number)) + 1
    return list(itertools.pairwise(sorted({0, *ends.tolist(), layer.geometry.out_channels})))


@functools.lru_cache(maxsize=8)
def visits(layer: Layer, order: Order, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """(cell, place) of each weight of the filters `first` to `last` - 1, in the order in which
    they are visited, int64 [weights] each.

    A cell is a stream of a filter, their number (filter - first) * streams + stream; a place is
    that of the weight's column.
    """
    row = _rows(layer, first, last)
    rank = _ranks(layer, order, first, last)
    if np.any(np.diff(order.place) < 0):
        rank.sort()
    place = rank - row * layer.geometry.columns  # as many weights of a filter as before
    return row * order.streams + order.stream[place], place


def visit_order(layer: Layer, order: Order, first: int, last: int) -> np.ndarray:
    """int64 [weights]: which of these filters' weights is visited each time."""
    return np.argsort(_ranks(layer, order, first, last), kind="stable")


def _rows(layer: Layer, first: int, last: int) -> np.ndarray:
    return np.repeat(np.arange(last - first), np.diff(layer.row_ptr[first : last + 1]))


def _ranks(layer: Layer, order: Order, first: int, last: int) -> np.ndarray:
    """int64 [weights]: numbers that rise as weights are visited."""
    row_ptr = layer.row_ptr[first : last + 1]
    column = layer.col_idx[row_ptr[0] : row_ptr[-1]]
    return _rows(layer, first, last) * layer.geometry.columns + order.place[column]
