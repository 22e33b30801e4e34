"""What options of commands have in common: types of values for argparse, --liberty, --json."""

import argparse
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TextIO, TypeVar

from cosign.errors import CosignError
from cosign.files import json_text, write_json

Number = TypeVar("Number", int, float)
_INFINITY = float("inf")


def _parsed(kind: Callable[[str], Number], text: str) -> Number:
    try:
        return kind(text)
    except ValueError as error:
        what = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text} is no {what}") from error


def positive(kind: Callable[[str], Number]) -> Callable[[str], Number]:
    """A type of numbers above 0: of `int` or of `float`."""

    def parse(text: str) -> Number:
        value = _parsed(kind, text)
        if not 0 < value < _INFINITY:
            raise argparse.ArgumentTypeError(f"{text} is not positive")
        return value

    return parse


def count(text: str) -> int:
    """0, 1, 2, ..."""
    value = _parsed(int, text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def fraction(text: str) -> float:
    """0 to 1."""
    value = _parsed(float, text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def bits(text: str) -> int:
    """1 to 8."""
    if text not in map(str, range(1, 9)):
        raise argparse.ArgumentTypeError(f"{text} is not 1 to 8")
    return int(text)


def bits_or_auto(text: str) -> int | str:
    """1 to 8, or the word auto."""
    if text != "auto" and text not in map(str, range(1, 9)):
        raise argparse.ArgumentTypeError(f"{text} is neither 1 to 8 nor auto")
    return text if text == "auto" else int(text)


def pruning_ratio(text: str) -> float:
    """All weights over those that are kept: 40 or 40x."""
    try:
        value = float(text.removesuffix("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no pruning ratio; write 40x") from error
    if not 1 <= value < _INFINITY:
        raise argparse.ArgumentTypeError(f"{text} is no pruning ratio; it must be at least 1x")
    return value


def numbers(text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no list of numbers") from error


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """The options --mean and --std, by channel, of pixels scaled to 0..1."""
    for option, meaning in (("--mean", "mean"), ("--std", "standard deviation")):
        parser.add_argument(
            option,
            type=numbers,
            metavar="R,G,B",
            help=f"{meaning} of pixels of 0 to 1 by channel, as a network of your own was trained "
            "with (default: ImageNet's, MNIST's)",
        )


def check_names(option: str, asked: Iterable[str], known: Collection[str]) -> None:
    """As `choices` of argparse, for names that are slow to import.

    Raises CosignError on one that is not known.
    """
    for name in asked:
        if name not in known:
            raise CosignError(f"{option}: there is no {name!r}; choose from {', '.join(known)}.")


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


def add_json(parser: argparse.ArgumentParser, what: str = "the figures") -> None:
    """The option --json, for `publish`."""
    parser.add_argument(
        "--json", metavar="FILE", help=f"write {what} here as JSON; - prints that and nothing else"
    )


def publish(content: Any, file: str | None, text: str | None = None) -> None:
    """A command's result: `content` where --json says, `text` on standard output.

    file : of --json, None without it; with "-" standard output has the JSON and no text

    Raises CosignError when the file cannot be written.
    """
    if file == "-":
        print(json_text(content))
        return
    if file is not None:
        write_json(Path(file), content)
    if text is not None:
        print(text)


def output(file: str | None) -> TextIO:
    """Where lines go that are printed before the result: standard error if --json takes the other.

    file : of --json
    """
    return sys.stderr if file == "-" else sys.stdout
