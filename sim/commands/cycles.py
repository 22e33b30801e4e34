"""Count cycles without simulating, on four cores of equal size or those of a file."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from compress.file import container
from compress.model.graph import Layer
from compress.zoo.density import kept_weights
from compress.zoo.networks import NETWORKS, densities, spec_of
from cosign import CosignError
from cosign.kinds import whole
from cosign.options import publish
from cosign.paths import name_or_path, old_file
from rtl.config import CODINGS, CoreConfig
from rtl.coreset import base
from rtl.options import add_cores, cores_of
from rtl.program.fit import feed
from sim import tables
from sim.commands.shared import add_shared_options
from sim.compare import compare, rivals
from sim.workload import random_layers

_SHAPE = ("lanes", "drain", "tiles", "coding", "index_bits", "mask_bits")


def add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--network", choices=NETWORKS, help="a built-in network under random masks")
    what.add_argument("--model", type=old_file, help="a model.cosign file")
    parser.add_argument(
        "--alpha",
        type=name_or_path,
        metavar="PRESET|FILE",
        help="densities of --network: a preset or a JSON file",
    )
    default = CoreConfig()
    parser.add_argument("--lanes", type=whole, help="multipliers of a tile (64)")
    parser.add_argument("--drain", type=whole, help=f"requantisers ({base('sparse').drain})")
    parser.add_argument("--tiles", type=whole, help=f"lockstep tiles ({default.tiles})")
    parser.add_argument("--coding", choices=CODINGS, help=f"({default.coding})")
    parser.add_argument("--index-bits", type=whole, help=f"({default.index_bits})")
    parser.add_argument("--mask-bits", type=whole, help=f"({default.mask_bits})")
    add_cores(parser, "four of --lanes multipliers")
    add_shared_options(parser, "1")


def run(options: argparse.Namespace) -> int:
    """Count, and show the cycles; raises CosignError on bad input."""
    origin: dict[str, Any]
    if options.model:
        if options.alpha is not None:
            raise CosignError("--alpha belongs to --network; a model has its own weights.")
        model = container.load(options.model)
        name, layers, act_bits = model.name, list(model.layers), model.act_bits
        origin = {"model": str(options.model)}
    elif options.alpha is None:
        raise CosignError("--network needs its densities; give --alpha PRESET or a JSON file.")
    else:
        name, act_bits = options.network, CoreConfig.act_bits
        chosen = densities(name, options.alpha)
        spec = spec_of(name)
        layers = random_layers(spec.geometries, kept_weights(spec, chosen), options.seed)
        origin = {"alpha": options.alpha, "densities": chosen, "seed": options.seed}
    report = {
        "network": name,
        **origin,
        **_compared(layers, act_bits, options),
        "provenance": {"numpy": np.__version__},
    }
    shapes = ", ".join(f"{core} {shape}" for core, shape in report["shapes"].items())
    head = f"{name}: pixels x filters {shapes}"
    publish(report, options.json, f"{head}\n{tables.cycles_table(report)}")
    return 0


def _compared(
    layers: Sequence[Layer], act_bits: int, options: argparse.Namespace
) -> dict[str, Any]:
    """The cycles of the cores that are asked for, of a file or as large as the options say."""
    values = {name: getattr(options, name) for name in _SHAPE}
    given = {name: value for name, value in values.items() if value is not None}
    batch = options.batch or 1
    if options.cores is None:
        sparse = feed(base("sparse"), **{"lanes": 64, "act_bits": act_bits, **given})
        return compare(
            layers,
            rivals(sparse),
            batch,
            options.act_bytes,
            bytes_per_cycle=options.bytes_per_cycle,
        )
    if given:
        name = next(iter(given)).replace("_", "-")
        raise CosignError(f"--cores says all of the cores; leave out --{name}.")
    cores = cores_of(options).for_activations(act_bits)
    by_name = {core.name: core for core in cores.cores}
    pair = cores.dense_scalar.name, cores.sparse.name
    return compare(layers, by_name, batch, options.act_bytes, *pair, options.bytes_per_cycle)
