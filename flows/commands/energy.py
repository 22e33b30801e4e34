"""Energy of a run's convolutions on its cores, by layer.

A slice of every layer runs on the RTL, and the mapped netlist is replayed with its ports. Minutes a
layer. RUN/energy.json is part of the run's report.
"""

import argparse

import numpy as np

from compress.file.container import load
from cosign import CosignError, scratch, sha256
from cosign.kinds import filled, positive
from cosign.options import add_json, add_liberty, publish
from cosign.paths import new_folder, old_folder
from flows.measure import energy
from flows.measure.dram import add_dram
from rtl.options import add_cores, cores_of
from sim import build
from sim.golden import trace
from synth.place import options as placing


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=old_folder, help="a finished run directory")
    parser.add_argument("--layers", nargs="+", type=filled, help="default: all convolutions")
    parser.add_argument(
        "--cycles", type=positive(int), default=energy.SLICE_CYCLES, help="of a slice, about"
    )
    add_cores(parser, "those of the run")
    add_dram(parser)
    add_liberty(parser)
    placing.add_options(parser, "place the cores first, and price their wires (minutes a core)")
    parser.add_argument("--out", type=new_folder, help="keep netlists and reports here")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, and show each layer; raises CosignError on what is no finished run."""
    from flows.loop import images, inputs  # take torch, which takes seconds
    from flows.loop.rundir import RunDir

    finished = RunDir.resume(options.run)
    model = load(finished.path / "model.cosign")
    convolutions = {layer.name: layer for layer in model.layers if layer.geometry.kind == "conv"}
    names = options.layers or list(convolutions)
    for name in names:
        if name not in convolutions:
            raise CosignError(
                f"{model.name} has no convolution {name!r}; it has {', '.join(convolutions)}."
            )
    data, split = images.reported(finished.config, inputs.pretrained(finished.config))
    pixels = split.images(np.arange(1))
    values = trace(model, model.input.quantize(pixels))
    maps = {name: values[convolutions[name].input][0] for name in names}
    layers = [convolutions[name] for name in names]
    cores = finished.config.cores if options.cores is None else cores_of(options)
    with scratch("energy") as work:
        found = energy.measure(
            layers,
            maps,
            energy.cores_for(cores, layers),
            options.out or work,
            options.liberty,
            cycles=options.cycles,
            dram_pj_per_bit=options.dram_pj_per_bit,
            place=placing.placement_of(options),
            report=lambda row: print(energy.table(row), flush=True),
        )
    source = {"network": model.name, "model_sha256": sha256(finished.path / "model.cosign")}
    source |= {"data": data, "image": "the first of the test split"}
    sums = (
        f"image    {core:16s} {sums['total_nj']:12,.0f} nJ   of {', '.join(names)}   "
        f"(DRAM {sums['dram_nj']:,.0f})"
        for core, sums in found["per_image"].items()
    )
    content = {**found, "source": source, "tools": build.provenance()}
    publish(content, options.json, "\n".join(sums))
    return 0
