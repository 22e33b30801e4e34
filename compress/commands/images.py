"""Write the first images of a test split as uint8 pixels, for `cosign sim run --input`."""

import argparse

from compress.zoo.networks import NETWORKS
from cosign.kinds import positive
from cosign.paths import name_or_path, new_file


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", required=True, choices=NETWORKS)
    parser.add_argument(
        "--data",
        required=True,
        type=name_or_path,
        metavar="mnist|cifar10|imagenette|synthetic|DIR",
        help="the data set",
    )
    parser.add_argument(
        "--count", type=positive(int), required=True, metavar="N", help="the first N images"
    )
    parser.add_argument("--out", type=new_file, required=True, metavar="FILE.npy")


def run(options: argparse.Namespace) -> int:
    """Write; raises CosignError on data that do not fit the network."""
    from compress.data import images  # torch: --help does without

    images.write(options.network, options.data, options.count, options.out)
    return 0
