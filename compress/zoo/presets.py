"""How far to prune the built-in networks, and in how many bits: the paper's rows and ours.

A door of `compress` for the other rooms, as `compress.zoo.networks` is: remaining weights from
`densities(network, alpha)`. No torch.
"""

import json
import math
from pathlib import Path

from compress.model.nodes import NetworkSpec
from compress.zoo.networks import CIFAR, NETWORKS, spec_of
from cosign import CosignError


def uniform(network: str | NetworkSpec, ratio: float) -> dict[str, float]:
    """The density 1 / ratio for every layer. Raises CosignError on a ratio below 1."""
    if not 1 <= ratio < math.inf:
        raise CosignError(f"the pruning ratio is {ratio}, must be at least 1.")
    spec = spec_of(network) if isinstance(network, str) else network
    return dict.fromkeys(spec.geometries, 1 / ratio)


def at_ratio(spec: NetworkSpec, densities: dict[str, float], ratio: float) -> dict[str, float]:
    """`densities` to the one power, by layer, at which 1 / ratio of all weights stays.

    So layers keep their order, none is above 1, and the preset's own ratio gives the preset.
    Raises CosignError on a ratio below 1, or one that `densities` cannot come to.
    """
    uniform(spec, ratio)
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


# Operations in millions, two a MAC: Table 8 by row, conv1..conv5, fc1..fc3. A row over the first
# is its density.
TABLE_8 = {
    "alexnet": (211, 448, 299, 224, 150, 75, 34, 8),
    "ours1": (133, 31, 18, 16, 11, 7, 3, 2),
    "han": (177, 170, 105, 83, 56, 7, 3, 2),
    "mao": (175, 116, 67, 52, 35, 5, 2, 1.5),
    "wen": (180, 107, 44, 42, 36, 75, 34, 8),
}
_TABLE7 = (0.81, 0.20, 0.19, 0.20, 0.20, 0.028, 0.059, 0.093)
# Of Ours2 the paper gives 40.5x over conv2-5, not layer by layer: ours1 scaled evenly to that
# total (it keeps 154.5K of the 2,297.8K weights of conv2-5). conv1 is that of Table 8 too; with
# the paper's 25.5x over all five layers it would be dense, which no other speedup could outweigh.
_OURS2_SCALE = 2297.8 / 40.5 / 154.5


def _table7_at(ratio: float) -> tuple[float, ...]:
    """Table 7 with its FC layers scaled evenly, so that one weight of `ratio` stays in all."""
    weights = [geometry.weights for geometry in spec_of("alexnet").geometries.values()]
    kept = [density * count for density, count in zip(_TABLE7, weights, strict=True)]
    scale = (sum(weights) / ratio - sum(kept[:5])) / sum(kept[5:])
    return (*_TABLE7[:5], *(density * scale for density in _TABLE7[5:]))


def _alphas() -> dict[str, dict[str, dict[str, float]]]:
    rows = {
        name: tuple(part / whole for part, whole in zip(row, TABLE_8["alexnet"], strict=True))
        for name, row in TABLE_8.items()
        if name != "alexnet"
    }
    ours = rows["ours1"]
    rows["ours2"] = (ours[0], *(density * _OURS2_SCALE for density in ours[1:5]), *ours[5:])
    # Table 2 has two ratios more than Table 7 has layers for: its FC layers, pruned evenly so that
    # the whole network comes to them, are ours.
    alexnet: dict[str, tuple[float, ...]] = {
        "table7": _TABLE7,
        **{f"{ratio}x": _table7_at(ratio) for ratio in (24, 30)},
        **rows,
    }
    lenet5: dict[str, tuple[float, ...]] = {
        "default": (0.40, 0.10, 0.0115, 0.10),
        # The ratios of Table 1 (5.06K and 2.58K weights); how layers share them is ours.
        "85x": (0.25, 0.07, 0.007, 0.08),
        "167x": (0.2, 0.04, 0.0033, 0.032),
    }
    # The paper states only overall ratios for these (Tables 3 and 4). Giving every layer the same
    # share is ours, so that totals agree; no layer's density is the paper's.
    resnet50 = {"7x": 1 / 7, "9x": 1 / 9.2, "17x": 1 / 17.4}
    vgg16 = {"20x": 1 / 20, "26x": 1 / 26}
    overall = {"vgg16": vgg16, "resnet50": resnet50, "resnet50-v1": resnet50}
    # The paper's rows are called AlexNet. CaffeNet has layers of the same shapes; to use them
    # there too is ours.
    by_layer = {"lenet5": lenet5, "alexnet": alexnet, "caffenet": alexnet}
    named = {network: list(spec_of(network).geometries) for network in NETWORKS}
    return {
        **{network: {} for network in CIFAR},  # the paper has no network of this size
        **{
            network: {
                preset: dict(zip(named[network], row, strict=True))
                for preset, row in presets.items()
            }
            for network, presets in by_layer.items()
        },
        **{
            network: {preset: dict.fromkeys(named[network], x) for preset, x in presets.items()}
            for network, presets in overall.items()
        },
    }


