"""What options of commands have in common: types of values for argparse, --liberty, --json."""

import argparse
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
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


def bytes_per_cycle(text: str) -> float | None:
    """Bytes that all streams move in a clock cycle, by eighths; None, no limit, of inf."""
    value = _parsed(float, text)
    if value == _INFINITY:
        return None
    if not (value > 0 and (8 * value).is_integer()):
        raise argparse.ArgumentTypeError(f"{text} is no positive multiple of 0.125, and not inf")
    return value


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


_SQUARES = {"um2": 1.0, "mm2": 1e6}


def area(text: str) -> float:
    """Square micrometres: 2mm2 or 500000um2."""
    unit = text[-3:]
    if unit not in _SQUARES:
        raise argparse.ArgumentTypeError(
            f"{text} is an area without a unit; write 2mm2 or 2000000um2"
        )
    return positive(float)(text[:-3].strip()) * _SQUARES[unit]


_UNITS = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def file_size(text: str) -> int:
    """Bytes: 2MB, 300 KB or 5000B, in powers of ten."""
    number = text.upper().rstrip("BGKM ")
    unit = text.upper()[len(number) :].strip()
    try:
        value = float(number) * _UNITS[unit]
    except (ValueError, KeyError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no size; write 2MB, 300KB or 5000B") from error
    if not 1 <= value < _INFINITY:
        raise argparse.ArgumentTypeError(f"{text} is no size; it must be at least 1B")
    return int(value)


def speedup(text: str) -> float:
    """Dense time over sparse time: 3 or 3x."""
    try:
        value = float(text.removesuffix("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no speedup; write 3x") from error
    if not 1 <= value < _INFINITY:
        raise argparse.ArgumentTypeError(
            f"{text} is no speedup; it must be at least 1x, which is no pruning"
        )
    return value


def points(text: str) -> float:
    """Points of accuracy, 0 to 100."""
    value = _parsed(float, text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100 points")
    return value


def _numbers(one: Callable[[str], float]) -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        return [one(part) for part in text.split(",")]

    return parse


def _mean(text: str) -> float:
    try:
        return fraction(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; it is of pixels of 0 to 1: divide what is of 0 to 255 by 255"
        ) from error


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """The options --mean and --std, of pixels scaled to 0..1, for `pixels_of`."""
    kinds = (("--mean", "mean", _mean), ("--std", "standard deviation", positive(float)))
    for option, meaning, kind in kinds:
        parser.add_argument(
            option,
            type=_numbers(kind),
            metavar="R,G,B",
            help=f"{meaning} of pixels of 0 to 1, by channel or one number for all, as a network "
            "of your own was trained with (default: ImageNet's, MNIST's)",
        )


def pixels_of(
    options: argparse.Namespace, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """(mean, std) by channel of --mean and --std, or None where they are left out.

    Raises CosignError where only one is given, or not as many numbers as `by_channel` takes.
    """
    if options.mean is None and options.std is None:
        return None
    if options.mean is None or options.std is None:
        raise CosignError("--mean and --std belong together; give both.")
    return by_channel("--mean", options.mean, channels), by_channel("--std", options.std, channels)


def by_channel(option: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    """One number for each channel; a single one stands for all.

    Raises CosignError, with the option's name, when there are neither one nor `channels`.
    """
    if len(values) == 1:
        return (float(values[0]),) * channels
    if len(values) != channels:
        raise CosignError(
            f"{option} has {len(values)} numbers, but the network reads images of {channels} "
            f"channel{'s' * (channels != 1)}; give one for each channel, or one for all."
        )
    return tuple(map(float, values))


def add_classes(parser: argparse.ArgumentParser) -> None:
    """The option --classes, for data that are an image folder."""
    parser.add_argument(
        "--classes",
        metavar="text|numeric|FILE",
        help="order of an image folder's classes, which is that of the network's outputs: sorted "
        "as text, as torchvision does, by the numbers in their names, or as a file names them, one "
        "a line (default: DIR/classes.txt, else as text where that is the order by number too)",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """The option --output, as `outputs`, for a network of one's own."""
    parser.add_argument(
        "--output",
        dest="outputs",
        action="append",
        default=[],
        metavar="NAME",
        help="an output of a network of your own, or a value inside it, that is computed instead "
        "of all its outputs; may be given several times",
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
