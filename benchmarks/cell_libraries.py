"""One small core in several cell libraries: cells, logic area, clock, and whether it is the RTL.

    python benchmarks/cell_libraries.py sky130hd=sky130hd.lib.gz asap7=SIMPLE.lib,INVBUF.lib,SEQ.lib

Each argument names a library and its Liberty files. The core is sized for 50 MHz, which all of them
meet, and again to be as fast as it gets. The first netlist is replayed with what went in and out of
the RTL while it computed a layer, and every output must agree in every cycle. A minute or two for
each library. --json has the core, each library's SHA-256 and notes, and the versions of the tools.

NanGate's licence forbids published comparisons with other libraries, so it is refused.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from compress.model.graph import Geometry
from cosign import CosignError, exit_status, streams
from cosign.options import add_json, publish
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer
from sim.golden import layer_output
from sim.record import Recording, record
from sim.run import simulators_dir
from sim.simulate import Job
from sim.workload import masked_layer
from synth.pdk import Pdk, find_pdk
from synth.replay import replay
from synth.report import synthesize

CORE = CoreConfig(
    lanes=4,
    act_banks=2,
    act_depth=64,
    weight_depth=32,
    index_bits=6,
    acc_bits=20,
    clock_ns=20.0,
)
GEOMETRY = Geometry("conv", 3, 4, 5, 5, kernel=(3, 3), padding=(1, 1))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("libraries", nargs="+", metavar="NAME=FILE[,FILE...]")
    add_json(parser, "the rows")
    options = parser.parse_args()
    kits = dict(map(_kit, options.libraries))
    recording = _recording()
    rows = []
    with streams.alone(options.json):
        for name, pdk in kits.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows.append(measure(name, pdk, recording))
            print(line(rows[-1]), flush=True)
        publish({"config": CORE.to_json(), "config_hash": CORE.hash, "rows": rows}, options.json)
    return 0


def _kit(argument: str) -> tuple[str, Pdk]:
    name, _, files = argument.partition("=")
    if not files:
        raise CosignError(f"{argument} names no file; write NAME=FILE.")
    pdk = find_pdk([Path(file) for file in files.split(",")])
    if "nangate" in pdk.name.lower():
        raise CosignError("NanGate's licence forbids published comparisons with other libraries.")
    return name, pdk


def _recording() -> Recording:
    """What goes in and out of the RTL while it computes a layer, which the golden model checks."""
    rng = np.random.default_rng(0)
    layer = masked_layer(GEOMETRY, GEOMETRY.weights // 3, rng)
    shape = (GEOMETRY.in_channels, GEOMETRY.in_height, GEOMETRY.in_width)
    image = rng.integers(-128, 128, shape).astype(np.int8)
    found = record([Job(pack_layer(layer, CORE), image)], CORE, simulators_dir(), stall_seed=1)
    if not np.array_equal(found.results[0].outputs, layer_output(layer, image[None])[0]):
        raise CosignError("the RTL's outputs are not those of the golden model.")
    return found


def measure(name: str, pdk: Pdk, recording: Recording) -> dict[str, Any]:
    """A row; raises CosignError where the netlist and the RTL disagree."""
    with tempfile.TemporaryDirectory(prefix="cosign-libraries-") as folder:
        report = synthesize(CORE, Path(folder), pdk.files, search_fmax=True)
        netlist = Path(folder) / "netlist.v"
        activity = replay(netlist, pdk.library, recording.inputs, recording.outputs)
    fastest = report.fmax_search
    assert fastest is not None
    return {
        "library": name,
        "cells": sum(report.cells.values()),
        "flip_flops": report.flip_flops,
        "flip_flop": pdk.library.flip_flops[0].name,
        "logic_um2": report.logic_um2,
        "slack_ns": report.slack_ns,
        "fmax_hz": fastest.fmax_hz,
        "fastest_um2": fastest.logic_um2,
        "critical_path": fastest.critical_path,
        "output_bits_compared": activity.checked,
        "provenance": report.provenance,
    }


def line(row: dict[str, Any]) -> str:
    """A row of the table in docs/results/libraries.md."""
    return (
        f"| {row['library']} | {row['flip_flop']} | {row['cells']:,} | {row['flip_flops']:,} "
        f"| {row['logic_um2']:,.0f} | {row['fmax_hz'] / 1e6:,.0f} | {row['fastest_um2']:,.0f} "
        f"| {row['output_bits_compared']:,} |"
    )


if __name__ == "__main__":
    sys.exit(exit_status(main))
