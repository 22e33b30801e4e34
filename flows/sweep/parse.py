"""A sweep from a TOML file or options: everything that can be wrong is told here."""

import math
import re
import typing
from collections.abc import Mapping
from typing import Any

from compress.zoo.networks import spec_of
from cosign import CosignError, values
from cosign.kinds import LARGEST_SEED, MOST_IMAGES
from flows.sweep.spec import AXES, Setting, Spec, Table
from rtl.config import CODINGS, CORES, CoreConfig
from rtl.coreset import CoreSet

MOST = 100_000
"""Points of a sweep."""

_KINDS = typing.get_type_hints(CoreConfig)
_CHOICES = {"core": CORES, "coding": CODINGS}
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?::(\d+))?")


def make(asked: Mapping[str, Any]) -> Spec:
    """The sweep that is `asked` for; raises CosignError.

    Lists may be given as text with commas, whole numbers also as "8..64" or "8..64:8"; `cores` is
    a list of tables.
    """
    given = dict(asked)
    tables = given.pop("cores", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise CosignError("a sweep's cores are tables; write each below a line [[cores]].")
    strange = sorted(set(given) - set(Spec.__struct_fields__))
    if strange:
        raise CosignError(
            f"a sweep knows no {strange[0]!r}; fields of a core belong below a line [[cores]]."
        )
    if not tables:
        raise CosignError("the sweep names no core; give --core, or [[cores]] in the file.")
    for name in ("layers", "alpha", "portion"):
        if name in given:
            given[name] = _items(name, given[name])
    for name in ("batch", "seed", "optuna"):
        if name in given:
            given[name] = _number(name, given[name], int)
    if "portion" in given:
        given["portion"] = [_number("portion", item, float) for item in given["portion"]]
    given["cores"] = [_table(table) for table in tables]
    spec = values.parse(given, Spec, "the sweep", "correct it")
    _check(spec)
    return spec


def tables_of(cores: CoreSet) -> list[dict[str, Setting]]:
    """A table for each of `cores`, for `make`; the layer decides their memories. Raises CosignError
    on activations that a sweep does not measure."""
    for core in cores.cores:
        if core.act_bits != CoreConfig.act_bits:
            raise CosignError(
                f"the core {core.name} is for activations of {core.act_bits} bits, a sweep is of "
                f"{CoreConfig.act_bits}; leave out its act_bits."
            )
    return [{axis: getattr(core, axis) for axis in AXES} for core in cores.cores]


def _check(spec: Spec) -> None:
    for name, value, most in (
        ("batch", spec.batch, MOST_IMAGES),
        ("seed", spec.seed, LARGEST_SEED),
        ("optuna", spec.optuna, MOST),
    ):
        if value > most:
            raise CosignError(f"the sweep's {name} is {value:,}, must be {most:,} at most.")
    geometries = spec_of(spec.network).geometries
    for name in spec.layers:
        if name not in geometries:
            raise CosignError(
                f"{spec.network} has no layer {name!r}; it has {', '.join(geometries)}."
            )
        if spec.energy and geometries[name].kind != "conv":
            raise CosignError(f"layer {name!r} is no convolution; energy is measured of those.")
    jobs = len(spec.jobs())
    if not jobs:
        raise CosignError("the sweep names no recipe; give alpha presets or portions.")
    count = jobs * sum(math.prod(map(len, table.values())) for table in spec.cores)
    if count > MOST:
        raise CosignError(f"the sweep has {count:,} points, {MOST:,} at most; leave some out.")


def _table(table: Mapping[str, Any]) -> Table:
    found: Table = {}
    for name, value in {"core": CoreConfig.core, **table}.items():
        if name not in AXES:
            reason = (
                "follows from the layer and the lanes"
                if hasattr(CoreConfig, name)
                else ("is no field of a core")
            )
            raise CosignError(f"{name!r} {reason}; a sweep varies {', '.join(AXES)}.")
        found[name] = _axis(name, value)
    return found


def _axis(name: str, value: Any) -> tuple[Setting, ...]:
    kind = _KINDS[name] if _KINDS[name] in (int, float) else str
    found: list[Setting] = []
    for item in _items(name, value):
        span = _RANGE.fullmatch(item) if isinstance(item, str) and kind is int else None
        if span:
            step = int(span[3] or 1)
            if step < 1 or int(span[1]) > int(span[2]):
                raise CosignError(f"{name} {item!r} is an empty range; write it as 8..64:8.")
            if int(span[2]) - int(span[1]) >= step * MOST:
                raise CosignError(f"{name} {item!r} is too long a range.")
            found += range(int(span[1]), int(span[2]) + 1, step)
        elif kind is not str:
            found.append(_number(name, item, kind))
        elif item in _CHOICES[name]:
            found.append(str(item))
        else:
            raise CosignError(f"{name} {item!r} is not one of {', '.join(_CHOICES[name])}.")
    if not found:
        raise CosignError(f"{name} has no value; give one or leave it out.")
    return tuple(dict.fromkeys(found))


def _items(name: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, dict):
        raise CosignError(f"{name} is a table, must be a value or a list of values.")
    return list(value) if isinstance(value, list | tuple) else [value]


def _number(name: str, value: Any, kind: type) -> Any:
    """`value` as an int or a float; 8.5 is no int, true no number."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        found = kind(str(value))
        if not math.isfinite(found):
            raise ValueError
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise CosignError(f"{name} must be {what}, not {value!r}.") from error
    return found
