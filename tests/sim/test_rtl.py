"""The RTL against the golden model, bit for bit, and its cycle counter against the cycle model."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compress.container import Geometry, Layer, max_level
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.pack import pack_layer
from sim.build import TOP, build
from sim.cycles import dense_cycles, layer_cycles
from sim.golden import layer_output
from sim.run import run_layer, simulators_dir
from sim.simulate import Job, simulate

SMALL = {"act_banks": 4, "bank_bytes": 4, "act_depth": 512, "weight_depth": 512, "acc_bits": 28}
CORES = {
    # Narrow indices make fillers; two outputs a cycle do not divide the lanes.
    "sparse": CoreConfig("sparse", lanes=13, index_bits=5, drain=2, **SMALL),
    "dense-scalar": CoreConfig("dense-scalar", lanes=13, **SMALL),
    "dense-2d": CoreConfig("dense-2d", lanes=6, filters=3, drain=2, **SMALL),
}
every_core = pytest.mark.parametrize("config", CORES.values(), ids=CORES)
thorough = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    if draw(st.integers(0, 4)) == 0:
        return Geometry("linear", draw(st.integers(1, 200)), draw(st.integers(1, 12)))
    groups = draw(st.integers(1, 3))
    kernel = draw(pairs(1, 5))
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
        stride=draw(pairs(1, 3)),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Layer, np.ndarray]:
    """A layer and int8 inputs [N, C, H, W]."""
    g = draw(geometries())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = draw(st.integers(2, 8))
    density = draw(st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.7, 1.0]))
    levels = rng.integers(1, max_level(bits) + 1, (g.out_channels, g.columns))
    levels *= rng.choice([-1, 1], levels.shape)
    levels[rng.random(levels.shape) >= density] = 0
    if draw(st.booleans()):  # a filter without weights, and one with a single weight
        levels[0] = 0
        levels[-1] = 0
        levels[-1, -1] = 1
    layer = Layer.from_dense(
        levels.astype(np.int8),
        name="layer",
        input="input",
        geometry=g,
        bits=bits,
        q=0.5,
        bias=rng.integers(-20000, 20000, g.out_channels),
        mul=draw(st.integers(0, (1 << 16) - 1)),
        shift=draw(st.integers(10, 30)),  # saturates at one end, rounds to zero at the other
        relu=draw(st.booleans()),
        in_scale=1.0,
        out_scale=1.0,
    )
    images = draw(st.integers(1, 30)) if g.kind == "linear" else 1
    x = rng.integers(-128, 128, (images, g.in_channels, g.in_height, g.in_width), np.int8)
    return layer, x


def job_of(layer: Layer, x: np.ndarray, config: CoreConfig) -> Job:
    if layer.geometry.kind == "conv":
        return Job(pack_layer(layer, config), x[0])
    return Job(pack_layer(layer, config, len(x)), x[:, :, 0, 0])


def expected_outputs(layer: Layer, x: np.ndarray) -> np.ndarray:
    out = layer_output(layer, x)
    return out[0] if layer.geometry.kind == "conv" else out[:, :, 0, 0]


def run_and_compare(batch, config: CoreConfig, stall_seed: int | None = None) -> list[int]:
    """Run layers back to back in one simulator; returns the cycles of each."""
    jobs = [job_of(layer, x, config) for layer, x in batch]
    results = simulate(jobs, config, simulators_dir(), stall_seed=stall_seed)
    for (layer, x), result in zip(batch, results, strict=True):
        assert np.array_equal(result.outputs, expected_outputs(layer, x)), layer.geometry
    return [result.cycles for result in results]


def fitting(batch, config: CoreConfig):
    """The cases that the core accepts."""
    accepted = []
    for layer, x in batch:
        try:
            job_of(layer, x, config)
        except CosignError:
            continue
        accepted.append((layer, x))
    return accepted


@every_core
@thorough
@given(batch=st.lists(cases(), min_size=10, max_size=40))
def test_random_layers_bit_for_bit_in_exactly_the_predicted_cycles(config, batch):
    batch = fitting(batch, config)
    assume(batch)
    cycles = run_and_compare(batch, config)
    predicted = [
        layer_cycles(layer, config, len(x) if layer.geometry.kind == "linear" else 1)
        for layer, x in batch
    ]
    assert cycles == predicted


@every_core
@settings(thorough, max_examples=3)
@given(batch=st.lists(cases(), min_size=10, max_size=40), seed=st.integers(1, 2**31))
def test_random_idle_and_back_pressure_change_nothing(config, batch, seed):
    batch = fitting(batch, config)
    assume(batch)
    run_and_compare(batch, config, stall_seed=seed)


def test_both_ends_of_the_int8_range_are_reached():
    config = CORES["sparse"]
    geometry = Geometry("conv", 2, 2, 4, 4, (3, 3), (1, 1), (1, 1))
    levels = np.full((2, 18), 127, np.int8)
    fields = {"name": "l", "input": "input", "geometry": geometry, "bits": 8, "q": 1.0}
    fields |= {"bias": [0, 0], "mul": 1, "shift": 1, "in_scale": 1.0, "out_scale": 1.0}
    x = np.full((1, 2, 4, 4), -128, np.int8)
    x[..., 2:] = 127
    for relu, lowest in ((False, -128), (True, 0)):
        layer = Layer.from_dense(levels, relu=relu, **fields)
        run = run_layer(layer, x, config)
        assert np.array_equal(run.outputs, layer_output(layer, x))
        assert (run.outputs.min(), run.outputs.max()) == (lowest, 127)


def test_dense_cycles_depend_on_the_shape_alone():
    config = CORES["dense-2d"]
    geometry = Geometry("conv", 3, 5, 9, 9, (3, 3))
    layer = Layer.from_dense(
        np.zeros((5, 27), np.int8),
        name="l",
        input="input",
        geometry=geometry,
        bits=8,
        q=1.0,
        bias=np.zeros(5),
        mul=1,
        shift=1,
        relu=False,
        in_scale=1.0,
        out_scale=1.0,
    )
    assert dense_cycles(geometry, config) == layer_cycles(layer, config)


def test_batches_of_a_linear_layer_are_split_by_the_activation_memory():
    config = CORES["sparse"]
    layer, _ = layer_and_input(Geometry("linear", 1500, 3), 0.01)
    x = np.random.default_rng(0).integers(-128, 128, (12, 1500, 1, 1), np.int8)
    assert config.act_bytes // 1500 < 12
    run = run_layer(layer, x, config)
    assert np.array_equal(run.outputs, layer_output(layer, x))


def test_a_wave_is_written_on_request(tmp_path: Path):
    layer, x = layer_and_input(Geometry("conv", 1, 2, 4, 4, (2, 2)), 1.0)
    try:
        run_layer(layer, x, CORES["sparse"], waves=tmp_path / "wave.fst")
    except CosignError as error:
        if "liblz4-dev" in str(error):
            pytest.skip("the lz4 headers are not installed")
        raise
    assert (tmp_path / "wave.fst").stat().st_size > 1000


def test_a_core_that_waits_for_ever_is_reported():
    layer, x = layer_and_input(Geometry("conv", 1, 2, 4, 4, (2, 2)), 1.0)
    program = pack_layer(layer, CORES["sparse"])
    program = dataclasses.replace(program, weights=program.weights[:-1])
    with pytest.raises(CosignError, match="stopped answering"):
        simulate([Job(program, x[0])], CORES["sparse"], simulators_dir())


def test_a_cached_simulator_outlives_the_environment_that_compiled_it():
    from cocotb_tools import config as cocotb_config

    simulator = build(CORES["sparse"], simulators_dir()) / TOP
    assert str(cocotb_config.libs_dir).encode() not in simulator.read_bytes()


def test_wrong_input_shapes_are_refused():
    layer, x = layer_and_input(Geometry("conv", 2, 2, 4, 4, (2, 2)), 1.0)
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


def layer_and_input(g: Geometry, density: float, bits: int = 4) -> tuple[Layer, np.ndarray]:
    rng = np.random.default_rng(0)
    levels = rng.integers(1, max_level(bits) + 1, (g.out_channels, g.columns))
    levels *= rng.choice([-1, 1], levels.shape)
    levels[rng.random(levels.shape) >= density] = 0
    spread = 40 * max_level(bits) * np.sqrt(g.columns * density)
    layer = Layer.from_dense(
        levels.astype(np.int8),
        name="layer",
        input="input",
        geometry=g,
        bits=bits,
        q=0.1,
        bias=rng.integers(-500, 500, g.out_channels),
        mul=min(65535, int((1 << 20) * 40 / spread)),
        shift=20,
        relu=True,
        in_scale=1.0,
        out_scale=1.0,
    )
    x = rng.integers(0, 128, (1, g.in_channels, g.in_height, g.in_width), np.int8)
    return layer, x


@pytest.mark.slow
@pytest.mark.parametrize("config", FULL_SIZE.values(), ids=FULL_SIZE)
@pytest.mark.parametrize("name", CONV1_TO_5)
def test_alexnet_at_full_size(name, config):
    layer, x = layer_and_input(*CONV1_TO_5[name])
    run = run_layer(layer, x, config, input_range=(0, 127))
    assert np.array_equal(run.outputs, layer_output(layer, x))
    assert run.cycles == layer_cycles(layer, config)
