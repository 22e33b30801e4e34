"""One point, measured: what a worker does. Without torch."""

import dataclasses
import functools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.model.graph import Geometry, Layer
from compress.model.levels import max_level
from compress.zoo.networks import spec_of
from cosign import CosignError, scratch
from flows.measure.energy import PricedCore, layer_energy
from flows.measure.workload import RandomMasks
from flows.sweep.spec import Job, Point
from rtl.config import CoreConfig
from rtl.coreset import base
from rtl.program.fit import batch_of, feed, fit
from rtl.program.pack import pack_layer
from sim.cycles import layer_cycles
from sim.run import simulators_dir
from synth.pdk import find_pdk
from synth.report import CoreReport, synthesize, toolchain


@dataclass(frozen=True)
class Outcome:
    """A point's figures, or the sentence that refuses it; and the tools of the worker.

    figures : name, config (JSON, with the memories of the job), multipliers, weights, nonzeros,
        cycles, fmax_hz, delay_s, logic_um2, sram_um2 {model: {purpose: area}}, area_um2 {model:
        area}; energy (as flows.measure.energy has it) or None
    """

    figures: dict[str, Any] | None
    refused: str | None
    tools: dict[str, Any]
    wall_s: float


def measure(point: Point, liberty: tuple[Path, ...] = ()) -> Outcome:
    """Synthesise the core, count the job's cycles on it, and replay its netlist if `point.energy`.

    A core that cannot be built or cannot hold the layer is refused; a tool that is missing or fails
    raises CosignError. Equal work is done once (cache by content), so it may be done again.
    """
    started = time.monotonic()
    tools = _tools(liberty)
    try:
        plain, fitted, layer, batch = prepare(point)
    except CosignError as error:
        return Outcome(None, str(error), tools, round(time.monotonic() - started, 3))
    report = _synthesized(plain, liberty).with_memories(fitted)
    cycles = layer_cycles(layer, fitted, batch)
    energy = None
    if point.energy:
        with scratch("sweep") as folder:
            image = _image(layer.geometry, point.job)
            core = PricedCore.of(fitted, folder, liberty)
            energy = layer_energy(layer, image, core, simulators_dir()).to_json()
    figures = {
        "name": report.name,
        "config": fitted.to_json(),
        "multipliers": fitted.multipliers,
        "weights": layer.geometry.weights,
        "nonzeros": layer.nnz,
        "cycles": cycles,
        "fmax_hz": report.fmax_hz,
        "delay_s": cycles / report.fmax_hz,
        "logic_um2": report.logic_um2,
        "sram_um2": report.sram_um2,
        "area_um2": {model: report.area_um2(model) for model in report.sram_um2},
        "energy": energy,
    }
    return Outcome(figures, None, tools, round(time.monotonic() - started, 3))


# A worker meets the same core again and again; even a cached report takes seconds to find.
@functools.cache
def _tools(liberty: tuple[Path, ...]) -> dict[str, Any]:
    return toolchain(find_pdk(liberty))


@functools.lru_cache
def _synthesized(config: CoreConfig, liberty: tuple[Path, ...]) -> CoreReport:
    return synthesize(config, None, liberty)


def prepare(point: Point) -> tuple[CoreConfig, CoreConfig, Layer, int]:
    """(core as it is synthesised, with the memories of the job, the layer, images of a run).

    Raises CosignError when the core cannot be or cannot hold the layer.
    """
    job = point.job
    plain = feed(base(str(point.core["core"])), **point.core)
    geometry = spec_of(job.network).geometries[job.layer]
    batch = batch_of(geometry, job.batch)
    layer = _layer(geometry, job, plain)
    fitted = fit(plain, [layer], batch)
    if point.energy:
        pack_layer(layer, fitted, batch, (0, 127))  # refuses what the core could not execute
    return plain, fitted, layer, batch


def _layer(geometry: Geometry, job: Job, core: CoreConfig) -> Layer:
    """The layer under the job's random mask, its levels uniform in ±1..±M/2, outputs that fill
    int8. Cycles and memories depend on the mask alone."""
    masks = RandomMasks(geometry, batch_of(geometry, job.batch), job.seed)
    masked, bits = masks.layer_for(core, job.portion), core.weight_bits
    rng = np.random.default_rng([job.seed, bits])
    levels = rng.integers(1, max_level(bits) + 1, masked.nnz) * rng.choice([-1, 1], masked.nnz)
    # Inputs are uniform in 0..127; three deviations of a sum are the largest output.
    deviation = 127 * max_level(bits) / 3 * math.sqrt(max(1, masked.nnz / geometry.out_channels))
    mul, shift = _requantiser(127 / (3 * deviation), core.mul_bits)
    fields = {"name": job.layer, "bits": bits, "levels": levels.astype(np.int8)}
    return dataclasses.replace(masked, **fields, mul=np.array([mul]), shift=np.array([shift]))


def _requantiser(scale: float, bits: int) -> tuple[int, int]:
    """(mul of `bits` bits at most, shift) with mul / 2**shift about `scale`, which is below 1."""
    shift = min(bits - 1 - math.floor(math.log2(scale)), 31)
    return min(max(1, round(scale * (1 << shift))), (1 << bits) - 1), shift


def _image(geometry: Geometry, job: Job) -> np.ndarray:
    """int8 [C, H, W], uniform in 0..127, as after a ReLU."""
    shape = (geometry.in_channels, geometry.in_height, geometry.in_width)
    return np.random.default_rng(job.seed).integers(0, 128, shape, np.int8)
