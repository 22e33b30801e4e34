"""Ways of pruning compared: the same dense network, the same steps, several methods and ratios.

DIR gets baselines.json and baselines.png. Each point is kept when it is finished; the same command
goes on where it was stopped, and further ratios or methods add to what is there.
"""

import argparse
import dataclasses

from compress.zoo.networks import NETWORKS, recipe
from cosign import locked
from cosign.kinds import MOST_PROCESSES, MOST_STEPS, filled, positive, pruning_ratio, seed
from cosign.options import add_classes, check_names
from cosign.paths import name_or_path, new_folder

RATIOS = (10.0, 20.0, 40.0, 80.0, 160.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    trained = [name for name, entry in NETWORKS.items() if not entry.needs_weights]
    parser.add_argument("network", choices=trained)
    parser.add_argument(
        "--ratios",
        type=pruning_ratio,
        nargs="+",
        default=RATIOS,
        metavar="R",
        help="all weights over those that stay, as 40x",
    )
    parser.add_argument("--methods", nargs="+", type=filled, metavar="METHOD", help="default: all")
    parser.add_argument(
        "--data", type=name_or_path, help="as for `cosign run` (default: the network's)"
    )
    add_classes(parser)
    parser.add_argument(
        "--budget",
        type=positive(float, MOST_STEPS),
        default=1.0,
        help="factor on the steps after the dense network (1)",
    )
    parser.add_argument(
        "--threads",
        type=positive(int, MOST_PROCESSES),
        help="of torch; part of the recipe (the network's, 2). One is faster on busy cores",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of everything random (0)")
    parser.add_argument("--out", type=new_folder, required=True, metavar="DIR")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Train what is missing, and show the table; raises CosignError on bad input."""
    # torch takes seconds, and --help does without
    from compress.data.datasets import load_dataset
    from cosign import consoles
    from cosign.progress import Reporter
    from flows.report import plots
    from flows.studies import baselines

    methods = options.methods or list(baselines.METHODS)
    check_names("--methods", methods, baselines.METHODS)
    reporter = Reporter(consoles.standard_error(), options.quiet)
    dataset = load_dataset(
        options.network, options.data, options.seed, reporter.note, options.classes
    )
    base = baselines.with_budget(recipe(options.network, len(dataset.classes)), options.budget)
    base = dataclasses.replace(base, threads=options.threads or base.threads)
    wanted = [(method, ratio) for ratio in options.ratios for method in methods]
    with locked(options.out), reporter.running():
        found = baselines.run(base, dataset, options.seed, options.out, wanted, reporter)
    plots.write_png(baselines.figure(found), options.out / "baselines.png")
    print(f"Float network, {dataset.sizes['test']:,} test images of {dataset.name}:\n")
    print(baselines.table(found))
    return 0
