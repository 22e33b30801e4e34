"""Count cycles on all four cores, without simulating."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from compress.file import container
from compress.zoo.networks import NETWORKS
from compress.zoo.presets import densities
from cosign import CosignError
from cosign.options import publish
from rtl.config import CODINGS, CoreConfig
from rtl.fit import feed
from sim import tables
from sim.commands.shared import add_shared_options
from sim.compare import compare, random_layers, rivals

_DRAIN = 2  # as in the loop: a filter pruned 40 times is otherwise done before its tile has left


def add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--network", choices=NETWORKS, help="a built-in network under random masks")
    what.add_argument("--model", type=Path, help="a model.cosign file")
    parser.add_argument(
        "--alpha", metavar="PRESET|FILE", help="densities of --network: a preset or a JSON file"
    )
    default = CoreConfig()
    parser.add_argument("--lanes", type=int, default=64, help="multipliers of a tile (64)")
    parser.add_argument("--drain", type=int, default=_DRAIN, help=f"requantisers ({_DRAIN})")
    parser.add_argument("--tiles", type=int, default=default.tiles, help="lockstep tiles (1)")
    parser.add_argument("--coding", choices=CODINGS, default=default.coding)
    parser.add_argument("--index-bits", type=int, default=default.index_bits)
    parser.add_argument("--mask-bits", type=int, default=default.mask_bits)
    add_shared_options(parser, "1")


def run(options: argparse.Namespace) -> int:
    """Count, and show the cycles; raises CosignError on bad input."""
    origin: dict[str, Any]
    if options.model:
        if options.alpha is not None:
            raise CosignError("--alpha belongs to --network; a model has its own weights.")
        model = container.load(options.model)
        name, layers = model.name, list(model.layers)
        origin = {"model": str(options.model)}
    elif options.alpha is None:
        raise CosignError("--network needs its densities; give --alpha PRESET or a JSON file.")
    else:
        name = options.network
        chosen = densities(name, options.alpha)
        layers = random_layers(name, chosen, options.seed)
        origin = {"alpha": options.alpha, "densities": chosen, "seed": options.seed}
    shape = {key: getattr(options, key) for key in ("tiles", "coding", "index_bits", "mask_bits")}
    core = feed(CoreConfig(), lanes=options.lanes, drain=options.drain, **shape)
    report = {
        "network": name,
        **origin,
        **compare(layers, rivals(core), options.batch or 1, options.act_bytes),
        "provenance": {"numpy": np.__version__},
    }
    shapes = ", ".join(f"{core} {shape}" for core, shape in report["shapes"].items())
    head = f"{name}: pixels x filters {shapes}"
    publish(report, options.json, f"{head}\n{tables.cycles_table(report)}")
    return 0
