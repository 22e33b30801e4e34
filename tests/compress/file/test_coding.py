"""Bit packing and index codings: round trips and the sizes that are promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.file import coding
from cosign import CosignError


@given(st.data(), st.integers(1, 63))
def test_packed_bits_come_back(data: st.DataObject, bits: int) -> None:
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=50))
    payload = coding.pack_bits(np.array(values, np.uint64), bits)
    assert len(payload) == (len(values) * bits + 7) // 8
    assert coding.unpack_bits(payload, bits, len(values)).tolist() == values


def test_bits_are_packed_least_significant_first() -> None:
    assert coding.pack_bits(np.array([1, 2, 3]), 3) == bytes([0b11_010_001, 0b0])


@given(st.integers(1, 9), st.integers(0, 100), st.integers(-3, 3).filter(bool))
def test_a_payload_of_another_length_is_refused(bits: int, count: int, change: int) -> None:
    size = (count * bits + 7) // 8 + change
    if size >= 0:
        with pytest.raises(CosignError, match="bytes where"):
            coding.unpack_bits(bytes(size), bits, count)


@st.composite
def patterns(draw: st.DrawFn) -> np.ndarray:
    """bool [rows, columns], from empty to full."""
    rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 300))
    density = draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 1 << 32))).random((rows, columns)) < density


def csr(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([[0], np.cumsum(mask.sum(axis=1))]), np.nonzero(mask)[1]


@given(patterns())
def test_index_comes_back(mask: np.ndarray) -> None:
    row_ptr, col_idx = csr(mask)
    index = coding.encode_index(row_ptr, col_idx, mask.shape[1])
    again = coding.decode_index(index, *mask.shape, len(col_idx))
    assert np.array_equal(again[0], row_ptr)
    assert np.array_equal(again[1], col_idx)


@given(patterns(), st.integers(1, 9))
def test_relative_entries_count_a_filler_per_full_skip(mask: np.ndarray, bits: int) -> None:
    skip = (1 << bits) - 1
    entries = 0
    for row in mask:
        previous = -1
        for column in np.flatnonzero(row):
            entries += 1 + (column - previous - 1) // skip
            previous = column
    assert coding.relative_entries(coding.zero_gaps(*csr(mask)), bits) == entries


@pytest.mark.parametrize(
    ("density", "expected"), [(0.9, "bitmask"), (0.05, "relative"), (0.01, "relative")]
)
def test_the_smallest_coding_is_taken(density: float, expected: str) -> None:
    mask = np.random.default_rng(1).random((64, 1024)) < density
    assert coding.encode_index(*csr(mask), 1024).coding == expected


def test_a_lone_weight_far_out_is_coded_absolutely() -> None:
    mask = np.zeros((1, 40000), bool)
    mask[0, 39999] = True
    assert coding.encode_index(*csr(mask), 40000).coding == "absolute"
