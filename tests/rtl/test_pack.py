"""The packer: its stream, decoded word by word, is the layer; what does not fit is refused."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.container import Geometry, Layer, codes_to_levels, max_level
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.layout import Layout
from rtl.pack import accumulator_bits, entry_counts, pack_layer

SPARSE = CoreConfig(lanes=13, act_banks=4, bank_bytes=4, index_bits=5, acc_bits=32)
DENSE = dataclasses.replace(SPARSE, core="dense-2d", lanes=8, filters=4, weight_bits=4)
CONV = Geometry("conv", 6, 10, 9, 7, (3, 2), (2, 1), (1, 1), (1, 1), 2)


def random_layer(g: Geometry, density: float, bits: int = 8, seed: int = 0) -> Layer:
    rng = np.random.default_rng(seed)
    levels = rng.integers(1, max_level(bits) + 1, (g.out_channels, g.columns))
    levels *= rng.choice([-1, 1], levels.shape)
    levels[rng.random(levels.shape) >= density] = 0
    return Layer.from_dense(
        levels.astype(np.int8),
        name="layer",
        input="input",
        geometry=g,
        bits=bits,
        q=0.1,
        bias=rng.integers(-999, 999, g.out_channels),
        mul=30000,
        shift=22,
        relu=True,
        in_scale=1.0,
        out_scale=1.0,
    )


def words(stream: np.ndarray) -> list[int]:
    return [int.from_bytes(word.tobytes(), "little") for word in stream]


@given(st.floats(0, 1), st.integers(3, 14), st.integers(2, 8), st.integers(0, 99))
def test_the_sparse_stream_holds_every_level_at_its_address(density, index_bits, bits, seed):
    config = dataclasses.replace(SPARSE, index_bits=index_bits, weight_bits=8)
    layer = random_layer(CONV, density, bits, seed)
    program = pack_layer(layer, config)
    decoded: list[dict[int, int]] = [{}]
    address = 0
    counts = [0]
    for word in words(program.weights):
        code = word & 255
        delta = word >> 8 & (1 << index_bits) - 1
        address += delta
        counts[-1] += 1
        if delta != (1 << index_bits) - 1:
            decoded[-1][address] = int(codes_to_levels(np.array([code], np.uint8), 8)[0])
        if word >> (8 + index_bits):
            decoded.append({})
            counts.append(0)
            address = 0
    assert decoded.pop() == {}
    assert counts[:-1] == program.entries.tolist()
    taps = Layout(CONV).tap_addresses()
    dense = layer.dense_levels()
    assert decoded == [{int(taps[c]): int(row[c]) for c in np.flatnonzero(row)} for row in dense]


def test_a_dense_word_holds_the_same_tap_of_several_filters():
    layer = random_layer(CONV, 0.5, 4)
    program = pack_layer(layer, DENSE)
    stream = words(program.weights)
    passes = 2 * 2  # five filters a group, four at once
    assert len(stream) == passes * CONV.columns == int(program.entries.sum())
    assert program.biases.tolist()[:8] == [*layer.bias[:5], 0, 0, 0]
    for number, word in enumerate(stream):
        group_pass, column = divmod(number, CONV.columns)
        group, part = divmod(group_pass, 2)
        for f in range(4):
            level = (word >> (5 * f) & 31) - 32 * (word >> (5 * f + 4) & 1)
            row = part * 4 + f
            expected = int(layer.dense_levels()[group * 5 + row, column]) if row < 5 else 0
            assert level == expected


def test_an_empty_filter_is_one_filler():
    layer = random_layer(CONV, 0.0)
    assert entry_counts(layer, Layout(CONV), SPARSE).tolist() == [1] * 10
    assert words(pack_layer(layer, SPARSE).weights) == [(1 << 13) + (31 << 8)] * 10


@given(st.integers(0, 999), st.sampled_from([(-128, 127), (0, 127)]))
def test_the_accumulator_bound_is_reached_and_never_passed(seed, input_range):
    layer = random_layer(Geometry("linear", 9, 4), 0.7, 8, seed)
    dense = layer.dense_levels().astype(np.int64)
    low, high = input_range
    sums = [
        (dense * np.where(sign * dense > 0, high, low)).sum(axis=1) + layer.bias for sign in (1, -1)
    ]
    bits = accumulator_bits(layer, input_range)
    extremes = np.concatenate(sums)
    assert -(1 << (bits - 1)) <= extremes.min()
    assert extremes.max() < 1 << (bits - 1)
    assert extremes.min() < -(1 << (bits - 2)) or extremes.max() >= 1 << (bits - 2)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"weight_bits": 4}, "raise weight_bits"),
        ({"weight_depth": 8}, "raise weight_depth"),
        ({"act_depth": 3}, "raise act_depth"),
        ({"acc_bits": 16}, "raise acc_bits"),
        ({"mul_bits": 12}, "raise mul_bits"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_parameter_to_change(change, parameter):
    layer = random_layer(CONV, 1.0)
    pack_layer(layer, SPARSE)
    with pytest.raises(CosignError, match=parameter):
        pack_layer(layer, dataclasses.replace(SPARSE, **change))


def test_a_dense_core_refuses_dilation_that_it_cannot_step_through():
    config = dataclasses.replace(DENSE, weight_bits=8)
    geometry = Geometry("conv", 1, 4, 20, 20, (3, 3), (3, 3), (0, 0), (2, 2))
    with pytest.raises(CosignError, match="use the sparse core"):
        pack_layer(random_layer(geometry, 1.0), config)
    pack_layer(random_layer(geometry, 1.0), SPARSE)
