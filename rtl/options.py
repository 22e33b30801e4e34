"""Command-line options of cores, the same for every command: one core, or a set of them."""

import argparse
import dataclasses
import typing

from cosign.kinds import filled, number, whole
from cosign.paths import old_file
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.program.fit import feed

_FIELDS = dataclasses.fields(CoreConfig)


def add_cores(parser: argparse._ActionsContainer, default: str = "the built-in ones") -> None:
    """The option of a command that takes a whole CoreSet, in `parser` or a group of it."""
    parser.add_argument(
        "--cores",
        type=old_file,
        metavar="FILE",
        help=f"TOML file of cores by role (default: {default})",
    )


def cores_of(arguments: argparse.Namespace) -> CoreSet:
    """The CoreSet that `--cores` names. Raises CosignError."""
    return CoreSet() if arguments.cores is None else CoreSet.read(arguments.cores)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a command that takes one core: one for each field of CoreConfig, and what
    the others are taken from."""
    kinds = typing.get_type_hints(CoreConfig)
    for field in _FIELDS:
        option = f"--{field.name.replace('_', '-')}"
        kind = kinds[field.name]
        if field.name == "act_banks":
            parser.add_argument(option, type=whole, help="default: the fewest that feed the lanes")
        elif choices := typing.get_args(kind):
            parser.add_argument(option, choices=choices, help=f"default {field.default}")
        else:
            parser.add_argument(
                option, type=whole if kind is int else number, help=f"default {field.default}"
            )
    parser.add_argument(
        "--like",
        type=filled,
        metavar="NAME",
        help="the core of --cores with this role or name, sparse or sparse-46; fields that are "
        "given replace its own",
    )
    add_cores(parser)


def given_fields(arguments: argparse.Namespace) -> dict[str, typing.Any]:
    """The fields of CoreConfig that the options say."""
    values = {field.name: getattr(arguments, field.name) for field in _FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def config_of(arguments: argparse.Namespace) -> CoreConfig:
    """The CoreConfig that the options describe. Raises CosignError."""
    fields = given_fields(arguments)
    if arguments.like is None and arguments.cores is None:
        start = CoreConfig()
    else:
        start = cores_of(arguments).named(arguments.like or "sparse")
    if "act_banks" in fields or not fields:
        return dataclasses.replace(start, **fields)
    return feed(start, **fields)
