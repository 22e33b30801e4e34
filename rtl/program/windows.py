"""The weight stream of the "window" coding.

A word has an entry {turn, step, tap, code} for each stream of input channels, and `last` of a pass
on top: of a filter, or of several that take turns. A stream's weights lie in the order of their
windows, in a window in that of their addresses, at an address in that of their filters.
The first one of a window has the number of the step that leads to it from the first of the window
before, or 0 behind fillers that make the distance; the others tell how far they lie behind the
weight before. A window takes as many entries as it has beats, at least: fillers that move nothing
are added. A pass takes as many words as its longest stream, and the others rest with such
fillers.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from compress.model.graph import Geometry, Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from rtl.program.places import parts
from rtl.program.words import to_bytes


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of some passes in the order of their entries.

    Parameters
    ----------
    passes : how many
    order : int64 [weights], which of these passes' weights each is
    cell : int64 [weights], pass * streams + stream, of the first of these passes 0
    turn : int64 [weights], the filter's number in its pass
    tap : int64 [weights], bytes from the weight before, 0 for a window's first
    opens : int64 [windows], the first weight of each
    first : bool [windows], the first one of its cell
    distance : int64 [windows], from the window before, of the first one from the tile's base
    """

    passes: int
    order: np.ndarray
    cell: np.ndarray
    turn: np.ndarray
    tap: np.ndarray
    opens: np.ndarray
    first: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of some passes.

    Parameters
    ----------
    weights : of these passes
    step : int64 [windows], the number of the step to each, 0 for none
    left : int64 [windows], what fillers add up to before it
    place : int64 [weights], of an entry among those of its cell
    counts : int64 [passes, streams], entries of each cell
    """

    weights: Weights
    step: np.ndarray
    left: np.ndarray
    place: np.ndarray
    counts: np.ndarray

    @property
    def words(self) -> np.ndarray:
        """int64 [passes]: words of each, at least one."""
        return np.maximum(self.counts.max(axis=1), 1)


def window_counts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [passes]: words of each pass, at least one."""
    steps = window_steps(layer, layout, config)
    return np.concatenate(
        [_entries(weights, steps, config).words for weights in _parts(layer, layout, config)]
    )


