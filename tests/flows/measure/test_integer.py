"""The fast sums against the golden ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import geometries, layer_of, random_input, random_layer

from compress.model.graph import Geometry, Layer
from flows.measure import integer
from sim import golden


@settings(deadline=None, max_examples=60)
@given(
    geometry=geometries(),
    density=st.floats(0, 1),
    bits=st.integers(1, 8),
    images=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_sums_are_the_golden_ones(
    geometry: Geometry, density: float, bits: int, images: int, seed: int
) -> None:
    layer = random_layer(geometry, density, bits, seed)
    x = random_input(geometry, images, seed)
    assert np.array_equal(integer.accumulate(layer, x), golden.accumulate(layer, x))


@pytest.mark.parametrize("columns", [4608, 25088, 1 << 16, (1 << 16) + 1])
def test_the_largest_sums_are_exact(columns: int) -> None:
    """-127 x -128 everywhere: far over the 2**24 of float32."""
    geometry = Geometry("linear", columns, 2)
    levels = np.full((2, columns), -127)
    levels[1] *= -1
    layer = layer_of(levels, geometry)
    x = np.full((1, columns, 1, 1), -128, np.int8)
    expected = [127 * 128 * columns, -127 * 128 * columns]
    assert integer.accumulate(layer, x).reshape(2).tolist() == expected


def test_a_single_channel_may_be_too_much() -> None:
    geometry = Geometry("conv", 2, 1, 40, 40, kernel=(40, 40))
    layer = layer_of(np.full((1, 3200), 127), geometry)
    x = np.full((1, 2, 40, 40), 127, np.int8)
    assert integer.accumulate(layer, x).reshape(1).tolist() == [127 * 127 * 3200]


def test_layers_of_the_same_shape_are_not_mixed_up() -> None:
    geometry = Geometry("conv", 2, 3, 5, 5, kernel=(3, 3))
    x = random_input(geometry)
    for seed in range(3):
        layer: Layer = random_layer(geometry, 0.5, seed=seed)
        assert np.array_equal(integer.accumulate(layer, x), golden.accumulate(layer, x))
