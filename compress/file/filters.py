"""Intervals and requantisation of a layer whose filters differ, in schema 6 (docs/format.md).

Filters have entries: of q an exponent and a mantissa, each as wide as the layer needs them, and mul
and shift where these do not follow from q. Filters without weights share one entry where they can.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compress.file import coding
from compress.file.fields import FieldReader, FieldWriter
from compress.model.graph import Layer, fixed_point
from cosign import CosignError

_MANTISSA_BITS = 53  # of a float64
_LARGEST_EXPONENT = 1 << 11
_EXPONENT_BITS = 12
_MUL_BITS, _SHIFT_BITS = 16, 6
_EACH_Q, _EACH_REQUANTISED, _SHARED = 1, 2, 4  # flags in the header


@dataclass(frozen=True)
class Filters:
    """How the entries are written; by default, `UNIFORM`, there are none.

    Parameters
    ----------
    mantissa : bits of q's mantissa, its leading one included, 1..53; 0 where the layer has one q
    lowest, exponent : the lowest exponent of q, of a mantissa in [1/2, 1), and bits of what others
        have beyond it, 0..12
    requantised : whether mul and shift are written
    shared : entries, where filters without weights have the first one together; 0 where each filter
        has its own
    """

    mantissa: int = 0
    lowest: int = 0
    exponent: int = 0
    requantised: bool = False
    shared: int = 0

    def write(self, out: FieldWriter) -> None:
        """Append it to a header."""
        out.data.append(
            _EACH_Q * bool(self.mantissa)
            | _EACH_REQUANTISED * self.requantised
            | _SHARED * bool(self.shared)
        )
        if self.mantissa:
            out.whole(self.mantissa - 1)
            out.integer(self.lowest)
            out.whole(self.exponent)
        if self.shared:
            out.whole(self.shared)

    @staticmethod
    def read(fields: FieldReader) -> "Filters":
        """Inverse of `write`; raises CosignError on unknown flags."""
        flags = fields.raw(1)[0]
        if flags > _EACH_Q | _EACH_REQUANTISED | _SHARED:
            raise CosignError(f"a layer's scales have unknown flags {flags}")
        mantissa, lowest, exponent = 0, 0, 0
        if flags & _EACH_Q:
            mantissa, lowest, exponent = fields.whole() + 1, fields.integer(), fields.whole()
        shared = fields.whole() if flags & _SHARED else 0
        return Filters(mantissa, lowest, exponent, bool(flags & _EACH_REQUANTISED), shared)

    def check(self, filters: int) -> None:
        """Raises CosignError unless entries of so many filters can be like this."""
        if (
            self.mantissa > _MANTISSA_BITS
            or self.exponent > _EXPONENT_BITS
            or abs(self.lowest) > _LARGEST_EXPONENT
            or self.shared > filters
        ):
            raise CosignError("a layer announces intervals that its filters cannot have")

    def widths(self) -> tuple[int, ...]:
        """Bits of each number in an entry."""
        q = (self.exponent, self.mantissa - 1) if self.mantissa else (0, 0)
        return (*q, *((_MUL_BITS, _SHIFT_BITS) if self.requantised else (0, 0)))

    def bytes(self, filters: int) -> int:
        """Length of the payload for so many filters."""
        return sum(_bytes(self.shared or filters, width) for width in self.widths())


UNIFORM = Filters()


def _bytes(entries: int, width: int) -> int:
    return (entries * width + 7) // 8


def requantisation(
    in_scale: float, q: float | np.ndarray, out_scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """(mul, shift) that follow from the scales, of q's shape; raises CosignError as `fixed_point`.

    A reader computes them again, so that a writer must have found the same.
    """
    with np.errstate(all="ignore"):
        return fixed_point(np.float64(in_scale) * q / out_scale)


def requantised(layer: Layer) -> bool:
    """Whether the layer has another requantisation than the one that follows from its scales."""
    try:
        mul, shift = requantisation(layer.in_scale, layer.q, layer.out_scale)
    except CosignError:
        return True
    return not (np.array_equal(mul, layer.mul) and np.array_equal(shift, layer.shift))


def pack(layer: Layer) -> tuple[Filters, bytes]:
    """How the filters' entries are written, and the payload; nothing of a uniform layer."""
    if layer.uniform:
        return UNIFORM, b""
    same_q = bool((layer.q == layer.q[0]).all())
    written = requantised(layer) and not _one(layer.mul, layer.shift)
    constants = np.stack([layer.q, *((layer.mul, layer.shift) if written else ())])
    live = np.diff(layer.row_ptr) > 0
    dead = np.flatnonzero(~live)
    chosen, shared = np.arange(len(live)), 0
    if len(dead) > 1 and bool((constants[:, dead] == constants[:, dead[:1]]).all()):
        chosen = np.append(dead[0], np.flatnonzero(live))
        shared = len(chosen)
    q, mul, shift = layer.q[chosen], layer.mul[chosen], layer.shift[chosen]
    parts: list[np.ndarray] = [np.zeros(0, np.int64)] * 2
    how = Filters(requantised=written, shared=shared)
    if not same_q:
        fraction, exponent = np.frexp(q)
        whole = np.ldexp(fraction, _MANTISSA_BITS).astype(np.int64)
        together = int(np.bitwise_or.reduce(whole))
        trailing = (together & -together).bit_length() - 1
        bits, lowest = _MANTISSA_BITS - trailing, int(exponent.min())
        beyond = exponent.astype(np.int64) - lowest
        how = Filters(bits, lowest, int(beyond.max()).bit_length(), written, shared)
        parts = [beyond, (whole >> trailing) - (1 << (bits - 1))]
    payload = b"".join(
        coding.pack_bits(values, width)
        for values, width in zip((*parts, mul, shift), how.widths(), strict=True)
        if width
    )
    return how, payload


def _one(*constants: np.ndarray) -> bool:
    return all(bool((values == values[0]).all()) for values in constants)


def unpack(
    how: Filters, payload: bytes, row_ptr: np.ndarray
) -> tuple[np.ndarray | None, tuple[np.ndarray, np.ndarray] | None]:
    """(q, (mul, shift)) of every filter; None what is not written. Raises CosignError when the
    entries are not those of the filters that have weights."""
    filters = len(row_ptr) - 1
    entries = how.shared or filters
    place: np.ndarray = np.arange(filters)
    if how.shared:
        live = np.diff(row_ptr) > 0
        place = np.cumsum(live) * live
        if entries != np.count_nonzero(live) + 1:
            raise CosignError("the intervals do not match the filters that have weights")
    read = _reader(payload, entries)
    beyond, mantissa, mul, shift = (read(width) for width in how.widths())
    q = None
    if how.mantissa:
        whole = (mantissa + (1 << (how.mantissa - 1))).astype(np.float64)
        with np.errstate(all="ignore"):
            q = np.ldexp(whole, beyond + (how.lowest - how.mantissa))[place]
    return q, (mul[place], shift[place]) if how.requantised else None


def _reader(payload: bytes, entries: int) -> Callable[[int], np.ndarray]:
    """Gives the next numbers of so many bits, int64 [entries]."""
    position = 0

    def read(width: int) -> np.ndarray:
        nonlocal position
        if not width:
            return np.zeros(entries, np.int64)
        part = payload[position : position + _bytes(entries, width)]
        position += len(part)
        return coding.unpack_bits(part, width, entries)

    return read