def window_steps(layer: Layer, layout: Layout, config: CoreConfig) -> tuple[int, ...]:
    """The distances between `layer`'s windows that would take the most fillers without a step:
    those of the steps 1, 2, ..., as many as there can be."""
    times: dict[int, int] = {}
    for weights in _parts(layer, layout, config):
        distance = weights.distance
        several, counts = np.unique(distance[distance > 0], return_counts=True)
        for each, count in zip(several.tolist(), counts.tolist(), strict=True):
            times[each] = times.get(each, 0) + count
    most = _most(config)
    by_saving = sorted(times, key=lambda each: (-times[each] * -(-each // most), each))
    return tuple(by_saving[: (1 << config.step_bits) - 1])


def window_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    steps = window_steps(layer, layout, config)
    weights = _weights(layer, layout, config, 0, layer.geometry.out_channels)
    found = _entries(weights, steps, config)
    ends = np.cumsum(found.words)
    starts = ends - found.words
    filler = ((1 << config.tap_bits) - 1) << config.weight_bits
    words = np.full((int(ends[-1]), config.streams), filler, np.int64)
    row, stream = np.divmod(weights.cell, config.streams)
    at = starts[row] + found.place
    high = config.weight_bits + config.tap_bits
    codes = level_codes(layer.levels[weights.order], config.weight_bits).astype(np.int64)
    turns = weights.turn << high + config.step_bits
    words[at, stream] = turns | weights.tap << config.weight_bits | codes
    words[at[weights.opens], stream[weights.opens]] |= found.step << high

    # The fillers right before a weight move as far as they can, the first of them what is left.
    most = _most(config)
    fillers = -(-found.left // most)  # of each window
    weight = np.repeat(weights.opens, fillers)
    number = np.arange(len(weight)) - np.repeat(np.cumsum(fillers) - fillers, fillers)
    rest = found.left - (fillers - 1) * most
    value = np.where(number == 0, np.repeat(rest, fillers), most)
    before = at[weight] - np.repeat(fillers, fillers) + number
    code = value & (1 << config.weight_bits) - 1
    words[before, stream[weight]] |= value >> config.weight_bits << high | code

    last = np.zeros(len(words), bool)
    last[ends - 1] = True
    return to_bytes(words, config.place_bits + config.weight_bits, last)


def _most(config: CoreConfig) -> int:
    """The farthest that a filler moves."""
    return (1 << config.step_bits + config.weight_bits) - 1


def _parts(layer: Layer, layout: Layout, config: CoreConfig) -> Iterator[Weights]:
    """All weights, those of a few passes at a time."""
    passes, _ = _turns(layer.geometry, config.turns)
    begins = np.flatnonzero(np.diff(passes, prepend=-1, append=passes[-1] + 1))
    for first, last in parts(layer, begins):
        yield _weights(layer, layout, config, first, last)


def _turns(g: Geometry, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 [filters] both: the pass of each, and its turn there.

    turns : filters of a pass, which are all of one convolution group
    """
    members = g.out_channels // g.groups
    group, member = np.divmod(np.arange(g.out_channels), members)
    number, turn = np.divmod(member, turns)
    return group * -(-members // turns) + number, turn


def _weights(layer: Layer, layout: Layout, config: CoreConfig, first: int, last: int) -> Weights:
    """Those of the filters `first` to `last` - 1, which are whole passes."""
    return _sorted(layer, layout, config.window_span, config.streams, config.turns, first, last)


@functools.lru_cache(maxsize=2)
def _sorted(
    layer: Layer, layout: Layout, span: int, streams: int, turns: int, first: int, last: int
) -> Weights:
    tap, stream = layout.dealt()
    taps = layout.tap_addresses()[tap]
    row_ptr = layer.row_ptr[first : last + 1]
    column = layer.col_idx[row_ptr[0] : row_ptr[-1]]
    passes, turn = (of[first:last] for of in _turns(layer.geometry, turns))
    row = np.repeat(np.arange(last - first), np.diff(row_ptr))
    cell = (passes - passes[0])[row] * streams + stream[column]
    order = np.lexsort((turn[row], taps[column], cell))
    cell, address = cell[order], taps[column[order]]
    begins = np.diff(cell, prepend=-1) != 0
    opens = _opens(cell, address, begins, span)
    distance = np.diff(address[opens], prepend=0)
    distance[begins[opens]] = address[opens][begins[opens]]
    moved = np.diff(address, prepend=0)
    moved[opens] = 0
    return Weights(
        passes=int(passes[-1] - passes[0]) + 1,
        order=order,
        cell=cell,
        turn=turn[row][order],
        tap=moved,
        opens=opens,
        first=begins[opens],
        distance=distance,
    )


def _opens(cell: np.ndarray, address: np.ndarray, begins: np.ndarray, span: int) -> np.ndarray:
    """int64 [windows]: the weights that open one, each the first that those before can't serve.

    That gives as few windows as there can be, whichever kernel rows and channels lie side by side.
    """
    reach = int(address.max(initial=0)) + span + 1
    place = cell * reach + address
    opens = begins | (np.diff(place, prepend=0) >= span)
    newest = np.flatnonzero(opens)
    while len(newest):  # runs without a gap take several windows: the next one of all runs at once
        after = np.searchsorted(place, place[newest] + span)
        after = after[after < len(place)]
        newest = after[~opens[after]]
        opens[newest] = True
    return np.flatnonzero(opens)


def _entries(weights: Weights, steps: tuple[int, ...], config: CoreConfig) -> Entries:
    """With these steps."""
    cell, opens, first = weights.cell, weights.opens, weights.first
    step = np.zeros(len(opens), np.int64)
    for number, distance in enumerate(steps, 1):
        step[weights.distance == distance] = number
    left = np.where(step != 0, 0, weights.distance)

    # Fillers before the weights that open a window, and those that fill up a cell's last window.
    moving = -(-left // _most(config))
    short = np.maximum(config.beats - np.diff(opens, append=len(cell)), 0)
    padding = np.where(first, 0, np.maximum(np.append(0, short)[: len(short)] - moving, 0))
    fillers = np.zeros(len(cell), np.int64)
    fillers[opens] = moving + padding
    cells = weights.passes * config.streams
    entries = np.bincount(cell, weights=fillers + 1, minlength=cells).astype(np.int64)
    begun = np.cumsum(entries) - entries
    place = np.cumsum(fillers + 1) - 1 - begun[cell]
    final = np.append(first[1:], True)[: len(first)]  # the last window of its cell
    np.add.at(entries, cell[opens[final]], short[final])
    return Entries(weights, step, left, place, entries.reshape(weights.passes, -1))
