"""What a layer moves to and from the memory outside: its streams as they lie there, bit after bit.

Words of the weight and bias streams are packed there without the padding of the core's ports. Maps
lie there as they are: the zeros between rows and planes, the rest of the banks' last row and the
positions between an output's rows are made and dropped on the way, so that a word of a map costs
its share of the map's own values.
"""

from dataclasses import dataclass

import numpy as np

from rtl.config import CoreConfig
from rtl.program.encode import Work, passes_of, shape_of
from rtl.program.layout import Layout


@dataclass(frozen=True, eq=False)
class Words:
    """A stream, or a part of one.

    Parameters
    ----------
    count : of words
    bits : that one of them takes in memory, rounded up
    total_bits : that all of them take
    """

    count: int
    bits: int
    total_bits: int


@dataclass(frozen=True, eq=False)
class Traffic:
    """The streams of one run of a core.

    Parameters
    ----------
    inputs, biases, outputs : rows of the activation memory, words of filters, words of results
    table : words of the table of tap addresses, ahead of all weights
    masks : mask words, a pass's ahead of its weights
    weights : words of weights
    words : int64 [passes], words of a pass, masks included
    mask_words : int64 [passes], those of them that are mask words
    """

    inputs: Words
    biases: Words
    outputs: Words
    table: Words
    masks: Words
    weights: Words
    words: np.ndarray
    mask_words: np.ndarray

    @property
    def weight_bits(self) -> int:
        """Of the whole weight stream."""
        return self.table.total_bits + self.masks.total_bits + self.weights.total_bits

    @property
    def bytes_by_stream(self) -> dict[str, float]:
        """Bytes that a run moves."""
        return {
            "inputs": self.inputs.total_bits / 8,
            "weights": self.weight_bits / 8,
            "biases": self.biases.total_bits / 8,
            "outputs": self.outputs.total_bits / 8,
        }

    @property
    def widest_weight_bits(self) -> int:
        """Of the widest word of the weight stream."""
        return max(part.bits for part in (self.table, self.masks, self.weights) if part.count)

    def bits_by_word(self) -> np.ndarray:
        """uint16 [words]: what each word of the weight stream takes in memory."""
        ends = np.cumsum(self.words)
        in_pass = np.arange(int(self.words.sum())) - np.repeat(ends - self.words, self.words)
        masks = in_pass < np.repeat(self.mask_words, self.words)
        words = np.where(masks, self.masks.bits, self.weights.bits).astype(np.uint16)
        return np.concatenate([np.full(self.table.count, self.table.bits, np.uint16), words])


def traffic(cost: Work, layout: Layout, config: CoreConfig) -> Traffic:
    """The streams of a run of `config` on maps of `layout`, whose weights cost `cost`."""
    g = layout.geometry
    passes = g.groups * passes_of(layout, config)
    tiles, last_shifts = shape_of(layout, config)
    images = layout.batch * config.tiles  # of a convolution: stripes of one
    bits = images * config.act_bits
    inputs = bits * g.in_channels * g.in_height * g.in_width
    outputs = bits * g.out_channels * g.out_height * g.out_width
    masks = int(cost.mask_words.sum())
    return Traffic(
        inputs=_shared(-(-layout.bytes // config.act_word_bytes), inputs),
        biases=_words(passes * config.filters, config.bias_bits),
        outputs=_shared(passes * ((tiles - 1) * config.tile_shifts + last_shifts), outputs),
        table=_words(cost.table_words, config.address_bits),
        masks=_words(masks, config.mask_word_bits),
        weights=_words(int(cost.words.sum()) - masks, config.packed_bits),
        words=cost.words,
        mask_words=cost.mask_words,
    )


def _words(count: int, bits: int) -> Words:
    """Words of so many bits each."""
    return Words(count, bits, count * bits)


def _shared(count: int, total_bits: int) -> Words:
    """Words that share a map's bits."""
    return Words(count, -(-total_bits // count), total_bits)
