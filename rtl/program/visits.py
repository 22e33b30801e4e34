"""The order in which a sparse core visits the weights of a pass: stream by stream, by address.

A pass is a filter, or several of a convolution group that take turns: at an address one after the
other.
"""

import functools
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compress.model.graph import Geometry, Layer
from rtl.program.layout import Layout

_FEW = 1 << 20  # weights


@dataclass(frozen=True, eq=False)
class Order:
    """That of a pass's columns; layouts with the same one share the object.

    Parameters
    ----------
    place : int32 [columns], of each column among them
    stream : int32 [columns], of the column of each place
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
    of_place = np.frombuffer(stream, np.int64)[column]
    return Order(np.argsort(column).astype(np.int32), of_place.astype(np.int32), streams)


class Part(NamedTuple):
    """Some passes of a layer.

    Parameters
    ----------
    first, last : these are the filters `first` to `last` - 1
    turns : filters of a pass
    """

    first: int
    last: int
    turns: int


def whole(layer: Layer, turns: int = 1) -> Part:
    """All passes of `layer`."""
    return Part(0, layer.geometry.out_channels, turns)


def parts(layer: Layer, turns: int = 1) -> list[Part]:
    """All passes, those that hold few weights at a time: large arrays are slow."""
    passes, _ = turns_of(layer.geometry, turns)
    begins = np.flatnonzero(np.diff(passes, prepend=-1, append=passes[-1] + 1))
    number = layer.row_ptr[begins] // _FEW
    ends = begins[np.flatnonzero(np.diff(number)) + 1]
    several = itertools.pairwise(sorted({0, *ends.tolist(), len(passes)}))
    return [Part(first, last, turns) for first, last in several]


@functools.lru_cache(maxsize=64)
def turns_of(g: Geometry, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """(the pass of each filter, its turn there), int64 [filters] each."""
    members = g.out_channels // g.groups
    group, member = np.divmod(np.arange(g.out_channels), members)
    number, turn = np.divmod(member, turns)
    return group * -(-members // turns) + number, turn


def passes_in(layer: Layer, part: Part) -> int:
    """How many there are."""
    passes, _ = turns_of(layer.geometry, part.turns)
    return int(passes[part.last - 1] - passes[part.first]) + 1


@functools.lru_cache(maxsize=8)
def visits(layer: Layer, order: Order, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """(cell, place) of each weight, in the order of the visits, both integers [weights].

    A cell is a stream of a pass, their number pass * streams + stream, of the part's first pass 0;
    a place is that of the weight's column.
    """
    number, _ = _turns(layer, part)
    rank = _ranks(layer, order, part)
    if part.turns > 1 or np.any(np.diff(order.place) < 0):
        rank.sort()
    if part.turns > 1:
        rank //= part.turns
    # As many weights of a pass as before.
    place = rank - number * layer.geometry.columns
    return number * order.streams + order.stream[place], place


def visit_order(layer: Layer, order: Order, part: Part) -> np.ndarray:
    """int64 [weights]: which of the part's weights is visited each time."""
    return np.argsort(_ranks(layer, order, part), kind="stable")


def _turns(layer: Layer, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """(pass of each weight, of the part's first one 0, and its filter's turn), integers [weights],
    of a size in which `_ranks` fit."""
    passes, turn = (of[part.first : part.last] for of in turns_of(layer.geometry, part.turns))
    largest = (passes[-1] - passes[0] + 1) * layer.geometry.columns * part.turns
    size = np.int32 if largest < 1 << 31 else np.int64
    weights = np.diff(layer.row_ptr[part.first : part.last + 1])
    first: np.ndarray = passes - passes[0]
    return np.repeat(first.astype(size), weights), np.repeat(turn.astype(size), weights)


def _ranks(layer: Layer, order: Order, part: Part) -> np.ndarray:
    """Integers [weights] that rise as weights are visited."""
    row_ptr = layer.row_ptr[part.first : part.last + 1]
    column = layer.col_idx[row_ptr[0] : row_ptr[-1]]
    number, turn = _turns(layer, part)
    number *= layer.geometry.columns
    number += order.place[column]
    return number if part.turns == 1 else number * part.turns + turn


def changes(values: np.ndarray) -> np.ndarray:
    """bool of the shape of `values` [n]: where they differ from the one before, the first too."""
    found = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def longest(counts: np.ndarray) -> np.ndarray:
    """int64 [passes]: words of each, of the fullest stream's entries; one without has one filler.

    counts : int64 [passes, streams], entries
    """
    words: np.ndarray = np.maximum(counts.max(axis=1), 1)
    return words
