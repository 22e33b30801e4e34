"""Filters of like density are computed together, and nobody sees it but the clock."""

import dataclasses
from typing import Any

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


def time_of(rows: list[list[int]], order: list[int], setting: dict[str, Any]) -> int:
    """Of filters in this order, the slow way: pass by pass, tile by tile, window by window."""
    passes = []
    members = len(rows) // setting["groups"]
    for group in range(setting["groups"]):
        own = order[group * members : (group + 1) * members]
        passes += [
            [rows[n] for n in own[first : first + setting["filters"]]]
            for first in range(0, members, setting["filters"])
        ]
    loading = [sum(sum(row) for row in together) for together in passes] + [0]
    total = loading[0]
    for number, together in enumerate(passes):
        computing = 0
        for _ in range(setting["tiles"]):
            for window, needed in enumerate(setting["reads"].tolist()):
                computing += max(needed, *(row[window] for row in together))
        total += max(computing, loading[number + 1])
    return total


@given(st.data())
def test_an_order_is_of_each_group_and_never_slower(data):
    groups, members = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 9))
    windows = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    entries = rng.integers(1, 20, (groups * members, windows))
    setting = {
        "reads": rng.integers(1, 8, windows),
        "groups": groups,
        "filters": data.draw(st.integers(1, 5)),
        "tiles": data.draw(st.integers(1, 4)),
    }
    found = filter_order(entries, **setting).tolist()
    network = list(range(groups * members))
    by_density = [
        sorted(network, key=lambda row: (row // members, sign * int(entries[row].sum())))
        for sign in (1, -1)
    ]
    assert [row // members for row in found] == [row // members for row in network]
    assert sorted(found) == network
    times = [time_of(entries.tolist(), order, setting) for order in (network, *by_density)]
    assert time_of(entries.tolist(), found, setting) == min(times)
    if times[0] <= min(times[1:]):
        assert found == network


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
