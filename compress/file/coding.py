"""Bit packing and index codings of the container (docs/format.md), all in numpy.

Three codings of a CSR pattern; `encode_index` takes whichever is smallest:
- relative: per row, the gap to the next non-zero in `bits` bits; the all-ones code is a
  filler that skips 2**bits - 1 columns and carries no weight;
- absolute: the column itself;
- bitmask: one bit per column.
Relative and absolute are preceded by the non-zeros of each row, bit-packed.
"""

from dataclasses import dataclass

import numpy as np

from cosign import CosignError


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """Pack unsigned integers of `bits` (1..63) bits each, least significant bit first."""
    values = np.asarray(values).astype(np.uint64)
    planes = np.empty((len(values), bits), np.uint8)
    for bit in range(bits):
        planes[:, bit] = (values >> np.uint64(bit)) & np.uint64(1)
    return np.packbits(planes.reshape(-1), bitorder="little").tobytes()


def unpack_bits(
    payload: bytes, bits: int, count: int, dtype: type[np.integer] = np.int64
) -> np.ndarray:
    """Inverse of `pack_bits`: [count] of `dtype`, which must hold `bits` bits.

    Raises CosignError when the payload has another length.
    """
    if len(payload) != (count * bits + 7) // 8 or bits > 63:
        raise CosignError(
            f"a section holds {len(payload)} bytes where {count} x {bits} bits belong"
        )
    groups = -(-count // 8)  # eight values fill `bits` bytes
    padded = payload + bytes(groups * bits - len(payload))
    raw = np.frombuffer(padded, np.uint8).reshape(groups, bits)
    values = np.zeros((groups, 8), dtype)
    shared = _word(raw, 0, bits) if bits <= 8 else None
    for lane in range(8):
        for low in range(0, bits, 32):  # in parts that lie within eight bytes
            width, start = min(32, bits - low), lane * bits + low
            word, shift = shared, start
            if word is None:
                word, shift = _word(raw, start // 8, (start + width + 7) // 8), start % 8
            part = word >> np.uint64(shift) & np.uint64((1 << width) - 1)
            values[:, lane] |= part.astype(dtype) << dtype(low)
    return values.reshape(-1)[:count]


def _word(raw: np.ndarray, first: int, end: int) -> np.ndarray:
    """Of each row of bytes those from `first` to before `end`, at most 8, as a number: uint64."""
    word = np.zeros((len(raw), 8), np.uint8)
    for place in range(first, end):
        word[:, place - first] = raw[:, place]
    return word.view("<u8")[:, 0]


def width_of(largest: int) -> int:
    """Bits that hold 0..largest; at least 1."""
    return max(1, int(largest).bit_length())


@dataclass(frozen=True)
class EncodedIndex:
    """A coded CSR pattern: `entries` codes of `bits` bits (fillers included) in `payload`."""

    coding: str
    bits: int
    entries: int
    payload: bytes


def zero_gaps(row_ptr: np.ndarray, col_idx: np.ndarray) -> np.ndarray:
    """Zeros before each non-zero, counted from the previous one of its row; int64 [nnz]."""
    gaps = np.diff(col_idx, prepend=-1) - 1
    firsts = row_ptr[:-1][np.diff(row_ptr) > 0]
    gaps[firsts] = col_idx[firsts]
    return gaps


def relative_entries(gaps: np.ndarray, bits: int) -> int:
    """Entries, fillers included, that a relative index of `bits` bits needs for these gaps."""
    return len(gaps) + int((gaps // ((1 << bits) - 1)).sum())


def with_fillers(gaps: np.ndarray, bits: int) -> np.ndarray:
    """The codes of `bits` bits that stand for these gaps, fillers included; int64."""
    skip = (1 << bits) - 1
    fillers, rest = np.divmod(gaps, skip)
    codes = np.full(len(gaps) + int(fillers.sum()), skip, np.int64)
    codes[np.cumsum(fillers + 1) - 1] = rest
    return codes


def encode_index(
    row_ptr: np.ndarray, col_idx: np.ndarray, columns: int, wanted: str | None = None
) -> EncodedIndex:
    """Code a CSR pattern (row_ptr int64 [rows+1], col_idx int64 [nnz]) in the fewest bytes.

    `wanted` restricts the choice to one of the three codings.
    """
    rows, nnz = len(row_ptr) - 1, len(col_idx)
    counts = np.diff(row_ptr)
    count_bits = width_of(columns)
    absolute_bits = width_of(columns - 1)
    gaps = zero_gaps(row_ptr, col_idx)
    costs = {("bitmask", 1): rows * columns}
    row_cost = rows * count_bits
    costs["absolute", absolute_bits] = row_cost + nnz * absolute_bits
    for bits in range(1, absolute_bits + 1):
        costs["relative", bits] = row_cost + relative_entries(gaps, bits) * bits
    allowed = [key for key in costs if wanted in (key[0], None)]
    coding, bits = min(allowed, key=lambda key: (costs[key], key))
    if coding == "bitmask":
        mask = np.zeros(rows * columns, np.uint8)
        mask[np.repeat(np.arange(rows), counts) * columns + col_idx] = 1
        return EncodedIndex(
            coding, 1, rows * columns, np.packbits(mask, bitorder="little").tobytes()
        )
    codes = with_fillers(gaps, bits) if coding == "relative" else col_idx
    payload = pack_bits(counts, count_bits) + pack_bits(codes, bits)
    return EncodedIndex(coding, bits, len(codes), payload)


def index_bytes(coding: str, bits: int, entries: int, rows: int, columns: int) -> int:
    """Length of an index payload."""
    counts = 0 if coding == "bitmask" else (rows * width_of(columns) + 7) // 8
    return counts + (entries * bits + 7) // 8


def decode_index(
    index: EncodedIndex, rows: int, columns: int, nnz: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `encode_index`: (row_ptr int64 [rows+1], col_idx int64 [nnz])."""
    if index.coding == "bitmask":
        mask = unpack_bits(index.payload, 1, rows * columns, np.uint8).view(bool)
        places = np.flatnonzero(mask)
        row_ptr = np.searchsorted(places, np.arange(rows + 1) * columns)
        places -= np.repeat(np.arange(rows) * columns, np.diff(row_ptr))
        return row_ptr, places
    if index.coding not in ("relative", "absolute"):
        raise CosignError(f"unknown index coding {index.coding!r}")
    count_bits = width_of(columns)
    split = (rows * count_bits + 7) // 8
    counts = unpack_bits(index.payload[:split], count_bits, rows)
    row_ptr = np.concatenate([[0], np.cumsum(counts)])
    narrow = np.uint8 if index.bits <= 8 else np.int64
    codes = unpack_bits(index.payload[split:], index.bits, index.entries, narrow)
    if index.coding == "absolute":
        return row_ptr, codes
    skip = (1 << index.bits) - 1
    stored = codes != skip
    if int(row_ptr[-1]) != nnz or np.count_nonzero(stored) != nnz:
        raise CosignError("the row counts do not match the stored indices")
    codes += stored  # a filler advances by skip, a weight by gap + 1
    ends = np.zeros(nnz + 1, np.int64)  # behind each weight, all rows in one
    ends[1:] = np.cumsum(codes, dtype=np.int64)[stored]
    col_idx = ends[1:]
    col_idx -= np.repeat(ends[row_ptr[:-1]] + 1, counts)
    return row_ptr, col_idx
