"""What training depends on: the options that the loop and `cosign train` share."""

import argparse
import sys
from pathlib import Path
from typing import Any

from compress.model.pretrained import Pretrained
from compress.zoo.networks import (
    FEATURES,
    NETWORKS,
    beginning_with,
    entry_of,
    is_foreign,
    is_onnx,
    preset,
)
from cosign import CosignError
from cosign.kinds import MOST_STEPS, bits_or_auto, fraction, positive, seed
from cosign.options import add_act_bits, add_classes, add_outputs, add_pixels, pixels_of
from cosign.paths import name_or_path
from flows.loop.rundir import RunConfig


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """What training depends on."""
    parser.add_argument(
        "network",
        type=name_or_path,
        nargs="?",
        help=f"{', '.join(NETWORKS)}, or one with a row of the paper, lenet5-85x; an ONNX file, or "
        "package.module:factory, a function that returns a torch module",
    )
    parser.add_argument(
        "--weights",
        type=name_or_path,
        metavar="FILE|imagenet|imagenet-conv",
        help="start from these instead of training the dense network, of any built-in one: a state "
        "dict named as in torchvision or a converted Caffe model, a layers model of TensorFlow.js; "
        "imagenet fetches those of resnet50-v1. imagenet-conv fetches the convolutions of AlexNet, "
        "whose classifier is then learnt; a .npz file has one's own",
    )
    add_outputs(parser)
    parser.add_argument(
        "--data",
        type=name_or_path,
        help="an ImageNet folder, or imagenette (default: the network's)",
    )
    add_classes(parser)
    parser.add_argument(
        "--alpha",
        type=name_or_path,
        help="preset of layer-wise densities, named after the paper's; a JSON file {layer: "
        "density}; or a ratio for the whole network, 20x, which the dense weights share out among "
        "the layers (default where there is no preset: 4x)",
    )
    parser.add_argument(
        "--pattern",
        type=name_or_path,
        metavar="N:M|FILE",
        help="instead of --alpha: N weights of each M consecutive input channels stay, at each tap "
        "of each filter: 2:4 for all layers, or a JSON file {layer: N:M}, where others stay dense",
    )
    parser.add_argument(
        "--targets",
        type=positive(int),
        metavar="N",
        help="pruning ratios that ADMM goes through one after another, up to the last one "
        "(alexnet-conv 6, others 1)",
    )
    parser.add_argument(
        "--distill",
        type=fraction,
        metavar="SHARE",
        help="share of the dense network's answers, at temperature 4, in what the pruned one "
        "learns, 0 to 1 (alexnet-conv 0.5, others 0)",
    )
    parser.add_argument(
        "--bits",
        type=bits_or_auto,
        metavar="N|auto",
        help="bits of every level, 1 to 8, or auto: as few by layer as cost 0.2 %% top-1 on the "
        "validation split (default: the paper's for the network)",
    )
    add_act_bits(parser)
    add_pixels(parser)
    parser.add_argument(
        "--budget",
        type=positive(float, MOST_STEPS),
        help="factor on the training steps (1)",
    )
    parser.add_argument(
        "--rate",
        type=positive(float, MOST_STEPS),
        help="factor on the learning rates (1)",
    )
    parser.add_argument("--seed", type=seed, help="of everything random (0)")


def training_config(
    options: argparse.Namespace, oneshot: bool = False
) -> tuple[RunConfig, Pretrained | None]:
    """What these options ask for, and the user's own network. Raises CosignError on nonsense.

    oneshot : whether data may be any folder of images, since nothing is trained on them
    """
    from compress.data import classes, datasets

    network, alpha = preset(options.network or "", options.alpha)
    if options.pattern is not None and alpha is not None:
        given = "--alpha" if options.alpha is not None else options.network
        raise CosignError(f"--pattern and {given} both say what stays; give one of them.")
    foreign = is_foreign(network)
    if network not in NETWORKS and not foreign:
        asked = f"unknown network {network!r}" if network else "no network given"
        raise CosignError(f"{asked}; choose one of: {', '.join(NETWORKS)}, or give an ONNX file.")
    if foreign and options.weights is not None:
        raise CosignError(f"{network} has its own weights; leave --weights out.")
    if not foreign:
        network = beginning_with(network, options.weights)
    if not foreign and options.weights is None and entry_of(network).needs_weights:
        raise CosignError(f"{network} is not trained from nothing; give its weights by --weights.")
    if options.outputs and not foreign:
        raise CosignError("--output is for a network of your own.")
    if (options.mean or options.std) and not foreign and options.weights is None:
        raise CosignError("--mean and --std are for a network of your own, or --weights.")
    pretrained, digest, weights, pixels = None, "", options.weights, None
    if foreign or weights is not None:
        from compress.exchange import features, sources

        if is_onnx(network):
            network = str(Path(network).resolve())
        if weights not in (None, "imagenet", FEATURES):
            weights = str(Path(weights).resolve())
        if not foreign and entry_of(network).features is not None:
            if oneshot:
                raise CosignError(
                    f"--method oneshot trains nothing, and the classifier of {network} is learnt; "
                    "leave --method out."
                )
            tell = _ignore if getattr(options, "quiet", False) else _say
            digest = features.load(network, weights, tell).digest()
            pixels = pixels_of(options, entry_of(network).spec.shape[0])
        else:
            pretrained = sources.load(network, weights, options.outputs)
            digest = pretrained.digest()
            pixels = pixels_of(options, pretrained.spec.shape[0])
    datasets.check_order(options.data, options.classes)
    local = datasets.is_folder(options.data)
    order = None
    if local and not oneshot:
        order = classes.unusual(Path(options.data), options.classes)
    elif local:
        from flows.loop import images

        order = images.unusual_order(options.data, options.classes, pretrained)
    config = RunConfig(
        network=network,
        weights=weights,
        outputs=options.outputs or None,
        data=str(Path(options.data).resolve()) if local else options.data,
        classes=order,
        alpha=alpha,
        pattern=options.pattern,
        targets=options.targets,
        distill=options.distill,
        bits=options.bits,
        **said(options, "act_bits", "budget", "rate", "seed"),
        digest=digest,
        mean=list(pixels[0]) if pixels else None,
        std=list(pixels[1]) if pixels else None,
    )
    return config, pretrained


def said(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that were given: of the others RunConfig says what they are."""
    found = {name: getattr(options, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ignore(_: str) -> None:
    pass
