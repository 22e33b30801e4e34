"""Run layer programs on the compiled RTL: many jobs in one simulator process."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.pack import LayerProgram, unpack_outputs
from sim.build import TOP, build, pack_descriptor


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
    """What the RTL answered: the output map, and the core's own counters (clock cycles)."""

    outputs: np.ndarray
    cycles: int
    stalls: int


def simulate(
    jobs: Sequence[Job],
    config: CoreConfig,
    folder: Path,
    *,
    stall_seed: int | None = None,
    waves: Path | None = None,
) -> list[JobResult]:
    """Execute jobs one after the other, without a reset between them.

    folder : holds the compiled simulators
    stall_seed : random idle cycles and back-pressure on every stream
    waves : write an FST wave there

    Raises CosignError when a tool is missing or the simulation fails.
    """
    simulator = build(config, folder, waves=waves is not None)
    with tempfile.TemporaryDirectory(prefix="cosign-") as name:
        run = Path(name)
        try:
            _write_jobs(run, jobs, config)
        except OSError as error:
            raise CosignError(
                f"cannot write the simulation's files to {run}: {error.strerror}; free some space "
                "or set TMPDIR to another folder."
            ) from error
        arguments = ["+jobs=jobs", "+results=results"]
        if stall_seed is not None:
            arguments.append(f"+stall={stall_seed}")
        _execute(simulator, run, arguments, waves)
        return _collect(run, jobs, config)


def _write_jobs(run: Path, jobs: Sequence[Job], config: CoreConfig) -> None:
    """Write the job list and all streams."""
    lines = []
    written: dict[int, Path] = {}
    for number, job in enumerate(jobs):
        _write(run / str(number), job, config, written)
        layer = pack_descriptor(job.program.descriptor, config)
        lines.append(f"{number} {layer:x}\n")
    (run / "jobs").write_text("".join(lines))


def _write(prefix: Path, job: Job, config: CoreConfig, written: dict[int, Path]) -> None:
    """Write a job's three streams; words are big-endian, as $fread takes them."""
    program = job.program
    acts = program.layout.pack(job.x, config.act_word_bytes)
    prefix.with_suffix(".acts").write_bytes(acts[:, ::-1].tobytes())
    weights, biases = prefix.with_suffix(".weights"), prefix.with_suffix(".biases")
    if id(program) in written:  # images of the same layer share the files
        source = written[id(program)]
        weights.symlink_to(source.with_suffix(".weights"))
        biases.symlink_to(source.with_suffix(".biases"))
        return
    written[id(program)] = prefix
    weights.write_bytes(program.weights[:, ::-1].tobytes())
    width = -(-config.acc_bits // 8)
    big_endian = program.biases.astype(">i8").view(np.uint8).reshape(-1, 8)
    biases.write_bytes(big_endian[:, 8 - width :].tobytes())


def _execute(simulator: Path, run: Path, arguments: list[str], waves: Path | None) -> None:
    from cocotb_tools import config as cocotb_config
    from cocotb_tools.runner import get_results, get_runner

    libraries = [str(cocotb_config.libs_dir), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    log, results = run / "log", run / "results.xml"
    trace = ["--trace", "--trace-file", str(waves.resolve())] if waves else []
    try:
        get_runner("verilator").test(
            test_module="sim.bench.drive",
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=simulator,
            test_dir=run,
            test_args=trace,
            plusargs=arguments,
            results_xml=str(results.resolve()),
            log_file=log,
            extra_env={
                "COCOTB_TRUST_INERTIAL_WRITES": "1",
                "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            },
        )
        tests, failed = get_results(results)
    except (SystemExit, RuntimeError, OSError):
        tests, failed = 0, 0
    if tests != 1 or failed:
        tail = "\n".join(log.read_text().splitlines()[-15:]) if log.exists() else "no log"
        raise CosignError(f"the RTL simulation failed:\n{tail}")


def _collect(run: Path, jobs: Sequence[Job], config: CoreConfig) -> list[JobResult]:
    lines = (run / "results").read_text().splitlines()
    results = []
    for job, line in zip(jobs, lines, strict=True):
        prefix, cycles, stalls, words, left_over = line.split()
        raw = np.fromfile(run / f"{prefix}.out", np.int8)
        if len(raw) != int(words) * config.drain:
            raise CosignError(
                f"the simulation's output in {run} is cut short; is the disk full? Free some space "
                "or set TMPDIR to another folder."
            )
        if int(words) != job.program.output_words or left_over != "0":
            raise CosignError(
                f"the core gave {words} output words where {job.program.output_words} belong, or "
                "left weights or biases unread; the simulated core and the packer disagree."
            )
        outputs = unpack_outputs(job.program, config, raw)
        results.append(JobResult(outputs, int(cycles), int(stalls)))
    return results
