"""A layer on the RTL: as many runs of the core as its images take."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.model.activations import check_values
from compress.model.graph import Layer
from cosign import CosignError, cache_dir
from rtl.config import CoreConfig
from rtl.program.pack import largest_batch, pack_layer
from sim.cycles import layer_cycles
from sim.simulate import Job, JobResult, simulate

_JOBS = 500
"""Jobs of one simulator process: a start-up is nothing to them, and their files fit any disk."""


@dataclass(frozen=True, eq=False)
class LayerRun:
    """A layer as the RTL computed it.

    Parameters
    ----------
    outputs : int8 [N, K, Ho, Wo]
    cycles : clock cycles of all images together, busy counter
    stalls : those of them in which an entry waited for weights, bias or drain
    wall_s : seconds that the simulation took, compiling included when it was needed
    """

    outputs: np.ndarray
    cycles: int
    stalls: int
    wall_s: float


def simulators_dir() -> Path:
    """Where compiled simulators are kept between runs."""
    return cache_dir() / "simulators"


def run_layer(
    layer: Layer,
    inputs: np.ndarray,
    config: CoreConfig,
    simulators: Path | None = None,
    *,
    input_range: tuple[int, int] | None = None,
    stall_seed: int | None = None,
    waves: Path | None = None,
    batch: int | None = None,
    processes: int = 1,
    bytes_per_cycle: float | None = None,
) -> LayerRun:
    """Execute `layer` on the RTL for `inputs`, int8 [N, C, H, W].

    Images of a convolution follow one another; those of a linear layer are computed together, as
    many as the activation memory holds, `batch` at most. `input_range` bounds the activations for
    the overflow proof. `simulators` is the folder for compiled simulators. `stall_seed` makes all
    streams stutter, `waves` writes an FST wave. Many images are shared by `processes` simulators.
    `bytes_per_cycle` is what a channel that all streams share moves (`sim.channel`).
    Raises CosignError when the layer does not fit the core, or a tool is missing.
    """
    began = time.perf_counter()
    g = layer.geometry
    if inputs.dtype != np.int8 or inputs.shape[1:] != (g.in_channels, g.in_height, g.in_width):
        raise CosignError(
            f"layer {layer.name!r} takes int8 maps of {(g.in_channels, g.in_height, g.in_width)}, "
            f"not {inputs.dtype} of {inputs.shape[1:]}."
        )
    check_values(inputs, layer.act_bits, f"the input of layer {layer.name!r}")
    if g.kind == "conv":
        program = pack_layer(layer, config, input_range=input_range)
        jobs = [Job(program, x) for x in inputs]
    else:
        sizes = batches_of(layer, config, len(inputs), batch)
        batches = [part[:, :, 0, 0] for part in np.split(inputs, np.cumsum(sizes)[:-1])]
        programs = {length: pack_layer(layer, config, length, input_range) for length in set(sizes)}
        jobs = [Job(programs[len(x)], x) for x in batches]

    def run(part: Sequence[Job]) -> list[JobResult]:
        folder = simulators or simulators_dir()
        return simulate(
            part,
            config,
            folder,
            stall_seed=stall_seed,
            waves=waves,
            bytes_per_cycle=bytes_per_cycle,
        )

    shares = [run(jobs)] if waves else _share(run, jobs, processes)  # one wave is one simulation
    results = [result for share in shares for result in share]
    outputs = [result.outputs for result in results]
    return LayerRun(
        outputs=np.stack(outputs) if g.kind == "conv" else np.concatenate(outputs)[..., None, None],
        cycles=sum(result.cycles for result in results),
        stalls=sum(result.stalls for result in results),
        wall_s=time.perf_counter() - began,
    )


def batches_of(layer: Layer, config: CoreConfig, images: int, batch: int | None) -> list[int]:
    """Images of each run of a linear layer: what fits the memory, `batch` at most."""
    size = min(batch or images, largest_batch(layer, config))
    return [min(size, images - begun) for begun in range(0, images, size)]


def model_cycles(
    layer: Layer,
    config: CoreConfig,
    images: int,
    batch: int | None = None,
    bytes_per_cycle: float | None = None,
) -> int:
    """What the cycle model says of `run_layer`."""
    if layer.geometry.kind == "conv":
        return images * layer_cycles(layer, config, 1, bytes_per_cycle)
    sizes = batches_of(layer, config, images, batch)
    return sum(
        sizes.count(size) * layer_cycles(layer, config, size, bytes_per_cycle)
        for size in set(sizes)
    )


def _share(
    run: Callable[[Sequence[Job]], list[JobResult]], jobs: Sequence[Job], processes: int
) -> list[list[JobResult]]:
    """`run` on parts of `jobs`, in their order."""
    size = min(_JOBS, -(-len(jobs) // processes))
    parts = [jobs[n : n + size] for n in range(0, len(jobs), size)]
    if processes == 1 or len(parts) == 1:
        return [run(part) for part in parts]
    pool = ThreadPoolExecutor(processes)
    try:
        return list(pool.map(run, parts))
    finally:
        pool.shutdown(cancel_futures=True)
