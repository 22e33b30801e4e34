"""Synthesise the grid of a price list and write it; what is in the cache is not made again."""

import argparse
import sys

from cosign.kinds import MOST_PROCESSES, positive
from cosign.options import add_act_bits, add_liberty
from cosign.paths import new_file
from rtl.config import CoreConfig
from synth.grid import cores, placed_of
from synth.pdk import find_pdk
from synth.place import options as placing
from synth.prices import Errors, PricedCore, PriceList, Prices
from synth.report import CoreReport, synthesize_many, toolchain


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
    placing.add_options(parser, "also place those of the grid that are worth the minutes it takes")


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

    place = placing.placement_of(options)
    with_wires = set() if place is None else placed_of(grid)
    reports: dict[CoreConfig, CoreReport] = {}
    for several, how in ((set(grid) - with_wires, None), (with_wires, place)):
        wanted = [core for core in grid if core in several]
        made = synthesize_many(
            wanted, None, options.liberty, progress=progress, workers=options.workers, place=how
        )
        reports |= dict(zip(wanted, made, strict=True))
    provenance = toolchain(find_pdk(options.liberty))
    for report in reports.values():
        if report.placed is not None:
            provenance["placement"] = report.placed.provenance
    listed = PriceList(
        cores=tuple(PricedCore.of(reports[core]) for core in grid), provenance=provenance
    )
    listed.write(options.out)
    print(f"{len(listed.cores)} cores; {_told(Prices(listed.cores).held_out)}")
    if with_wires:
        errors = Prices(listed.cores, placed=True).held_out
        print(f"{len(with_wires)} of them placed; {_told(errors)}")
    return 0


def _told(errors: Errors) -> str:
    return (
        f"a core that the fit has not seen is off by {100 * errors.mean:.1f} % of its logic area "
        f"on average, {100 * errors.worst:.1f} % at worst ({errors.worst_core}), by "
        f"{100 * errors.clock_mean:.1f} % of its clock ({100 * errors.clock_worst:.1f} %)"
    )
