"""The weight stream of the "window" coding.

A word has an entry {step, tap, code} for each stream of input channels, and `last` of a filter on
top. A stream's weights lie in the order of their windows. The first one of a window has the number
of the step that leads to it from the window before, or 0 behind fillers that make the distance. A
window takes as many entries as it has beats, at least: fillers that move nothing are added. A
filter takes as many words as its longest stream, and the others rest with such fillers.
"""

import functools
from dataclasses import dataclass

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from rtl.program.reads import read_plan
from rtl.program.words import to_bytes


@dataclass(frozen=True, eq=False)
class Entries:
    """The weights of a layer in the order of their entries.

    Parameters
    ----------
    order : int64 [weights], which of the layer's weights each is
    cell : int64 [weights], filter * streams + stream
    tap : int64 [weights], its place in its window
    step : int64 [weights], the number of the step to its window, 0 for none
    left : int64 [weights], what fillers add up to before
    place : int64 [weights], of its entry among those of its cell
    counts : int64 [filters, streams], entries of each cell
    steps : distances of the steps 1, 2, ...
    """

    order: np.ndarray
    cell: np.ndarray
    tap: np.ndarray
    step: np.ndarray
    left: np.ndarray
    place: np.ndarray
    counts: np.ndarray
    steps: tuple[int, ...]

    @property
    def words(self) -> np.ndarray:
        """int64 [filters]: words of each, at least one."""
        return np.maximum(self.counts.max(axis=1), 1)


def window_entries(layer: Layer, layout: Layout, config: CoreConfig) -> Entries:
    """The entries of `layer`'s weights: lanes and memories of `config` do not matter."""
    return _entries(
        layer,
        layout,
        (config.window_span, config.streams, config.beats),
        (config.step_bits, config.weight_bits),
    )


def window_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    found = window_entries(layer, layout, config)
    ends = np.cumsum(found.words)
    starts = ends - found.words
    filler = ((1 << config.tap_bits) - 1) << config.weight_bits
    words = np.full((int(ends[-1]), config.streams), filler, np.int64)
    row, stream = np.divmod(found.cell, config.streams)
    at = starts[row] + found.place
    high = config.weight_bits + config.tap_bits
    codes = level_codes(layer.levels[found.order], config.weight_bits).astype(np.int64)
    words[at, stream] = found.step << high | found.tap << config.weight_bits | codes

    # The fillers right before a weight move as far as they can, the first of them what is left.
    most = _most(config.step_bits, config.weight_bits)
    moved = np.flatnonzero(found.left)
    fillers = -(-found.left[moved] // most)
    weight = np.repeat(moved, fillers)
    number = np.arange(len(weight)) - np.repeat(np.cumsum(fillers) - fillers, fillers)
    rest = found.left[weight] - (np.repeat(fillers, fillers) - 1) * most
    value = np.where(number == 0, rest, most)
    before = at[weight] - np.repeat(fillers, fillers) + number
    code = value & (1 << config.weight_bits) - 1
    words[before, stream[weight]] |= value >> config.weight_bits << high | code

    last = np.zeros(len(words), bool)
    last[ends - 1] = True
    return to_bytes(words, config.place_bits + config.weight_bits, last)


def _most(step_bits: int, weight_bits: int) -> int:
    """The farthest that a filler moves."""
    return (1 << step_bits + weight_bits) - 1


@functools.lru_cache(maxsize=4)
def _entries(
    layer: Layer, layout: Layout, shape: tuple[int, int, int], widths: tuple[int, int]
) -> Entries:
    """Of the shape (window_span, streams, beats), with widths (step_bits, weight_bits)."""
    span, streams, beats = shape
    step_bits, weight_bits = widths
    filters = layer.geometry.out_channels
    start, tap, stream = _columns(layout, span, streams)
    cell = np.repeat(np.arange(filters), np.diff(layer.row_ptr)) * streams + stream[layer.col_idx]
    order = np.lexsort((tap[layer.col_idx], start[layer.col_idx], cell))
    cell, column = cell[order], layer.col_idx[order]
    start = start[column]

    begins = np.diff(cell, prepend=-1) != 0
    opens = np.flatnonzero(begins | (np.diff(start, prepend=-1) != 0))
    distance = np.diff(start[opens], prepend=0)
    distance[begins[opens]] = start[opens][begins[opens]]
    most = _most(step_bits, weight_bits)
    steps = _steps(distance, most, (1 << step_bits) - 1)
    numbers = np.arange(1, len(steps) + 1)
    by_distance = np.argsort(steps)
    sorted_steps = np.array(steps, np.int64)[by_distance]
    found = np.minimum(np.searchsorted(sorted_steps, distance), max(len(steps) - 1, 0))
    known = sorted_steps[found] == distance if steps else np.zeros(len(distance), bool)
    step = np.where(known, numbers[by_distance][found] if steps else 0, 0)
    left = np.where(known, 0, distance)

    # Fillers before the weights that open a window, and those that fill up a cell's last window.
    moving = -(-left // most)
    weights = np.diff(opens, append=len(cell))  # of each window
    short = np.maximum(beats - weights, 0)
    first = begins[opens]
    padding = np.where(first, 0, np.maximum(np.concatenate([[0], short[:-1]]) - moving, 0))
    fillers = np.zeros(len(cell), np.int64)
    fillers[opens] = moving + padding
    through = np.cumsum(fillers + 1)
    cells = filters * streams
    entries = np.bincount(cell, weights=fillers + 1, minlength=cells).astype(np.int64)
    begun = np.cumsum(entries) - entries
    place = through - 1 - begun[cell]
    final = np.append(first[1:], True) if len(first) else first  # the last window of its cell
    np.add.at(entries, cell[opens[final]], short[final])

    every = np.zeros((2, len(cell)), np.int64)
    every[:, opens] = step, left
    return Entries(
        order=order,
        cell=cell,
        tap=tap[column],
        step=every[0],
        left=every[1],
        place=place,
        counts=entries.reshape(filters, streams),
        steps=steps,
    )


def _columns(layout: Layout, span: int, streams: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(address of its window, place there, stream), each int64 [columns]."""
    config = CoreConfig(coding="window", window_span=span, lanes=1)
    plan, g = read_plan(layout, config), layout.geometry
    channel, tap = np.divmod(np.arange(g.columns), g.kernel[0] * g.kernel[1])
    element = channel // streams * (g.kernel[0] * g.kernel[1]) + tap
    number, read = np.divmod(plan.window, len(plan.table))
    starts = plan.table[read] + number * plan.step
    return starts[element], plan.shift[element], channel % streams


def _steps(distance: np.ndarray, most: int, count: int) -> tuple[int, ...]:
    """The distances, `count` at most, that would take the most fillers without a step."""
    several, times = np.unique(distance[distance > 0], return_counts=True)
    saved = times * -(-several // most)
    best = np.argsort(-saved, kind="stable")[:count]
    return tuple(several[best].tolist())
