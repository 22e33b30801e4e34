"""Speed of the cycle model against SCALE-Sim 3 on the same layers, as a ratio in one run.

The layers are AlexNet's convolutions at the densities of the paper's Ours1. SCALE-Sim has no
groups, so of a grouped layer both get one group. Ours counts all four cores, random masks included;
SCALE-Sim an output-stationary array of as many multipliers, without its traces. Prints JSON.

SCALE-Sim is no dependency of this project. Install it beside it and name that Python:

    python -m venv build/scalesim && build/scalesim/bin/pip install scalesim==3.0.0 "numpy<2.4"
    python benchmarks/cycle_model.py --scalesim build/scalesim/bin/python
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from compress.model.graph import Geometry
from compress.zoo.networks import densities, spec_of
from cosign import write_json
from rtl.config import CoreConfig
from rtl.program.fit import feed
from sim.compare import compare, rivals
from sim.workload import masked_layer

_CONFIG = """\
[general]
run_name = run
[architecture_presets]
ArrayHeight: {side}
ArrayWidth: {side}
IfmapSramSzkB: 256
FilterSramSzkB: 256
OfmapSramSzkB: 256
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: os
ReadRequestBuffer: 64
WriteRequestBuffer: 64
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
# Timed inside, so that imports and the compilation of its kernels on a first, tiny layer are not.
_PROGRAM = """\
import json, sys, time
from scalesim.scale_sim import scalesim
def run(topology):
    s = scalesim(save_disk_space=True, verbose=False, config="config.cfg", topology=topology,
                 layout="layout.csv")
    s.run_scale(top_path="out")
    return s
run("tiny.csv")
began = time.perf_counter()
s = run("layer.csv")
seconds = time.perf_counter() - began
cycles = s.runner.single_layer_sim_object_list[0].get_compute_report_items()[0]
json.dump({"cycles": int(cycles), "seconds": seconds}, open("result.json", "w"))
"""


def one_group(geometry: Geometry) -> Geometry:
    """A convolution group as a layer of its own."""
    return dataclasses.replace(
        geometry,
        in_channels=geometry.in_channels // geometry.groups,
        out_channels=geometry.out_channels // geometry.groups,
        groups=1,
    )


def scalesim(python: Path, geometry: Geometry, side: int) -> dict[str, Any]:
    """Seconds of SCALE-Sim and the cycles it counts."""
    g = geometry
    size = [g.in_height + 2 * g.padding[0], g.in_width + 2 * g.padding[1]]
    row = [*size, *g.kernel, g.in_channels, g.out_channels, g.stride[0], "1:1"]
    head = "layer,H,W,R,S,C,K,stride,sparsity,\n"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "config.cfg").write_text(_CONFIG.format(side=side))
        (work / "layer.csv").write_text(head + f"layer,{','.join(map(str, row))},\n")
        (work / "tiny.csv").write_text(head + "tiny,4,4,2,2,1,1,1,1:1,\n")
        (work / "layout.csv").write_text("layer\n" + ",".join(["layer", *["1"] * 20]) + ",\n")
        done = subprocess.run(
            [python.absolute(), "-c", _PROGRAM],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        result = work / "result.json"
        if not result.exists():
            tail = (done.stderr or done.stdout).splitlines()[-3:]
            sys.exit(f"SCALE-Sim failed under {python}: {' '.join(tail)}")
        found: dict[str, Any] = json.loads(result.read_text())
        return found


def ours(name: str, geometry: Geometry, density: float, lanes: int) -> dict[str, Any]:
    """Seconds for the masks and the cycles of all four cores, median of five."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        rng = np.random.default_rng(0)
        layer = masked_layer(geometry, round(density * geometry.weights), rng, name)
        cores = rivals(feed(CoreConfig(drain=2), lanes=lanes))
        report = compare([layer], cores, 1, 1 << 18)
        times.append(time.perf_counter() - began)
    return {"cycles": report["total"]["cycles"], "seconds": sorted(times)[2]}


def main() -> None:
    conv = {n: g for n, g in spec_of("alexnet").geometries.items() if g.kind == "conv"}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scalesim", type=Path, default=Path(sys.executable), metavar="PYTHON")
    parser.add_argument("--layers", nargs="+", choices=conv, default=list(conv))
    parser.add_argument("--side", type=int, default=8, help="rows and columns of the array (8)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    chosen = densities("alexnet", "ours1")
    rows = []
    for name in options.layers:
        geometry = one_group(conv[name])
        mine = ours(name, geometry, chosen[name], options.side**2)
        theirs = scalesim(options.scalesim, geometry, options.side)
        row = {"name": name, "ours": mine, "scalesim": theirs}
        rows.append({**row, "ratio": theirs["seconds"] / mine["seconds"]})
        print(f"{name}: {rows[-1]['ratio']:,.0f}x", file=sys.stderr, flush=True)
    seconds = {who: sum(row[who]["seconds"] for row in rows) for who in ("ours", "scalesim")}
    report = {
        "multipliers": options.side**2,
        "layers": rows,
        "total": {**seconds, "ratio": seconds["scalesim"] / seconds["ours"]},
    }
    if options.json:
        write_json(options.json, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
