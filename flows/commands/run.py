"""Prune and quantise a network by ADMM, measure from which pruning ratio generated sparse hardware
wins, prune again accordingly, and execute the result on it; or all of that without training.
"""

import argparse
import contextlib
import dataclasses
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from compress.zoo.networks import is_onnx
from compress.zoo.recipe import ACCURACY_LOSS, ROUNDS
from cosign import CosignError
from cosign.command import status_of
from cosign.files import is_full
from cosign.kinds import (
    MOST_IMAGES,
    MOST_MINUTES,
    area,
    count,
    file_size,
    filled,
    fraction,
    points,
    positive,
    pruning_ratio,
    speedup,
)
from cosign.names import file_name
from cosign.options import add_json, add_liberty, publish
from cosign.paths import new_folder, old_folder
from flows.commands.training import add_training_options, said, training_config
from rtl.options import add_cores, cores_of
from synth.place import options as placing

EXAMPLES = """\
examples:
  cosign run lenet5                      MNIST, 27 processor minutes with nothing in the cache
  cosign run lenet5-167x                 with the densities of a row of the paper
  cosign run lenet5 --alpha 100x --bits auto   one weight of 100 in the whole network
  cosign run lenet5 --pattern 2:4        two of each four weights along the input channels
  cosign run cifar-resnet20              CIFAR-10; also cifar-vgg
  cosign run alexnet                     a generated image set, 31 processor minutes
  cosign run alexnet --data imagenette   ten ImageNet classes, downloaded
  cosign run alexnet --data DIR          an ImageNet folder: DIR/train/CLASS/, DIR/val/CLASS/
  cosign run alexnet --weights imagenet-conv --data DIR   ImageNet's convolutions, a new classifier
  cosign run vgg16-26x --weights vgg16.pth --data DIR   from torchvision's weights
  cosign run model.onnx --data DIR       a network of your own, with its trained weights
  cosign run package.module:factory --data DIR --mean 0,0,0 --std 1,1,1
                                         a torch module that reads pixels of 0 to 1
  cosign run model.onnx --method oneshot --data DIR --speedup 3x
                                         without training, on a folder of photographs
  cosign run resnet50-v1 --weights imagenet --method oneshot --data DIR --size 10MB
  cosign run lenet5 --cores my.toml      on cores of your own
  cosign run alexnet --area 3mm2         on the fastest cores of at most that area
  cosign run --resume runs/lenet5-0      go on after Ctrl-C, a crash or a power cut
  cosign run --resume runs/lenet5-0 --from synth   anew from this stage on
  cosign run lenet5 --quiet --json -     for scripts: results.json on standard output
  tensorboard --logdir runs              watch loss, accuracy, |W-Z| and |Z-Zprev|

stages: dense, prune, retrain, synthesize, breakeven, allocate, quantize, export, evaluate, rtl,
simulate, speedup; of --method oneshot: curves, synthesize, breakeven, allocate, compress, export,
tradeoff, evaluate, rtl, simulate, speedup

exit status: 0 done; 1 the RTL disagreed with the golden model; 2 bad input or a missing
tool, told in one sentence; 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP (--resume continues)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    add_training_options(parser)
    parser.add_argument(
        "--method",
        choices=("admm", "oneshot"),
        help="admm trains; oneshot prunes and quantises trained weights on images alone, which "
        "may be any folder of them: labels are used where there is one folder for each class "
        "(admm)",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--ratio",
        type=pruning_ratio,
        metavar="Rx",
        help="one weight of R stays in the whole network; the same as --alpha Rx (oneshot: 2x)",
    )
    budget.add_argument(
        "--speedup",
        type=speedup,
        metavar="Sx",
        help="oneshot: time of an image on the dense chip over that on the sparse one, at least",
    )
    budget.add_argument(
        "--size",
        type=file_size,
        metavar="BYTES",
        help="oneshot: of the file at most, as 2MB, 300KB, 5000B",
    )
    budget.add_argument(
        "--loss",
        type=points,
        metavar="POINTS",
        help="oneshot: points of accuracy below the dense network at most, on a validation split "
        "of images with labels",
    )
    parser.add_argument(
        "--finetune",
        type=positive(float, MOST_MINUTES),
        metavar="MINUTES",
        help="oneshot: the chosen network learns the unpruned one's answers to all images that are "
        "not held, without labels, as much as two quiet cores can in so many minutes",
    )
    parser.add_argument(
        "--images",
        type=positive(int, MOST_IMAGES),
        help="images of which the RTL executes the convolutions (lenet5 16, others 1); linear "
        "layers are executed in whole batches",
    )
    parser.add_argument(
        "--batch",
        type=positive(int, MOST_IMAGES),
        help="images that linear layers compute together (as many as the memory holds that "
        "convolutions need anyway, 16 to 64)",
    )
    add_liberty(parser)
    placing.add_options(parser, "place the cores, whose areas and clocks count then (minutes each)")
    add_cores(parser)
    parser.add_argument(
        "--area",
        type=area,
        metavar="AREA",
        help="of the chip at most, memories included, as 3mm2 or 450000um2: the fastest dense and "
        "the fastest sparse core within it are compared, of those of --cores, else of all that a "
        "search by the price list finds (the area of the dense core of 8 x 8)",
    )
    parser.add_argument(
        "--accuracy-loss",
        type=fraction,
        metavar="LOSS",
        help="what the feedback from hardware to pruning may cost: top-1 on the validation split "
        f"below the dense network's, 0 to 1 ({ACCURACY_LOSS:g})",
    )
    parser.add_argument(
        "--rounds",
        type=count,
        help="rounds of the feedback that may prune further; with 0 it only leaves dense what "
        f"sparse hardware would slow down ({ROUNDS})",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=new_folder, help="run directory (default: runs/NETWORK-N)")
    where.add_argument("--resume", type=old_folder, metavar="DIR", help="continue this run")
    parser.add_argument(
        "--from",
        dest="first",
        type=filled,
        metavar="STAGE",
        help="with --resume: run this and all later stages",
    )
    parser.add_argument(
        "--log",
        choices=("tensorboard", "mlflow", "wandb"),
        help="where training curves go (tensorboard: into the run directory)",
    )
    add_json(parser, "results.json")
    parser.add_argument("--quiet", action="store_true", help="no progress, no tables")


_OF_TRAINING = ("targets", "distill", "budget", "rate", "accuracy_loss", "rounds", "log")
"""Options that only training has."""
_OF_RESUMING = ("command", "network", "resume", "first", "log", "json", "quiet")
"""What may be said of a run that goes on: its network, which must be that, and what it tells."""
_OPTIONS = {"outputs": "output"}
"""Names of options that are others than their values'."""
_OF_FEEDBACK = ("accuracy_loss", "rounds")
_BUDGETS = ("speedup", "size", "loss")
_OF_ONESHOT = (*_BUDGETS, "finetune")


