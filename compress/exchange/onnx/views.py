"""What a tensor of a foreign graph holds: which numbers of a node's output, in which order.

Reshaping, transposing, slicing, padding with zeros and the like compute nothing. A `Value` keeps
track of where each number comes from, and only what reads it decides whether anything must move:
weights can be reordered instead, and most transposes cancel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from compress.model.hostops import Layout, Shape


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the foreign graph.

    Parameters
    ----------
    node : whose output its numbers are, or "input"
    places : int64, of the foreign shape, the batch of 1 included: one more than the place in the
        node's flattened [C, H, W], or 0 where the number is 0
    head : the softmax or the like that was left out behind it, after which only outputs may come
    """

    node: str
    places: np.ndarray
    head: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """In the foreign graph."""
        return self.places.shape


def in_order(shape: Sequence[int]) -> np.ndarray:
    """Places of all numbers of a node, in the shape given."""
    return np.arange(1, math.prod(shape) + 1).reshape(shape)


def is_in_order(places: np.ndarray) -> bool:
    return np.array_equal(places.reshape(-1), in_order((places.size,)))


def is_whole(places: np.ndarray, volume: int) -> bool:
    """Whether every number of a node stands there once."""
    return places.size == volume and bool(
        np.array_equal(np.sort(places.reshape(-1)), in_order((volume,)))
    )


def map_shape(shape: Sequence[int]) -> Shape:
    """(C, H, W) of a foreign shape with a batch: vectors are channels, rows lie horizontally.

    The maps of several images, which a graph may make of one, are channels beside each other.
    """
    if len(shape) < 3:
        return math.prod(shape), 1, 1
    if len(shape) == 3:
        return shape[0] * shape[1], 1, shape[2]
    return math.prod(shape[:-2]), shape[-2], shape[-1]


def taken(places: np.ndarray, source: Shape) -> Layout | None:
    """The layout of the take that makes [C', H', W'] `places` of a map, if one does."""
    filled = places > 0
    if not filled.any():
        return None
    numbers = np.unravel_index(np.where(filled, places - 1, 0), source)
    along = [
        np.where(filled, number, -1).max(axis=tuple({0, 1, 2} - {axis}))
        for axis, number in enumerate(numbers)
    ]
    grid = np.ix_(*along)
    strides = (source[1] * source[2], source[2], 1)
    there = np.logical_and.reduce(np.broadcast_arrays(*(axis >= 0 for axis in grid)))
    made = np.where(
        there, sum(axis * step for axis, step in zip(grid, strides, strict=True)) + 1, 0
    )
    if not np.array_equal(made, places):
        return None
    channels, rows, columns = (tuple(axis.tolist()) for axis in along)
    return channels, rows, columns


def permuted(places: np.ndarray, source: Shape) -> Layout | None:
    """The layout of the permute that makes [C', H', W'] `places` of a map, if one does.

    Where numbers of a transposed array come from is a sum of digits times strides; from the
    innermost outwards, a digit ends where its stride does.
    """
    volume = math.prod(source)
    if places.size != volume:
        return None
    rest = places.reshape(-1) - 1
    digits: list[tuple[int, int]] = []  # (size, stride), the innermost first
    while len(rest) > 1:
        step = int(rest[1] - rest[0])
        if step < 1:
            return None
        breaks = np.flatnonzero(np.diff(rest) != step)
        size = int(breaks[0]) + 1 if len(breaks) else len(rest)
        if len(rest) % size:
            return None
        blocks = rest.reshape(-1, size)
        if not np.array_equal(blocks, blocks[:, :1] + np.arange(size) * step):
            return None
        digits.append((size, step))
        rest = blocks[:, 0]
    if rest[0] != 0:
        return None
    digits = digits[::-1] or [(1, 1)]
    by_stride = sorted(digits, key=lambda digit: -digit[1])
    below = 1
    for size, step in reversed(by_stride):
        if step != below:
            return None
        below *= size
    order = tuple(by_stride.index(digit) for digit in digits)
    shape = (places.shape[0], places.shape[1], places.shape[2])
    return tuple(size for size, _ in by_stride), order, shape


def taken_and_turned(places: np.ndarray, source: Shape) -> tuple[Layout, Layout] | None:
    """A take and the permute after it, where one alone is not enough."""
    for order in permutations(range(3)):
        layout = taken(places.transpose(order), source)
        if layout is not None:
            sizes = tuple(len(axis) for axis in layout)
            back = tuple(int(axis) for axis in np.argsort(order))
            return layout, (sizes, back, (places.shape[0], places.shape[1], places.shape[2]))
    return None


def margins(places: Sequence[int]) -> tuple[int, int]:
    """How many places of zeros (-1) an axis begins and ends with."""
    filled = [at for at, place in enumerate(places) if place >= 0]
    return filled[0], len(places) - 1 - filled[-1]
