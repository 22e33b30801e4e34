"""The cycle model of streams that share a channel; test_rtl.py holds it equal to the RTL."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import cases, random_layer

from compress.model.graph import Geometry, Layer
from compress.zoo.networks import spec_of
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.program.encode import encode, work
from rtl.program.fit import fit
from rtl.program.pack import stripes_of
from rtl.program.traffic import Traffic, traffic
from sim.cycles import layer_cycles
from sim.workload import masked_layer

ROOM = {"act_depth": 4096, "weight_depth": 4096, "tap_depth": 512, "mask_depth": 4096}
CORES = {
    "sparse": CoreConfig("sparse", lanes=13, index_bits=5, drain=2, **ROOM),
    "sparse-absolute": CoreConfig("sparse", lanes=5, coding="absolute", pipeline=0, **ROOM),
    "sparse-bitmask": CoreConfig("sparse", lanes=13, coding="bitmask", mask_bits=10, **ROOM),
    "dense-scalar": CoreConfig("dense-scalar", lanes=13, tiles=2, weight_bits=4, **ROOM),
    "dense-2d": CoreConfig("dense-2d", lanes=6, filters=3, drain=2, **ROOM),
    "dense-packed": CoreConfig("dense-packed", lanes=6, filters=3, mask_bits=10, **ROOM),
    "sparse-rows": CoreConfig("sparse-rows", lanes=6, filters=3, window_reads=2, **ROOM),
    "sparse-nm": CoreConfig("sparse-nm", lanes=6, filters=3, **ROOM),
}
every_core = pytest.mark.parametrize("config", CORES.values(), ids=CORES)
quick = settings(max_examples=25, deadline=None)


def traffic_of(layer: Layer, config: CoreConfig, batch: int = 1) -> tuple[int, Traffic]:
    """(runs, what each moves)"""
    stripes, layout = stripes_of(layer.geometry, batch, config)
    return stripes // config.tiles, traffic(work(layer, layout, config), layout, config)


@every_core
@quick
@given(case=cases())
def test_a_wide_channel_costs_the_loading_of_the_map_alone(config, case):
    """A row a cycle, and one in which the core sees the last of them."""
    layer, x = case
    batch = len(x) if layer.geometry.kind == "linear" else 1
    runs, moved = traffic_of(layer, config, batch)
    unlimited = layer_cycles(layer, config, batch)
    wide = layer_cycles(layer, config, batch, bytes_per_cycle=1 << 16)
    assert wide == unlimited + runs * (moved.inputs.count + 1)


@every_core
@quick
@given(case=cases(), bits=st.integers(1, 200))
def test_nothing_is_faster_than_the_channel_or_the_core(config, case, bits):
    layer, x = case
    batch = len(x) if layer.geometry.kind == "linear" else 1
    runs, moved = traffic_of(layer, config, batch)
    cycles = layer_cycles(layer, config, batch, bits / 8)
    assert cycles >= layer_cycles(layer, config, batch) + runs * moved.inputs.total_bits // bits
    assert cycles >= 8 * runs * sum(moved.bytes_by_stream.values()) / bits


@every_core
def test_a_slow_channel_never_rests_while_weights_are_due(config):
    """Pruned or not: the time is that of the bits, but for what the core computes at its end."""
    layer = random_layer(Geometry("conv", 8, 12, 6, 6, (3, 3), (1, 1), (1, 1)), 0.5)
    runs, moved = traffic_of(layer, config)
    words = (moved.inputs, moved.biases, moved.outputs, moved.table, moved.masks, moved.weights)
    bits = sum(stream.count * stream.bits for stream in words)
    spent = layer_cycles(layer, config, bytes_per_cycle=0.125) / runs
    assert bits <= spent < 1.03 * bits


@every_core
@quick
@given(case=cases())
def test_every_word_of_the_weight_stream_has_its_bits(config, case):
    layer, _ = case
    layout = stripes_of(layer.geometry, 1, config)[1]
    _, moved = traffic_of(layer, config)
    by_word = moved.bits_by_word()
    assert len(by_word) == len(encode(layer, layout, config))
    assert by_word.sum() == moved.weight_bits
    assert by_word.max() == moved.widest_weight_bits <= config.stream_bits


def test_bytes_by_hand():
    """4 filters of 2 x 3 x 3 on a map of 2 x 5 x 6, with 7 weights, 3, 2, 2 and none."""
    geometry = Geometry("conv", 2, 4, 5, 6, (3, 3))
    levels = np.zeros((4, 18), np.int8)
    levels[0, [0, 4, 17]] = levels[1, [1, 2]] = levels[2, [3, 9]] = 1
    layer = dataclasses.replace(random_layer(geometry, 1.0), **_csr(levels))
    maps = {"inputs": 2 * 5 * 6, "outputs": 4 * 3 * 4}
    common = {"act_depth": 64, "acc_bits": 24, "mul_bits": 16}  # 64 words of 64 bytes: 12 bits
    expected = {
        CoreConfig("dense-2d", lanes=4, filters=2, **common): 4 * 18 * 8,
        CoreConfig("dense-scalar", lanes=4, weight_bits=3, **common): 4 * 18 * 4,
        # Two mask words for each pair of filters; 5 codes in three rows, 2 in one.
        CoreConfig("dense-packed", lanes=4, filters=2, mask_bits=9, **common): 72 + 4 * 16,
        # Both channels are one element: 3 bits say which of four are kept.
        CoreConfig("sparse-nm", lanes=4, filters=2, **common): 4 * 9 * (2 * 8 + 3),
        CoreConfig(lanes=4, index_bits=9, **common): (7 + 1) * (1 + 9 + 8),
        CoreConfig(lanes=4, coding="absolute", **common): (7 + 1) * (1 + 12 + 8),
        # A table of a word's taps; a mask word for both channels; a level that nothing reads.
        CoreConfig(lanes=4, coding="bitmask", mask_bits=18, **common): 18 * 12 + 4 * 18 + 8 * 8,
    }
    for config, weight_bits in expected.items():
        runs, moved = traffic_of(layer, config)
        filters = 4 * (24 + 16 + 6) / 8
        assert runs == 1
        assert moved.bytes_by_stream == {**maps, "weights": weight_bits / 8, "biases": filters}


def _csr(levels: np.ndarray) -> dict[str, np.ndarray]:
    rows, columns = np.nonzero(levels)
    counts = np.bincount(rows, minlength=len(levels))
    return {
        "row_ptr": np.concatenate([[0], np.cumsum(counts)]),
        "col_idx": columns,
        "levels": levels[rows, columns],
    }


@pytest.mark.parametrize("bytes_per_cycle", [0, -1, 0.1, 0.3, 1e9, float("inf"), float("nan")])
def test_impossible_channels_are_refused(bytes_per_cycle):
    layer = random_layer(Geometry("linear", 8, 2), 1.0)
    with pytest.raises(CosignError, match=r"a multiple of 0\.125"):
        layer_cycles(layer, CORES["sparse"], 1, bytes_per_cycle)


def test_pruning_is_worth_more_where_weights_come_slowly():
    """CONV4 at 13.2x: at half a byte a cycle what is stored decides, at 64 what is multiplied."""
    geometry = spec_of("alexnet").geometries["conv4"]
    cores = CoreSet()
    layer = masked_layer(geometry, round(geometry.weights / 13.2), np.random.default_rng(0))
    sparse, dense = (fit(core, [layer]) for core in (cores.sparse, cores.dense_scalar))
    gain = {
        b: layer_cycles(layer, dense, 1, b) / layer_cycles(layer, sparse, 1, b) for b in (0.5, 64)
    }
    assert gain[64] == pytest.approx(13.1, abs=0.3)
    assert gain[0.5] < 5
