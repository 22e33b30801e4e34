"""Speed of the RTL simulation: AlexNet's CONV layers at full size on one core.

Random levels at the densities of the paper's Table 8. Prints JSON: simulated cycles and
multiply-accumulates per second of wall time, start-up of the simulator included, its
compilation (once per core) apart.

    python benchmarks/simulation.py --core sparse --lanes 61
"""

import argparse
import dataclasses
import json
import time

import numpy as np

from compress.container import Geometry, Layer
from rtl.config import CORES, CoreConfig
from sim.build import build, provenance
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.run import run_layer, simulators_dir

LAYERS = {
    "conv1": (Geometry("conv", 3, 96, 227, 227, (11, 11), (4, 4)), 0.63),
    "conv2": (Geometry("conv", 96, 256, 27, 27, (5, 5), (1, 1), (2, 2), (1, 1), 2), 0.07),
    "conv3": (Geometry("conv", 256, 384, 13, 13, (3, 3), (1, 1), (1, 1)), 0.06),
    "conv4": (Geometry("conv", 384, 384, 13, 13, (3, 3), (1, 1), (1, 1), (1, 1), 2), 0.07),
    "conv5": (Geometry("conv", 384, 256, 13, 13, (3, 3), (1, 1), (1, 1), (1, 1), 2), 0.07),
}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", choices=CORES, default="sparse")
    parser.add_argument("--lanes", type=int, default=61)
    parser.add_argument("--filters", type=int, default=1)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    bank_bytes = 4
    banks = 1 << (-(-(arguments.lanes + bank_bytes - 1) // bank_bytes) - 1).bit_length()
    config = dataclasses.replace(
        CoreConfig(),
        core=arguments.core,
        lanes=arguments.lanes,
        filters=arguments.filters,
        act_banks=banks,
        bank_bytes=bank_bytes,
        act_depth=160_000 // (banks * bank_bytes),
        weight_depth=2304,
    )
    began = time.perf_counter()
    build(config, simulators_dir())
    compile_s = time.perf_counter() - began

    rows = []
    rng = np.random.default_rng(arguments.seed)
    for name in arguments.layers:
        geometry, density = LAYERS[name]
        layer = random_layer(name, geometry, density, arguments.seed)
        shape = (1, geometry.in_channels, geometry.in_height, geometry.in_width)
        x = rng.integers(0, 128, shape, np.int8)
        run = run_layer(layer, x, config, input_range=(0, 127))
        macs = run.cycles * config.multipliers
        rows.append(
            {
                "name": name,
                "cycles": run.cycles,
                "model_cycles": layer_cycles(layer, config),
                "mismatches": int((run.outputs != layer_output(layer, x)).sum()),
                "values": run.outputs.size,
                "wall_s": round(run.wall_s, 2),
                "cycles_per_s": round(run.cycles / run.wall_s),
                "macs_per_s": round(macs / run.wall_s),
            }
        )
    wall = sum(row["wall_s"] for row in rows)
    cycles = sum(row["cycles"] for row in rows)
    print(
        json.dumps(
            {
                "core": config.to_json(),
                "tools": provenance(),
                "compile_s": round(compile_s, 1),
                "layers": rows,
                "total": {
                    "cycles": cycles,
                    "wall_s": round(wall, 2),
                    "cycles_per_s": round(cycles / wall),
                    "macs_per_s": round(cycles * config.multipliers / wall),
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
