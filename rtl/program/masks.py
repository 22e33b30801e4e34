"""The weight stream of the sparse core with a bitmask: per filter its mask words, then its levels.

A mask word has `mask_bits` bits for each stream of input channels, stream 0 lowest, and a word of
levels a code for each. A mask word without bits is an issue, too. One stream's levels follow each
other without gaps. Of several, which are in lockstep, a word of levels is an issue: a stream that
has no weight there has a code of 0 that nothing reads. Its last issue comes with the filter's last.

With `run_bits` each mask has above it the number of words behind it that are not stored since all
their bits are set. A filter has as many stored ones in each stream: those of the stream with most.

Where masks are `windows`, a word ends where the next tap would leave the window, or the channel. A
word with weights takes as many issues as a window has beats, at least; the last ones have none.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout


@dataclass(frozen=True, eq=False)
class MaskPlan:
    """Where a layer's columns are in its mask words.

    A period is a mask word of several channels, or several words of one channel; here and in the
    table a channel is one of each stream. Words that are windows are of one channel.

    Parameters
    ----------
    words : mask words of a filter, those that are not stored as well
    stream, word, bit : int64 [columns], of each column
    in_period : words of a period
    step : bytes from a period's channels to the next's
    table : int64 [slots], tap addresses by {word in period, bit}
    """

    words: int
    stream: np.ndarray
    word: np.ndarray
    bit: np.ndarray
    in_period: int
    step: int
    table: np.ndarray


def mask_plan(layout: Layout, config: CoreConfig) -> MaskPlan:
    """How `layout`'s columns go into mask words of `mask_bits`."""
    area = layout.geometry.kernel[0] * layout.geometry.kernel[1]
    addresses = layout.tap_addresses()
    place = 1 << (config.mask_bits - 1).bit_length()
    channel, tap = np.divmod(np.arange(layout.taps), area)
    per_word = min(layout.channels, config.mask_bits // area)
    if per_word and not config.windows:
        in_period, period_channels = 1, per_word
        word, bit = channel // per_word, channel % per_word * area + tap
    else:
        rank, firsts = _words_of(addresses[:area], config)
        in_period, period_channels = len(firsts), 1
        within = np.searchsorted(firsts, rank, side="right") - 1
        word = channel * in_period + within[tap]
        bit = (rank - firsts[within])[tap]
    used = min(layout.taps, period_channels * area)
    slots = word[:used] % in_period * place + bit[:used]
    table = np.zeros(int(slots.max()) + 1, np.int64)
    table[slots] = addresses[:used]
    step = int(addresses[used] - addresses[0]) if used < layout.taps else 0
    of_column, stream = layout.dealt()
    columns = stream, word[of_column], bit[of_column]
    return MaskPlan(int(word.max()) + 1, *columns, in_period, step, table)


def _words_of(addresses: np.ndarray, config: CoreConfig) -> tuple[np.ndarray, np.ndarray]:
    """How a channel's taps go into several words: (int64 [kernel area], the place of each tap among
    them; int64 [words], the place of the first tap of each).

    addresses : int64 [kernel area], of the taps
    """
    taps = np.arange(len(addresses))
    if not config.windows:
        return taps, taps[:: config.mask_bits]
    order = np.argsort(addresses, kind="stable")
    rank = np.empty_like(order)
    rank[order] = taps
    firsts, at = [0], addresses[order]
    for place in taps[1:].tolist():
        first = firsts[-1]
        if place - first == config.mask_bits or at[place] - at[first] >= config.window_span:
            firsts.append(place)
    return rank, np.array(firsts)


class MaskCounts(NamedTuple):
    """Of each filter, int64 [filters].

    Parameters
    ----------
    issues : of one tile
    levels : words of levels, one at least where there are no weights
    masks : mask words that are stored
    """

    issues: np.ndarray
    levels: np.ndarray
    masks: np.ndarray


def mask_counts(layer: Layer, plan: MaskPlan, config: CoreConfig) -> MaskCounts:
    """What `layer`'s filters take."""
    weights = _of_words(layer, plan, config)
    return _counts(layer, weights, _stored(weights, config), config)


def mask_issues(layer: Layer, plan: MaskPlan, config: CoreConfig) -> np.ndarray:
    """int64 [filters]: issues of one tile of each, as in `mask_counts`."""
    return _of_filters(_of_words(layer, plan, config), config)


def _of_filters(weights: np.ndarray, config: CoreConfig) -> np.ndarray:
    """int64 [filters]: issues of each.

    weights : of each mask word, int64 [filters, streams, mask words]
    """
    found: np.ndarray = _issues(weights, config).sum(axis=2).max(axis=1)
    return found


def _counts(
    layer: Layer, weights: np.ndarray, stored: np.ndarray, config: CoreConfig
) -> MaskCounts:
    """weights, stored : of each mask word, [filters, streams, mask words]"""
    issues = _of_filters(weights, config)
    several = weights.shape[1] > 1
    levels = issues if several else np.maximum(np.diff(layer.row_ptr), 1)
    return MaskCounts(issues, levels, stored.sum(axis=2).max(axis=1))


def _issues(weights: np.ndarray, config: CoreConfig) -> np.ndarray:
    """int64 of its shape: issues of each mask word with so many weights."""
    if config.windows:
        weights = np.where(weights > 0, np.maximum(weights, config.beats), 0)
    return np.maximum(weights, 1)


def _stored(weights: np.ndarray, config: CoreConfig) -> np.ndarray:
    """bool [filters, streams, mask words]: which are stored, as many in each stream of a filter.

    weights : int64 of that shape, in each word
    """
    if not config.run_bits:
        return np.ones(weights.shape, bool)
    number = np.arange(weights.shape[2])
    # A run begins with a word that has a bit that is not set, or else with the first.
    begins = (weights < config.mask_bits) | (number == 0)
    behind = number - np.maximum.accumulate(np.where(begins, number, 0), axis=2)
    stored = behind % (1 << config.run_bits) == 0
    counts = stored.sum(axis=2)
    missing = counts.max(axis=1, keepdims=True) - counts
    from_end = np.cumsum(~stored[..., ::-1], axis=2)[..., ::-1]
    again: np.ndarray = from_end <= missing[..., None]
    return stored | again


def _runs(stored: np.ndarray) -> np.ndarray:
    """int64 of its shape: how many words behind each stored one are not, 0 at those."""
    number = np.arange(stored.shape[2])
    beyond = np.where(stored, number, stored.shape[2])
    following = np.minimum.accumulate(beyond[..., ::-1], axis=2)[..., ::-1]
    following = np.concatenate(
        [following[..., 1:], np.full_like(following[..., :1], len(number))], 2
    )
    return np.where(stored, following - number - 1, 0)


def masked_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    plan = mask_plan(layout, config)
    weights = _of_words(layer, plan, config)
    stored = _stored(weights, config)
    _, levels, masks = _counts(layer, weights, stored, config)
    row, column = layer.row_idx, layer.col_idx
    stream = plan.stream[column]
    ends = len(plan.table) + np.cumsum(masks + levels)
    starts = ends - levels
    bits = np.zeros((int(ends[-1]), config.stream_bits), np.uint8)
    address = np.arange(config.address_bits)
    bits[: len(plan.table), : len(address)] = plan.table[:, None] >> address & 1
    place = (starts - masks)[:, None, None] + np.cumsum(stored, axis=2) - 1
    width = config.stored_mask_bits
    told = stored[row, stream, plan.word[column]]
    mask = place[row, stream, plan.word[column]]
    bits[mask[told], (stream * width + plan.bit[column])[told]] = 1
    runs = _runs(stored)
    of_stream = np.broadcast_to(np.arange(config.streams)[:, None], stored.shape)[stored]
    for n in range(config.run_bits):
        bits[place[stored], of_stream * width + config.mask_bits + n] = runs[stored] >> n & 1
    at = starts[row] + _places(layer, plan, weights, levels, config)
    codes = level_codes(layer.levels, config.weight_bits)
    for n in range(config.weight_bits):
        bits[at, stream * config.weight_bits + n] = codes >> n & 1
    bits[ends - 1, -1] = 1
    return np.packbits(bits, axis=1, bitorder="little")


def _places(
    layer: Layer, plan: MaskPlan, weights: np.ndarray, levels: np.ndarray, config: CoreConfig
) -> np.ndarray:
    """int64 [nnz]: the word of its filter's levels in which each weight is.

    weights : int64 [filters, streams, mask words], of each mask word
    levels : int64 [filters], words of them
    """
    row, column = layer.row_idx, layer.col_idx
    if config.streams == 1 and not config.windows:
        return np.arange(len(row)) - layer.row_ptr[row]
    stream, word = plan.stream[column], plan.word[column]
    cell = (row * config.streams + stream) * plan.words + word
    order = np.lexsort((plan.bit[column], cell))
    of_cell = weights.reshape(-1)
    number = np.empty_like(cell)  # of a weight in its mask word
    number[order] = np.arange(len(cell)) - np.repeat(np.cumsum(of_cell) - of_cell, of_cell)
    # A stream alone has a level for each weight, several have one for each issue.
    issues = weights if config.streams == 1 else _issues(weights, config)
    through = np.cumsum(issues, axis=2)
    issue = number + (through - issues)[row, stream, word]
    last = through[row, stream, -1] - 1
    return np.where(issue == last, levels[row] - 1, issue)


def _of_words(layer: Layer, plan: MaskPlan, config: CoreConfig) -> np.ndarray:
    """int64 [filters, streams, mask words]: non-zeros of each."""
    words = (plan.stream * plan.words + plan.word).astype(np.int32)
    return _counted(layer, words.tobytes(), config.streams, plan.words)


@functools.lru_cache(maxsize=64)
def _counted(layer: Layer, words: bytes, streams: int, of_stream: int) -> np.ndarray:
    """The same: plans that differ in nothing else share it.

    words : int32 [columns], which of a filter's `streams * of_stream` each is in
    """
    firsts = np.arange(layer.geometry.out_channels, dtype=np.int32) * (streams * of_stream)
    cell = np.repeat(firsts, np.diff(layer.row_ptr))
    cell += np.frombuffer(words, np.int32)[layer.col_idx]
    counts = np.bincount(cell, minlength=len(firsts) * streams * of_stream)
    counts.flags.writeable = False
    return counts.reshape(-1, streams, of_stream)
