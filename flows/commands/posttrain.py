"""Any network without training: top-1 and top-5 by ratio, bits and method.

IMAGES holds one folder of photographs per class, in ImageNet's order of names; every second one
calibrates, the others are scored. Or it is cifar10. A second call goes on with the rows that are
missing.
"""

import argparse
from pathlib import Path

from compress.model import activations
from cosign import CosignError
from cosign.kinds import MOST_IMAGES, MOST_MINUTES, bits, positive, pruning_ratio
from cosign.options import add_act_bits, add_pixels, pixels_of
from cosign.paths import name_or_path, new_folder

RATIOS = (2.0, 3.0, 4.0)
BITS = (8,)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", type=name_or_path, metavar="IMAGES", help="one folder per class, or cifar10"
    )
    parser.add_argument(
        "--network",
        type=name_or_path,
        default="resnet50-v1",
        metavar="NET",
        help="a built-in one with --weights, an ONNX file, or package.module:factory (%(default)s)",
    )
    parser.add_argument(
        "--weights",
        type=name_or_path,
        metavar="FILE",
        help="of a built-in network (default: those of ImageNet)",
    )
    add_act_bits(parser)
    add_pixels(parser)
    parser.add_argument("--out", type=new_folder, default=Path("build/posttrain"), metavar="DIR")
    parser.add_argument(
        "--calibration",
        type=positive(int, MOST_IMAGES),
        metavar="N",
        help="images to calibrate on (default: as many as `cosign compress export` takes)",
    )
    parser.add_argument("--ratios", type=pruning_ratio, nargs="*", default=RATIOS, metavar="R")
    parser.add_argument(
        "--patterns",
        type=name_or_path,
        nargs="+",
        default=(),
        metavar="N:M|FILE",
        help="as --pattern of `cosign compress export`; each beside as many weights anywhere",
    )
    parser.add_argument(
        "--finetune",
        type=positive(float, MOST_MINUTES),
        metavar="MINUTES",
        help="each ratio once more, as --finetune of `cosign compress export` has it",
    )
    parser.add_argument("--bits", type=bits, nargs="+", default=BITS, metavar="N")


def run(options: argparse.Namespace) -> int:
    """Measure what is missing, and show the table; raises CosignError on bad input."""
    from compress.exchange import sources  # torch: --help does without
    from compress.posttrain import pipeline
    from compress.zoo.networks import is_foreign
    from flows.studies import posttrain

    if options.images != posttrain.CIFAR10:
        posttrain.listed(Path(options.images))
    if options.weights and is_foreign(options.network):
        raise CosignError(f"{options.network} has its own weights; leave --weights out.")
    weights = options.weights or (None if is_foreign(options.network) else "imagenet")
    own = sources.load(options.network, weights)
    calibration = options.calibration or pipeline.CALIBRATION_IMAGES["oneshot"]
    pixels = pixels_of(options, own.spec.shape[0])
    patterned = list(posttrain.by_pattern(own.spec, options.patterns, options.bits))
    about = posttrain.subject(
        own, options.images, pixels, calibration, options.act_bits or activations.MOST
    )
    wanted = [*patterned, *posttrain.cases(options.ratios, options.bits, options.finetune)]
    print(posttrain.table(posttrain.run(about, options.network, options.out, wanted)))
    return 0
