"""What options of commands have in common: --liberty, --json, --act-bits, pixels, classes,
outputs."""

import argparse
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from cosign import streams
from cosign.errors import CosignError
from cosign.files import json_text, write_json
from cosign.kinds import act_bits, filled, fraction, listed, positive
from cosign.paths import json_target, name_or_path, old_file


def _mean(text: str) -> float:
    try:
        return fraction(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; it is of pixels of 0 to 1: divide what is of 0 to 255 by 255"
        ) from error


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """The options --mean and --std, of pixels scaled to 0..1, for `pixels_of`."""
    kinds = (("--mean", "mean", _mean), ("--std", "standard deviation", positive(float, 1e6)))
    for option, meaning, kind in kinds:
        parser.add_argument(
            option,
            type=listed(kind),
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
        type=name_or_path,
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
        type=filled,
        action="append",
        default=[],
        metavar="NAME",
        help="an output of a network of your own, or a value inside it, that is computed instead "
        "of all its outputs; may be given several times",
    )


def add_act_bits(
    parser: argparse.ArgumentParser,
    what: str = "every activation, the network's input included",
    default: str = "8",
) -> None:
    """The option --act-bits, None where it is left out; `what` has so many bits, `default` then."""
    parser.add_argument(
        "--act-bits", type=act_bits, metavar="N", help=f"bits of {what}, 4 to 8 ({default})"
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
        type=old_file,
        action="append",
        default=[],
        metavar="FILE",
        help="cell library instead of NanGate 45; again for each further file of it",
    )


def add_clock_gating(parser: argparse.ArgumentParser) -> None:
    """`options.clock_gating`, off by default."""
    parser.add_argument(
        "--clock-gating",
        action="store_true",
        help="gate the clock of registers that share an enable, by the library's clock gates",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "the figures") -> None:
    """The option --json, for `publish`."""
    parser.add_argument(
        "--json",
        type=json_target,
        metavar="FILE",
        help=f"write {what} here as JSON; - prints that and nothing else",
    )


def publish(content: Any, file: str | None, text: str | None = None) -> None:
    """A command's result: `content` where --json says, `text` on standard output.

    file : of --json, None without it; with "-" standard output has the JSON and no text

    Raises CosignError when it cannot be written.
    """
    if file == "-":
        streams.result(json_text(content))
        return
    if file is not None:
        write_json(Path(file), content)
    if text is not None:
        print(text)
