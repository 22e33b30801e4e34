"""What a sweep asks for: layers, recipes, and tables of cores, from a TOML file or options."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.networks import densities, spec_of
from cosign import CosignError
from flows import machines
from rtl.config import CODINGS, CORES, CoreConfig
from synth.report import DEPTHS

SCHEMA = 1
MOST = 100_000
"""Points of a sweep."""

AXES = tuple(
    field.name
    for field in dataclasses.fields(CoreConfig)
    if field.name not in (*DEPTHS, "act_banks", "act_bits")
)
"""Fields of a core that a sweep may vary; the layer decides its memories, the lanes its banks."""

_KINDS = typing.get_type_hints(CoreConfig)
_CHOICES = {"core": CORES, "coding": CODINGS}
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?::(\d+))?")

Value = str | int | float
Table = dict[str, tuple[Value, ...]]


@dataclass(frozen=True)
class Job:
    """What a core has to execute: a layer with that portion of its weights pruned at random."""

    network: str
    layer: str
    recipe: str
    portion: float
    batch: int
    seed: int


@dataclass(frozen=True)
class Point:
    """A core that executes a job; `energy` if that is measured as well.

    core : values of the AXES that mean something to it; the others are those of `base`
    """

    job: Job
    core: dict[str, Value]
    energy: bool

    @property
    def hash(self) -> str:
        """24 hex digits of all that is asked."""
        text = json.dumps({"schema": SCHEMA, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def core_key(self) -> str:
        """Equal for points whose cores share a synthesis."""
        return json.dumps(self.core, sort_keys=True)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Spec:
    """A sweep.

    Parameters
    ----------
    layers : names; each with each of the recipes is a job
    alpha : presets of densities or JSON files of them
    portion : shares of the weights that are pruned, 0..1
    batch, seed : images of a linear layer; of masks, levels, and the study
    energy : whether energy is measured too, an objective more
    optuna : points of a study for each job; 0 for all of the grid
    cores : tables of values by axis, each a grid of its own
    """

    network: str
    layers: tuple[str, ...]
    alpha: tuple[str, ...]
    portion: tuple[float, ...]
    batch: int
    seed: int
    energy: bool
    optuna: int
    cores: tuple[Table, ...]

    def to_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    def jobs(self) -> list[Job]:
        """Layers by recipes. Raises CosignError on a name that is not known."""
        recipes = [(name, densities(self.network, name)) for name in self.alpha]
        portions = [
            (layer, name, 1 - shares[layer]) for layer in self.layers for name, shares in recipes
        ]
        portions += [(layer, f"{p:g}", p) for layer in self.layers for p in self.portion]
        return [
            Job(self.network, layer, recipe, portion, self.batch, self.seed)
            for layer, recipe, portion in sorted(portions, key=lambda p: self.layers.index(p[0]))
        ]

    def points(self, job: Job) -> dict[str, Point]:
        """{hash: point} of the grid of `job`, in order."""
        return {
            point.hash: point
            for table in self.cores
            for point in (self.point(job, core) for core in _product(table))
        }

    def point(self, job: Job, core: Mapping[str, Value]) -> Point:
        return Point(job, _meaningful(core), self.energy)


def base(core: str) -> CoreConfig:
    """The loop's machine of that kind: what it has where a sweep says nothing."""
    if core == "sparse-rows":
        return dataclasses.replace(machines.DENSE_2D, core="sparse-rows", window_span=3)
    known = (machines.SPARSE, machines.DENSE_SCALAR, machines.DENSE_2D)
    return next(config for config in known if config.core == core)


def _product(table: Table) -> Iterator[dict[str, Value]]:
    for values in itertools.product(*table.values()):
        yield dict(zip(table, values, strict=True))


def _meaningful(core: Mapping[str, Value]) -> dict[str, Value]:
    """Without what this kind of core ignores, so that equal machines are equal points."""
    kind, coding = core["core"], core.get("coding", CoreConfig.coding)
    ignored = {
        "coding": kind != "sparse",
        "index_bits": kind != "sparse" or coding != "relative",
        "mask_bits": kind != "sparse" or coding != "bitmask",
        "window_reads": kind != "sparse-rows",
        "window_span": kind != "sparse-rows",
    }
    return {name: value for name, value in core.items() if not ignored.get(name, False)}


def read(path: Path) -> dict[str, Any]:
    """The values of a TOML file, for `make`. Raises CosignError."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CosignError(f"{path} is not valid TOML ({error}); correct it.") from error


def make(values: Mapping[str, Any]) -> Spec:
    """The sweep that `values` describe; raises CosignError.

    Lists may be given as text with commas, whole numbers also as "8..64" or "8..64:8"; `cores` is
    a list of tables.
    """
    given = dict(values)
    tables = given.pop("cores", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise CosignError("a sweep's cores are tables; write each below a line [[cores]].")
    strange = sorted(set(given) - {f.name for f in dataclasses.fields(Spec)})
    if strange:
        raise CosignError(
            f"a sweep knows no {strange[0]!r}; fields of a core belong below a line [[cores]]."
        )
    if not tables:
        raise CosignError("the sweep names no core; give --core, or [[cores]] in the file.")
    if not isinstance(energy := given.get("energy", False), bool):
        raise CosignError(f"energy is {energy!r}, must be true or false.")
    spec = Spec(
        network=str(given.get("network", "alexnet")),
        layers=tuple(map(str, _items("layers", given.get("layers", "conv4")))),
        alpha=tuple(map(str, _items("alpha", given.get("alpha", [])))),
        portion=tuple(
            _number("portion", x, float) for x in _items("portion", given.get("portion", []))
        ),
        batch=_number("batch", given.get("batch", 1), int),
        seed=_number("seed", given.get("seed", 0), int),
        energy=energy,
        optuna=_number("optuna", given.get("optuna", 0), int),
        cores=tuple(_table(table) for table in tables),
    )
    _check(spec)
    return spec


def _check(spec: Spec) -> None:
    geometries = spec_of(spec.network).geometries
    for name in spec.layers:
        if name not in geometries:
            raise CosignError(
                f"{spec.network} has no layer {name!r}; it has {', '.join(geometries)}."
            )
        if spec.energy and geometries[name].kind != "conv":
            raise CosignError(f"layer {name!r} is no convolution; energy is measured of those.")
    for portion in spec.portion:
        if not 0 <= portion < 1:
            raise CosignError(f"portion is {portion:g}, must be 0 or more and below 1.")
    for field, least in (("batch", 1), ("seed", 0), ("optuna", 0)):
        if getattr(spec, field) < least:
            raise CosignError(f"{field} is {getattr(spec, field)}, must be {least} or more.")
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


def _axis(name: str, value: Any) -> tuple[Value, ...]:
    kind = _KINDS[name] if _KINDS[name] in (int, float) else str
    found: list[Value] = []
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
