"""The weight stream of the "window" coding.

A word has an entry {turn, step, tap, code} for each stream of input channels, and `last` of a pass
on top: of a filter, or of several that take turns. A stream's weights lie in the order of their
windows, in a window in that of their addresses, at an address in that of their filters.
The first one of a window has the number of the step that leads to it from the first of the window
before, or 0 behind fillers that make the distance; the others tell how far they lie behind the
weight before. A window takes as many entries as it has beats, at least: fillers that move nothing
are added. A pass takes as many words as its longest stream, and the others rest with such
fillers.

Where taps are listed an entry is {turn, opens, number, code}: one number for a step or a tap. A
weight that no listed tap leads to opens a window.
"""

import functools
from dataclasses import dataclass

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from rtl.program.visits import (
    Order,
    Part,
    changes,
    longest,
    order_on,
    parts,
    passes_in,
    turns_of,
    visit_order,
    visits,
    whole,
)
from rtl.program.words import to_bytes


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of some passes, in the order of their entries, wherever the map lies.

    Parameters
    ----------
    passes : how many
    cell : int32 [windows], pass * streams + stream, of the first of these passes 0
    place : int32 [windows], of the column of its first weight
    weights : int32 [windows], that each serves
    begins : int64 [cells with weights], the first window of each
    """

    passes: int
    cell: np.ndarray
    place: np.ndarray
    weights: np.ndarray
    begins: np.ndarray

    def distance(self, addresses: np.ndarray) -> np.ndarray:
        """int64 [windows]: from the window before, of the first one from the tile's base.

        addresses : int64 [columns], by place
        """
        at = addresses[self.place]
        found = np.diff(at, prepend=0)
        found[self.begins] = at[self.begins]
        return found


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of some passes.

    Parameters
    ----------
    step : int64 [windows], the number of the step to each, 0 for none
    left : int64 [windows], what fillers add up to before it
    moving : int64 [windows], such fillers
    padding : int64 [windows], those before it that fill up the window before
    counts : int64 [passes, streams], entries of each cell
    """

    step: np.ndarray
    left: np.ndarray
    moving: np.ndarray
    padding: np.ndarray
    counts: np.ndarray

    @property
    def words(self) -> np.ndarray:
        """int64 [passes]: words of each, at least one."""
        return longest(self.counts)


