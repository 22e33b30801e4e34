"""Speed of the RTL simulation, and what the bench costs, as ratios in one run.

AlexNet's CONV layers at full size, random levels at the densities of the paper's Ours1, on cores of
several widths: simulated cycles and multiply-accumulates per second, of the bench (one process for
all layers, with the start of Python and simulator and all files) and of a bare C++ loop around the
same Verilog (`bare.cpp`, its whole processes). Compilation, once per core, is apart. On a machine
that does other work look at the ratio of CPU times. Prints JSON.

    python benchmarks/simulation.py --lanes 16 64 256
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from compress.model.graph import Geometry, Layer
from compress.zoo.networks import densities, spec_of
from cosign import write_json
from rtl import verilog
from rtl.config import CORES, CoreConfig
from rtl.program.fit import feed, fit
from rtl.program.pack import LayerProgram, pack_layer, unpack_outputs
from sim.build import CXX_FLAGS, FLAGS, build, provenance, tools
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.run import simulators_dir
from sim.simulate import Job, simulate

_BARE = Path(__file__).with_name("bare.cpp")


def random_layer(name: str, geometry: Geometry, density: float, seed: int) -> Layer:
    """Levels of 4 bits, uniform, at random places; scaled so that outputs fill int8."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(1, 9, (geometry.out_channels, geometry.columns))
    levels *= rng.choice([-1, 1], levels.shape)
    levels[rng.random(levels.shape) >= density] = 0
    deviation = 5 * 70 * np.sqrt(geometry.columns * density)
    return Layer.from_dense(
        levels.astype(np.int8),
        name=name,
        input="input",
        geometry=geometry,
        bits=4,
        q=0.1,
        bias=rng.integers(-500, 500, geometry.out_channels),
        mul=min(65535, int((1 << 20) * 40 / deviation)),
        shift=20,
        relu=True,
        in_scale=1.0,
        out_scale=1.0,
    )


