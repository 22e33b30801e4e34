"""Compress a network at once, without training, and write the file."""

import argparse
import sys
from pathlib import Path

from compress.commands.inspect import inspect, table
from compress.file import container
from compress.zoo.density import uniform, uniform_but_delicate
from compress.zoo.networks import NETWORKS, entry_for, is_foreign, preset
from cosign import CosignError
from cosign.options import add_json, add_pixels, bits, count, pixels_of, pruning_ratio, publish


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network",
        required=True,
        help=f"{', '.join(NETWORKS)}, or one with a row of the paper, vgg16-26x; an ONNX file, or "
        "package.module:factory, a function that returns a torch module",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--alpha",
        metavar="PRESET|FILE",
        help="densities: a preset of the network, or a JSON file {layer: density}",
    )
    amount.add_argument(
        "--ratio", type=pruning_ratio, metavar="R", help="one weight of R stays, in every layer"
    )
    parser.add_argument(
        "--method",
        choices=("magnitude", "oneshot"),
        default="magnitude",
        help="keep the largest weights, or those that keep each layer's answers on the images, by "
        "layer-wise ADMM (default: %(default)s)",
    )
    parser.add_argument(
        "--bits",
        type=bits,
        metavar="N",
        help="bits of every weight, 1 to 8 (default: the paper's for the network)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE|DIR|imagenet",
        help="state dict named as in torchvision or a converted Caffe model; a layers model of "
        "TensorFlow.js; imagenet fetches those of resnet50-v1 (default: untrained)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="images to calibrate on (default: generated ones)",
    )
    add_pixels(parser)
    parser.add_argument("--seed", type=count, default=0, help="of weights and generated images")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model.cosign")
    add_json(parser, "the sizes")


def run(options: argparse.Namespace) -> int:
    """Write, and show the sizes; raises CosignError on what does not fit together."""
    note = _export(options)
    report = inspect(options.out)
    publish(report, options.json, f"{table(report)}\n{note}")
    return 0


def _export(options: argparse.Namespace) -> str:
    """Write the file that the options ask for; returns what to say about its weights."""
    from compress.exchange import state_dicts
    from compress.posttrain import pipeline  # torch: --help does without

    options.network, options.alpha = preset(options.network, options.alpha)
    if (options.alpha is None) == (options.ratio is None):
        raise CosignError("export needs --alpha, --ratio or a row of the paper, one of them.")
    if is_foreign(options.network):
        return _export_own(options)
    if options.network not in NETWORKS:
        raise CosignError(
            f"unknown network {options.network!r}; choose {', '.join(NETWORKS)}, or give an ONNX "
            "file."
        )
    if options.mean is not None or options.std is not None:
        raise CosignError("--mean and --std are for a network of your own.")
    if not 0 <= options.seed < 1 << 63:
        raise CosignError(f"seed is {options.seed}, must be 0 or more and below 2**63.")
    entry = NETWORKS[options.network]
    bits = entry.bits.by_layer(entry.spec)
    if options.bits is not None:
        bits = dict.fromkeys(bits, options.bits)
    if options.ratio is not None:
        chosen = uniform(entry.spec, options.ratio)
    else:
        chosen = entry.densities(options.alpha)
    weights = options.weights and state_dicts.find(options.network, options.weights, _say)
    count = pipeline.CALIBRATION_IMAGES[options.method]
    pixels = pipeline.calibration_images(entry.spec.shape, options.images, options.seed, count)
    if weights is None:
        network, source = pipeline.untrained(options.network, pixels, options.seed)
    else:
        network, source = pipeline.load(options.network, weights)
    model = pipeline.compress(network, source, chosen, bits, pixels, options.method, _say)
    container.save(model, options.out)
    images = f"{len(pixels)} {'generated images' if options.images is None else 'images'}"
    if options.images is not None:
        images += f" of {options.images}"
    if weights is None:
        return (
            f"The weights are UNTRAINED (random, seed {options.seed}): the file has the structure "
            f"of {options.network} and no accuracy. Calibrated on {images}."
        )
    return (
        f"Weights of {options.weights}, pruned and quantised without retraining. Calibrated on "
        f"{images}."
    )


def _export_own(options: argparse.Namespace) -> str:
    """The same of an ONNX file or a torch module, with the weights that it has."""
    from compress.exchange import sources, state_dicts
    from compress.nn.network import pretrained_network
    from compress.posttrain import pipeline
    from compress.posttrain.integers import input_spec
    from compress.posttrain.rehearsal import rehearse
    from compress.train import recipes

    if options.weights is not None:
        raise CosignError(f"{options.network} has its own weights; leave --weights out.")
    own = sources.load(options.network)
    spec = own.spec
    if options.ratio is None:
        chosen = recipes.pretrained_densities(own, options.alpha)
    else:
        chosen = recipes.without_zeros(own, uniform_but_delicate(spec, options.ratio))
    bits = entry_for(spec).bits.by_layer(spec)
    if options.bits is not None:
        bits = dict.fromkeys(bits, options.bits)
    if spec.shape[0] not in (1, 3):
        raise CosignError(
            f"{options.network} reads images of {spec.shape[0]} channels, calibrated is on 1 or 3."
        )
    told = pixels_of(options, spec.shape[0])
    source = input_spec(spec.shape, *(told or state_dicts.pixels_of(spec)))
    count = pipeline.CALIBRATION_IMAGES[options.method]
    pixels = pipeline.calibration_images(spec.shape, options.images, options.seed, count)
    rehearse(spec)
    network = pretrained_network(own)
    model = pipeline.compress(network, source, chosen, bits, pixels, options.method, _say)
    container.save(model, options.out)
    return (
        f"Weights of {options.network}, pruned and quantised without retraining. Calibrated on "
        f"{len(pixels)} images{f' of {options.images}' if options.images else ', generated ones'}."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
