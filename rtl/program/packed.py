"""The weight stream of `dense-packed`: per pass its mask words, then rows of `filters` codes.

The taps of a pass follow each other in (c, r, s) order, in a tap the filters. A mask word has
`mask_bits` taps, filter 0 of the first one lowest; codes are those of the bits that are set, in
that order and without gaps. A code is the level itself if zero costs it no bit, else the zero-free
code of all other streams.
"""

import numpy as np

from compress.model.graph import Layer
from compress.model.levels import level_codes
from rtl.config import CoreConfig


def mask_words(layer: Layer, config: CoreConfig) -> int:
    """Mask words of a pass."""
    return -(-layer.geometry.columns // config.mask_bits)


def code_rows(layer: Layer, passes: int, config: CoreConfig) -> np.ndarray:
    """int64 [groups * passes]: rows of codes; a pass without weights has one that nothing reads.

    passes : of a convolution group
    """
    nnz = _by_pass(np.diff(layer.row_ptr), layer, passes, config).sum(axis=1)
    return np.maximum(-(-nnz // config.filters), 1)


def packed_words(layer: Layer, passes: int, config: CoreConfig) -> np.ndarray:
    """uint8 [words, bytes]: the weight stream, each word little-endian."""
    of_masks, rows = mask_words(layer, config), code_rows(layer, passes, config)
    levels = _by_pass(layer.dense_levels(), layer, passes, config).transpose(0, 2, 1)
    present = levels != 0
    ends = np.cumsum(of_masks + rows)
    words = np.zeros((int(ends[-1]), config.stream_bits), np.uint8)
    words[ends - 1, -1] = 1
    is_row = np.ones(len(words), bool)
    masks = (ends - rows)[:, None] - of_masks + np.arange(of_masks)
    is_row[masks] = False

    missing = of_masks * config.mask_bits - present.shape[1]
    bits = np.pad(present, ((0, 0), (0, missing), (0, 0)))
    words[masks, : config.mask_word_bits] = bits.reshape(*masks.shape, -1)

    codes = np.zeros((len(rows), config.filters * int(rows.max())), np.uint8)
    nnz = present.sum(axis=(1, 2))
    codes[np.arange(codes.shape[1]) < nnz[:, None]] = _codes(levels[present], config)
    used = np.arange(int(rows.max())) < rows[:, None]
    of_rows = codes.reshape(len(rows), -1, config.filters)[used]
    planes = of_rows[..., None] >> np.arange(config.weight_bits, dtype=np.uint8) & 1
    words[is_row, : config.entry_bits] = planes.reshape(len(of_rows), -1)
    return np.packbits(words, axis=1, bitorder="little")


def _codes(levels: np.ndarray, config: CoreConfig) -> np.ndarray:
    if config.weight_bits < config.operand_bits:
        return level_codes(levels, config.weight_bits)
    return levels.astype(np.int8).view(np.uint8)


def _by_pass(values: np.ndarray, layer: Layer, passes: int, config: CoreConfig) -> np.ndarray:
    """[filters of the layer, ...] as [groups * passes, filters of a pass, ...]; zeros fill up the
    last pass of a group."""
    g = layer.geometry
    own = values.reshape(g.groups, -1, *values.shape[1:])
    padded = np.zeros((g.groups, passes * config.filters, *values.shape[1:]), values.dtype)
    padded[:, : own.shape[1]] = own
    return padded.reshape(g.groups * passes, config.filters, *values.shape[1:])
