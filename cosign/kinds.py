"""Kinds of values of options: types for argparse, each of which says in a sentence what it takes.

What any option may be is said here once, so that a wrong one is refused before work begins.
Paths have theirs in `cosign.paths`.
"""

import argparse
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)
Value = TypeVar("Value")
_INFINITY = float("inf")
_SHOWN = 60  # characters of what was typed

LARGEST_SEED = (1 << 63) - 1
"""What SQLite, torch and our JSON all hold."""
MOST_IMAGES = 1_000_000
MOST_PROCESSES = 1024
MOST_MINUTES = 10_000.0
"""A week."""
MOST_STEPS = 1000.0
"""Factor on the steps or the rates that a recipe has."""
MOST_PRUNED = 1e6
"""All weights over those that are kept: no network that we know has so many that one stays."""


def shown(text: str) -> str:
    """What was typed, cut where it is long; quoted where it is empty."""
    if not text.strip():
        return repr(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def refusal(text: str, why: str) -> argparse.ArgumentTypeError:
    """To raise: `text` and what is wrong with it."""
    return argparse.ArgumentTypeError(f"{shown(text)} {why}")


def _parsed(kind: Callable[[str], Number], text: str) -> Number:
    try:
        return kind(text)
    except ValueError as error:
        raise refusal(text, f"is no {'whole ' * (kind is int)}number") from error


def whole(text: str) -> int:
    """Any whole number, where what it is for says which."""
    return _parsed(int, text)


def number(text: str) -> float:
    """Any number, where what it is for says which."""
    return _parsed(float, text)


def within(
    kind: Callable[[str], Number], least: Number, most: Number, unit: str = ""
) -> Callable[[str], Number]:
    """A type of numbers from `least` to `most`, both allowed, in `unit`; of `int` or of `float`."""

    def parse(text: str) -> Number:
        value = _parsed(kind, text)
        if not least <= value <= most:
            raise refusal(text, f"is not between {least:,} and {most:,}{unit and f' {unit}'}")
        return value

    return parse


def positive(kind: Callable[[str], Number], most: Number | None = None) -> Callable[[str], Number]:
    """A type of numbers above 0: of `int` or of `float`.

    most : that makes sense; by default what 31 bits hold
    """
    limit = (1 << 31) - 1 if most is None else most

    def parse(text: str) -> Number:
        value = _parsed(kind, text)
        if not 0 < value < _INFINITY:
            raise refusal(text, "is not positive")
        if value > limit:
            raise refusal(text, f"is more than {limit:,}")
        if kind is float and value < 1 / (1 << 31):
            raise refusal(text, "is next to nothing")
        return value

    return parse


def count(text: str) -> int:
    """0, 1, 2, ... of 31 bits."""
    value = _parsed(int, text)
    if value < 0:
        raise refusal(text, "is negative")
    if value >= 1 << 31:
        raise refusal(text, f"is more than {(1 << 31) - 1:,}")
    return value


def seed(text: str) -> int:
    """0 to 2^63 - 1."""
    value = _parsed(int, text)
    if value < 0:
        raise refusal(text, "is negative")
    if value > LARGEST_SEED:
        raise refusal(text, "is no seed; the largest is 2**63 - 1")
    return value


def bytes_per_cycle(text: str) -> float | None:
    """Bytes that all streams move in a clock cycle, by eighths; None, no limit, of inf."""
    value = _parsed(float, text)
    if value == _INFINITY:
        return None
    if not (value > 0 and (8 * value).is_integer()):
        raise refusal(text, "is no positive multiple of 0.125, and not inf")
    if value > 1 << 20:
        raise refusal(text, f"is more than {1 << 20:,}; write inf for no limit")
    return value


def fraction(text: str) -> float:
    """0 to 1."""
    value = _parsed(float, text)
    if not 0 <= value <= 1:
        raise refusal(text, "is not between 0 and 1")
    return value


def bits(text: str) -> int:
    """1 to 8."""
    if text not in map(str, range(1, 9)):
        raise refusal(text, "is not 1 to 8")
    return int(text)


def act_bits(text: str) -> int:
    """4 to 8."""
    if text not in map(str, range(4, 9)):
        raise refusal(text, "is not 4 to 8")
    return int(text)


def bits_or_auto(text: str) -> int | str:
    """1 to 8, or the word auto."""
    if text != "auto" and text not in map(str, range(1, 9)):
        raise refusal(text, "is neither 1 to 8 nor auto")
    return text if text == "auto" else int(text)


def _times(text: str, what: str, example: str, least: str) -> float:
    """A factor of at least 1, with or without an x behind."""
    try:
        value = float(text.removesuffix("x"))
    except ValueError as error:
        raise refusal(text, f"is no {what}; write {example}") from error
    if not 1 <= value < _INFINITY:
        raise refusal(text, f"is no {what}; it must be at least 1x{least}")
    if value > MOST_PRUNED:
        raise refusal(text, f"is no {what}; it must be at most {MOST_PRUNED:,.0f}x")
    return value


def pruning_ratio(text: str) -> float:
    """All weights over those that are kept: 40 or 40x."""
    return _times(text, "pruning ratio", "40x", "")


def speedup(text: str) -> float:
    """Dense time over sparse time: 3 or 3x."""
    return _times(text, "speedup", "3x", ", which is no pruning")


_SQUARES = {"um2": 1.0, "mm2": 1e6}
_LARGEST_MM2 = 1e6  # a square metre


def area(text: str) -> float:
    """Square micrometres: 2mm2 or 500000um2."""
    unit = text[-3:]
    if unit not in _SQUARES:
        raise refusal(text, "is an area without a unit; write 2mm2 or 2000000um2")
    value = positive(float, _INFINITY)(text[:-3].strip()) * _SQUARES[unit]
    if value > _LARGEST_MM2 * _SQUARES["mm2"]:
        raise refusal(text, f"is more than {_LARGEST_MM2:,.0f}mm2")
    return value


def areas(text: str) -> tuple[int | float, ...]:
    """Areas with commas between: whole numbers are multipliers, the others as `area` reads them."""

    def one(part: str) -> int | float:
        if not part.isdecimal():
            try:
                return area(part)
            except argparse.ArgumentTypeError as error:
                raise refusal(
                    part, "is no area; write multipliers, 64, or an area with its unit, 1.2mm2"
                ) from error
        return positive(int, 1_000_000)(part)

    return tuple(dict.fromkeys(listed(one)(text)))


_UNITS = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def file_size(text: str) -> int:
    """Bytes: 2MB, 300 KB or 5000B, in powers of ten."""
    number = text.upper().rstrip("BGKM ")
    unit = text.upper()[len(number) :].strip()
    try:
        value = float(number) * _UNITS[unit]
    except (ValueError, KeyError) as error:
        raise refusal(text, "is no size; write 2MB, 300KB or 5000B") from error
    if not 1 <= value < _INFINITY:
        raise refusal(text, "is no size; it must be at least 1B")
    if value > 1e15:
        raise refusal(text, "is no size; it must be at most 1,000,000GB")
    return int(value)


def points(text: str) -> float:
    """Points of accuracy, 0 to 100."""
    value = _parsed(float, text)
    if not 0 <= value <= 100:
        raise refusal(text, "is not between 0 and 100 points")
    return value


def filled(text: str) -> str:
    """Any text but none, where a name, a preset or an address is asked for."""
    if not text.strip():
        raise refusal(text, "is nothing; give a value or leave the option out")
    return text


def listed(one: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    """A type of values with commas between, at least one, each of the type `one`."""

    def parse(text: str) -> list[Value]:
        return [one(part) for part in text.split(",")]

    return parse


def names(text: str) -> list[str]:
    """Names with commas between: at least one, none of them empty, each once."""
    found = text.split(",")
    if not all(name.strip() for name in found):
        raise refusal(text, "has a name that is empty; write names with commas between, a,b")
    return list(dict.fromkeys(found))
