"""Static entropy coding of large layers: ANS with a frequency table before the symbols.

The coder is `constriction`'s AnsCoder: 32-bit words, a 64-bit state, 24-bit frequencies.
"""

import constriction
import numpy as np

from compress.file import coding
from cosign import CosignError

_TABLE_BITS = 16
"""Frequencies in a table add up to 2**16; each is stored less one."""
_WIDEST_GAP = 10
_SLACK = 1.002
"""Wider gaps mean fewer symbols, which is faster: worth this much of the size."""
_PRECISION = 24


def _frequencies(counts: np.ndarray) -> np.ndarray:
    """Integers >= 1 that add up to 2**16, nearly proportional to `counts`."""
    free = (1 << _TABLE_BITS) - len(counts)
    share = np.asarray(counts, np.int64) * free // max(int(counts.sum()), 1)
    share[np.argmax(share)] += free - int(share.sum())
    return share + 1


def _model(frequencies: np.ndarray):  # type: ignore[no-untyped-def]
    """The table as constriction takes it.

    It gives every symbol one of its 2**24 parts and shares the rest in proportion; weights
    that add up to exactly that rest are therefore kept as they are, without any rounding.
    """
    parts = (frequencies.astype(np.int64) << (_PRECISION - _TABLE_BITS)) - 1
    return constriction.stream.model.Categorical(parts.astype(np.float64), perfect=False)


def encode_symbols(symbols: np.ndarray, alphabet: int) -> bytes:
    """The table and the ANS stream of symbols 0..alphabet-1."""
    frequencies = _frequencies(np.bincount(symbols, minlength=alphabet))
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols.astype(np.int32), _model(frequencies))
    table = coding.pack_bits(frequencies - 1, _TABLE_BITS)
    return table + coder.get_compressed().astype("<u4").tobytes()


def decode_symbols(payload: bytes, alphabet: int, count: int) -> np.ndarray:
    """Inverse of `encode_symbols`: int32 [count]."""
    split = alphabet * _TABLE_BITS // 8
    frequencies = coding.unpack_bits(payload[:split], _TABLE_BITS, alphabet) + 1
    if int(frequencies.sum()) != 1 << _TABLE_BITS or (len(payload) - split) % 4:
        raise CosignError("an entropy-coded section does not fit its table")
    words = np.frombuffer(payload[split:], "<u4").astype(np.uint32)
    coder = constriction.stream.stack.AnsCoder(words)
    return coder.decode(_model(frequencies), count)


def encode_index(row_ptr: np.ndarray, col_idx: np.ndarray, columns: int) -> tuple[int, int, bytes]:
    """(gap bits, symbols, payload): zeros between one non-zero and the next, row after row.

    As in the relative coding the largest symbol is a filler that skips as many zeros and
    carries no weight; gaps run on from the end of a row into the next, so rows need no counts.
    """
    rows = len(row_ptr) - 1
    flat = np.repeat(np.arange(rows) * columns, np.diff(row_ptr)) + col_idx
    gaps = np.diff(flat, prepend=-1) - 1
    histogram = np.bincount(gaps)
    costs = {bits: _cost(histogram, bits) for bits in range(1, _WIDEST_GAP + 1)}
    least = min(costs.values())
    bits = max(bits for bits, cost in costs.items() if cost <= _SLACK * least)
    codes = coding.with_fillers(gaps, bits)
    return bits, len(codes), encode_symbols(codes, 1 << bits)


def _cost(histogram: np.ndarray, bits: int) -> float:
    """Bits of table and symbols, by their entropy, for so many gaps of each length."""
    skip = (1 << bits) - 1
    lengths = np.arange(len(histogram))
    counts = np.bincount(lengths % skip, histogram, skip + 1)
    counts[skip] = lengths // skip @ histogram
    used = counts[counts > 0]
    return float((used * -np.log2(used / used.sum())).sum()) + _TABLE_BITS * (skip + 1)


def decode_index(
    payload: bytes, bits: int, entries: int, nnz: int, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `encode_index`: (row_ptr int64 [rows+1], col_idx int64 [nnz])."""
    codes = decode_symbols(payload, 1 << bits, entries)
    stored = codes != (1 << bits) - 1
    codes += stored  # a filler advances by its value, a weight by gap + 1
    flat = np.cumsum(codes, dtype=np.int64)[stored]
    if len(flat) != nnz:
        raise CosignError("the number of non-zeros does not match the stored indices")
    before_row = np.arange(rows + 1) * columns + 1
    row_ptr = np.searchsorted(flat, before_row)
    flat -= np.repeat(before_row[:-1], np.diff(row_ptr))
    return row_ptr, flat
