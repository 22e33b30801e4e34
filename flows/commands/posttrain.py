"""ImageNet's ResNet-50 without training: top-1 and top-5 by ratio, bits and method.

PHOTOS holds one folder of photographs per class, in ImageNet's order of names; every second one
calibrates, the others are scored. A second call goes on with the rows that are missing.
"""

import argparse
from pathlib import Path

from cosign.options import bits, positive, pruning_ratio

RATIOS = (2.0, 3.0, 4.0)
BITS = (8, 6)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="one folder per class")
    parser.add_argument("--out", type=Path, default=Path("build/oneshot"), metavar="DIR")
    parser.add_argument(
        "--calibration",
        type=positive(int),
        metavar="N",
        help="photographs to calibrate on (default: as many as `cosign compress export` takes)",
    )
    parser.add_argument("--ratios", type=pruning_ratio, nargs="+", default=RATIOS, metavar="R")
    parser.add_argument("--bits", type=bits, nargs="+", default=BITS, metavar="N")


def run(options: argparse.Namespace) -> int:
    """Measure what is missing, and show the table; raises CosignError on bad input."""
    from compress.posttrain import pipeline  # torch: --help does without
    from flows.studies import posttrain

    calibration = options.calibration or pipeline.CALIBRATION_IMAGES["oneshot"]
    wanted = posttrain.cases(options.ratios, options.bits)
    print(posttrain.table(posttrain.run(options.photos, options.out, calibration, wanted)))
    return 0
