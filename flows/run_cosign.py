"""The loop: `python flows/run_cosign.py lenet5`. See --help."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # run from a checkout: the rooms lie beside flows/
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from compress.zoo.networks import NETWORKS, entry_of, is_foreign, preset
from compress.zoo.recipe import ACCURACY_LOSS, ROUNDS
from cosign import CosignError, exit_status, numbers
from rtl.options import add_cores, cores_of

if TYPE_CHECKING:
    from compress.model.pretrained import Pretrained
    from flows.loop.rundir import RunConfig

EXAMPLES = """\
examples:
  run_cosign.py lenet5                      MNIST, about a quarter of an hour on two cores
  run_cosign.py lenet5-167x                 with the densities of a row of the paper
  run_cosign.py lenet5 --alpha 100x --bits auto   one weight of 100 in the whole network
  run_cosign.py cifar-resnet20              CIFAR-10; also cifar-vgg
  run_cosign.py alexnet                     a generated image set, about 20 minutes
  run_cosign.py alexnet --data imagenette   ten ImageNet classes, downloaded
  run_cosign.py alexnet --data DIR          an ImageNet folder: DIR/train/CLASS/, DIR/val/CLASS/
  run_cosign.py vgg16-26x --weights vgg16.pth --data DIR   from torchvision's weights
  run_cosign.py model.onnx --data DIR       a network of your own, with its trained weights
  run_cosign.py package.module:factory --data DIR --mean 0,0,0 --std 1,1,1
                                            a torch module that reads pixels of 0 to 1
  run_cosign.py lenet5 --cores my.toml      on cores of your own
  run_cosign.py --resume runs/lenet5-0      go on after Ctrl-C, a crash or a power cut
  run_cosign.py --resume runs/lenet5-0 --from synth   anew from this stage on
  run_cosign.py lenet5 --quiet --json -     for scripts: results.json on standard output
  run_cosign.py compare runs/lenet5-0 runs/lenet5-1   runs side by side (compare --help)
  tensorboard --logdir runs                 watch loss, accuracy, |W-Z| and |Z-Zprev|

stages: dense, prune, retrain, synthesize, breakeven, allocate, quantize, export, evaluate, rtl,
simulate, speedup

exit status: 0 done; 1 the RTL disagreed with the golden model; 2 bad input or a missing
tool, told in one sentence; 130 interrupted (--resume continues)
"""


def positive(number: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = number(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not positive")
        return value

    return parse


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _bits(text: str) -> int | str:
    if text != "auto" and text not in map(str, range(1, 9)):
        raise argparse.ArgumentTypeError(f"{text} is neither 1 to 8 nor auto")
    return text if text == "auto" else int(text)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """What training depends on."""
    parser.add_argument(
        "network",
        nargs="?",
        help=f"{', '.join(NETWORKS)}, or one with a row of the paper, lenet5-85x; an ONNX file, or "
        "package.module:factory, a function that returns a torch module",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE|imagenet",
        help="start from these instead of training the dense network, of any built-in one: a state "
        "dict named as in torchvision or a converted Caffe model, a layers model of TensorFlow.js; "
        "imagenet fetches those of resnet50-v1",
    )
    parser.add_argument("--data", help="an ImageNet folder, or imagenette (default: the network's)")
    parser.add_argument(
        "--alpha",
        help="preset of layer-wise densities, named after the paper's; a JSON file {layer: "
        "density}; or a ratio for the whole network, 20x, which the dense weights share out among "
        "the layers (default where there is no preset: 4x)",
    )
    parser.add_argument(
        "--targets",
        type=positive(int),
        default=1,
        metavar="N",
        help="pruning ratios that ADMM goes through one after another, up to the last one (1)",
    )
    parser.add_argument(
        "--distill",
        type=_fraction,
        default=0.0,
        metavar="SHARE",
        help="share of the dense network's answers, at temperature 4, in what the pruned one "
        "learns, 0 to 1 (0)",
    )
    parser.add_argument(
        "--bits",
        type=_bits,
        metavar="N|auto",
        help="bits of every level, 1 to 8, or auto: as few by layer as cost 0.2 %% top-1 on the "
        "validation split (default: the paper's for the network)",
    )
    for option, meaning in (("--mean", "mean"), ("--std", "standard deviation")):
        parser.add_argument(
            option,
            type=numbers,
            metavar="R,G,B",
            help=f"{meaning} of pixels of 0 to 1 by channel, as your own network was trained with "
            "(default: ImageNet's, MNIST's)",
        )
    parser.add_argument(
        "--budget", type=positive(float), default=1.0, help="factor on the training steps (1)"
    )
    parser.add_argument(
        "--rate", type=positive(float), default=1.0, help="factor on the learning rates (1)"
    )
    parser.add_argument("--seed", type=count, default=0, help="of everything random (0)")


def training_config(options: argparse.Namespace) -> "tuple[RunConfig, Pretrained | None]":
    """What these options ask for, and the user's own network. Raises CosignError on nonsense."""
    from compress.data.datasets import NAMED
    from flows.loop.rundir import RunConfig

    network, alpha = preset(options.network or "", options.alpha)
    foreign = is_foreign(network)
    if network not in NETWORKS and not foreign:
        asked = f"unknown network {network!r}" if network else "no network given"
        raise CosignError(f"{asked}; choose one of: {', '.join(NETWORKS)}, or give an ONNX file.")
    if foreign and options.weights is not None:
        raise CosignError(f"{network} has its own weights; leave --weights out.")
    if not foreign and options.weights is None and entry_of(network).needs_weights:
        raise CosignError(f"{network} is not trained from nothing; give its weights by --weights.")
    if (options.mean is None) != (options.std is None):
        raise CosignError("--mean and --std belong together; give both.")
    if options.mean is not None and not foreign and options.weights is None:
        raise CosignError("--mean and --std are for a network of your own, or --weights.")
    pretrained, digest, weights = None, "", options.weights
    if foreign or weights is not None:
        from compress.exchange import sources

        if network.endswith(".onnx"):
            network = str(Path(network).resolve())
        if weights not in (None, "imagenet"):
            weights = str(Path(weights).resolve())
        pretrained = sources.load(network, weights)
        digest = pretrained.digest()
    local = options.data not in (None, *NAMED)
    config = RunConfig(
        network=network,
        weights=weights,
        data=str(Path(options.data).resolve()) if local else options.data,
        alpha=alpha,
        targets=int(options.targets),
        distill=options.distill,
        bits=options.bits,
        budget=options.budget,
        rate=options.rate,
        seed=options.seed,
        digest=digest,
        mean=options.mean,
        std=options.std,
    )
    return config, pretrained


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="run_cosign.py",
        description="Prune and quantise a network by ADMM, measure from which pruning ratio "
        "generated sparse hardware wins, prune again accordingly, and execute the result on it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_training_options(result)
    result.add_argument(
        "--images", type=positive(int), help="images executed by the RTL (lenet5 16, others 1)"
    )
    result.add_argument("--liberty", type=Path, help="a cell library (default: NanGate 45 nm)")
    add_cores(result)
    result.add_argument(
        "--accuracy-loss",
        type=_fraction,
        default=ACCURACY_LOSS,
        metavar="LOSS",
        help="what the feedback from hardware to pruning may cost: top-1 on the validation split "
        f"below the dense network's, 0 to 1 ({ACCURACY_LOSS:g})",
    )
    result.add_argument(
        "--rounds",
        type=count,
        default=ROUNDS,
        help="rounds of the feedback that may prune further; with 0 it only leaves dense what "
        f"sparse hardware would slow down ({ROUNDS})",
    )
    where = result.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, help="run directory (default: runs/NETWORK-N)")
    where.add_argument("--resume", type=Path, metavar="DIR", help="continue this run")
    result.add_argument(
        "--from", dest="first", metavar="STAGE", help="with --resume: run this and all later stages"
    )
    result.add_argument(
        "--log",
        choices=("tensorboard", "mlflow", "wandb"),
        default="tensorboard",
        help="where training curves go (tensorboard: into the run directory)",
    )
    result.add_argument(
        "--json", metavar="FILE", help="write results.json here too; - prints it, and no tables"
    )
    result.add_argument("--quiet", action="store_true", help="no progress, no tables")
    return result


