"""The training stages and the file, without hardware. The same command goes on where it stopped.

Several processes train together when torchrun starts them:
`torchrun --nproc-per-node 2 -m flows train alexnet`.
"""

import argparse
import contextlib
import dataclasses
import os
from pathlib import Path

from cosign import locked
from cosign.kinds import MOST_PROCESSES, within
from cosign.names import file_name
from cosign.paths import new_folder
from flows.commands.training import add_training_options, training_config

_WORKERS = 8  # at most, by default


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser)
    parser.add_argument(
        "--workers",
        type=within(int, 0, MOST_PROCESSES),
        metavar="N",
        help="processes that decode images ahead (default: the cores, if a GPU trains, else 0)",
    )
    parser.add_argument(
        "--out",
        type=new_folder,
        metavar="DIR",
        help="for checkpoints and model.cosign; the same command goes on there "
        "(runs/NETWORK-trained)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Train, or go on training, and export; raises CosignError as the stages do."""
    # torch takes seconds, and --help does without
    from compress.data import classes
    from compress.data.datasets import is_folder
    from compress.file import container
    from compress.model.tidy import tidy
    from compress.posttrain.rehearsal import rehearse
    from compress.train import distributed, export, stages
    from compress.zoo import patterns
    from cosign import consoles
    from cosign.progress import Reporter
    from flows.loop import inputs

    with contextlib.ExitStack() as stack:
        stack.enter_context(distributed.joined())
        leads = distributed.rank() == 0
        reporter = Reporter(consoles.standard_error(), options.quiet or not leads)
        with distributed.first():
            config, pretrained = training_config(options)
            inputs.tell(config.network, pretrained, reporter.note)
            workers = _workers(options.workers)
            named = pretrained.spec.name if pretrained else config.network
            out = options.out or Path("runs") / f"{file_name(named)}-trained"
            dataset = inputs.dataset(config, pretrained, reporter.note)
            recipe = inputs.recipe(config, pretrained, len(dataset.classes))
            rehearse(recipe.spec, config.act_bits)
            if recipe.patterns:
                reporter.note(patterns.told(recipe.spec, recipe.patterns))
            if leads:
                stack.enter_context(locked(out))
        dataset = dataclasses.replace(dataset, workers=workers)
        start = (
            inputs.start(pretrained, dataset, reporter.note)
            if pretrained
            else inputs.begun(config, recipe, dataset)
        )
        stack.enter_context(reporter.running())
        for stage in stages.STAGES:
            with reporter.stage(stage):
                result = stages.run_stage(
                    stage,
                    recipe,
                    dataset,
                    out / "checkpoints",
                    config.seed,
                    reporter.show,
                    start,
                )
        if not leads:
            return 0
        made = export.export(result, dataset, reporter.note, config.act_bits)
        model = tidy(made, in_order=bool(recipe.patterns))
        path = out / "model.cosign"
        container.save(model, path)
        if is_folder(config.data):
            classes.write(dataset.classes, out / classes.FILE)
    weights = sum(layer.geometry.weights for layer in model.layers)
    kept, left = sum(result.kept.values()), sum(layer.nnz for layer in model.layers)
    dead = sum(layer.dead for layer in model.layers)
    print(
        f"{recipe.network} on {dataset.name}: {left:,} of {weights:,} weights, "
        f"{path.stat().st_size:,} B, {result.accuracy:.2%} right in validation, before activations "
        f"are integers.\n{kept - left:,} more were kept, but make no difference to the outputs; "
        f"{dead:,} filters and neurons have no weight left.\n"
        f"{path}; its accuracy: cosign evaluate {path}"
    )
    return 0


def _workers(asked: int | None) -> int:
    """Processes that read images for this one."""
    from compress.train import distributed

    if asked is None:
        if distributed.device().type == "cpu":
            return 0  # training keeps the cores busy itself
        return min(_WORKERS, len(os.sched_getaffinity(0)) // distributed.on_this_machine()[1])
    return asked
