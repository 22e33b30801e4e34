"""Levels as values, and their codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.model.levels import Levels, codes_to_levels, level_codes, max_level


@given(st.lists(st.integers(-127, 127)), st.floats(1e-6, 1e3))
def test_weights_are_levels_times_q_in_float32(raw: list[int], q: float) -> None:
    weights = Levels(np.array(raw, np.int8), q, 8).weights
    assert weights.dtype == np.float32
    assert weights.tolist() == [float(np.float32(level) * np.float32(q)) for level in raw]


def test_levels_are_int8() -> None:
    with pytest.raises(ValueError, match="int8, not float32"):
        Levels(np.ones(3, np.float32), 0.5, 2)


@given(st.integers(1, 8), st.lists(st.integers(-127, 127).filter(bool), max_size=40))
def test_level_codes_come_back_and_fit(bits: int, raw: list[int]) -> None:
    top = max_level(bits)
    levels = np.clip(np.array(raw, np.int8), -top, top)
    codes = level_codes(levels, bits)
    assert codes.max(initial=0) < 1 << bits
    assert np.array_equal(codes_to_levels(codes, bits), levels)
