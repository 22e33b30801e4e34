"""Steiner trees against a slow exact search, and what holds for every tree."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.place.wires.steiner import Trees, half_perimeters, steiner_trees


def spanning(points: np.ndarray) -> float:
    """Length of a minimum spanning tree, by Prim's algorithm."""
    apart = np.abs(points[:, None] - points[None]).sum(2)
    near, length = apart[0].copy(), 0.0
    left = set(range(1, len(points)))
    while left:
        nearest = min(left, key=lambda i: near[i])
        length += near[nearest]
        left.remove(nearest)
        near = np.minimum(near, apart[nearest])
    return float(length)


def exact(points: np.ndarray) -> float:
    """Length of a shortest rectilinear Steiner tree: its Steiner points lie on Hanan's grid, and
    there are at most two fewer than pins."""
    grid = [np.array(place) for place in itertools.product(set(points[:, 0]), set(points[:, 1]))]
    return min(
        spanning(np.vstack([points, *extra]))
        for count in range(len(points) - 1)
        for extra in itertools.combinations(grid, count)
    )


def trees(*nets: np.ndarray) -> Trees:
    starts = np.cumsum([0, *map(len, nets)])
    points = np.vstack(nets)
    return steiner_trees(starts, points[:, 0], points[:, 1])


@pytest.mark.parametrize(("pins", "nets"), [(2, 10), (3, 20), (4, 20), (5, 6)])
def test_near_the_shortest(pins: int, nets: int) -> None:
    rng = np.random.default_rng(pins)
    places = rng.integers(0, 30, (nets, pins, 2)).astype(float)
    found = trees(*places).lengths()
    best = np.array([exact(net) for net in places])
    assert (found >= best - 1e-9).all()
    assert found.sum() <= (1.0 if pins < 4 else 1.01) * best.sum() + 1e-9


@pytest.mark.parametrize("pins", [6, 10, 11, 40])
def test_shorter_than_spanning_trees(pins: int) -> None:
    places = np.random.default_rng(pins).random((20, pins, 2))
    found = trees(*places).lengths().sum()
    assert found < 0.95 * sum(map(spanning, places))


points = st.integers(-20, 20).map(float)


@given(st.lists(st.lists(st.tuples(points, points), min_size=1, max_size=16), min_size=1))
def test_trees_hang_together(nets: list[list[tuple[float, float]]]) -> None:
    places = [np.array(net) for net in nets]
    found = trees(*places)
    lengths = found.lengths()
    spans = half_perimeters(np.cumsum([0, *map(len, places)]), *np.vstack(places).T)
    assert (lengths >= spans - 1e-9).all()
    for index, net in enumerate(places):
        first, last = found.starts[index], found.starts[index + 1]
        assert (np.stack([found.x, found.y], 1)[first : first + len(net)] == net).all()
        parent = found.parent[first:last]
        assert parent[0] == -1
        for node in range(1, last - first):
            steps = 0
            while node:
                node, steps = int(parent[node]), steps + 1
                assert steps <= last - first  # the driver is reached
        assert lengths[index] <= spanning(net) + 1e-9


def test_starts_must_cover_the_pins() -> None:
    with pytest.raises(ValueError, match="cover"):
        steiner_trees(np.array([0, 2]), np.zeros(3), np.zeros(3))
