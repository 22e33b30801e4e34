"""Run layer programs on the compiled RTL: many jobs in one simulator process."""

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import find_libpython
import numpy as np

from cosign import CosignError, processes, scratch
from rtl.config import CoreConfig
from rtl.program.pack import LayerProgram, unpack_outputs
from rtl.program.traffic import Traffic
from rtl.program.words import from_bytes
from sim.build import TOP, build, coverage_folder, pack_descriptor, power_on
from sim.channel import channel_bits


@dataclass(frozen=True, eq=False)
class Job:
    """One input map through one layer.

    Parameters
    ----------
    program : the compiled layer
    x : int8 [C, H, W], or [batch, C] for a linear layer
    """

    program: LayerProgram
    x: np.ndarray


@dataclass(frozen=True, eq=False)
class JobResult:
    """What the RTL answered.

    Parameters
    ----------
    outputs : int8 [K, Ho, Wo], or [batch, K] for a linear layer
    cycles : clock cycles from start to done, of all runs of the core together
    stalls : those of them in which an entry was due and weights, bias or drain were not ready
    nonzeros, fillers : entries with and without a weight that reached the multipliers
    """

    outputs: np.ndarray
    cycles: int
    stalls: int
    nonzeros: int
    fillers: int


@dataclass(frozen=True, eq=False)
class Run:
    """One run of the core: its streams as the bench reads them, and what is done to it.

    Parameters
    ----------
    descriptor : values of the core's `layer` ports
    acts : uint8 [rows, bytes], the map
    weights : uint8 [words, bytes]
    biases : int64 [words], a filter's bias and requantisation each (`pack.filter_words`)
    reset_at : cycle after the start in which the core is reset, 0 for never
    traffic : what the streams take in the memory outside, needed where they share a channel
    """

    descriptor: dict[str, int]
    acts: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    reset_at: int = 0
    traffic: Traffic | None = None


@dataclass(frozen=True, eq=False)
class RunResult:
    """The output stream, int8 [words * tiles * drain], the counters, and the `error` bits."""

    raw: np.ndarray
    cycles: int
    stalls: int
    nonzeros: int
    fillers: int
    left_over: int
    error: int


def simulate(
    jobs: Sequence[Job],
    config: CoreConfig,
    folder: Path,
    *,
    stall_seed: int | None = None,
    waves: Path | None = None,
    record: Path | None = None,
    seed: int = 1,
    bytes_per_cycle: float | None = None,
) -> list[JobResult]:
    """Execute jobs one after the other, without a reset between them.

    folder : holds the compiled simulators
    stall_seed : random idle cycles and back-pressure on every stream
    waves : write an FST wave there
    record : write the core's ports there, a line of bits per clock cycle (`sim.record`)
    seed : of what registers and memories hold at power on, 1 to 2147483647; 0: zeros
    bytes_per_cycle : of a channel that all streams share (`sim.channel`); None for no limit

    Raises CosignError when a tool is missing or the simulation fails.
    """
    runs = [
        Run(
            job.program.descriptor,
            acts,
            job.program.weights,
            job.program.biases,
            traffic=None if bytes_per_cycle is None else job.program.traffic,
        )
        for job in jobs
        for acts in job.program.maps(job.x, config)
    ]
    answers = iter(
        simulate_runs(
            runs,
            config,
            folder,
            stall_seed=stall_seed,
            waves=waves,
            record=record,
            seed=seed,
            bytes_per_cycle=bytes_per_cycle,
        )
    )
    results = []
    for job in jobs:
        own = [next(answers) for _ in range(job.program.runs(config))]
        for answer in own:
            _check(answer, job.program, config)
        results.append(
            JobResult(
                unpack_outputs(job.program, config, [answer.raw for answer in own]),
                *(
                    sum(getattr(answer, name) for answer in own)
                    for name in ("cycles", "stalls", "nonzeros", "fillers")
                ),
            )
        )
    return results


def simulate_runs(
    runs: Sequence[Run],
    config: CoreConfig,
    folder: Path,
    *,
    stall_seed: int | None = None,
    waves: Path | None = None,
    record: Path | None = None,
    seed: int = 1,
    bytes_per_cycle: float | None = None,
) -> list[RunResult]:
    """Execute runs as `simulate` does, whatever their streams say; a run that is reset has no
    result of its own."""
    simulator = build(config, folder, waves=waves is not None, record=record is not None)
    with scratch("sim") as work:
        _write_jobs(work, runs, config)
        arguments = ["+jobs=jobs", "+results=results", *power_on(seed)]
        if record is not None:
            arguments.append(f"+record={record.resolve()}")
        if stall_seed is not None:
            arguments.append(f"+stall={stall_seed}")
        if bytes_per_cycle is not None:
            arguments.append(f"+channel={channel_bits(bytes_per_cycle)}")
        _execute(simulator, work, arguments, waves)
        return _collect(work, config)


