"""A layer's run, cycle by cycle at the core's ports: what a mapped netlist is replayed with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosign import scratch
from rtl.config import CoreConfig
from sim.build import inputs, outputs
from sim.simulate import Job, JobResult, simulate


@dataclass(frozen=True, eq=False)
class Recording:
    """All cycles of a simulation, from the first one of the reset.

    Parameters
    ----------
    inputs, outputs : port -> uint8 [cycles, bits], least significant bit first
    results : of the jobs, in order
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    results: tuple[JobResult, ...]


def record(
    jobs: Sequence[Job], config: CoreConfig, simulators: Path, stall_seed: int | None = None
) -> Recording:
    """Execute `jobs` on the compiled RTL and keep its ports. Errors are those of simulate.

    Registers and memories begin as zeros: so they do in the replay of a netlist.
    """
    with scratch("record") as folder:
        path = folder / "ports"
        results = simulate(jobs, config, simulators, stall_seed=stall_seed, record=path, seed=0)
        ports = inputs(config) | outputs(config)
        line = sum(width for _, width in ports.values()) + 1
        text = np.fromfile(path, np.uint8)
        bits = text[: len(text) // line * line].reshape(-1, line) & 1  # "0" and "1" are 48 and 49
    found, offset = {}, 0
    for port, (_, width) in ports.items():
        found[port] = np.ascontiguousarray(bits[:, offset : offset + width][:, ::-1])
        offset += width
    return Recording(
        {port: found[port] for port in inputs(config)},
        {port: found[port] for port in outputs(config)},
        tuple(results),
    )