def window_counts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [passes]: words of each pass, at least one."""
    _, addresses = order_on(layout)
    several = _parts(layer, layout, config)
    distances = [windows.distance(addresses) for windows in several]
    steps = _steps(distances, config)
    words = [
        _entries(windows, distance, steps, config).words
        for windows, distance in zip(several, distances, strict=True)
    ]
    return np.concatenate(words)


def fewest_words(layer: Layer, layout: Layout, config: CoreConfig) -> int:
    """Words of all passes if no filler had to move: at least those, wherever the map lies."""
    words = 0
    for windows in _parts(layer, layout, config):
        entries = np.maximum(windows.weights, config.beats)
        words += int(longest(_of_cells(windows, entries, config.streams)).sum())
    return words


def window_steps(layer: Layer, layout: Layout, config: CoreConfig) -> tuple[int, ...]:
    """The distances between `layer`'s windows that would take the most fillers without a step:
    those of the steps 1, 2, ..., as many as there can be."""
    _, addresses = order_on(layout)
    several = _parts(layer, layout, config)
    return _steps([windows.distance(addresses) for windows in several], config)


def window_taps(layer: Layer, layout: Layout, config: CoreConfig) -> tuple[int, ...]:
    """The distances by which most weights lie behind the one before in their window: those of the
    listed taps 0, 1, ..., as many as there can be."""
    return _taps(layer, _reach(layout, config.window_span), config.turns, 1 << config.step_bits)


def _steps(distances: list[np.ndarray], config: CoreConfig) -> tuple[int, ...]:
    found = [np.bincount(several) for several in distances]
    times = np.zeros(max(map(len, found)), np.int64)
    for several in found:
        times[: len(several)] += several
    moves = np.flatnonzero(times[1:]) + 1
    saving = times[moves] * -(-moves // _most(config))
    best = np.argsort(-saving, kind="stable")[: (1 << config.step_bits) - 1]
    return tuple(moves[best].tolist())


def window_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    steps, part = window_steps(layer, layout, config), whole(layer, config.turns)
    order, addresses = order_on(layout)
    cell, place = visits(layer, order, part)
    windows = _windows(layer, layout, config, part)
    found = _entries(windows, windows.distance(addresses), steps, config)
    opens = np.cumsum(windows.weights) - windows.weights
    ends = np.cumsum(found.words)
    starts = ends - found.words
    told = 1 + config.step_bits if config.listed else config.tap_bits
    filler = ((1 << told) - 1) << config.weight_bits
    words = np.full((int(ends[-1]), config.streams), filler, np.int64)
    row, stream = np.divmod(cell, config.streams)
    ahead = np.zeros(len(cell), np.int64)
    ahead[opens] = found.moving + found.padding
    through = np.cumsum(ahead + 1)  # entries, but for those that fill up a cell's last window
    begins = opens[windows.begins]
    begun = (through - ahead - 1)[begins]
    at = starts[row] + through - 1 - np.repeat(begun, np.diff(begins, append=len(cell)))
    visited = visit_order(layer, order, part)
    turn = turns_of(layer.geometry, config.turns)[1][layer.row_idx[visited]]
    codes = level_codes(layer.levels[visited], config.weight_bits).astype(np.int64)
    tap = np.diff(addresses[place], prepend=0)
    tap[opens] = 0
    leads = found.step
    if config.listed:
        number = np.zeros(config.window_span, np.int64)
        listed = list(window_taps(layer, layout, config))
        number[listed] = np.arange(len(listed))
        tap = number[tap]
        tap[opens] = 0
        leads = np.where(leads > 0, (1 << config.step_bits) + leads - 1, 0)
    step_at = config.weight_bits + (0 if config.listed else config.tap_bits)
    turn_at = config.weight_bits + config.place_bits - config.turn_bits
    words[at, stream] = turn << turn_at | tap << config.weight_bits | codes
    words[at[opens], stream[opens]] |= leads << step_at

    # The fillers right before a weight move as far as they can, the first of them what is left.
    most, fillers = _most(config), found.moving
    weight = np.repeat(opens, fillers)
    number = np.arange(len(weight)) - np.repeat(np.cumsum(fillers) - fillers, fillers)
    rest = found.left - (fillers - 1) * most
    value = np.where(number == 0, np.repeat(rest, fillers), most)
    before = at[weight] - np.repeat(fillers, fillers) + number
    code = value & (1 << config.weight_bits) - 1
    words[before, stream[weight]] |= value >> config.weight_bits << step_at | code

    last = np.zeros(len(words), bool)
    last[ends - 1] = True
    return to_bytes(words, config.place_bits + config.weight_bits, last)


def _most(config: CoreConfig) -> int:
    """The farthest that a filler moves."""
    return (1 << (0 if config.listed else config.step_bits) + config.weight_bits) - 1


def _parts(layer: Layer, layout: Layout, config: CoreConfig) -> list[Windows]:
    """All windows, those of a few passes together."""
    return [_windows(layer, layout, config, part) for part in parts(layer, config.turns)]


def _windows(layer: Layer, layout: Layout, config: CoreConfig, part: Part) -> Windows:
    reach = _reach(layout, config.window_span)
    taps = window_taps(layer, layout, config) if config.listed else None
    return _found(layer, reach, part, taps)


@dataclass(frozen=True, eq=False)
class _Reach:
    """What decides which weights share a window; layouts of which it is the same share the object.

    Parameters
    ----------
    order : of the columns
    at : int32 [columns], addresses by place, with all longer gaps made as short as `span`
    span : bytes that a window serves
    """

    order: Order
    at: np.ndarray
    span: int


@functools.lru_cache(maxsize=1024)
def _reach(layout: Layout, span: int) -> _Reach:
    order, addresses = order_on(layout)
    gaps = np.diff(addresses, prepend=0)
    # Streams follow each other: back to the first address is far enough, too.
    return _reach_of(order, np.where(gaps < 0, span, np.minimum(gaps, span)).tobytes(), span)


@functools.lru_cache(maxsize=1024)
def _reach_of(order: Order, gaps: bytes, span: int) -> _Reach:
    at = np.cumsum(np.frombuffer(gaps, np.int64))
    return _Reach(order, at.astype(np.int32), span)


@functools.lru_cache(maxsize=32)
def _found(layer: Layer, reach: _Reach, part: Part, taps: tuple[int, ...] | None) -> Windows:
    cell, place = visits(layer, reach.order, part)
    begins = changes(cell)
    opens = _opened(layer, reach, part, taps)
    return Windows(
        passes=passes_in(layer, part),
        cell=cell[opens].astype(np.int32),
        place=place[opens].astype(np.int32),
        weights=np.diff(opens, append=len(cell)).astype(np.int32),
        begins=np.flatnonzero(begins[opens]),
    )


@functools.lru_cache(maxsize=64)
def _taps(layer: Layer, reach: _Reach, turns: int, most: int) -> tuple[int, ...]:
    times = np.zeros(reach.span, np.int64)
    for part in parts(layer, turns):
        _, place = visits(layer, reach.order, part)
        inside = np.ones(len(place), bool)
        inside[_opened(layer, reach, part)] = False
        gaps = np.diff(reach.at[place], prepend=0)[inside]
        times += np.bincount(gaps, minlength=reach.span)
    # Where weights share an address no step of 0 could lead from one to the other.
    times[0] *= layer.nnz
    best = np.argsort(-times, kind="stable")[:most]
    return tuple(best[times[best] > 0].tolist())


def _opened(
    layer: Layer, reach: _Reach, part: Part, taps: tuple[int, ...] | None = None
) -> np.ndarray:
    """int64 [windows]: the weights that open one, each the first that those before can't serve.

    That gives as few windows as there can be, whichever kernel rows and channels lie side by side.

    taps : those that lead from weight to weight in a window, where not all do
    """
    cell, place = visits(layer, reach.order, part)
    address, span = reach.at[place], reach.span
    gaps = np.diff(address, prepend=0)
    opens = changes(cell) | (gaps >= span)
    if taps is not None:
        opens |= ~np.isin(gaps, taps)
    begins = np.flatnonzero(opens)
    weights = np.diff(begins, append=len(cell))
    long = address[begins + weights - 1] - address[begins] >= span
    if long.any():
        _split(opens, address, span, np.flatnonzero(np.repeat(long, weights)))
    return np.flatnonzero(opens)


def _split(opens: np.ndarray, address: np.ndarray, span: int, weights: np.ndarray) -> None:
    """Mark in `opens` the weights that open a window besides the first of each run.

    weights : int64, those of the runs that are longer than a window
    """
    address, run = address[weights], np.cumsum(opens)[weights]
    # Of each weight, those behind it that its window would serve.
    served = np.zeros(len(weights), np.int64)
    for others in range(1, len(weights)):  # more than `span` where channels share an address
        near = (address[others:] - address[:-others] < span) & (run[others:] == run[:-others])
        if not near.any():
            break
        served[:-others] += near
    newest = np.flatnonzero(opens[weights])
    while len(newest):  # a run takes several windows: the next one of all runs at once
        after = newest + served[newest] + 1
        after = after[after < len(weights)]
        newest = after[~opens[weights[after]]]
        opens[weights[newest]] = True


def _of_cells(windows: Windows, entries: np.ndarray, streams: int) -> np.ndarray:
    """int64 [passes, streams]: the sum of what each has for its windows, int [windows]."""
    counts = np.zeros(windows.passes * streams, np.int64)
    if len(windows.begins):
        sums = np.add.reduceat(entries, windows.begins, dtype=np.int64)
        counts[windows.cell[windows.begins]] = sums
    return counts.reshape(-1, streams)


def _entries(
    windows: Windows,
    distance: np.ndarray,
    steps: tuple[int, ...],
    config: CoreConfig,
) -> Entries:
    """With these distances and steps."""
    number = np.zeros(max(distance.max(initial=0), *steps, 0) + 1, np.int64)
    number[list(steps)] = np.arange(1, len(steps) + 1)
    step = number[distance]
    left = np.where(step != 0, 0, distance)
    moving = np.zeros(len(left), np.int64)
    far = np.flatnonzero(left)
    moving[far] = -(-left[far] // _most(config))

    # A cell's windows are filled up before the next one opens, or behind its last weight.
    short = np.maximum(config.beats - windows.weights, 0)
    padding = np.maximum(np.append(0, short)[: len(short)] - moving, 0)
    padding[windows.begins] = 0
    entries = windows.weights + moving + padding
    final = np.append(windows.begins[1:], len(left)) - 1
    if len(left):
        entries[final] += short[final]
    return Entries(step, left, moving, padding, _of_cells(windows, entries, config.streams))
