"""The built-in networks and the densities of the paper's rows, without torch.

The second door of `compress` for the other rooms, next to `compress.container`: geometry from
`spec_of(network).geometries`, remaining weights from `densities(network, alpha)`.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from compress.cifar_networks import cifar_resnet20_spec, cifar_vgg_spec
from compress.nodes import Builder, NetworkSpec, NodeSpec
from cosign import CosignError

__all__ = [
    "ALPHAS",
    "CIFAR",
    "NETWORKS",
    "TABLE_8",
    "NetworkSpec",
    "NodeSpec",
    "at_ratio",
    "default_bits",
    "densities",
    "folded",
    "is_foreign",
    "kept_weights",
    "preset",
    "read_densities",
    "spec_of",
    "uniform",
    "uniform_but_delicate",
]


def lenet5_spec(classes: int = 10) -> NetworkSpec:
    """Caffe's LeNet-5 (20-50-500-10) with 430,500 weights; both convolutions rectified."""
    net = Builder("lenet5", (1, 28, 28))
    net.conv("conv1", 20, 5)
    net.maxpool("pool1", 2, 2)
    net.conv("conv2", 50, 5)
    net.maxpool("pool2", 2, 2)
    net.host("flatten", "flatten")
    net.linear("fc1", 500)
    net.linear("fc2", classes, relu=False)
    return net.spec()


def alexnet_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """BVLC AlexNet: 227 x 227 input, grouped conv2/4/5, LRN before pooling, 60.9M weights."""
    return _alexnet("alexnet", classes, dropout, norm_first=True)


def caffenet_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """BVLC CaffeNet: AlexNet with LRN after pooling."""
    return _alexnet("caffenet", classes, dropout, norm_first=False)


def _alexnet(name: str, classes: int, dropout: float, norm_first: bool) -> NetworkSpec:
    net = Builder(name, (3, 227, 227))

    def pool_and_norm(number: int) -> None:
        for norm in (norm_first, not norm_first):
            if norm:
                net.host(f"norm{number}", "lrn", size=5, alpha=1e-4, beta=0.75, k=1.0)
            else:
                net.maxpool(f"pool{number}", 3, 2)

    net.conv("conv1", 96, 11, stride=4)
    pool_and_norm(1)
    net.conv("conv2", 256, 5, padding=2, groups=2)
    pool_and_norm(2)
    net.conv("conv3", 384, 3, padding=1)
    net.conv("conv4", 384, 3, padding=1, groups=2)
    net.conv("conv5", 256, 3, padding=1, groups=2)
    net.maxpool("pool5", 3, 2)
    _classifier(net, classes, dropout)
    return net.spec()


def _classifier(net: Builder, classes: int, dropout: float) -> None:
    """Two fully connected layers of 4,096 neurons with dropout, and the logits."""
    net.host("flatten", "flatten")
    for number in (1, 2):
        net.linear(f"fc{number}", 4096)
        net.host(f"drop{number}", "dropout", p=dropout)
    net.linear("fc3", classes, relu=False)


def vgg16_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """VGG-16, configuration D (Simonyan & Zisserman 2015): 224 x 224 input, 138.3M weights.

    Its fully connected layers, fc6 to fc8 in Caffe, are called fc1 to fc3 as AlexNet's are.
    """
    net = Builder("vgg16", (3, 224, 224))
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for block, (channels, convolutions) in enumerate(blocks, 1):
        for number in range(1, convolutions + 1):
            net.conv(f"conv{block}_{number}", channels, 3, padding=1)
        net.maxpool(f"pool{block}", 2, 2)
    _classifier(net, classes, dropout)
    return net.spec()


def resnet50_spec(classes: int = 1000) -> NetworkSpec:
    """ResNet-50 v1.5 (the stride is in the 3 x 3 convolutions): 224 x 224, 25.5M weights.

    Named as in torchvision, but for `downsample`, there `downsample.0`. Every convolution is
    batch-normalised.
    """
    return _resnet50("resnet50", classes, stride_first=False)


