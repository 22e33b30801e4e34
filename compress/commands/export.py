"""Compress a network at once, without training, and write the file."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compress.commands.inspect import inspect, table
from compress.file import container
from compress.model import activations
from compress.model.graph import InputSpec
from compress.model.nodes import NetworkSpec, size_of
from compress.model.pattern import NO_PATTERNS, Patterns
from compress.zoo import patterns as zoo_patterns
from compress.zoo.density import uniform, uniform_but_delicate
from compress.zoo.networks import NETWORKS, entry_for, is_foreign, preset
from cosign import CosignError
from cosign.kinds import MOST_MINUTES, bits, positive, pruning_ratio, seed
from cosign.options import add_act_bits, add_json, add_outputs, add_pixels, pixels_of, publish
from cosign.paths import name_or_path, new_file, old

if TYPE_CHECKING:
    from compress.nn.network import Network
    from compress.posttrain.samples import Samples

_MEASURED = 16  # images
_OF_LARGE = 8  # of built-in networks, of which some are
_MACS = 1_000_000_000  # of an image, up to which a built-in network's outputs are measured


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network",
        type=name_or_path,
        required=True,
        help=f"{', '.join(NETWORKS)}, or one with a row of the paper, vgg16-26x; an ONNX file, or "
        "package.module:factory, a function that returns a torch module",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--alpha",
        type=name_or_path,
        metavar="PRESET|FILE",
        help="densities: a preset of the network, or a JSON file {layer: density}",
    )
    amount.add_argument(
        "--ratio", type=pruning_ratio, metavar="R", help="one weight of R stays, in every layer"
    )
    amount.add_argument(
        "--pattern",
        type=name_or_path,
        metavar="N:M|FILE",
        help="N weights of each M consecutive input channels stay, at each tap of each filter: 2:4 "
        "for all layers, or a JSON file {layer: N:M}, where others stay dense",
    )
    parser.add_argument(
        "--method",
        choices=("magnitude", "oneshot"),
        default="magnitude",
        help="keep the largest weights, or those that keep each layer's answers on the images, by "
        "layer-wise ADMM (default: %(default)s)",
    )
    parser.add_argument(
        "--finetune",
        type=positive(float, MOST_MINUTES),
        metavar="MINUTES",
        help="oneshot: what is left learns the unpruned network's answers to --images, which need "
        "no labels, as much as two quiet cores can in so many minutes",
    )
    parser.add_argument(
        "--bits",
        type=bits,
        metavar="N",
        help="bits of every weight, 1 to 8 (default: the paper's for the network)",
    )
    add_act_bits(parser)
    parser.add_argument(
        "--weights",
        type=name_or_path,
        metavar="FILE|DIR|imagenet",
        help="state dict named as in torchvision or a converted Caffe model; a layers model of "
        "TensorFlow.js; imagenet fetches those of resnet50-v1 (default: untrained)",
    )
    parser.add_argument(
        "--images",
        type=old,
        metavar="DIR|FILE",
        help="a folder of images, or a .npy or .npz file, [N, C, H, W] or as the network's own "
        "file has it, of uint8 pixels or of floats as the network reads them; calibrated is on "
        "some, and errors are measured on others (default: generated ones)",
    )
    add_pixels(parser)
    add_outputs(parser)
    parser.add_argument("--seed", type=seed, default=0, help="of weights and generated images")
    parser.add_argument("--out", type=new_file, required=True, metavar="FILE", help="model.cosign")
    add_json(parser, "the sizes")


def run(options: argparse.Namespace) -> int:
    """Write, and show the sizes; raises CosignError on what does not fit together."""
    note, fidelity = _export(options)
    report = inspect(options.out)
    text = [table(report), *([] if fidelity is None else [_errors(fidelity)]), note]
    publish(report | {"fidelity": fidelity}, options.json, "\n".join(text))
    return 0


def _export(options: argparse.Namespace) -> tuple[str, dict[str, Any] | None]:
    """Write the file that the options ask for.

    Returns what to say about its weights, and how near its outputs are to the float network's.
    """
    from compress.exchange import state_dicts
    from compress.posttrain import pipeline, samples  # torch: --help does without

    _check_finetune(options)
    options.network, options.alpha = preset(options.network, options.alpha)
    if sum(given is not None for given in (options.alpha, options.ratio, options.pattern)) != 1:
        raise CosignError(
            "export needs --alpha, --ratio, --pattern or a row of the paper, one of them."
        )
    if is_foreign(options.network):
        return _export_own(options)
    if options.network not in NETWORKS:
        raise CosignError(
            f"unknown network {options.network!r}; choose {', '.join(NETWORKS)}, or give an ONNX "
            "file."
        )
    for given, option in (
        (options.mean or options.std, "--mean and --std are"),
        (options.outputs, "--output is"),
    ):
        if given:
            raise CosignError(f"{option} for a network of your own.")
    if options.finetune is not None and options.weights is None:
        raise CosignError(
            "--finetune learns from a trained network; give its weights by --weights."
        )
    entry = NETWORKS[options.network]
    bits = entry.bits.by_layer(entry.spec)
    if options.bits is not None:
        bits = dict.fromkeys(bits, options.bits)
    patterns = _patterns(options, entry.spec)
    if options.alpha is None:
        chosen = uniform(entry.spec, options.ratio or 1)
    else:
        chosen = entry.densities(options.alpha)
    weights = options.weights and state_dicts.find(options.network, options.weights, _say)
    large = sum(geometry.macs for geometry in entry.spec.geometries.values()) > _MACS
    held = 0 if large else _OF_LARGE
    count = pipeline.CALIBRATION_IMAGES[options.method]
    found = samples.collect(entry.spec.shape, options.images, options.seed, count, held)
    act_bits = options.act_bits or activations.MOST
    if weights is None:
        network, source = pipeline.untrained(
            options.network, found.calibration, options.seed, act_bits
        )
    else:
        network, source = pipeline.load(options.network, weights, act_bits)
    fidelity = _written(
        options, network, source, (chosen, patterns), bits, found, network.spec.outputs
    )
    if weights is None:
        return (
            f"The weights are UNTRAINED (random, seed {options.seed}): the file has the structure "
            f"of {options.network} and no accuracy. Calibrated on {found.words}."
        ), fidelity
    return (f"Weights of {options.weights}, {_done(options)} {found.words}."), fidelity


def _export_own(options: argparse.Namespace) -> tuple[str, dict[str, Any] | None]:
    """The same of an ONNX file or a torch module, with the weights that it has."""
    from compress.exchange import sources, state_dicts
    from compress.nn.network import pretrained_network
    from compress.posttrain import pipeline, samples
    from compress.posttrain.integers import input_spec
    from compress.posttrain.rehearsal import rehearse
    from compress.train import recipes

    if options.weights is not None:
        raise CosignError(f"{options.network} has its own weights; leave --weights out.")
    own = sources.load(options.network, outputs=options.outputs)
    for note in own.notes:
        _say(f"{options.network}: {note}.")
    spec = own.spec
    patterns = _patterns(options, spec)
    if options.pattern is not None:
        chosen = uniform(spec, 1)
    elif options.ratio is None:
        chosen = recipes.pretrained_densities(own, options.alpha)
    else:
        chosen = recipes.without_zeros(own, uniform_but_delicate(spec, options.ratio))
    bits = entry_for(spec).bits.by_layer(spec)
    if options.bits is not None:
        bits = dict.fromkeys(bits, options.bits)
    told = pixels_of(options, spec.shape[0]) or own.pixels
    act_bits = options.act_bits or activations.MOST
    rehearse(spec, act_bits)
    found = samples.collect(
        spec.shape,
        options.images,
        options.seed,
        pipeline.CALIBRATION_IMAGES[options.method],
        _MEASURED,
        told,
        own.layout,
    )
    pixels = told or found.pixels or state_dicts.pixels_of(spec)
    source = input_spec(spec.shape, *pixels, act_bits)
    network = pretrained_network(own)
    fidelity = _written(
        options, network, source, (chosen, patterns), bits, found, own.outputs, own.scales
    )
    words = [f"Weights of {options.network}, {_done(options)} {found.words}."]
    if own.scales:
        words.append("Scales of activations that the file gives are taken from it.")
    if found.pixels is not None:
        words.append(
            f"Pixels of 0 to 255 are numbers from the least to the largest of their channel in "
            f"{options.images}."
        )
    elif told is None and spec.shape[0] not in (1, 3):
        words.append("Pixels of 0 to 255 become -2 to 2; say what they are by --mean and --std.")
    return " ".join(words), fidelity


def _patterns(options: argparse.Namespace, spec: NetworkSpec) -> Patterns:
    """Of the layers that are to have one."""
    if options.pattern is None:
        return NO_PATTERNS
    found = zoo_patterns.asked(spec, options.pattern)
    _say(zoo_patterns.told(spec, found))
    return found


def _check_finetune(options: argparse.Namespace) -> None:
    if options.finetune is None:
        return
    if options.method != "oneshot":
        raise CosignError("--finetune is for --method oneshot; choose that, or leave it out.")
    if options.images is None:
        raise CosignError("--finetune learns from images; give a folder or a file by --images.")


def _done(options: argparse.Namespace) -> str:
    """What was done to the weights, before the images that it was done with."""
    if options.finetune is None:
        return "pruned and quantised without retraining. Calibrated on"
    return "pruned, finetuned without labels, and quantised. Calibrated on"


def _written(
    options: argparse.Namespace,
    network: "Network",
    source: InputSpec,
    chosen: tuple[dict[str, float], Patterns],
    bits: dict[str, int],
    found: "Samples",
    names: Sequence[str],
    known: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """Compress, measure and write; returns the errors of outputs, None without images held.

    chosen : densities by layer, and patterns
    names : what to call each output of `network`
    known : scales of activations that its file gives, by node
    """
    from compress.posttrain import fidelity, pipeline
    from compress.posttrain.finetune import Finetuning
    from sim import golden  # the one thing that commands here have of another room

    finetuning = None
    if options.finetune is not None:
        checkpoint = options.out.with_name(f"{options.out.name}.finetune.pt")
        finetuning = Finetuning(options.finetune, found.pool, options.seed, checkpoint)

    expected = fidelity.outputs(network, source, found.held) if len(found.held) else []
    densities, patterns = chosen
    model = pipeline.compress(
        network,
        source,
        densities,
        bits,
        found.calibration,
        options.method,
        _say,
        known,
        finetuning,
        patterns,
    )
    shapes = [model.shapes[name] for name in model.outputs]
    errors = fidelity.errors(model, expected, found.held, golden.trace) if expected else []
    container.save(model, options.out)
    if not errors:
        return None
    return {
        "images": len(found.held),
        "images_are": found.held_words,
        "outputs": [
            {"name": name, "shape": shape, "relative_rms_error": error if isfinite(error) else None}
            for name, shape, error in zip(names, shapes, errors, strict=True)
        ],
    }


def _errors(fidelity: dict[str, Any]) -> str:
    """The errors of outputs as text."""
    rows = [
        (output["name"], size_of(output["shape"]), output["relative_rms_error"])
        for output in fidelity["outputs"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        [
            f"relative RMS error of the integers, on {fidelity['images_are']}, none of them "
            "calibrated on:",
            *(
                f"  {name.ljust(widths[0])}  {size.rjust(widths[1])}  "
                f"{'infinite' if error is None else f'{error:.2%}'}"
                for name, size, error in rows
            ),
        ]
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
