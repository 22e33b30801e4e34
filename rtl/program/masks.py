"""The weight stream of the sparse core with a bitmask: per filter its mask words, then its levels.

A mask word has `mask_bits` bits for each stream of input channels, stream 0 lowest, and a word of
levels a code for each. A mask word without bits is an issue, too. One stream's levels follow each
other without gaps. Of several, which are in lockstep, a word of levels is an issue: a stream that
has no weight there has a code of 0 that nothing reads. Its last issue comes with the filter's last.
"""

from dataclasses import dataclass

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig
from rtl.program.layout import Layout


@dataclass(frozen=True, eq=False)
class MaskPlan:
    """Where a layer's columns are in its mask words.

    A period is a mask word of several channels, or several words of one channel; here and in the
    table a channel is one of each stream.

    Parameters
    ----------
    words : mask words of a filter
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
    if per_word:
        in_period, period_channels = 1, per_word
        word, bit = channel // per_word, channel % per_word * area + tap
    else:
        in_period, period_channels = -(-area // config.mask_bits), 1
        word, bit = channel * in_period + tap // config.mask_bits, tap % config.mask_bits
    used = min(layout.taps, period_channels * area)
    slots = word[:used] % in_period * place + bit[:used]
    table = np.zeros(int(slots.max()) + 1, np.int64)
    table[slots] = addresses[:used]
    step = int(addresses[used] - addresses[0]) if used < layout.taps else 0
    of_column, stream = layout.dealt()
    columns = stream, word[of_column], bit[of_column]
    return MaskPlan(int(word[-1]) + 1, *columns, in_period, step, table)


def mask_counts(layer: Layer, plan: MaskPlan, config: CoreConfig) -> tuple[np.ndarray, np.ndarray]:
    """(issues, words of levels) of each filter, int64 [filters] each; a filter without weights has
    one word of levels at least."""
    issues = np.maximum(_of_words(layer, plan, config), 1).sum(axis=2).max(axis=1)
    if config.streams > 1:
        return issues, issues
    return issues, np.maximum(np.diff(layer.row_ptr), 1)


def masked_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    plan = mask_plan(layout, config)
    _, stored = mask_counts(layer, plan, config)
    row, column = layer.row_idx, layer.col_idx
    stream = plan.stream[column]
    ends = len(plan.table) + np.cumsum(plan.words + stored)
    starts = ends - stored  # of the levels
    bits = np.zeros((int(ends[-1]), config.stream_bits), np.uint8)
    address = np.arange(config.address_bits)
    bits[: len(plan.table), : len(address)] = plan.table[:, None] >> address & 1
    mask = starts[row] - plan.words + plan.word[column]
    bits[mask, stream * config.mask_bits + plan.bit[column]] = 1
    at = starts[row] + _places(layer, plan, config, stored)
    codes = level_codes(layer.levels, config.weight_bits)
    for n in range(config.weight_bits):
        bits[at, stream * config.weight_bits + n] = codes >> n & 1
    bits[ends - 1, -1] = 1
    return np.packbits(bits, axis=1, bitorder="little")


def _places(layer: Layer, plan: MaskPlan, config: CoreConfig, stored: np.ndarray) -> np.ndarray:
    """int64 [nnz]: the word of its filter's levels in which each weight is."""
    row, column = layer.row_idx, layer.col_idx
    if config.streams == 1:
        return np.arange(len(row)) - layer.row_ptr[row]
    stream = plan.stream[column]
    cell = row * config.streams + stream
    order = np.argsort(cell, kind="stable")
    counts = _of_words(layer, plan, config)
    of_cell = counts.sum(axis=2).reshape(-1)
    number = np.empty_like(cell)  # of a weight in its stream
    number[order] = np.arange(len(cell)) - np.repeat(np.cumsum(of_cell) - of_cell, of_cell)
    without = np.cumsum(counts == 0, axis=2)
    issue = number + without[row, stream, plan.word[column]]
    last = np.maximum(counts, 1).sum(axis=2)[row, stream] - 1
    return np.where(issue == last, stored[row] - 1, issue)


def _of_words(layer: Layer, plan: MaskPlan, config: CoreConfig) -> np.ndarray:
    """int64 [filters, streams, mask words]: non-zeros of each."""
    shape = layer.geometry.out_channels, config.streams, plan.words
    cell = layer.row_idx * config.streams + plan.stream[layer.col_idx]
    cell = cell * plan.words + plan.word[layer.col_idx]
    return np.bincount(cell, minlength=shape[0] * shape[1] * shape[2]).reshape(shape)
