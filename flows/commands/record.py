"""LeNet-5 in as few weights and bytes as possible: hours. The same command goes on."""

import argparse

from cosign.kinds import filled, seed
from cosign.options import check_names
from cosign.paths import name_or_path, new_folder


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--schedules",
        type=filled,
        nargs="+",
        metavar="SCHEDULE",
        default=["lenet5-1236", "lenet5-890"],
    )
    parser.add_argument("--data", type=name_or_path, default="mnist", metavar="mnist|DIR")
    parser.add_argument("--seeds", type=seed, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=new_folder, required=True, metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Train what is missing; raises CosignError on bad input."""
    from compress.tiny.schedule import SCHEDULES  # torch: --help does without
    from flows.studies import record

    check_names("--schedules", options.schedules, SCHEDULES)
    record.run(options.schedules, options.seeds, options.data, options.out)
    return 0