def resnet50_v1_spec(classes: int = 1000) -> NetworkSpec:
    """ResNet-50 of the publication, Caffe and Keras: the stride is in the first 1 x 1."""
    return _resnet50("resnet50-v1", classes, stride_first=True)


def _resnet50(name: str, classes: int, stride_first: bool) -> NetworkSpec:
    net = Builder(name, (3, 224, 224))
    net.conv("conv1", 64, 7, stride=2, padding=3, batch_norm=True)
    source = net.maxpool("maxpool", 3, 2, padding=1)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            strides = (stride, 1) if stride_first else (1, stride)
            source = _bottleneck(net, f"layer{stage + 1}.{block}", source, 64 << stage, strides)
    net.host("avgpool", "avgpool", kernel=0, stride=1, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc", classes, relu=False)
    return net.spec()


def _bottleneck(net: Builder, name: str, source: str, width: int, strides: tuple[int, int]) -> str:
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut (He et al. 2016, Fig. 5).

    strides : of the first two; the shortcut has both
    """
    net.conv(f"{name}.conv1", width, 1, strides[0], batch_norm=True, source=source)
    net.conv(f"{name}.conv2", width, 3, strides[1], padding=1, batch_norm=True)
    inner = net.conv(f"{name}.conv3", 4 * width, 1, relu=False, batch_norm=True)
    shortcut = source
    if name.endswith(".0"):  # a stage's first block changes the shape
        shortcut = net.conv(
            f"{name}.downsample",
            4 * width,
            1,
            strides[0] * strides[1],
            relu=False,
            batch_norm=True,
            source=source,
        )
    return net.host(f"{name}.add", "add", inner, shortcut, relu=True)


def folded(spec: NetworkSpec) -> NetworkSpec:
    """The same layers without batch normalisation, as a trained network is executed."""
    return replace(spec, nodes=tuple(replace(node, batch_norm=False) for node in spec.nodes))


NETWORKS: dict[str, Callable[..., NetworkSpec]] = {
    "lenet5": lenet5_spec,
    "alexnet": alexnet_spec,
    "caffenet": caffenet_spec,
    "vgg16": vgg16_spec,
    "resnet50": resnet50_spec,
    "resnet50-v1": resnet50_v1_spec,
    "cifar-vgg": cifar_vgg_spec,
    "cifar-resnet20": cifar_resnet20_spec,
}
CIFAR = ("cifar-vgg", "cifar-resnet20")  # networks that read its images
_NO_DROPOUT = ("lenet5", "resnet50", "resnet50-v1", *CIFAR)


def is_foreign(network: str) -> bool:
    """Whether `network` names an ONNX file or a factory, `package.module:function`."""
    return network.endswith(".onnx") or ":" in network


def spec_of(network: str, classes: int | None = None, dropout: float = 0.5) -> NetworkSpec:
    """The built-in network of that name; `classes` is 10 for lenet5 and CIFAR's and 1000 for
    others if None.

    lenet5, CIFAR's and both resnet50 have no dropout. Raises CosignError on an unknown name.
    """
    if network not in NETWORKS:
        raise CosignError(f"unknown network {network!r}; choose {', '.join(NETWORKS)}.")
    options: dict[str, float] = {} if classes is None else {"classes": classes}
    if network not in _NO_DROPOUT:
        options["dropout"] = dropout
    return NETWORKS[network](**options)


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


def _erdos_renyi(spec: NetworkSpec, ratios: Sequence[float]) -> dict[str, dict[str, float]]:
    """Presets "5x" for a ratio of 5: small layers keep more, as (in + out + kernel) / weights has
    it (Evci et al. 2020)."""
    shares = {
        name: (g.in_channels / g.groups + g.out_channels + sum(g.kernel)) / g.weights
        for name, g in spec.geometries.items()
    }
    return {f"{ratio:g}x": at_ratio(spec, shares, ratio) for ratio in ratios}


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
    # The paper has no network of this size.
    cifar = {network: _erdos_renyi(spec_of(network), (5, 10)) for network in CIFAR}
    return {
        **cifar,
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
            f"{network} has no alpha preset {alpha!r}; choose {', '.join(ALPHAS[network])} or "
            "give a JSON file {layer: density}."
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
