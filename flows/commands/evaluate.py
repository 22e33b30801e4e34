"""Accuracy of a file's integers on a whole test split, by the golden model."""

import argparse
import shlex
import time
from pathlib import Path

from compress.file import container
from cosign import __version__
from cosign.options import add_classes, add_json, output, publish


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model.cosign file")
    parser.add_argument(
        "--data",
        metavar="mnist|cifar10|imagenette|synthetic|DIR",
        help="the data set (default: mnist for one channel, cifar10 for 32 x 32, else "
        "the generated set)",
    )
    add_classes(parser)
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
    small = {1: "mnist", 3: "cifar10"} if model.input.shape[1:] == (32, 32) else {1: "mnist"}
    data = options.data or small.get(model.input.shape[0], "synthetic")
    order = options.classes
    if order is None and is_folder(data):
        order = classes.beside(options.model, Path(data))
    lines = output(options.json)
    dataset, pixels = test_split(
        model.name, model.input.shape, data, order, lambda line: print(line, file=lines)
    )
    labels = dataset.test.labels
    right, images = golden.correct(model, pixels, labels), len(labels)
    words = ["cosign", "evaluate", str(options.model), "--data", data]
    words += ["--classes", order] if order is not None else []
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
