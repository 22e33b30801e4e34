"""The RTL against the golden model, bit for bit, and its cycle counter against the cycle model."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compared import job_of, predicted, run_and_compare, spoil_and_compare
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from malformed import is_right, run_of
from random_layers import (
    cases,
    layer_of,
    narrowed,
    obeying,
    random_input,
    random_layer,
    words_of_a_channel,
)

from compress.model.activations import bounds
from compress.model.graph import Geometry
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.encode import work
from rtl.program.pack import pack_layer, stripes_of
from sim.build import TOP, build
from sim.cycles import dense_cycles, layer_cycles
from sim.golden import layer_output
from sim.run import run_layer, simulators_dir
from sim.simulate import Job, simulate, simulate_runs

SMALL = {"act_banks": 4, "bank_bytes": 4, "act_depth": 512, "weight_depth": 512, "acc_bits": 28}
CORES = {
    # Narrow indices make fillers; two outputs a cycle do not divide the lanes.
    "sparse": CoreConfig("sparse", lanes=13, index_bits=5, drain=2, **SMALL),
    "sparse-absolute": CoreConfig(
        "sparse",
        lanes=5,
        tiles=2,
        act_bits=5,
        coding="absolute",
        pipeline=0,
        act_buffers=2,
        **SMALL,
    ),
    "sparse-bitmask": CoreConfig(
        "sparse", lanes=13, coding="bitmask", mask_bits=10, tap_depth=256, pipeline=2, **SMALL
    ),
    # Streams that wait for each other, some of them without channels.
    "sparse-dot": CoreConfig("sparse", lanes=7, streams=3, index_bits=5, drain=2, **SMALL),
    "sparse-dot-tiles": CoreConfig(
        "sparse",
        lanes=5,
        tiles=2,
        act_bits=7,
        streams=2,
        index_bits=6,
        pipeline=2,
        act_buffers=2,
        **SMALL,
    ),
    "sparse-dot-absolute": CoreConfig(
        "sparse", lanes=3, streams=8, coding="absolute", pipeline=0, gate_zeros=1, **SMALL
    ),
    # Masks that streams work off at their own pace, of several channels and of a part of one.
    "bitmask-dot": CoreConfig(
        "sparse",
        lanes=7,
        act_bits=4,
        streams=3,
        coding="bitmask",
        mask_bits=5,
        mask_depth=256,
        tap_depth=256,
        drain=2,
        **SMALL,
    ),
    "bitmask-dot-tiles": CoreConfig(
        "sparse",
        lanes=3,
        tiles=2,
        streams=8,
        coding="bitmask",
        mask_bits=10,
        tap_depth=256,
        pipeline=0,
        act_buffers=2,
        gate_zeros=1,
        **SMALL,
    ),
    "bitmask-runs": CoreConfig(
        "sparse",
        lanes=9,
        streams=2,
        coding="bitmask",
        mask_bits=3,
        run_bits=3,
        mask_depth=512,
        tap_depth=256,
        **SMALL,
    ),
    # Masks that are windows: of a kernel's rows, and of one row, of several streams and tiles.
    "bitmask-windows": CoreConfig(
        "sparse",
        lanes=7,
        coding="bitmask",
        windows=1,
        window_span=21,
        beats=5,
        mask_bits=9,
        run_bits=2,
        mask_depth=1024,
        tap_depth=2048,
        drain=2,
        **SMALL,
    ),
    "bitmask-windows-dot": CoreConfig(
        "sparse",
        lanes=4,
        act_bits=6,
        tiles=2,
        coding="bitmask",
        windows=1,
        window_span=3,
        beats=2,
        streams=3,
        mask_bits=3,
        run_bits=3,
        mask_depth=1024,
        tap_depth=1024,
        pipeline=2,
        act_buffers=2,
        gate_zeros=1,
        **SMALL | {"weight_depth": 1024},
    ),
    # Windows of one stream and of several, read at once and in beats.
    "window": CoreConfig(
        "sparse", lanes=9, coding="window", window_span=3, step_bits=2, act_buffers=2, **SMALL
    ),
    "window-dot": CoreConfig(
        "sparse",
        lanes=6,
        act_bits=6,
        coding="window",
        window_span=1,
        streams=4,
        pipeline=2,
        drain=2,
        **SMALL,
    ),
    "window-beats": CoreConfig(
        "sparse",
        lanes=12,
        tiles=2,
        coding="window",
        window_span=3,
        beats=2,
        streams=3,
        gate_zeros=1,
        **SMALL | {"weight_depth": 1024},
    ),
    # Windows of several kernel rows, whose taps are numbers of a list.
    "window-rows": CoreConfig(
        "sparse",
        lanes=6,
        filters=2,
        coding="window",
        window_span=21,
        beats=7,
        streams=2,
        drain=2,
        listed=1,
        **SMALL | {"weight_depth": 1792},
    ),
    # Filters that take turns on a window, the last ones of a group without all of the others.
    "window-turns": CoreConfig(
        "sparse",
        lanes=6,
        filters=3,
        coding="window",
        window_span=3,
        drain=2,
        **SMALL | {"weight_depth": 1536},
    ),
    "window-turns-dot": CoreConfig(
        "sparse",
        lanes=4,
        filters=4,
        tiles=2,
        coding="window",
        window_span=1,
        streams=2,
        pipeline=2,
        gate_zeros=1,
        rest_sums=1,
        act_buffers=2,
        **SMALL | {"weight_depth": 2048},
    ),
    "dense-scalar": CoreConfig("dense-scalar", lanes=13, act_bits=5, act_buffers=2, **SMALL),
    "dense-2d": CoreConfig("dense-2d", lanes=6, filters=3, act_bits=4, drain=2, **SMALL),
    "dense-packed": CoreConfig(
        "dense-packed", lanes=6, filters=3, drain=2, mask_bits=5, mask_depth=103, **SMALL
    ),
    "dense-packed-gated": CoreConfig(
        "dense-packed",
        lanes=2,
        filters=8,
        act_bits=4,
        tiles=2,
        mask_bits=4,
        pipeline=0,
        act_buffers=2,
        gate_zeros=1,
        rest_sums=1,
        **SMALL,
    ),
    "sparse-rows": CoreConfig(
        "sparse-rows",
        lanes=6,
        filters=3,
        act_bits=6,
        window_reads=2,
        window_span=3,
        drain=2,
        **SMALL,
    ),
    "sparse-nm-2of4": CoreConfig(
        "sparse-nm", lanes=6, filters=3, drain=2, **SMALL | {"act_banks": 8, "act_depth": 256}
    ),
    "sparse-nm-1of4": CoreConfig(
        "sparse-nm",
        lanes=2,
        filters=5,
        tiles=2,
        act_bits=7,
        pipeline=0,
        act_buffers=2,
        nm_keep=1,
        **SMALL,
    ),
    # Elements wider than a bank, and as wide as half of one.
    "sparse-nm-2of8": CoreConfig(
        "sparse-nm", lanes=5, filters=2, nm_group=8, **SMALL | {"act_banks": 16, "act_depth": 128}
    ),
    "sparse-nm-4of8": CoreConfig(
        "sparse-nm",
        lanes=3,
        filters=9,
        nm_keep=4,
        nm_group=8,
        pipeline=2,
        **SMALL | {"bank_bytes": 16, "act_depth": 128},
    ),
}
every_core = pytest.mark.parametrize("config", CORES.values(), ids=CORES)
thorough = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


def fitting(batch, config: CoreConfig):
    """The cases that the core accepts: all, but for steps that a dense core cannot make."""
    accepted = []
    for layer, x in ((obeying(layer, config), narrowed(x, config.act_bits)) for layer, x in batch):
        try:
            job_of(layer, x, config)
        except CosignError as error:
            if not config.dense or "a dense core cannot step through dilation" not in str(error):
                raise
        else:
            accepted.append((layer, x))
    return accepted


@every_core
def test_nearly_all_random_layers_are_accepted(config):
    shares = []

    @settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(batch=st.lists(cases(), min_size=10, max_size=40))
    def count(batch):
        accepted = fitting(batch, config)
        dilated = [layer.geometry.dilation != (1, 1) for layer, _ in batch]
        assert len(accepted) >= dilated.count(False)
        shares.append(len(accepted) / len(batch))

    count()
    assert np.mean(shares) == 1 or (config.dense and np.mean(shares) > 0.6)


seeds = st.integers(1, (1 << 31) - 1)


@every_core
@thorough
@given(batch=st.lists(cases(), min_size=10, max_size=40), power_on=seeds)
def test_random_layers_bit_for_bit_in_exactly_the_predicted_cycles(config, batch, power_on):
    batch = fitting(batch, config)
    assume(batch)
    cycles = run_and_compare(batch, config, power_on=power_on)
    assert cycles == predicted(batch, config)


@every_core
@settings(thorough, max_examples=3)
@given(
    batch=st.lists(cases(), min_size=10, max_size=25),
    bits=st.integers(2, 80) | st.integers(80, 1 << 10),
    power_on=seeds,
)
def test_streams_that_share_a_channel_take_exactly_the_predicted_cycles(
    config, batch, bits, power_on
):
    batch = fitting(batch, config)
    assume(batch)
    cycles = run_and_compare(batch, config, power_on=power_on, bytes_per_cycle=bits / 8)
    assert cycles == predicted(batch, config, bits / 8)


@every_core
@settings(thorough, max_examples=3)
@given(batch=st.lists(cases(), min_size=10, max_size=40), seed=seeds, power_on=seeds)
def test_random_idle_and_back_pressure_change_nothing(config, batch, seed, power_on):
    batch = fitting(batch, config)
    assume(batch)
    run_and_compare(batch, config, stall_seed=seed, power_on=power_on)


def test_a_channel_and_random_stalls_together_change_nothing():
    """Bits of a word wait for it however long it is held up."""
    config = CORES["sparse"]
    layers = [
        random_layer(Geometry("conv", 3, 5, 7, 9, (3, 3)), d, seed=n)
        for n, d in enumerate((0.1, 0.9))
    ]
    batch = [(layer, random_input(layer.geometry)) for layer in layers]
    for bytes_per_cycle in (0.5, 4, 64):
        alone = run_and_compare(batch, config, bytes_per_cycle=bytes_per_cycle)
        stalled = run_and_compare(batch, config, 7, bytes_per_cycle=bytes_per_cycle)
        assert all(a <= b for a, b in zip(alone, stalled, strict=True))


@every_core
def test_memories_may_be_full_to_the_last_word(config):
    """A pass as long as the weight buffer, on a map as large as the activation memory."""
    entries = config.weight_depth // words_of_a_channel(config)
    images = config.act_elements // entries * config.tiles
    channels = entries * config.element
    geometry = Geometry("linear", channels, 2 * config.filters)
    layer = obeying(random_layer(geometry, 1.0), config)
    layout = stripes_of(geometry, images, config)[1]
    assert layout.bytes == config.act_bytes
    assert work(layer, layout, config).stored.tolist() == [config.weight_depth] * 2
    x = random_input(geometry, images, act_bits=config.act_bits)
    run_and_compare([(layer, x)] * 2, config)


@pytest.mark.parametrize("name", ["sparse-bitmask", "bitmask-windows"])
def test_a_full_buffer_may_end_before_the_masks_do(name):
    """Behind the last level the pointer is at the first again; issues without weights follow."""
    config = CORES[name]
    assert config.weight_depth & (config.weight_depth - 1) == 0
    levels = np.zeros((2, config.weight_depth + 3 * config.mask_bits), np.int8)
    levels[:, : config.weight_depth] = 5
    layer = layer_of(levels, Geometry("linear", levels.shape[1], 2), mul=1, shift=12)
    assert work(layer, stripes_of(layer.geometry, 1, config)[1], config).stored.max() == 512
    x = random_input(layer.geometry)
    run_and_compare([(layer, x)] * 2, config)


@pytest.mark.parametrize("name", ["sparse", "sparse-absolute", "dense-2d"])
def test_both_ends_of_the_range_are_reached(name):
    config = CORES[name]
    lowest, highest = bounds(config.act_bits)
    geometry = Geometry("conv", 2, 2, 4, 4, (3, 3), (1, 1), (1, 1))
    x = np.full((1, 2, 4, 4), lowest, np.int8)
    x[..., 2:] = highest
    for relu in (False, True):
        layer = layer_of(np.full((2, 18), 127), geometry, relu=relu, act_bits=config.act_bits)
        run = run_layer(layer, x, config)
        assert np.array_equal(run.outputs, layer_output(layer, x))
        assert (run.outputs.min(), run.outputs.max()) == (0 if relu else lowest, highest)


def test_activations_of_other_bits_than_the_core_has_are_refused():
    config = CORES["dense-2d"]
    layer = random_layer(Geometry("conv", 2, 2, 4, 4, (2, 2)), 1.0)
    with pytest.raises(CosignError, match="have 8 bits, those of the core 4; set act_bits to 8"):
        run_layer(layer, random_input(layer.geometry), config)
    layer = obeying(layer, config)
    with pytest.raises(CosignError, match=r"of 4 bits, -8 to 7, and holds -?\d+"):
        run_layer(layer, random_input(layer.geometry), config)


@every_core
def test_the_accumulator_holds_what_its_width_promises(config):
    """Sums at both ends of acc_bits; a bias one further is refused."""
    geometry = Geometry("linear", 400, 2)
    levels = np.stack([np.full(400, 127), np.full(400, -127)])
    lowest, highest = bounds(config.act_bits)
    x = np.full((3, 400, 1, 1), lowest, np.int8)
    layer = obeying(layer_of(levels, geometry, mul=1, shift=20), config)
    room = (1 << (config.acc_bits - 1)) - layer.nnz // 2 * 127 * -lowest
    layer = dataclasses.replace(layer, bias=np.array([-room, room - 1]))
    run = run_layer(layer, x, config)
    assert np.array_equal(run.outputs, layer_output(layer, x))
    assert run.outputs[0].ravel().tolist() == [lowest, highest]
    beyond = dataclasses.replace(layer, bias=np.array([-room - 1, 0]))
    with pytest.raises(CosignError, match="raise acc_bits"):
        run_layer(beyond, x, config)


@pytest.mark.parametrize("distance", [30, 31, 32, 61, 62, 63, 199])
@pytest.mark.parametrize("name", ["sparse", "sparse-dot"])
def test_distances_around_the_widest_index(name, distance):
    """5 bits hold distances up to 30; 31 is a filler."""
    config = CORES[name]
    levels = np.zeros((1, 200 * config.streams), np.int8)
    levels[0, [0, distance * config.streams]] = 3, -5
    layer = layer_of(levels, Geometry("linear", levels.size, 1), mul=1, shift=3)
    x = random_input(layer.geometry)
    (cycles,) = run_and_compare([(layer, x)], config)
    assert cycles == layer_cycles(layer, config)


@pytest.mark.parametrize("bits", [1, 2])
@thorough
@given(batch=st.lists(cases(), min_size=20, max_size=40))
def test_streams_with_the_shortest_distances(bits, batch):
    """Most distances take fillers."""
    config = dataclasses.replace(CORES["sparse-dot"], index_bits=bits, weight_depth=1 << 14)
    cycles = run_and_compare(batch, config)
    assert cycles == predicted(batch, config)


@every_core
def test_a_reset_in_the_middle_of_a_layer_leaves_nothing_behind(config):
    layer = obeying(random_layer(Geometry("conv", 4, 6, 9, 9, (3, 3)), 0.5), config)
    run = run_of(layer, config)
    cut = [dataclasses.replace(run, reset_at=at) for at in (1, 7, 40, 90, 150, 223)]
    runs = [run, *(each for pair in zip(cut, [run] * len(cut), strict=True) for each in pair)]
    whole = simulate_runs(runs, config, simulators_dir())
    assert len(whole) == len(runs) - len(cut)
    for answer in whole:
        assert answer.error == 0
        assert is_right(answer.raw, layer, config)


@every_core
def test_malformed_streams_raise_an_error_and_leave_the_core_restartable(config):
    spoil_and_compare(config, 0.5, before=True)


@every_core
def test_maps_that_do_not_fit_are_computed_in_stripes(config):
    channels = 5 * config.streams
    geometry = Geometry("conv", channels, 4, 60, 50, (3, 3), (1, 1), (1, 1))
    layer = obeying(random_layer(geometry, 0.2), config)
    assert config.act_bytes < channels * 60 * 50
    x = random_input(layer.geometry, 2, act_bits=config.act_bits)
    run = run_layer(layer, x, config)
    assert np.array_equal(run.outputs, layer_output(layer, x))
    assert run.cycles == 2 * layer_cycles(layer, config)


def test_dense_cycles_depend_on_the_shape_alone():
    config = CORES["dense-2d"]
    geometry = Geometry("conv", 3, 5, 9, 9, (3, 3))
    assert dense_cycles(geometry, config) == layer_cycles(random_layer(geometry, 0.1), config)


def test_batches_of_a_linear_layer_are_split_by_the_activation_memory():
    config = CORES["sparse"]
    layer = random_layer(Geometry("linear", 1500, 3), 0.01)
    x = np.random.default_rng(0).integers(-128, 128, (12, 1500, 1, 1), np.int8)
    assert config.act_bytes // 1500 < 12
    run = run_layer(layer, x, config)
    assert np.array_equal(run.outputs, layer_output(layer, x))


def test_a_wave_is_written_on_request(tmp_path: Path):
    layer = random_layer(Geometry("conv", 1, 2, 4, 4, (2, 2)), 1.0)
    x = random_input(layer.geometry)
    try:
        run_layer(layer, x, CORES["sparse"], waves=tmp_path / "wave.fst")
    except CosignError as error:
        if "liblz4-dev" in str(error):
            pytest.skip("the lz4 headers are not installed")
        raise
    assert (tmp_path / "wave.fst").stat().st_size > 1000


def test_a_core_that_waits_for_ever_is_reported():
    layer = random_layer(Geometry("conv", 1, 2, 4, 4, (2, 2)), 1.0)
    x = random_input(layer.geometry)
    program = pack_layer(layer, CORES["sparse"])
    program = dataclasses.replace(program, weights=program.weights[:-1])
    with pytest.raises(CosignError, match="stopped answering"):
        simulate([Job(program, x[0])], CORES["sparse"], simulators_dir())


def test_a_cached_simulator_outlives_the_environment_that_compiled_it():
    from cocotb_tools import config as cocotb_config

    simulator = build(CORES["sparse"], simulators_dir()) / TOP
    assert str(cocotb_config.libs_dir).encode() not in simulator.read_bytes()


def test_wrong_input_shapes_are_refused():
    layer = random_layer(Geometry("conv", 2, 2, 4, 4, (2, 2)), 1.0)
    x = random_input(layer.geometry)
    with pytest.raises(CosignError, match="takes int8 maps"):
        run_layer(layer, x[:, :1], CORES["sparse"])


def test_a_missing_compiler_is_named(tmp_path: Path):
    program = (
        "from sim.build import tools\n"
        "from cosign import CosignError\n"
        "try: tools()\n"
        "except CosignError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "install the system package g++" in done.stdout


CONV1_TO_5 = {
    "conv1": (Geometry("conv", 3, 96, 227, 227, (11, 11), (4, 4)), 0.63),
    "conv2": (Geometry("conv", 96, 256, 27, 27, (5, 5), (1, 1), (2, 2), (1, 1), 2), 0.07),
    "conv3": (Geometry("conv", 256, 384, 13, 13, (3, 3), (1, 1), (1, 1)), 0.06),
    "conv4": (Geometry("conv", 384, 384, 13, 13, (3, 3), (1, 1), (1, 1), (1, 1), 2), 0.07),
    "conv5": (Geometry("conv", 384, 256, 13, 13, (3, 3), (1, 1), (1, 1), (1, 1), 2), 0.07),
}
FULL_SIZE = {
    "sparse": CoreConfig(),
    "dense-2d": CoreConfig(
        "dense-2d", lanes=8, filters=8, act_banks=4, act_depth=10240, weight_depth=2304
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("config", FULL_SIZE.values(), ids=FULL_SIZE)
@pytest.mark.parametrize("name", CONV1_TO_5)
def test_alexnet_at_full_size(name, config):
    geometry, density = CONV1_TO_5[name]
    layer = random_layer(geometry, density)
    x = np.maximum(random_input(geometry), 0)
    run = run_layer(layer, x, config, input_range=(0, 127))
    assert np.array_equal(run.outputs, layer_output(layer, x))
    assert run.cycles == layer_cycles(layer, config)
