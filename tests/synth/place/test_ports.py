"""Ports on a core's edge: in order, apart, and as near to where they want to be as can be."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_cores import job
from scipy.optimize import LinearConstraint, minimize

from cosign import CosignError
from synth.place.floorplan import PORT_UM, with_ports
from synth.place.geometry import Floorplan

WIDE, HIGH = 40.0, 28.0
PLAN = Floorplan(100.0, 80.0, 30.0, 26.0, 0.2, 1.4, 200, 20, (), {})
ROUND = 2 * (WIDE + HIGH)


def along(x: float, y: float) -> float:
    """Counterclockwise from the lower left corner of PLAN's core; raises off its edge."""
    x, y = x - PLAN.x_um, y - PLAN.y_um
    for on, at in (
        (y == 0, x),
        (x == WIDE, WIDE + y),
        (y == HIGH, 2 * WIDE + HIGH - x),
        (x == 0, ROUND - y),
    ):
        if on:
            return at % ROUND
    raise AssertionError(f"{x}, {y} is not on the edge")


def point(at: float) -> tuple[float, float]:
    """Outside of the core, nearest to the place `at` of its edge."""
    at %= ROUND
    if at <= WIDE:
        return PLAN.x_um + at, PLAN.y_um - 5
    if at <= WIDE + HIGH:
        return PLAN.x_um + WIDE + 5, PLAN.y_um + at - WIDE
    if at <= 2 * WIDE + HIGH:
        return PLAN.x_um + 2 * WIDE + HIGH - at, PLAN.y_um + HIGH + 5
    return PLAN.x_um - 5, PLAN.y_um + ROUND - at


def placed(wanted: list[float]) -> np.ndarray:
    """How far around the ports stand, float64 [ports]."""
    found = with_ports(PLAN, {("p", bit): point(at) for bit, at in enumerate(wanted)}).ports
    return np.array([along(*found["p", bit]) for bit in range(len(wanted))])


def step_of(count: int) -> float:
    return min(PORT_UM[1], max(PORT_UM[0], ROUND / (2 * count)))


@given(st.lists(st.floats(0, ROUND - 0.01), min_size=1, max_size=120))
@settings(deadline=None)
def test_ports_keep_their_distance(wanted: list[float]) -> None:
    found = np.sort(placed(wanted))
    gaps = np.diff(found, append=found[0] + ROUND)
    assert gaps.min() >= step_of(len(wanted)) - 1e-6


@pytest.mark.parametrize("corner", [0.0, WIDE, WIDE + HIGH / 2])
def test_a_crowd_spreads_to_both_sides(corner: float) -> None:
    """Of a corner too, and of the one where the edge begins."""
    found = placed([corner] * 9)
    moved = (found - corner + ROUND / 2) % ROUND - ROUND / 2
    assert np.sort(moved) == pytest.approx(step_of(9) * np.arange(-4, 5))


def test_who_stands_well_stays() -> None:
    wanted = [3.0, 20.0, 55.0, 90.0]
    assert placed(wanted) == pytest.approx(wanted)


@given(st.lists(st.floats(20, 75), min_size=2, max_size=6, unique=True))
@settings(max_examples=30, deadline=None)
def test_no_port_could_stand_better(wanted: list[float]) -> None:
    """Against a solver that knows only what is minimised and the distances."""
    wanted = sorted(wanted)
    step = step_of(len(wanted))
    apart = LinearConstraint(np.diff(np.eye(len(wanted)), axis=0), lb=step)
    start = 20 + step * np.arange(len(wanted))
    best = minimize(
        lambda at: np.sum((at - wanted) ** 2), start, constraints=[apart], method="SLSQP"
    )
    found = placed(wanted)
    assert all(b > a for a, b in itertools.pairwise(found))
    assert np.sum((found - wanted) ** 2) <= best.fun + 1e-4


def test_an_edge_that_is_too_short_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=r"300 ports do not fit .* choose a lower utilisation"):
        placed([1.0] * 300)
    made = job(tmp_path)  # ports that connect to nothing stand on the lower edge
    plan = with_ports(made.plan(2e4), {("unused", bit): None for bit in range(3)})
    assert {y for _, y in plan.ports.values()} == {plan.y_um}
