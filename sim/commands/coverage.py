"""Sum up the lines and toggles that simulations with COSIGN_COVERAGE reached."""

import argparse
import dataclasses

from cosign.kinds import within
from cosign.options import add_json, publish
from cosign.paths import old_folder
from sim import tables
from sim.coverage import collect


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=old_folder, help="what COSIGN_COVERAGE was")
    parser.add_argument(
        "--least", type=within(float, 0, 100), default=0.0, help="%% of lines, else exit status 1"
    )
    add_json(parser, "the results")


def run(options: argparse.Namespace) -> int:
    """Sum up, and show; raises CosignError on what is no coverage."""
    found = collect(options.folder)
    content = {"cores": [dataclasses.asdict(each) for each in found]}
    publish(content, options.json, tables.coverage_table(found))
    return int(any(100 * each.lines_hit < options.least * each.lines for each in found))
