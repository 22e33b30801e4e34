"""Random layers for tests of the hardware rooms."""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

from compress.model.graph import Geometry, Layer
from compress.model.levels import max_level
from rtl.config import CoreConfig


def layer_of(levels: np.ndarray, geometry: Geometry, **fields: Any) -> Layer:
    """A layer with these dense `levels`; `fields` replace what is given here."""
    defaults = {"name": "layer", "input": "input", "bits": 8, "q": 0.1, "mul": 1, "shift": 1}
    defaults |= {"bias": np.zeros(geometry.out_channels), "relu": False}
    defaults |= {"in_scale": 1.0, "out_scale": 1.0}
    return Layer.from_dense(levels.astype(np.int8), geometry=geometry, **(defaults | fields))


def random_levels(
    rng: np.random.Generator, geometry: Geometry, density: float, bits: int
) -> np.ndarray:
    """int8 [out_channels, columns], each non-zero with probability `density`."""
    levels = rng.integers(1, max_level(bits) + 1, (geometry.out_channels, geometry.columns))
    levels *= rng.choice([-1, 1], levels.shape)
    levels[rng.random(levels.shape) >= density] = 0
    return levels.astype(np.int8)


def random_layer(
    geometry: Geometry, density: float, bits: int = 4, seed: int = 0, **fields: Any
) -> Layer:
    """A layer whose outputs fill int8; each filter has its own q, mul and shift."""
    rng = np.random.default_rng(seed)
    levels = random_levels(rng, geometry, density, bits)
    spread = 40 * max_level(bits) * np.sqrt(geometry.columns * density) + 1
    filters = geometry.out_channels
    scaled = {"bits": bits, "bias": rng.integers(-500, 500, filters), "relu": True}
    shift = rng.integers(19, 22, filters)
    factor = rng.uniform(0.6, 1, filters) * 40 / spread
    scaled |= {"mul": np.minimum(65535, (factor * 2**shift).astype(np.int64)), "shift": shift}
    scaled |= {"q": rng.integers(8, 16, filters) * 2.0 ** rng.integers(-9, -6, filters)}
    return layer_of(levels, geometry, **(scaled | fields))


def obeying(layer: Layer, config: CoreConfig) -> Layer:
    """The layer with the core's activations, pruned at random to its pattern if it has one."""
    layer = dataclasses.replace(layer, act_bits=config.act_bits)
    if not config.structured:
        return layer
    g = layer.geometry
    levels = layer.dense_levels().reshape(g.out_channels, g.in_channels // g.groups, -1).copy()
    rng = np.random.default_rng(0)
    for row in levels:
        for first in range(0, len(row), config.nm_group):
            for group in row[first : first + config.nm_group].T:
                pruned = max(0, np.count_nonzero(group) - config.nm_keep)
                group[rng.choice(np.flatnonzero(group), pruned, replace=False)] = 0
    pruned = layer_of(levels.reshape(g.out_channels, -1), g)
    kept = {"row_ptr": pruned.row_ptr, "col_idx": pruned.col_idx, "levels": pruned.levels}
    return dataclasses.replace(layer, **kept)


def words_of_a_channel(config: CoreConfig) -> int:
    """Words of weights that a channel of a linear layer takes with nothing pruned: one for each
    beat of its window, and for each of its filters; but masks of one stream store none in which
    there is no weight."""
    beats = 1 if config.masked and config.streams == 1 else config.beats
    return max(beats, config.turns)


def random_input(
    geometry: Geometry, images: int = 1, seed: int = 0, act_bits: int = 8
) -> np.ndarray:
    """int8 [images, C, H, W] of so many bits."""
    rng = np.random.default_rng(seed)
    shape = (images, geometry.in_channels, geometry.in_height, geometry.in_width)
    return narrowed(rng.integers(-128, 128, shape, np.int8), act_bits)


def narrowed(x: np.ndarray, act_bits: int) -> np.ndarray:
    """The highest bits of int8 `x`."""
    return x >> (8 - act_bits)


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Kernels 1..11, strides 1..4, padding, dilation, groups; linear layers."""
    if draw(st.integers(0, 4)) == 0:
        return Geometry("linear", draw(st.integers(1, 200)), draw(st.integers(1, 12)))
    groups = draw(st.integers(1, 3))
    kernel = draw(pairs(1, 5) | pairs(1, 11))
    dilation = draw(pairs(1, 2))
    padding = draw(pairs(0, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [
        max(1, r - 2 * p) + draw(st.integers(0, 9)) for r, p in zip(reach, padding, strict=True)
    ]
    return Geometry(
        "conv",
        groups * draw(st.integers(1, 4)),
        groups * draw(st.integers(1, 7)),
        *sizes,
        kernel=kernel,
        stride=draw(pairs(1, 4)),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Layer, np.ndarray]:
    """A layer, its filters alike or each with its own scales, and int8 inputs [N, C, H, W]."""
    g = draw(geometries())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = draw(st.integers(1, 8))
    levels = random_levels(rng, g, draw(st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.7, 1.0])), bits)
    if draw(st.booleans()):  # a filter without weights, and one with a single weight
        levels[0] = 0
        levels[-1] = 0
        levels[-1, -1] = 1
    each = draw(st.sampled_from([1, g.out_channels]))
    layer = layer_of(
        levels,
        g,
        bits=bits,
        q=rng.uniform(0.01, 1, each),
        bias=rng.integers(-20000, 20000, g.out_channels),
        mul=rng.integers(0, 1 << 16, each),
        shift=rng.integers(10, 31, each),  # saturates at one end, rounds to zero at the other
        relu=draw(st.booleans()),
    )
    images = draw(st.integers(1, 30)) if g.kind == "linear" else 1
    x = rng.integers(-128, 128, (images, g.in_channels, g.in_height, g.in_width), np.int8)
    return layer, x
