"""How far to prune: densities by layer, remaining over all weights."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.model.nodes import NetworkSpec
from compress.model.pattern import NO_PATTERNS, Patterns
from cosign import CosignError


def uniform(spec: NetworkSpec, ratio: float) -> dict[str, float]:
    """The density 1 / ratio for every layer. Raises CosignError as `check_ratio` does."""
    check_ratio(spec, ratio)
    return dict.fromkeys(spec.geometries, 1 / ratio)


def check_ratio(spec: NetworkSpec, ratio: float) -> None:
    """Raises CosignError on a ratio below 1, or at which no weight stays."""
    if not 1 <= ratio < math.inf:
        raise CosignError(f"the pruning ratio is {ratio}, must be at least 1.")
    weights = sum(geometry.weights for geometry in spec.geometries.values())
    if ratio > weights:
        raise CosignError(
            f"{spec.name} cannot be pruned {ratio:g} times: it has {weights:,} weights; choose a "
            "lower ratio."
        )


def uniform_but_delicate(spec: NetworkSpec, ratio: float) -> dict[str, float]:
    """1 / ratio, but 1 for the first layer and depthwise ones: these have few weights, all needed.

    Raises CosignError as `uniform` does.
    """
    first, *rest = spec.geometries
    depthwise = (
        name
        for name in rest
        if 1 < spec.geometries[name].groups == spec.geometries[name].in_channels
    )
    return uniform(spec, ratio) | dict.fromkeys((first, *depthwise), 1.0)


def at_ratio(spec: NetworkSpec, densities: Mapping[str, float], ratio: float) -> dict[str, float]:
    """`densities` to the one power, by layer, at which 1 / ratio of all weights stays.

    So layers keep their order, none is above 1, and the preset's own ratio gives the preset.
    Raises CosignError on a ratio below 1, or one that `densities` cannot come to.
    """
    check_ratio(spec, ratio)
    weights = {name: geometry.weights for name, geometry in spec.geometries.items()}
    wanted = sum(weights.values()) / ratio

    def kept(power: float) -> float:
        return sum(densities[name] ** power * count for name, count in weights.items())

    low, high = 0.0, 64.0
    if kept(high) > wanted or wanted < len(weights):
        raise CosignError(f"{spec.name} cannot be pruned {ratio:g} times; choose a lower ratio.")
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) > wanted else (low, middle)
    return {name: density**high for name, density in densities.items()}


def kept_weights(
    spec: NetworkSpec, densities: Mapping[str, float], patterns: Patterns = NO_PATTERNS
) -> dict[str, int]:
    """alpha_i: weights that stay at these densities, by layer; none at 0, or at least one.

    patterns : of layers that have one, whatever their density
    """
    return {
        name: patterns[name].kept(geometry)
        if name in patterns
        else max(int(densities[name] > 0), round(densities[name] * geometry.weights))
        for name, geometry in spec.geometries.items()
    }


def ratio_of(alpha: str) -> float | None:
    """R of "Rx", None when `alpha` is no such text. Raises CosignError on a ratio below 1."""
    try:
        ratio = float(alpha.removesuffix("x")) if alpha.endswith("x") else None
    except ValueError:
        return None
    if ratio is not None and not 1 <= ratio < math.inf:
        raise CosignError(f"the pruning ratio is {alpha}, must be at least 1x.")
    return ratio


def read(spec: NetworkSpec, path: Path) -> dict[str, float]:
    """Those of a JSON file {layer: density}.

    Raises CosignError on a file that cannot be read or does not give every layer a density of 0..1.
    """
    given = layers(spec, path, "density")
    for name in spec.geometries:
        if name not in given:
            raise CosignError(f"{path} gives no density for layer {name!r} of {spec.name}; add it.")
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise CosignError(f"{path}: the density of {name} is {value!r}, must be 0..1.")
    return {name: float(given[name]) for name in spec.geometries}


def layers(spec: NetworkSpec, path: Path, what: str) -> dict[str, Any]:
    """A JSON file {layer: `what`}, whatever its values are.

    Raises CosignError on a file that cannot be read, is no object or has a layer that is not there.
    """
    try:
        given = json.loads(path.read_text())
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise CosignError(f"{path} is not valid JSON ({error}); correct it.") from error
    if not isinstance(given, dict):
        raise CosignError(f"{path} must hold one JSON object {{layer: {what}}}.")
    known = spec.geometries
    strange = [name for name in given if name not in known]
    if strange:
        raise CosignError(
            f"{path}: {spec.name} has no layer {strange[0]!r}; it has {', '.join(known)}."
        )
    return given
