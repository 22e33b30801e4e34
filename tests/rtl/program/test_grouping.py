"""Filters of like density are computed together, and nobody sees it but the clock."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_layers import layer_of, random_input, random_layer
from rtl_models import simulate_core

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.program.encode import rows_order, work
from rtl.program.grouping import filter_order
from rtl.program.layout import Layout
from rtl.program.pack import pack_layer, unpack_outputs
from sim.cycles import layer_cycles, run_cycles
from sim.golden import layer_output
from sim.simulate import Run

SMALL = {"act_banks": 2, "act_depth": 64, "weight_depth": 64, "tap_depth": 32, "acc_bits": 24}
ROWS = CoreConfig("sparse-rows", lanes=2, filters=2, window_reads=2, window_span=2, **SMALL)


def time_of(entries: list[list[int]], reads: list[int], filters: int) -> int:
    """Of filters in this order, one convolution group: window by window, the slow way."""
    total = 0
    for first in range(0, len(entries), filters):
        together = entries[first : first + filters]
        for window, needed in enumerate(reads):
            total += max(needed, *(row[window] for row in together))
    return total


@given(st.data())
def test_an_order_is_of_each_group_and_never_slower(data):
    groups, members = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 9))
    windows, filters = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    seed = data.draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    entries = rng.integers(1, 20, (groups * members, windows))
    reads = rng.integers(1, 8, windows)
    order = filter_order(entries, reads, groups, filters)
    before = after = sorted_by_total = 0
    for group in range(groups):
        own = list(range(group * members, (group + 1) * members))
        chosen = order[own].tolist()
        assert sorted(chosen) == own
        by_total = sorted(own, key=lambda row: -entries[row].sum())
        rows, needed = entries.tolist(), reads.tolist()
        before += time_of([rows[row] for row in own], needed, filters)
        after += time_of([rows[row] for row in chosen], needed, filters)
        sorted_by_total += time_of([rows[row] for row in by_total], needed, filters)
    assert after == min(before, sorted_by_total)
    if after == before:
        assert order.tolist() == list(range(groups * members))


def uneven(geometry: Geometry, seed: int = 0) -> Layer:
    """Dense and sparse filters in turn, each with a bias and a scale of its own."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(1, 8, (geometry.out_channels, geometry.columns))
    density = np.where(np.arange(geometry.out_channels) % 2, 0.9, 0.1)[:, None]
    levels[rng.random(levels.shape) >= density] = 0
    like = random_layer(geometry, 0.5, seed=seed)
    scales = {"bias": like.bias, "mul": like.mul, "shift": like.shift}
    return layer_of(levels, geometry, bits=4, **scales)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry("conv", 4, 9, 5, 6, (3, 3), (1, 1), (1, 1)),
        Geometry("conv", 4, 10, 5, 4, (3, 3), (1, 1), (1, 0), groups=2),
    ],
    ids=["padded pass", "groups"],
)
def test_outputs_come_back_in_the_order_of_the_network(geometry):
    """On the RTL: bit for bit, to the cycle, and sooner."""
    layer = uneven(geometry)
    x = random_input(geometry)
    program = pack_layer(layer, ROWS)
    assert program.order.tolist() != list(range(geometry.out_channels))
    runs = [
        Run(program.descriptor, rows, program.weights, program.biases)
        for rows in program.maps(x[0], ROWS)
    ]
    answers = simulate_core(runs, ROWS)
    outputs = unpack_outputs(program, ROWS, [answer.raw for answer in answers])
    assert np.array_equal(outputs, layer_output(layer, x)[0])
    cycles = sum(answer.cycles for answer in answers)
    assert cycles == layer_cycles(layer, ROWS)
    as_it_is = work(layer, program.layout, ROWS, grouped=False)
    assert cycles < program.runs(ROWS) * run_cycles(as_it_is, program.layout, ROWS)


def test_other_cores_go_through_filters_as_they_are():
    geometry = Geometry("conv", 4, 9, 5, 6, (3, 3))
    layer, layout = uneven(geometry), Layout(geometry)
    for core in ("sparse", "dense-2d"):
        config = CoreConfig(core, filters=2 if core == "dense-2d" else 1)
        assert rows_order(layer, layout, config).tolist() == list(range(9))
    one = dataclasses.replace(ROWS, filters=1)
    assert rows_order(layer, layout, one).tolist() == list(range(9))
