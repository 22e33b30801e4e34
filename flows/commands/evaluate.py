"""Accuracy of a file's integers on a whole test split, by the golden model."""

import argparse
import dataclasses
import shlex
import time
from pathlib import Path

from compress.file import container
from compress.model.graph import CompressedModel
from compress.model.nodes import size_of
from cosign import CosignError, __version__
from cosign.kinds import filled
from cosign.options import add_classes, add_json, publish
from cosign.paths import name_or_path, old_file


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=old_file, help="a model.cosign file")
    parser.add_argument(
        "--data",
        type=name_or_path,
        metavar="mnist|cifar10|imagenette|synthetic|DIR",
        help="the data set (default: mnist for one channel, cifar10 for 32 x 32, else "
        "the generated set)",
    )
    add_classes(parser)
    parser.add_argument(
        "--output",
        type=filled,
        metavar="NODE",
        help="of several outputs, the one that has the classes",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; raises CosignError on a damaged file or data that do not fit."""
    from compress.data import classes  # torch: --help does without
    from compress.data.datasets import is_folder
    from compress.data.images import test_split
    from flows.loop import assemble
    from flows.report.results import SCHEMA
    from sim import golden

    started = time.monotonic()
    model, sizes = container.inspect(options.model)
    model = _classifier(model, options.output)
    small = {1: "mnist", 3: "cifar10"} if model.input.shape[1:] == (32, 32) else {1: "mnist"}
    data = options.data or small.get(model.input.shape[0], "synthetic")
    order = options.classes
    if order is None and is_folder(data):
        order = classes.beside(options.model, Path(data))
    dataset, pixels = test_split(
        model.name, model.input.shape, data, order, lambda line: print(line)
    )
    (name,) = model.outputs
    if len(dataset.classes) != model.shapes[name][0]:
        raise CosignError(
            f"{model.name} has {model.shapes[name][0]} outputs, {dataset.name} has "
            f"{len(dataset.classes)} classes; give data with one class for each output."
        )
    labels = dataset.test.labels
    right, images = golden.correct(model, pixels, labels), len(labels)
    words = ["cosign", "evaluate", str(options.model), "--data", data]
    words += ["--classes", order] if order is not None else []
    words += ["--output", options.output] if options.output is not None else []
    found = assemble.compression(model, sizes, options.model.stat().st_size)
    content = {
        "schema": SCHEMA,
        "written_by": __version__,
        "network": model.name,
        "command": shlex.join(words),
        "dataset": assemble.data(dataset),
        "accuracy": {"integer": right / images},
        "compression": found,
        "wall_s": {"evaluate": time.monotonic() - started},
    }
    text = (
        f"{model.name} on {dataset.name}: {right:,} of {images:,} test images right, "
        f"{right / images:.2%}\n"
        f"{found.nonzeros:,} of {found.weights:,} weights, {found.file_bytes:,} B: "
        f"data {found.data_bytes:,}, index {found.index_bytes:,}, bias {found.bias_bytes:,}"
    )
    publish(content, options.json, text)
    return 0


def _classifier(model: CompressedModel, output: str | None) -> CompressedModel:
    """The model up to its one vector of scores. Raises CosignError when it has not that."""
    outputs = (output,) if output is not None else model.outputs
    given = ", ".join(f"{name} ({size_of(model.shapes[name])})" for name in model.outputs)
    if output is not None and output not in model.outputs:
        raise CosignError(f"{model.name} has no output {output!r}; it has {given}.")
    if len(outputs) > 1 or model.shapes[outputs[0]][1:] != (1, 1):
        raise CosignError(
            f"{model.name} gives {given}, and accuracy is of one vector, a number for each class; "
            "choose that by --output, or see the errors that cosign compress export tells."
        )
    return dataclasses.replace(model, outputs=outputs)
