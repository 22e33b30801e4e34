"""Synthesise the grid of a price list and write it; what is in the cache is not made again."""

import argparse
import sys

from cosign.kinds import MOST_PROCESSES, positive
from cosign.options import add_act_bits, add_liberty
from cosign.paths import new_file
from rtl.config import CoreConfig
from synth.grid import cores
from synth.pdk import find_pdk
from synth.prices import PricedCore, PriceList, Prices
from synth.report import synthesize_many, toolchain


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=new_file, required=True, metavar="FILE", help="the list, as JSON"
    )
    parser.add_argument(
        "--first",
        type=positive(int),
        metavar="N",
        help="only so many cores of the grid, which begins with small ones (all)",
    )
    parser.add_argument(
        "--workers",
        type=positive(int, MOST_PROCESSES),
        default=2,
        help="cores synthesised at a time (2)",
    )
    add_act_bits(parser, "the cores' activations")
    add_liberty(parser)


def run(options: argparse.Namespace) -> int:
    """Synthesise what is missing and write the list; raises CosignError."""
    act_bits = options.act_bits or CoreConfig.act_bits
    grid = [core.for_activations(act_bits) for core in cores()[: options.first]]
    done = 0

    def progress(config: CoreConfig, what: str) -> None:
        nonlocal done
        if what == "done":
            done += 1
            print(f"{done} of {len(grid)}: {config.name}", file=sys.stderr, flush=True)

    reports = synthesize_many(
        grid, None, options.liberty, progress=progress, workers=options.workers
    )
    listed = PriceList(
        cores=tuple(map(PricedCore.of, reports)), provenance=toolchain(find_pdk(options.liberty))
    )
    listed.write(options.out)
    errors = Prices(listed.cores).held_out
    print(
        f"{len(listed.cores)} cores; a core that the fit has not seen is off by "
        f"{100 * errors.mean:.1f} % of its logic area on average, {100 * errors.worst:.1f} % at "
        f"worst ({errors.worst_core}), by {100 * errors.clock_mean:.1f} % of its clock "
        f"({100 * errors.clock_worst:.1f} %)"
    )
    return 0
