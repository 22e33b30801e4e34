"""Energy of a network's convolutions on cores, by layer.

A slice of every layer runs on the RTL, and the mapped netlist is replayed with its ports. Minutes a
layer. RUN/energy.json is part of the run's report.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compress.file.container import load
from compress.model.graph import CompressedModel
from cosign import CosignError, consoles, scratch, sha256
from cosign.kinds import filled, positive
from cosign.options import add_clock_gating, add_json, add_liberty, publish
from cosign.paths import new_folder, old, old_file
from cosign.progress import Reporter
from flows.measure import energy
from flows.measure.dram import add_dram
from rtl.coreset import CoreSet
from rtl.options import add_cores, cores_of
from sim import build
from sim.golden import trace
from sim.images import read_images
from synth.place import options as placing

if TYPE_CHECKING:
    from flows.loop.rundir import RunDir


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=old, metavar="MODEL|RUN", help="a model.cosign, or a finished run directory"
    )
    parser.add_argument(
        "--input",
        type=old_file,
        metavar="FILE.npy",
        help="images [N, C, H, W], uint8 pixels or int8 as the machine reads them, of which the "
        "first goes through the network (default: the first of the run's test split)",
    )
    parser.add_argument("--layers", nargs="+", type=filled, help="default: all convolutions")
    parser.add_argument(
        "--cycles", type=positive(int), default=energy.SLICE_CYCLES, help="of a slice, about"
    )
    add_cores(parser, "those of the run, else the built-in ones")
    parser.add_argument(
        "--like",
        type=filled,
        nargs="+",
        default=["sparse", "dense_scalar", "dense"],
        metavar="NAME",
        help="the cores of --cores that are measured, by role or name (sparse dense_scalar dense)",
    )
    add_dram(parser)
    add_liberty(parser)
    add_clock_gating(parser)
    placing.add_options(parser, "place the cores first, and price their wires (minutes a core)")
    parser.add_argument("--out", type=new_folder, help="keep netlists and reports here")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, and show each layer; raises CosignError on what is no network and image."""
    place = placing.placement_of(options)
    finished = _finished(options.model)
    file = options.model if finished is None else finished.path / "model.cosign"
    model = load(file)
    own = CoreSet() if finished is None else finished.config.cores
    cores = own if options.cores is None else cores_of(options)
    cores = cores.for_activations(model.act_bits)
    measured = list(dict.fromkeys(cores.named(name) for name in options.like))
    convolutions = {layer.name: layer for layer in model.layers if layer.geometry.kind == "conv"}
    if not convolutions:
        raise CosignError(f"{model.name} has no convolution; energy is measured of those.")
    names = options.layers or list(convolutions)
    for name in names:
        if name not in convolutions:
            raise CosignError(
                f"{model.name} has no convolution {name!r}; it has {', '.join(convolutions)}."
            )
    image, data, words = _image(model, finished, options.input)
    values = trace(model, image)
    maps = {name: values[convolutions[name].input][0] for name in names}
    reporter = Reporter(consoles.standard_error())
    with scratch("energy") as work, reporter.running():
        found = energy.measure(
            [convolutions[name] for name in names],
            maps,
            measured,
            options.out or work,
            options.liberty,
            cycles=options.cycles,
            dram_pj_per_bit=options.dram_pj_per_bit,
            place=place,
            clock_gating=options.clock_gating,
            progress=reporter.show,
            report=lambda row: print(energy.table(row), flush=True),
        )
    source = {"network": model.name, "model_sha256": sha256(file), "data": data, "image": words}
    sums = (
        f"image    {core:16s} {sums['total_nj']:12,.0f} nJ   of {', '.join(names)}   "
        f"(DRAM {sums['dram_nj']:,.0f})"
        for core, sums in found["per_image"].items()
    )
    content = {**found, "source": source, "tools": build.provenance()}
    publish(content, options.json, "\n".join(sums))
    return 0


def _finished(path: Path) -> "RunDir | None":
    """The run of a folder; None where `path` is a file."""
    if path.is_file():
        return None
    from flows.loop.rundir import RunDir

    return RunDir.resume(path)


def _image(
    model: CompressedModel, finished: "RunDir | None", file: Path | None
) -> tuple[np.ndarray, str, str]:
    """(int8 [1, C, H, W], the data set or file it is of, which of it).

    Raises CosignError where there is none, or it does not fit the model.
    """
    if file is not None:
        image, words = read_images(model, file, 1)
        return image, file.name, words
    if finished is None:
        raise CosignError(
            "a model.cosign comes without images; give one by --input FILE.npy, which `cosign "
            "compress images` writes."
        )
    from flows.loop import images, inputs  # take torch, which takes seconds

    data, split = images.reported(finished.config, inputs.pretrained(finished.config))
    return model.input.quantize(split.images(np.arange(1))), data, "the first of the test split"
