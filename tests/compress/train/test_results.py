"""What a stage leaves behind, written and read."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compress.model.levels import Levels
from compress.nn import checkpoint
from compress.train import results
from cosign import CosignError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.floats(1e-60, 1e3),
    st.booleans(),
)
def test_levels_come_back_as_they_were(
    tmp_path: Path, seed: int, shape: list[int], q: float, each: bool
) -> None:
    """Even of a q that float32 does not have, whose weights are all zero."""
    rng = np.random.default_rng(seed)
    intervals = q * rng.uniform(1, 2, shape[:1] if each else ())
    levels = Levels(rng.integers(-4, 5, shape).astype(np.int8), np.asarray(intervals), 3)
    checkpoint.save(tmp_path / "levels.pt", {"conv1": results.packed_levels(levels)}, "owner")
    again = results.unpacked_levels(checkpoint.load(tmp_path / "levels.pt", "owner")["conv1"])
    assert again.values.dtype == np.int8
    assert np.array_equal(again.values, levels.values)
    assert np.array_equal(again.q, intervals)
    assert again.q.shape == np.shape(intervals)
    assert again.bits == 3


def test_a_file_of_another_owner_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "dense.pt", {}, "one")
    with pytest.raises(CosignError, match="another recipe, data set or seed, or by"):
        checkpoint.load(tmp_path / "dense.pt", "two")
