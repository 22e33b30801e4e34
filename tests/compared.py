"""Layers on the RTL, with Verilator, against the golden model."""

from collections.abc import Sequence

import numpy as np

from compress.model.graph import Layer
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer
from sim.golden import layer_output
from sim.run import simulators_dir
from sim.simulate import Job, simulate


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