ALPHAS = _alphas()
"""Densities (remaining over all weights) by network, preset and layer."""


def preset(name: str, alpha: str | None = None) -> tuple[str, str | None]:
    """Network and alpha of a row of the paper: "alexnet-ours1" is "alexnet" with "ours1".

    A name that is no row, such as that of a network, comes back as it is, with `alpha`. Raises
    CosignError on a row with an alpha beside it.
    """
    network, _, row = name.rpartition("-")
    if row not in ALPHAS.get(network, {}):
        return name, alpha
    if alpha is not None:
        raise CosignError(f"{name} says how far to prune; leave --alpha out or give {network}.")
    return network, row


def densities(network: str, alpha: str) -> dict[str, float]:
    """Remaining over all weights by layer: of a preset, or of a JSON file `{layer: density}`.

    Raises CosignError on an unknown network or preset, and on a file that cannot be read or does
    not give every layer a density above 0 and at most 1.
    """
    if alpha in ALPHAS[network]:
        return dict(ALPHAS[network][alpha])
    path = Path(alpha)
    if path.suffix != ".json" and not path.is_file():
        raise CosignError(
            f"{network} has no alpha preset {alpha!r}; choose one of: "
            f"{', '.join([*ALPHAS[network], 'a JSON file {layer: density}'])}."
        )
    return read_densities(spec_of(network), path)


def read_densities(spec: NetworkSpec, path: Path) -> dict[str, float]:
    """Those of a JSON file {layer: density}. Raises CosignError as `densities` does."""
    network, layers = spec.name, list(spec.geometries)
    try:
        given = json.loads(path.read_text())
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise CosignError(f"{path} is not valid JSON ({error}); correct it.") from error
    if not isinstance(given, dict):
        raise CosignError(f"{path} must hold one JSON object {{layer: density}}.")
    strange = [name for name in given if name not in layers]
    if strange:
        raise CosignError(
            f"{path}: {network} has no layer {strange[0]!r}; it has {', '.join(layers)}."
        )
    for name in layers:
        if name not in given:
            raise CosignError(f"{path} gives no density for layer {name!r} of {network}; add it.")
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise CosignError(
                f"{path}: the density of {name} is {value!r}, must be above 0 and at most 1."
            )
    return {name: float(given[name]) for name in layers}


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


def kept_weights(spec: NetworkSpec, densities: dict[str, float]) -> dict[str, int]:
    """alpha_i: weights that stay at these densities, by layer; at least one."""
    return {
        name: max(1, round(densities[name] * geometry.weights))
        for name, geometry in spec.geometries.items()
    }


# n of convolutional and of fully connected layers: Table 6; lenet5's are ours (§4.2 says more bits
# for the former), caffenet's are alexnet's.
_BITS = {
    "lenet5": (4, 3),
    "alexnet": (5, 3),
    "caffenet": (5, 3),
    "vgg16": (5, 3),
    "resnet50": (4, 4),
    "resnet50-v1": (4, 4),
    "cifar-vgg": (5, 4),
    "cifar-resnet20": (5, 4),
}


def default_bits(network: str) -> dict[str, int]:
    """n by layer of a built-in network."""
    geometries = spec_of(network).geometries
    conv, linear = _BITS[network]
    return {name: conv if g.kind == "conv" else linear for name, g in geometries.items()}
