"""Command-line options of a CoreConfig, the same for every command."""

import argparse
import dataclasses
import typing

from rtl.config import CoreConfig

WIDEST = 1 << 10
"""Banks that feed any core."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """An option for each field of CoreConfig."""
    kinds = typing.get_type_hints(CoreConfig)
    for field in dataclasses.fields(CoreConfig):
        option = f"--{field.name.replace('_', '-')}"
        kind = kinds[field.name]
        if field.name == "act_banks":
            parser.add_argument(option, type=int, help="default: the fewest that feed the lanes")
        elif choices := typing.get_args(kind):
            parser.add_argument(
                option, choices=choices, default=field.default, help=f"default {field.default}"
            )
        else:
            parser.add_argument(
                option, type=kind, default=field.default, help=f"default {field.default}"
            )


def config_of(arguments: argparse.Namespace) -> CoreConfig:
    """The CoreConfig that the options describe. Raises CosignError."""
    values = {
        field.name: getattr(arguments, field.name) for field in dataclasses.fields(CoreConfig)
    }
    if values["act_banks"] is None:
        roomy = CoreConfig(**{**values, "act_banks": WIDEST})
        words = -(-(roomy.read_bytes + roomy.bank_bytes - 1) // roomy.bank_bytes)
        values["act_banks"] = 1 << (words - 1).bit_length()
    return CoreConfig(**values)
