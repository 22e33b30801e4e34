"""Projections against slow, obvious references."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.admm import projections
from compress.model.levels import max_level
from compress.model.pattern import Pattern

values_1d = st.lists(
    st.floats(-4, 4, width=32).map(lambda v: float(np.float32(round(v * 64) / 64))), min_size=1
).map(lambda values: np.array(values, np.float32))  # multiples of 1/64: many ties


@given(values_1d, st.data())
def test_prune_keeps_exactly_the_largest_first_on_ties(
    values: np.ndarray, data: st.DataObject
) -> None:
    keep = data.draw(st.integers(0, len(values)))
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    mask = projections.prune_mask(values, keep)
    assert mask.sum() == keep
    assert set(np.flatnonzero(mask)) == set(order[:keep])


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


@given(values_1d, st.data())
def test_levels_of_one_interval_each_are_those_of_every_value_alone(
    values: np.ndarray, data: st.DataObject
) -> None:
    values = values.astype(np.float64)
    count = len(values)
    q = np.array(data.draw(st.lists(st.floats(0.01, 2), min_size=count, max_size=count)))
    bits = np.array(data.draw(st.lists(st.integers(1, 8), min_size=count, max_size=count)))
    together = projections.levels_of(values, q, bits)
    alone = [
        projections.levels_of(values[k : k + 1], float(q[k]), int(bits[k]))[0] for k in range(count)
    ]
    assert together.tolist() == alone


@given(values_1d, st.integers(1, 8), st.data())
def test_quantising_is_the_best_interval_and_its_nearest_levels(
    values: np.ndarray, bits: int, data: st.DataObject
) -> None:
    count = len(values)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    found = projections.quantize(values, mask, bits)
    assert found.bits == bits
    assert np.array_equal(found.values != 0, mask & (values != 0))
    assert found.weights.dtype == np.float32
    for at in np.flatnonzero(mask & (values != 0)):
        others = np.array([*range(-max_level(bits), 0), *range(1, max_level(bits) + 1)])
        least = np.abs(values[at] - others * found.q).min()
        assert abs(values[at] - found.weights[at]) <= least + 1e-5


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


def dense_grid(values: np.ndarray, bits: int, steps: int = 20_000) -> float:
    """The least error of any interval of a grid that begins where all values are beyond it."""
    magnitude = np.abs(values)
    lowest = np.quantile(magnitude, 0.01) / max_level(bits) / 2
    grid = np.geomspace(lowest, magnitude.max(), steps)
    return float(projections._Prefix(values, bits).error(grid).min())


@pytest.mark.parametrize("bits", [2, 5])
def test_one_outlier_does_not_hide_the_levels_of_all_others(bits: int) -> None:
    """A pruned layer, and one weight of a thousand times the others: they keep their levels.

    The range that the outlier spans ends above the interval of the others, where all of them are
    +-1: their root mean square error is 0.26 then with 5 bits, and 0.07 at the optimum.
    """
    values = np.random.default_rng(0).uniform(2, 4, 2_000_000)
    values[0] = 1000.0
    q = projections.best_interval(values, bits)
    assert projections._Prefix(values, bits).error(np.array([q]))[0] <= 1.0001 * dense_grid(
        values, bits
    )
    rest = values[1:]
    error = np.sqrt(square_error(rest, q, bits) / len(rest))
    assert error < {2: 0.49, 5: 0.075}[bits]
    assert len(np.unique(projections.levels_of(rest, q, bits))) == {2: 2, 5: 9}[bits]


@given(
    st.integers(0, 1 << 30),
    st.sampled_from(["standard_normal", "standard_exponential", "standard_cauchy", "random"]),
    st.integers(1, 8),
    st.floats(0, 4),
    st.floats(0, 7),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=40)
def test_no_interval_of_a_dense_grid_is_a_hundredth_better(
    seed: int, draw: str, bits: int, least: float, size: float, outliers: int
) -> None:
    """Many weights, none smaller than `least` (a pruned layer), some 10 ** size times as large."""
    rng = np.random.default_rng(seed)
    values = getattr(rng, draw)(30_000) + least
    values[:outliers] *= 10**size
    q = projections.best_interval(values, bits)
    found = projections._Prefix(values, bits).error(np.array([q]))[0]
    assert found <= 1.01 * dense_grid(values, bits, 3000)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("least", [1, 64])
def test_weights_that_were_on_levels_find_them_again(least: int, noise: float) -> None:
    """Of 8 bits, all of them or those of a pruned layer, as they were or retrained a little."""
    rng = np.random.default_rng(0)
    levels = rng.integers(least, max_level(8) + 1, 40_000) + noise * rng.standard_normal(40_000)
    q = projections.best_interval(0.0123 * levels * rng.choice([-1, 1], 40_000), 8)
    assert q == pytest.approx(0.0123, rel=1e-4)


def test_nothing_changes_where_the_range_is_wide_enough() -> None:
    """Of ordinary weights the interval is that of the first scan, to the last bit."""
    for bits in (1, 2, 3, 5, 8):
        values = np.random.default_rng(bits).standard_normal(300_000).astype(np.float32)
        prefix = projections._Prefix(values, bits)
        largest = float(prefix.sorted[-1])
        coarse = np.geomspace(largest / prefix.top / 64, largest, projections._COARSE_STEPS)
        first = projections._best(prefix, projections._valleys(prefix, prefix, coarse))
        assert projections.best_interval(values, bits) == first
        assert prefix.least_below(coarse[0]) > prefix.error(np.array([first]))[0]


@given(values_1d.filter(np.any), st.integers(1, 8), st.floats(0.001, 8))
def test_no_interval_below_has_less_error_than_the_bound(
    values: np.ndarray, bits: int, q: float
) -> None:
    prefix = projections._Prefix(values[values != 0], bits)
    below = q * np.linspace(0.01, 1, 50)
    assert prefix.error(below).min() >= prefix.least_below(q) - 1e-9 * prefix.square


def test_no_weights_at_all_still_give_an_interval() -> None:
    assert projections.best_interval(np.zeros(4, np.float32), 3) > 0


def test_the_scan_looks_at_no_more_intervals_of_many_weights_than_of_few() -> None:
    """Each costs a binary search per level: AlexNet's fc1 takes seconds."""

    class Counted(projections._Prefix):
        looked_at = 0

        def coefficients(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.looked_at += len(q)
            return super().coefficients(q)

    values = np.random.default_rng(0).standard_normal(1_000_000)
    for count in (10_000, len(values)):
        prefix = Counted(values[:count], 3)
        projections._scan(prefix)
        assert projections._COARSE_STEPS < prefix.looked_at < 3 * projections._COARSE_STEPS


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_weighted_interval_is_that_of_repeated_values(bits: int) -> None:
    """A weight of 3 is the value three times; then the error is as small as it can be, nearly."""
    rng = np.random.default_rng(bits)
    values, times = rng.standard_normal(200), rng.integers(1, 6, 200)
    repeated = np.repeat(values, times)
    q = projections.weighted_interval(values, times.astype(np.float64), bits)
    least = square_error(repeated, projections.best_interval(repeated, bits), bits)
    assert least <= square_error(repeated, q, bits) < 1.01 * least


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_weighted_interval_is_not_lifted_by_an_outlier(bits: int) -> None:
    """Which hardly matters: the others have nearly the error that they have without it."""
    values = np.random.default_rng(bits).uniform(2, 4, 300)
    alone = square_error(values, projections.best_interval(values, bits), bits)
    importance = np.ones(301)
    importance[-1] = 1e-7
    q = projections.weighted_interval(np.append(values, 1000.0), importance, bits)
    assert square_error(values, q, bits) < 1.05 * alone


patterns = st.integers(2, 5).flatmap(
    lambda group: st.builds(Pattern, st.integers(1, group - 1), st.just(group))
)
weights = st.builds(
    lambda seed, shape, steps: np.round(
        np.random.default_rng(seed).normal(0, 1, shape) * steps
    ).astype(np.float32),
    st.integers(0, 1 << 30),
    st.one_of(
        st.tuples(st.integers(1, 3), st.integers(1, 11)),
        st.tuples(st.integers(1, 3), st.integers(1, 11), st.integers(1, 2), st.integers(1, 2)),
    ),
    st.sampled_from([1, 3, 1000]),  # few values, and many ties; or hardly any
)


def places(pattern: Pattern, shape: tuple[int, ...]) -> int:
    """Weights that a pattern leaves, counted channel by channel."""
    staying = sum(channel % pattern.group < pattern.keep for channel in range(shape[1]))
    return staying * math.prod(shape) // shape[1]


@given(weights, patterns)
def test_a_pattern_keeps_the_best_subset_of_each_group(
    values: np.ndarray, pattern: Pattern
) -> None:
    """Against all subsets; of equal ones the first in the order of channels."""
    mask = projections.prune_mask(values, places(pattern, values.shape), pattern)
    flat, found = (x.reshape(*values.shape[:2], -1) for x in (values, mask))
    for filter, tap in itertools.product(range(flat.shape[0]), range(flat.shape[2])):
        for start in range(0, flat.shape[1], pattern.group):
            group = flat[filter, start : start + pattern.group, tap].astype(np.float64)
            subsets = itertools.combinations(range(len(group)), min(pattern.keep, len(group)))
            best = max(
                subsets, key=lambda some: (np.square(group[list(some)]).sum(), [-i for i in some])
            )
            kept = np.flatnonzero(found[filter, start : start + pattern.group, tap])
            assert kept.tolist() == list(best)


@given(weights, patterns, st.integers(0, 1 << 30))
def test_a_pattern_is_obeyed_by_the_nearest_point_and_projecting_again_changes_nothing(
    values: np.ndarray, pattern: Pattern, seed: int
) -> None:
    count = places(pattern, values.shape)
    projected = values * projections.prune_mask(values, count, pattern)
    assert pattern.holds(projected)
    again = projected * projections.prune_mask(projected, count, pattern)
    assert np.array_equal(again, projected)
    other = values * projections.prune_mask(
        np.random.default_rng(seed).random(values.shape), count, pattern
    )  # any point that obeys it
    assert np.square(values - projected).sum() <= np.square(values - other).sum()


@given(weights, patterns, st.data())
def test_on_the_way_to_a_pattern_the_largest_others_stay_too(
    values: np.ndarray, pattern: Pattern, data: st.DataObject
) -> None:
    least = places(pattern, values.shape)
    keep = data.draw(st.integers(least, values.size))
    first = projections.prune_mask(values, least, pattern)
    mask = projections.prune_mask(values, keep, pattern)
    assert mask.sum() == keep
    assert mask[first].all()
    others = np.abs(values[mask & ~first])
    assert others.min(initial=np.inf) >= np.abs(values[~mask]).max(initial=0)


def test_fewer_than_a_pattern_has_are_refused() -> None:
    with pytest.raises(ValueError, match="2:4 has 4 weights, not 3"):
        projections.prune_mask(np.ones((1, 8), np.float32), 3, Pattern(2, 4))