def port_bytes(bits: int) -> int:
    """Size of a port in Verilator's C++."""
    return next((size for size in (1, 2, 4, 8) if bits <= 8 * size), -(-bits // 32) * 4)


def words(values: np.ndarray, bits: int) -> bytes:
    """uint8 [words, bytes], little-endian, each as large as its port."""
    return np.pad(values, ((0, 0), (0, port_bytes(bits) - values.shape[1]))).tobytes()


class Bare:
    """The core of `config` in a bare C++ loop, compiled into `folder` layer by layer."""

    def __init__(self, config: CoreConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        for name, text in verilog.generate(config).items():
            (folder / name).write_text(text)
        self._verilog = sorted(path.name for path in folder.glob("*.v"))

    def compile(self, program: LayerProgram) -> None:
        values = "".join(
            f"  core->layer___05F{name} = {value}u;\n" for name, value in program.descriptor.items()
        )
        out_bytes = self._config.drain * self._config.tiles
        header = f"const int OUT_BYTES = {out_bytes};\n"
        header += f"static void describe(Vbare* core) {{\n{values}}}\n"
        (self._folder / "ports.h").write_text(header)
        compiled = (self._folder / "bare").exists()
        command = [
            *("verilator", "-cc", "--exe", "--prefix", "Vbare", "--top-module", "cosign_core"),
            *("-o", "bare", "-Mdir", ".", *FLAGS, "-CFLAGS", CXX_FLAGS),
            *(str(_BARE), *self._verilog),
        ]
        make = ["make", "-j", "2", "-f", "Vbare.mk", "CFG_CXXFLAGS_PCH_I=-include"]
        if compiled:  # only the descriptor is another
            (self._folder / "bare.o").unlink()
        for step in [make] if compiled else [command, make]:
            done = subprocess.run(
                step, cwd=self._folder, env=tools(), capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"{step[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")

    def run(self, job: Job) -> tuple[np.ndarray, int, float, float]:
        """(output words as the bench's, cycles, wall and CPU time of the process)."""
        config, run = self._config, job.program
        (stream,) = run.maps(job.x, config)
        last = np.arange(len(stream)) == len(stream) - 1
        acts = np.concatenate([stream, last[:, None].astype(np.uint8)], axis=1)
        biases = run.biases.astype("<i8").view(np.uint8).reshape(-1, 8)
        act_bits = 8 * config.act_word_bytes * config.tiles + 1
        files = {
            "acts": words(acts, act_bits),
            "weights": words(run.weights, config.stream_bits),
            "biases": words(biases[:, : port_bytes(config.bias_bits)], config.bias_bits),
        }
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
        began, cpu = time.perf_counter(), _cpu_s()
        done = subprocess.run(
            ["./bare", *files, "out"],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=True,
        )
        wall = time.perf_counter() - began
        out = np.fromfile(self._folder / "out", np.int8)
        return out, int(done.stdout), wall, _cpu_s() - cpu


def measure(config: CoreConfig, layers: list[Layer], images: int, seed: int) -> dict[str, Any]:
    """All layers on one core: by the bench in one simulator process, and bare one by one.

    Start-up (Python, cocotb, files) is part of the bench's time; `images` say how much it weighs.
    """
    began = time.perf_counter()
    build(config, simulators_dir())
    compile_s = time.perf_counter() - began
    rng = np.random.default_rng(seed)
    jobs: list[list[Job]] = []
    for layer in layers:
        g = layer.geometry
        shape = (images, g.in_channels, g.in_height, g.in_width)
        program = pack_layer(layer, config, input_range=(0, 127))
        jobs.append([Job(program, x) for x in rng.integers(0, 128, shape, np.int8)])
    began, cpu = time.perf_counter(), _cpu_s()
    answers = iter(simulate([job for own in jobs for job in own], config, simulators_dir()))
    bench = {"wall_s": time.perf_counter() - began, "cpu_s": _cpu_s() - cpu}
    rows, bare = [], {"wall_s": 0.0, "cpu_s": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        loop = Bare(config, Path(folder))
        for layer, own in zip(layers, jobs, strict=True):
            loop.compile(own[0].program)
            row = {"model_cycles": images * layer_cycles(layer, config)}
            counts = ("cycles", "bare_cycles", "values", "mismatches", "bare_mismatches")
            row |= dict.fromkeys(counts, 0)
            for job in own:
                result = next(answers)
                raw, cycles, wall, seconds = loop.run(job)
                bare["wall_s"] += wall
                bare["cpu_s"] += seconds
                expected = layer_output(layer, job.x[None])[0]
                outputs = unpack_outputs(job.program, config, [raw])
                row["cycles"] += result.cycles
                row["bare_cycles"] += cycles
                row["values"] += expected.size
                row["mismatches"] += int((result.outputs != expected).sum())
                row["bare_mismatches"] += int((outputs != expected).sum())
            rows.append({"name": layer.name, **row})
    cycles = sum(int(row["cycles"]) for row in rows)
    return {
        "core": config.to_json(),
        "compile_s": round(compile_s, 1),
        "images": images,
        "layers": rows,
        "total": {
            "cycles": cycles,
            "bench": bench,
            "bare": bare,
            "bench_over_bare_wall": bench["wall_s"] / bare["wall_s"],
            "bench_over_bare_cpu": bench["cpu_s"] / bare["cpu_s"],
            "cycles_per_s": round(cycles / bench["wall_s"]),
            "macs_per_s": round(cycles * config.multipliers / bench["wall_s"]),
            "bare_macs_per_s": round(cycles * config.multipliers / bare["wall_s"]),
        },
    }


def _cpu_s() -> float:
    """User and system time of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    conv = {n: g for n, g in spec_of("alexnet").geometries.items() if g.kind == "conv"}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", choices=CORES, default="sparse")
    parser.add_argument("--lanes", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--filters", type=int, default=1)
    parser.add_argument("--drain", type=int, default=2)
    parser.add_argument("--layers", nargs="+", choices=conv, default=list(conv))
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    chosen = densities("alexnet", "ours1")
    layers = [random_layer(name, conv[name], chosen[name], options.seed) for name in options.layers]
    ranges = {layer.name: (0, 127) for layer in layers}
    found = []
    for lanes in options.lanes:
        shape = {"lanes": lanes, "filters": options.filters, "drain": options.drain}
        config = fit(feed(CoreConfig(), core=options.core, **shape), layers, ranges=ranges)
        found.append(measure(config, layers, options.images, options.seed))
        print(f"{lanes} lanes: {found[-1]['total']}", file=sys.stderr, flush=True)
    report = {"tools": provenance(), "cores": found}
    if options.json:
        write_json(options.json, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
