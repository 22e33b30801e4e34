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

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout
from rtl.program.visits import Part, parts, passes_in, turns_of, visit_order, visits, whole
from rtl.program.words import to_bytes


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of some passes; they and their weights are in the order of their entries.

    Parameters
    ----------
    passes : how many
    cell, address : int64 [weights], as rtl.program.visits tells them
    opens : int64 [windows], the first weight of each
    first : bool [windows], the first one of its cell
    distance : int64 [windows], from the window before, of the first one from the tile's base
    """

    passes: int
    cell: np.ndarray
    address: np.ndarray
    opens: np.ndarray
    first: np.ndarray
    distance: np.ndarray


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
        return np.maximum(self.counts.max(axis=1), 1)


def window_counts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [passes]: words of each pass, at least one."""
    steps = window_steps(layer, layout, config)
    return np.concatenate(
        [_entries(windows, steps, config).words for windows in _parts(layer, layout, config)]
    )


def window_steps(layer: Layer, layout: Layout, config: CoreConfig) -> tuple[int, ...]:
    """The distances between `layer`'s windows that would take the most fillers without a step:
    those of the steps 1, 2, ..., as many as there can be."""
    found = [np.bincount(windows.distance) for windows in _parts(layer, layout, config)]
    times = np.zeros(max(map(len, found)), np.int64)
    for several in found:
        times[: len(several)] += several
    distances = np.flatnonzero(times[1:]) + 1
    saving = times[distances] * -(-distances // _most(config))
    best = np.argsort(-saving, kind="stable")[: (1 << config.step_bits) - 1]
    return tuple(distances[best].tolist())


def window_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    steps, part = window_steps(layer, layout, config), whole(layer, config.turns)
    windows = _windows(layer, layout, config, part)
    cell, opens = windows.cell, windows.opens
    found = _entries(windows, steps, config)
    ends = np.cumsum(found.words)
    starts = ends - found.words
    filler = ((1 << config.tap_bits) - 1) << config.weight_bits
    words = np.full((int(ends[-1]), config.streams), filler, np.int64)
    row, stream = np.divmod(cell, config.streams)
    ahead = np.zeros(len(cell), np.int64)
    ahead[opens] = found.moving + found.padding
    through = np.cumsum(ahead + 1)  # entries, but for those that fill up a cell's last window
    begins = opens[windows.first]
    begun = (through - ahead - 1)[begins]
    at = starts[row] + through - 1 - np.repeat(begun, np.diff(begins, append=len(cell)))
    high = config.weight_bits + config.tap_bits
    order = visit_order(layer, layout, part)
    turn = turns_of(layer.geometry, config.turns)[1][layer.row_idx[order]]
    codes = level_codes(layer.levels[order], config.weight_bits).astype(np.int64)
    tap = np.diff(windows.address, prepend=0)
    tap[opens] = 0
    words[at, stream] = turn << high + config.step_bits | tap << config.weight_bits | codes
    words[at[opens], stream[opens]] |= found.step << high

    # The fillers right before a weight move as far as they can, the first of them what is left.
    most, fillers = _most(config), found.moving
    weight = np.repeat(opens, fillers)
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


def _parts(layer: Layer, layout: Layout, config: CoreConfig) -> Iterator[Windows]:
    """All windows, those of a few passes at a time."""
    return (_windows(layer, layout, config, part) for part in parts(layer, config.turns))


def _windows(layer: Layer, layout: Layout, config: CoreConfig, part: Part) -> Windows:
    return _found(layer, layout, config.window_span, part)


@functools.lru_cache(maxsize=8)
def _found(layer: Layer, layout: Layout, span: int, part: Part) -> Windows:
    cell, address = visits(layer, layout, part)
    begins = np.diff(cell, prepend=-1) != 0
    opens = _opens(cell, address, begins, span)
    at, first_one = address[opens], begins[opens]
    distance = np.diff(at, prepend=0)
    distance[first_one] = at[first_one]
    return Windows(passes_in(layer, part), cell, address, opens, first_one, distance)


def _opens(cell: np.ndarray, address: np.ndarray, begins: np.ndarray, span: int) -> np.ndarray:
    """int64 [windows]: the weights that open one, each the first that those before can't serve.

    That gives as few windows as there can be, whichever kernel rows and channels lie side by side.
    """
    opens = begins | (np.diff(address, prepend=0) >= span)
    # Of each weight, those behind it that its window would serve.
    served = np.zeros(len(cell), np.int64)
    for others in range(1, len(cell)):  # more than `span` where channels share an address
        near = (address[others:] - address[:-others] < span) & (cell[others:] == cell[:-others])
        if not near.any():
            break
        served[:-others] += near
    newest = np.flatnonzero(opens)
    while len(newest):  # runs without a gap take several windows: the next one of all runs at once
        after = newest + served[newest] + 1
        after = after[after < len(cell)]
        newest = after[~opens[after]]
        opens[newest] = True
    return np.flatnonzero(opens)


def _entries(windows: Windows, steps: tuple[int, ...], config: CoreConfig) -> Entries:
    """With these steps."""
    opens, first, distance = windows.opens, windows.first, windows.distance
    number = np.zeros(max(distance.max(initial=0), *steps, 0) + 1, np.int64)
    number[list(steps)] = np.arange(1, len(steps) + 1)
    step = number[distance]
    left = np.where(step != 0, 0, distance)
    moving = np.zeros(len(opens), np.int64)
    far = np.flatnonzero(left)
    moving[far] = -(-left[far] // _most(config))

    # A cell's windows are filled up before the next one opens, or behind its last weight.
    weights = np.diff(opens, append=len(windows.cell))
    short = np.maximum(config.beats - weights, 0)
    padding = np.maximum(np.append(0, short)[: len(short)] - moving, 0)
    padding[first] = 0
    begins = np.flatnonzero(first)
    counts = np.zeros(windows.passes * config.streams, np.int64)
    if len(begins):
        final = np.append(begins[1:], len(opens)) - 1
        entries = np.add.reduceat(weights + moving + padding, begins) + short[final]
        counts[windows.cell[opens[begins]]] = entries
    return Entries(step, left, moving, padding, counts.reshape(windows.passes, -1))
