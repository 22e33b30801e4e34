"""Projections against slow, obvious references."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.admm import projections
from compress.model.graph import max_level

values_1d = st.lists(
    st.floats(-4, 4, width=32).map(lambda v: float(np.float32(round(v * 64) / 64))), min_size=1
).map(lambda values: np.array(values, np.float32))  # multiples of 1/64: many ties


@given(values_1d, st.data())
def test_prune_keeps_exactly_the_largest_first_on_ties(
    values: np.ndarray, data: st.DataObject
) -> None:
    keep = data.draw(st.integers(0, len(values)))
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    expected = np.zeros_like(values)
    expected[order[:keep]] = values[order[:keep]]
    mask = projections.prune_mask(values, keep)
    assert mask.sum() == keep
    assert set(np.flatnonzero(mask)) == set(order[:keep])
    assert np.array_equal(projections.prune(values, keep), expected)


def test_prune_refuses_what_it_cannot_keep() -> None:
    with pytest.raises(ValueError, match="cannot keep 4 of 3"):
        projections.prune_mask(np.ones(3, np.float32), 4)


@given(values_1d, st.integers(1, 8), st.floats(0.01, 2))
def test_levels_are_the_nearest_and_never_zero(values: np.ndarray, bits: int, q: float) -> None:
    top = max_level(bits)
    allowed = np.array([*range(-top, 0), *range(1, top + 1)])
    levels = projections.levels_of(values, q, bits)
    assert np.isin(levels, allowed).all()
    nearest = np.abs(values[:, None] - allowed * q).min(axis=1)
    assert np.abs(values - levels * q) == pytest.approx(nearest, abs=1e-5)


def test_quantize_leaves_pruned_weights_at_zero() -> None:
    values = np.array([[0.9, -0.2], [3.0, -2.6]], np.float32)
    mask = np.array([[True, False], [True, True]])
    result = projections.quantize(values, 1.0, 2, mask)
    assert result.tolist() == [[1.0, 0.0], [2.0, -2.0]]


def square_error(values: np.ndarray, q: float, bits: int) -> float:
    return float(((values - projections.levels_of(values, q, bits) * q) ** 2).sum())


@given(
    st.lists(st.floats(-10, 10).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=30),
    st.integers(1, 5),
)
@settings(deadline=None, max_examples=60)
def test_interval_beats_a_dense_grid(raw: list[float], bits: int) -> None:
    values = np.array(raw)
    best = square_error(values, projections.best_interval(values, bits), bits)
    grid = np.geomspace(1e-4, 20, 2000)
    assert best <= min(square_error(values, q, bits) for q in grid) + 1e-9


def test_interval_of_exact_levels_is_found() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 9, 500) * rng.choice([-1, 1], 500)
    assert projections.best_interval(0.037 * levels, 4) == pytest.approx(0.037, rel=1e-12)


@pytest.mark.parametrize("bits", [2, 3, 5])
@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential"])
def test_the_scan_of_many_weights_agrees_with_examining_every_piece(bits: int, draw: str) -> None:
    values = getattr(np.random.default_rng(bits), draw)(30_000)
    prefix = projections._Prefix(values, bits)
    exact, scanned = (
        square_error(values, q, bits)
        for q in (projections._exact(prefix), projections._scan(prefix))
    )
    assert scanned == pytest.approx(exact, rel=1e-6)


def test_no_weights_at_all_still_give_an_interval() -> None:
    assert projections.best_interval(np.zeros(4, np.float32), 3) > 0


def test_alexnets_largest_layer_takes_seconds() -> None:
    values = np.random.default_rng(0).standard_normal(37_748_736, np.float32)
    start = time.process_time()
    mask = projections.prune_mask(values, 3_500_000)
    projections.best_interval(values[mask], 3)
    assert time.process_time() - start < 20
    assert mask.sum() == 3_500_000