def _free_folder(network: str) -> Path:
    number = 0
    while (path := Path("runs") / f"{network}-{number}").exists():
        number += 1
    return path


def _run(options: argparse.Namespace) -> int:
    if options.first and not options.resume:
        raise CosignError("--from needs --resume DIR, the run whose stages it repeats.")

    if options.cores and options.resume:
        raise CosignError("a run keeps the cores that it began with; leave out --cores.")

    # Imported here: torch takes seconds, and --help and typing errors should not.
    from rich.console import Console

    from cosign import json_text, write_json
    from flows.loop import inputs, logs, loop
    from flows.loop.progress import Reporter
    from flows.loop.rundir import RunDir
    from flows.report import tables, terminal

    if options.resume:
        run = RunDir.resume(options.resume)
        if options.network not in (None, run.config.network):
            raise CosignError(
                f"{run.path} is a run of {run.config.network}, not of {options.network}."
            )
        pretrained = inputs.pretrained(run.config)
        loop.preflight(run.config, run.path, pretrained)
    else:
        config, pretrained = training_config(options)
        config = dataclasses.replace(
            config,
            images=options.images or inputs.rtl_images(config, pretrained),
            liberty=str(options.liberty.resolve()) if options.liberty else None,
            accuracy_loss=options.accuracy_loss,
            rounds=options.rounds,
            cores=cores_of(options),
        )
        name = config.network if pretrained is None else pretrained.spec.name
        path = options.out or _free_folder(name)
        loop.preflight(config, path, pretrained)
        run = RunDir.create(path, config)

    reporter = Reporter(Console(stderr=True), options.quiet)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(run.locked())
            if options.first:
                loop.restart(run, options.first)
            log = stack.enter_context(logs.opened(options.log, run))
            stack.enter_context(reporter.running())
            reporter.note(f"run directory: {run.path}")
            results = loop.run(run, reporter, log, pretrained)
    except KeyboardInterrupt:
        print(
            f"interrupted; go on with: python flows/run_cosign.py --resume {run.path}",
            file=sys.stderr,
        )
        return 130
    if options.json == "-":
        print(json_text(results.to_json()))
    elif options.json:
        write_json(Path(options.json), results.to_json())
    if not options.quiet and options.json != "-":
        console = tables.console()
        terminal.show(results, console)
        console.print(f"report: {run.path / 'report.html'}")
    return 1 if results.verification.mismatches else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the loop, or compare runs; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["compare"]:
        from flows.report import compare

        return compare.main(arguments[1:])
    options = parser().parse_args(arguments)
    return exit_status(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
