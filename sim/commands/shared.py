"""Options that running and counting have in common."""

import argparse

from cosign.kinds import MOST_IMAGES, bytes_per_cycle, positive, seed
from cosign.options import add_json

_ACT_BYTES = 1 << 18


def add_shared_options(parser: argparse.ArgumentParser, batch: str) -> None:
    """batch : what is the default of --batch, in words"""
    parser.add_argument("--seed", type=seed, default=0, help="of everything random (0)")
    parser.add_argument(
        "--batch", type=positive(int, MOST_IMAGES), help=f"images of a linear layer ({batch})"
    )
    parser.add_argument(
        "--act-bytes",
        type=positive(int),
        default=_ACT_BYTES,
        help="activations that the memory of a tile holds; larger maps are cut in stripes "
        f"({_ACT_BYTES})",
    )
    parser.add_argument(
        "--bytes-per-cycle",
        type=bytes_per_cycle,
        metavar="B",
        help="that all streams together move to and from the memory outside (no limit)",
    )
    add_json(parser, "the results")