def _write_jobs(work: Path, runs: Sequence[Run], config: CoreConfig) -> None:
    """Write the job list and all streams."""
    lines = []
    written: dict[tuple[int, int], Path] = {}
    for number, run in enumerate(runs):
        _write(work / str(number), run, config, written)
        layer = pack_descriptor(run.descriptor, config)
        lines.append(f"{number} {len(run.acts)} {run.reset_at} {layer:x}\n")
    (work / "jobs").write_text("".join(lines))


def _write(
    prefix: Path, run: Run, config: CoreConfig, written: dict[tuple[int, int], Path]
) -> None:
    """Write a run's three streams; words are big-endian, as $fread takes them."""
    prefix.with_suffix(".acts").write_bytes(run.acts[:, ::-1].tobytes())
    key = id(run.weights), id(run.biases)
    if key in written:  # images of the same layer share the files
        for suffix in (".weights", ".biases", *((".channel", ".bits") if run.traffic else ())):
            prefix.with_suffix(suffix).symlink_to(written[key].with_suffix(suffix))
        return
    written[key] = prefix
    prefix.with_suffix(".weights").write_bytes(run.weights[:, ::-1].tobytes())
    width = -(-config.bias_bits // 8)
    big_endian = run.biases.astype(">i8").view(np.uint8).reshape(-1, 8)
    prefix.with_suffix(".biases").write_bytes(big_endian[:, 8 - width :].tobytes())
    if run.traffic is not None:
        _write_channel(prefix, run.traffic)


def _write_channel(prefix: Path, moved: Traffic) -> None:
    """Write what the streams take in the memory outside."""
    numbers = (
        *(moved.inputs.bits, moved.inputs.count * moved.inputs.bits),
        *(moved.widest_weight_bits, moved.weight_bits),
        *(moved.biases.bits, moved.biases.total_bits, moved.outputs.bits),
    )
    prefix.with_suffix(".channel").write_text(" ".join(map(str, numbers)))
    prefix.with_suffix(".bits").write_bytes(moved.bits_by_word().astype(">u2").tobytes())


def _execute(simulator: Path, run: Path, arguments: list[str], waves: Path | None) -> None:
    from cocotb_tools.check_results import get_results

    log, results = run / "log", run / "results.xml"
    coverage = coverage_folder()
    if coverage is not None:
        coverage.mkdir(parents=True, exist_ok=True)
        name = coverage / f"{simulator.name}-{uuid.uuid4().hex}.dat"
        arguments = [*arguments, f"+verilator+coverage+file+{name}"]
    trace = ["--trace", "--trace-file", str(waves.resolve())] if waves else []
    with (
        log.open("wb") as output,
        processes.started(
            [simulator.resolve() / TOP, *trace, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=run,
            env=_environment(results),
        ) as process,
    ):
        status = process.wait()
    tests, failed = 0, 0
    if status == 0:
        with contextlib.suppress(SystemExit, RuntimeError, OSError):  # no results, or half of them
            tests, failed = get_results(results)
    if tests != 1 or failed:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) or "no log"
        raise CosignError(f"the RTL simulation failed (status {status}):\n{tail}")


def _environment(results: Path) -> dict[str, str]:
    """What cocotb wants of its simulator's environment."""
    from cocotb_tools import config as cocotb_config

    def path(name: str, *more: str) -> str:
        return os.pathsep.join([*more, *filter(None, [os.environ.get(name)])])

    users = (str(find_libpython.find_libpython()), cocotb_config.pygpi_entry_point())
    return {
        **os.environ,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_TEST_MODULES": "sim.bench.drive",
        "COCOTB_TOPLEVEL": TOP,
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "GPI_USERS": ";".join(users),
        "LD_LIBRARY_PATH": path("LD_LIBRARY_PATH", str(cocotb_config.libs_dir)),
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TOPLEVEL_LANG": "verilog",
    }


def _collect(work: Path, config: CoreConfig) -> list[RunResult]:
    results = []
    for line in (work / "results").read_text().splitlines():
        prefix, *numbers = line.split()
        words, *counts = map(int, numbers)
        raw = np.fromfile(work / f"{prefix}.out", np.uint8)
        count = config.drain * config.tiles
        size = -(-config.act_bits * count // 8)  # bytes of a word
        if len(raw) != words * size:
            raise CosignError(
                f"the simulation's output in {work} is cut short; is the disk full? Free some "
                "space or set TMPDIR to another folder."
            )
        each = from_bytes(raw.reshape(words, size), config.act_bits, count)
        results.append(RunResult(each.reshape(-1), *counts))
    return results


def _check(answer: RunResult, program: LayerProgram, config: CoreConfig) -> None:
    words = len(answer.raw) // (config.drain * config.tiles)
    if words != program.output_words or answer.left_over or answer.error:
        raise CosignError(
            f"the core gave {words} output words where {program.output_words} belong, left "
            f"weights or biases unread or raised an error (bits {answer.error:b}); the simulated "
            "core and the packer disagree."
        )
