"""The decisions that spell out an adaptively coded layer (docs/format.md, "adaptive").

`code_layer` walks over a layer for the encoder, which knows the answers, and for the decoder,
which asks for them, alike: first which rows and channels have any weight, then for each weight
among those whether it is there, its sign and its magnitude, at last the biases.
"""

from dataclasses import dataclass

import numpy as np

from compress.file.adaptive import Decoder, Encoder
from compress.model.graph import Layer

_LENGTH_BITS = 6
"""Bits of a bias's length less one: without its sign an int64 has 63."""
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Grid:
    """A layer's weights as [rows, channels, height, width].

    Height and width are those of the kernel or, for a linear layer that reads a flattened map,
    of that map.
    """

    rows: int
    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.rows, self.channels, self.height, self.width)


def code_layer(
    coder: Encoder | Decoder,
    number: int,
    grid: Grid,
    bits: int,
    shift: int,
    fed: np.ndarray,
    layer: Layer | None = None,
) -> Arrays:
    """(row_ptr, col_idx, levels, bias) of node `number`.

    Parameters
    ----------
    bits, shift : of a level, and trailing zero bits of every bias
    fed : bool, for each channel whether the layer before makes anything of it
    layer : what is to be encoded; None to decode
    """
    walk = _Walk(coder, number)
    known = None if layer is None else layer.dense_levels().reshape(grid.shape)
    dense = walk.levels(grid, bits, fed, known).reshape(grid.rows, -1)
    coder.purpose = number, "bias"
    bias = [
        walk.bias(bool(row.any()), None if layer is None else int(layer.bias[r]), shift)
        for r, row in enumerate(dense)
    ]
    rows, columns = np.nonzero(dense)
    row_ptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=grid.rows))])
    return row_ptr, columns, dense[rows, columns], np.array(bias, np.int64)


@dataclass(frozen=True)
class _Walk:
    """One layer's decisions. Contexts begin with what is decided and, mostly, the node's number.

    Wherever a value is None it is not known yet: the coder is a decoder.
    """

    coder: Encoder | Decoder
    number: int

    def levels(
        self, grid: Grid, bits: int, fed: np.ndarray, known: np.ndarray | None
    ) -> np.ndarray:
        """int8 of the grid's shape."""
        self.coder.purpose = self.number, "index"
        used = None if known is None else known != 0
        every = np.ones(grid.rows, bool)
        rows = self._live("row", every, None if used is None else used.any(axis=(1, 2, 3)))
        channels = self._live("channel", fed, None if used is None else used.any(axis=(0, 2, 3)))
        result = np.zeros(grid.shape, np.int8)
        for r in rows:
            last = 0
            for c in channels:
                wanted = None if known is None else known[r, c].tolist()
                last = self._block(r, c, bits, last, wanted, result[r, c])
        return result

    def _live(self, kind: str, fed: np.ndarray, known: np.ndarray | None) -> list[int]:
        """Numbers of the rows or channels that have any weight."""
        live = []
        before = 1
        for place, source in enumerate(fed.tolist()):
            contexts = (
                (kind,),
                (kind, "layer", self.number),
                (kind, "fed", source),
                (kind, "before", self.number, before),
            )
            before = self.coder.bit(contexts, None if known is None else int(known[place]))
            if before:
                live.append(place)
        return live

    def _block(
        self, r: int, c: int, bits: int, last: int, wanted: list[list[int]] | None, out: np.ndarray
    ) -> int:
        """The kernel of a row and channel, into `out`; returns the last level there is."""
        number, coder = self.number, self.coder
        height, width = out.shape
        above = [0] * (width + 2)  # a zero on either side
        for y in range(height):
            line = [0] * (width + 2)
            for x in range(width):
                left, top = line[x], above[x + 1]
                around = (left != 0, top != 0, above[x] != 0, above[x + 2] != 0)
                contexts = (
                    ("there", number),
                    ("there", "row", number, r),
                    ("there", "column", number, c, y, x),
                    ("there", "kernel", number, r, c),
                    ("there", "around", number, around),
                )
                level = None if wanted is None else wanted[y][x]
                coder.purpose = number, "index"
                if coder.bit(contexts, None if level is None else int(level != 0)):
                    coder.purpose = number, "data"
                    near = left or top or last
                    last = line[x + 1] = self._level(bits, (r, c, y, x), near, level)
                    out[y, x] = last
            above = line
        return last

    def _level(
        self, bits: int, place: tuple[int, int, int, int], near: int, level: int | None
    ) -> int:
        number, coder = self.number, self.coder
        r, c, y, x = place
        contexts = (
            ("negative", number),
            ("negative", "row", number, r),
            ("negative", "column", number, c, y, x),
            ("negative", "kernel", number, r, c),
            ("negative", "near", number, (near > 0) - (near < 0)),
        )
        negative = coder.bit(contexts, None if level is None else int(level < 0))
        magnitude = 0 if level is None else abs(level) - 1
        node = 1
        for plane in reversed(range(bits - 1)):
            tree = (
                ("magnitude", number, node),
                ("magnitude", "row", number, r, node),
                ("magnitude", "sign", number, negative, node),
            )
            bit = coder.bit(tree, None if level is None else magnitude >> plane & 1)
            node = 2 * node + bit
        magnitude = node - (1 << (bits - 1)) + 1
        return -magnitude if negative else magnitude

    def bias(self, live: bool, value: int | None, shift: int) -> int:
        """A bias whose `shift` lowest bits are zero: zero or not, sign, length, then its bits."""
        number, coder = self.number, self.coder
        magnitude = None if value is None else abs(value) >> shift
        contexts = (("bias",), ("bias", "layer", number), ("bias", "live", number, live))
        if not coder.bit(contexts, None if magnitude is None else int(magnitude != 0)):
            return 0
        sign = (("bias negative", number),)
        negative = coder.bit(sign, None if value is None else int(value < 0))
        node = 1
        for plane in reversed(range(_LENGTH_BITS)):
            known = None if magnitude is None else magnitude.bit_length() - 1 >> plane & 1
            node = 2 * node + coder.bit((("bias length", number, node),), known)
        result = 1
        for plane in reversed(range(node - (1 << _LENGTH_BITS))):
            result = 2 * result + coder.raw(None if magnitude is None else magnitude >> plane & 1)
        return (-result if negative else result) << shift
