"""Write a file again, smaller or in another coding.

Weights, filters and neurons that make no difference to the outputs are left out.
"""

import argparse

from compress.commands.inspect import inspect, table
from compress.file import container
from compress.file.packing import CODINGS
from compress.model.tidy import tidy
from cosign.options import add_json, publish
from cosign.paths import new_file, old_file


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=old_file, help="a model.cosign file")
    parser.add_argument(
        "--coding", choices=CODINGS, help="of all layers (default: the smallest for each)"
    )
    parser.add_argument(
        "--in-order",
        action="store_true",
        help="do not sort channels: an N:M pattern is one of channels in their order",
    )
    parser.add_argument("--out", type=new_file, required=True, metavar="FILE", help="model.cosign")
    add_json(parser, "the sizes")


def run(options: argparse.Namespace) -> int:
    """Write, and show what that did to the size; raises CosignError on a damaged file."""
    model = tidy(container.load(options.model), options.in_order)
    before = options.model.stat().st_size
    container.save(model, options.out, options.coding)
    report = inspect(options.out)
    note = f"{before:,} B became {options.out.stat().st_size:,} B; the outputs are the same."
    publish(report, options.json, f"{table(report)}\n{note}")
    return 0