def _checked(options: argparse.Namespace) -> None:
    """Raises CosignError on options that belong to the other method, or contradict each other."""
    if options.pattern is not None:
        for name in ("ratio", "alpha", *_BUDGETS):
            if getattr(options, name) is not None:
                raise CosignError(f"--pattern and --{name} both say what stays; give one of them.")
        for name in _OF_FEEDBACK:
            if getattr(options, name) is not None:
                raise CosignError(
                    f"--{name.replace('_', '-')} is of the feedback, in which layers with a "
                    "pattern have no part; leave it out."
                )
    if options.ratio is not None and options.alpha is not None:
        raise CosignError("--ratio and --alpha both say how far to prune; give one of them.")
    if options.ratio is not None:
        options.alpha = f"{options.ratio!r}x".replace(".0x", "x")
    if options.method != "oneshot":
        for name in _OF_ONESHOT:
            if getattr(options, name) is not None:
                raise CosignError(
                    f"--{name} is for --method oneshot; training goes by --alpha and "
                    "--accuracy-loss."
                )
        return
    for name in _OF_TRAINING:
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise CosignError(
                f"--{option} is of training, --method oneshot has none; leave it out."
            )
    if options.bits == "auto":
        raise CosignError("--bits auto is chosen by training; with --method oneshot give 1 to 8.")


