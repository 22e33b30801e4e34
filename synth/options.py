"""Options that commands of several rooms have in common: the cell library."""

import argparse
from pathlib import Path


def add_liberty(parser: argparse.ArgumentParser) -> None:
    """`options.liberty`, the files of a cell library; none of them for NanGate 45."""
    parser.add_argument(
        "--liberty",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="cell library instead of NanGate 45; again for each further file of it",
    )
