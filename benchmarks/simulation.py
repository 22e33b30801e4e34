"""Speed of the RTL simulation, and what the bench costs, as ratios in one run.

AlexNet's CONV layers at full size, random levels at the densities of the paper's Ours1, on cores of
several widths: simulated cycles and multiply-accumulates per second, of the bench (start of
Python and simulator, files and comparison included) and of a bare C++ loop around the
same Verilog (`bare.cpp`, its whole process). Compilation, once per core, is apart. Prints JSON.

    python benchmarks/simulation.py --lanes 16 64 256
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from compress.container import Geometry, Layer
from compress.networks import densities, spec_of
from cosign import write_json
from rtl import verilog
from rtl.config import CORES, CoreConfig
from rtl.fit import feed, fit
from rtl.pack import LayerProgram, pack_layer
from sim.build import CXX_FLAGS, FLAGS, build, provenance, tools
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.run import run_layer, simulators_dir
from sim.simulate import Run, simulate_runs

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

    def run(self, run: Run) -> tuple[np.ndarray, int, float, float]:
        """(output words as the bench's, cycles, wall time of the process, of its loop)."""
        config = self._config
        last = np.arange(len(run.acts)) == len(run.acts) - 1
        acts = np.concatenate([run.acts, last[:, None].astype(np.uint8)], axis=1)
        biases = (run.biases & ((1 << config.acc_bits) - 1)).astype("<i8")
        act_bits = 8 * config.act_word_bytes * config.tiles + 1
        files = {
            "acts": words(acts, act_bits),
            "weights": words(run.weights, config.stream_bits),
            "biases": words(
                biases.view(np.uint8).reshape(-1, 8)[:, : port_bytes(config.acc_bits)],
                config.acc_bits,
            ),
        }
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
        began = time.perf_counter()
        done = subprocess.run(
            ["./bare", *files, "out"],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=True,
        )
        wall = time.perf_counter() - began
        cycles, loop = done.stdout.split()
        return np.fromfile(self._folder / "out", np.int8), int(cycles), wall, float(loop)


def measure(config: CoreConfig, layers: list[Layer], seed: int) -> dict[str, Any]:
    """Rows of all layers on one core."""
    began = time.perf_counter()
    build(config, simulators_dir())
    compile_s = time.perf_counter() - began
    rows = []
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        bare = Bare(config, Path(folder))
        for layer in layers:
            g = layer.geometry
            x = rng.integers(0, 128, (1, g.in_channels, g.in_height, g.in_width), np.int8)
            run = run_layer(layer, x, config, input_range=(0, 127))
            program = pack_layer(layer, config, input_range=(0, 127))
            (acts,) = program.maps(x[0], config)
            streams = Run(program.descriptor, acts, program.weights, program.biases)
            bare.compile(program)
            raw, cycles, bare_wall, loop = bare.run(streams)
            (answer,) = simulate_runs([streams], config, simulators_dir())
            rows.append(
                {
                    "name": layer.name,
                    "cycles": run.cycles,
                    "model_cycles": layer_cycles(layer, config),
                    "bare_cycles": cycles,
                    "mismatches": int((run.outputs != layer_output(layer, x)).sum()),
                    "bare_mismatches": int((raw != answer.raw).sum()),
                    "values": run.outputs.size,
                    "wall_s": round(run.wall_s, 3),
                    "bare_wall_s": round(bare_wall, 3),
                    "bare_loop_s": round(loop, 3),
                }
            )
    sums = {key: sum(row[key] for row in rows) for key in ("cycles", "wall_s", "bare_wall_s")}
    return {
        "core": config.to_json(),
        "compile_s": round(compile_s, 1),
        "layers": rows,
        "total": {
            **sums,
            "bench_over_bare": sums["wall_s"] / sums["bare_wall_s"],
            "cycles_per_s": round(sums["cycles"] / sums["wall_s"]),
            "macs_per_s": round(sums["cycles"] * config.multipliers / sums["wall_s"]),
            "bare_macs_per_s": round(sums["cycles"] * config.multipliers / sums["bare_wall_s"]),
        },
    }


def main() -> None:
    conv = {n: g for n, g in spec_of("alexnet").geometries.items() if g.kind == "conv"}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", choices=CORES, default="sparse")
    parser.add_argument("--lanes", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--filters", type=int, default=1)
    parser.add_argument("--drain", type=int, default=2)
    parser.add_argument("--layers", nargs="+", choices=conv, default=list(conv))
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
        found.append(measure(config, layers, options.seed))
        print(f"{lanes} lanes: {found[-1]['total']}", file=sys.stderr, flush=True)
    report = {"tools": provenance(), "cores": found}
    if options.json:
        write_json(options.json, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
