"""Layers on the RTL, with Verilator, against the golden model and the cycle model."""

from collections.abc import Sequence

import numpy as np
from malformed import is_right, malformed, run_of
from random_layers import obeying, random_layer

from compress.model.graph import Layer
from rtl.config import CoreConfig
from rtl.program.fit import batch_of
from rtl.program.pack import pack_layer
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.run import simulators_dir
from sim.simulate import Job, simulate, simulate_runs


def job_of(layer: Layer, x: np.ndarray, config: CoreConfig) -> Job:
    if layer.geometry.kind == "conv":
        return Job(pack_layer(layer, config), x[0])
    return Job(pack_layer(layer, config, len(x)), x[:, :, 0, 0])


def expected_outputs(layer: Layer, x: np.ndarray) -> np.ndarray:
    out = layer_output(layer, x)
    return out[0] if layer.geometry.kind == "conv" else out[:, :, 0, 0]


def run_and_compare(
    batch: Sequence[tuple[Layer, np.ndarray]],
    config: CoreConfig,
    stall_seed: int | None = None,
    power_on: int = 1,
    bytes_per_cycle: float | None = None,
) -> list[int]:
    """Run layers back to back in one simulator; returns the cycles of each."""
    jobs = [job_of(layer, x, config) for layer, x in batch]
    results = simulate(
        jobs,
        config,
        simulators_dir(),
        stall_seed=stall_seed,
        seed=power_on,
        bytes_per_cycle=bytes_per_cycle,
    )
    for (layer, x), result in zip(batch, results, strict=True):
        assert np.array_equal(result.outputs, expected_outputs(layer, x)), layer.geometry
    return [result.cycles for result in results]


def predicted(
    batch: Sequence[tuple[Layer, np.ndarray]],
    config: CoreConfig,
    bytes_per_cycle: float | None = None,
) -> list[int]:
    """The cycles of each layer by the cycle model."""
    return [
        layer_cycles(layer, config, batch_of(layer.geometry, len(x)), bytes_per_cycle)
        for layer, x in batch
    ]


def spoil_and_compare(config: CoreConfig, density: float, *, before: bool = False) -> None:
    """Every malformed stream raises its error and no other; the run behind it, with `before` also
    the one ahead of it, of the layer that it spoils, is right. All in one simulator."""
    runs, layers, errors = [], [], []
    for geometry, spoil, error in malformed(config):
        layer = obeying(random_layer(geometry, density), config)
        run = run_of(layer, config)
        several = [(run, 0)] * before + [(spoil(run, config), 1 << error), (run, 0)]
        runs += [each for each, _ in several]
        errors += [raised for _, raised in several]
        layers += [layer] * len(several)
    answers = simulate_runs(runs, config, simulators_dir())
    assert [answer.error for answer in answers] == errors
    for layer, answer in zip(layers, answers, strict=True):
        assert answer.error or is_right(answer.raw, layer, config)
