"""The choice of options against every choice there is."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compress.posttrain.allocation import GRID, Table, TooSmall, choose
from cosign import CosignError

whole = st.integers(0, 30).map(float)
real = st.floats(0, 30, allow_subnormal=False)


def tables(cost: st.SearchStrategy[float]) -> st.SearchStrategy[list[Table]]:
    option = st.tuples(st.floats(0, 10, allow_subnormal=False), cost)
    layer = st.lists(option, min_size=1, max_size=5)
    return st.lists(
        layer.map(lambda rows: Table(*map(np.array, zip(*rows, strict=True)))),
        min_size=1,
        max_size=4,
    )


def totals(some: list[Table], chosen: tuple[int, ...] | list[int]) -> tuple[float, float]:
    """(loss, cost) of a choice."""
    pairs = list(zip(some, chosen, strict=True))
    return (
        sum(float(table.losses[place]) for table, place in pairs),
        sum(float(table.costs[place]) for table, place in pairs),
    )


def every(some: list[Table]) -> list[tuple[float, float]]:
    return [
        totals(some, places) for places in itertools.product(*(range(len(t.costs)) for t in some))
    ]


def largest_step(some: list[Table]) -> float:
    """Between neighbours of a layer's options that are not beaten."""
    steps = [np.diff(table.losses[table.best()]) for table in some]
    return max((float(-step.min()) for step in steps if len(step)), default=0.0)


@given(tables(whole), st.integers(0, 120))
def test_of_whole_costs_it_is_the_least(some: list[Table], budget: int) -> None:
    fitting = [loss for loss, cost in every(some) if cost <= budget]
    if not fitting:
        with pytest.raises(TooSmall):
            choose(some, budget)
        return
    loss, cost = totals(some, choose(some, budget))
    assert cost <= budget
    assert loss == pytest.approx(min(fitting), abs=1e-9)


@given(tables(real), st.floats(0, 120))
def test_of_any_costs_it_is_a_step_from_the_least(some: list[Table], budget: float) -> None:
    choices = every(some)
    fitting = [loss for loss, cost in choices if cost <= budget]
    assume(fitting)
    loss, cost = totals(some, choose(some, budget))
    assert cost <= budget * (1 + 1e-9) + 1e-9
    assert loss <= min(fitting) + largest_step(some) + 1e-9
    quick = totals(some, choose(some, budget, quick=True))
    assert quick[0] >= loss
    assert quick[1] <= budget * (1 + 1e-9) + 1e-9


@given(tables(real))
def test_with_room_for_all_nothing_is_lost_that_need_not_be(some: list[Table]) -> None:
    loss, _ = totals(some, choose(some, 1000.0))
    assert loss == pytest.approx(sum(float(table.losses.min()) for table in some))


def test_a_budget_below_the_least_says_the_least() -> None:
    some = [
        Table(np.array([1.0, 0.0]), np.array([2.0, 5.0])),
        Table(np.array([0.0]), np.array([4.0])),
    ]
    with pytest.raises(CosignError, match="3 ms cannot be met: the least is 6 ms") as refused:
        choose(some, 3.0, lambda cost: f"{cost:g} ms")
    assert isinstance(refused.value, TooSmall)
    assert refused.value.least == 6.0
    assert choose(some, 6.0) == [0, 0]
    assert choose(some, 9.0) == [1, 0]


def test_layers_of_a_large_network_share_one_price() -> None:
    """Of equal layers with smooth curves all take neighbouring options."""
    density = np.linspace(0.05, 1, 20)
    table = Table((1 / density - 1) ** 2, density * 1_000_003.0)
    budget = 60 * 0.37 * 1_000_003.0
    assert budget > GRID
    chosen = choose([table] * 60, budget)
    assert max(chosen) - min(chosen) <= 1
    _, cost = totals([table] * 60, chosen)
    assert 0.99 * budget < cost <= budget