def _check_resuming(options: argparse.Namespace) -> None:
    """Raises CosignError on what a run that goes on cannot be asked for any more."""
    for name, value in vars(options).items():
        given = value is not None and value is not False and value != []
        if given and name not in _OF_RESUMING:
            option = _OPTIONS.get(name, name.replace("_", "-"))
            raise CosignError(
                f"a run keeps the {option} that it began with, and config.json in {options.resume} "
                f"says what that is; leave out --{option}, or start a new run."
            )


def _check_network(options: argparse.Namespace, network: str) -> None:
    """Raises CosignError where a run of `network` is to go on as one of another."""
    asked = options.network
    if asked is not None and is_onnx(asked):
        asked = str(Path(asked).resolve())
    if asked not in (None, network):
        raise CosignError(
            f"{options.resume} is a run of {network}, not of {options.network}; leave "
            f"{options.network} out."
        )


def run(options: argparse.Namespace) -> int:
    """Run the loop, or go on with it, and show the results; raises CosignError on bad input."""
    if options.first and not options.resume:
        raise CosignError("--from needs --resume DIR, the run whose stages it repeats.")
    if options.resume:
        _check_resuming(options)
    else:
        _checked(options)

    # Imported here: torch takes seconds, and --help and typing errors should not.
    from cosign import consoles
    from cosign.progress import Reporter
    from flows.loop import inputs, logs, loop
    from flows.loop.rundir import RunDir
    from flows.report import terminal

    reporter = Reporter(consoles.standard_error(), options.quiet)
    if options.resume:
        run = RunDir.resume(options.resume)
        opened: AbstractContextManager[RunDir] = run.held()
        _check_network(options, run.config.network)
        logs.check(options.log or logs.USUAL)
        if options.first:
            loop.stages_from(run, options.first)
        pretrained = inputs.pretrained(run.config)
        inputs.tell(run.config.network, pretrained, reporter.note)
        loop.preflight(run.config, run.path, pretrained, reporter.note)
    else:
        oneshot = options.method == "oneshot"
        config, pretrained = training_config(options, oneshot)
        inputs.tell(config.network, pretrained, reporter.note)
        config = dataclasses.replace(
            config,
            images=options.images or inputs.rtl_images(config, pretrained),
            batch=options.batch or inputs.batch(config, pretrained),
            liberty=[str(path.resolve()) for path in options.liberty] or None,
            **said(options, "accuracy_loss", "rounds"),
            cores=cores_of(options).for_activations(config.act_bits),
            method=options.method or "admm",
            speedup=options.speedup,
            size=options.size,
            loss=options.loss,
            finetune=options.finetune,
            place=placing.placement_of(options),
        )
        name = config.network if pretrained is None else pretrained.spec.name
        path = options.out or Path("runs") / file_name(name)
        if options.out is not None:
            RunDir.check_free(path)
        logs.check(options.log or logs.USUAL)
        loop.preflight(config, path, pretrained, reporter.note)
        if options.area is not None:
            config = loop.within(config, pretrained, options.area, reporter.note)
        opened = RunDir.begun(path, config, numbered=options.out is None)

    here = None
    try:
        with contextlib.ExitStack() as stack:
            here = stack.enter_context(opened)
            if options.first:
                loop.restart(here, options.first)
            log = stack.enter_context(logs.opened(options.log or logs.USUAL, here))
            stack.enter_context(reporter.running())
            reporter.note(f"run directory: {here.path}")
            results = loop.run(here, reporter, log, pretrained)
    except KeyboardInterrupt as stop:
        if here is None:
            raise
        print(f"interrupted; go on with: cosign run --resume {here.path}", file=sys.stderr)
        return status_of(stop)
    except (CosignError, OSError) as error:
        if here is None or not is_full(error):
            raise
        why = str(error).rstrip(".")
        raise CosignError(f"{why}; then go on with: cosign run --resume {here.path}") from error
    publish(results.to_json(), options.json)
    if not options.quiet and options.json != "-":
        console = consoles.standard_output()
        terminal.show(results, console)
        console.print(f"report: {here.path / 'report.html'}")
    return 1 if results.verification.mismatches else 0
