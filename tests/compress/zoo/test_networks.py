"""The built-in networks and densities: published counts, the paper's tables, bad input."""

import json
import math
from pathlib import Path

import pytest

from compress.model.nodes import Builder
from compress.zoo import networks
from compress.zoo.alexnet import ALEXNET, alexnet_spec
from compress.zoo.density import kept_weights
from compress.zoo.lenet5 import lenet5_spec
from compress.zoo.networks import NETWORKS
from compress.zoo.vgg16 import vgg16_spec
from cosign import CosignError

# Table 7, "Para. No.", rounded there to the digits shown
TABLE7 = {
    "conv1": 34_848,
    "conv2": 307_200,
    "conv3": 884_736,
    "conv4": 663_552,
    "conv5": 442_368,
    "fc1": 37_748_736,
    "fc2": 16_777_216,
    "fc3": 4_096_000,
}
SHOWN = {
    "conv1": "34.8K",
    "conv2": "307.2K",
    "conv3": "884.7K",
    "conv4": "663.5K",
    "conv5": "442.4K",
    "fc1": "37.7M",
    "fc2": "16.8M",
    "fc3": "4.1M",
}


def test_alexnets_weights_are_those_of_table_7() -> None:
    spec = alexnet_spec()
    assert {name: geometry.weights for name, geometry in spec.geometries.items()} == TABLE7
    for name, shown in SHOWN.items():
        unit = {"K": 1e3, "M": 1e6}[shown[-1]]
        assert TABLE7[name] == pytest.approx(float(shown[:-1]) * unit, abs=0.1 * unit)
    assert sum(TABLE7.values()) == pytest.approx(60.9e6, abs=0.1e6)


def test_alexnets_macs_are_those_of_table_8() -> None:
    """Table 8 counts a multiply and an add as two operations; conv2, conv4, conv5 are grouped."""
    shown = {"conv1": 211, "conv2": 448, "conv3": 299, "conv4": 224, "conv5": 150, "fc1": 75}
    for name, geometry in alexnet_spec().geometries.items():
        if name in shown:
            assert 2 * geometry.macs == pytest.approx(shown[name] * 1e6, rel=0.01)


def test_lenet5_has_430500_weights() -> None:
    geometries = lenet5_spec().geometries
    assert sum(geometry.weights for geometry in geometries.values()) == 430_500


# Published totals without biases and normalisation, and feature map sizes
@pytest.mark.parametrize(
    ("network", "weights", "macs"),
    [
        ("vgg16", 138_344_128, 15_470_264_320),
        ("resnet50", 25_502_912, 4_089_184_256),
        ("resnet50-v1", 25_502_912, 3_857_973_248),
        ("caffenet", sum(TABLE7.values()), None),
        # torchvision's AlexNet has 714.2M MACs, 58.6M of them in its three linear layers
        ("alexnet-conv", 2_468_544 + 9_216_000, 655_566_528 + 9_216_000),
        # 268,336 weights and 40.55M MACs with shortcuts that have none, and two that have
        ("cifar-resnet20", 268_336 + 16 * 32 + 32 * 64, 40_551_040 + 16**2 * 512 + 8**2 * 2048),
    ],
)
def test_totals_are_the_published_ones(network: str, weights: int, macs: int | None) -> None:
    geometries = networks.spec_of(network).geometries
    assert sum(geometry.weights for geometry in geometries.values()) == weights
    if macs:
        assert sum(geometry.macs for geometry in geometries.values()) == macs


def test_vgg16s_layers() -> None:
    weights = {n: g.weights for n, g in vgg16_spec().geometries.items()}
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    names = [
        f"conv{block}_{number}"
        for block, count in enumerate((2, 2, 3, 3, 3), 1)
        for number in range(1, count + 1)
    ]
    expected = {
        name: 9 * before * after
        for name, before, after in zip(names, channels, channels[1:], strict=False)
    }
    expected |= {"fc1": 25_088 * 4096, "fc2": 4096 * 4096, "fc3": 4096 * 1000}
    assert weights == expected


def test_resnet50s_layers() -> None:
    geometries = networks.spec_of("resnet50").geometries
    assert len(geometries) == 54
    counts = {
        "conv1": 9408,
        "layer1.0.conv1": 4096,
        "layer1.0.conv2": 36_864,
        "layer1.0.conv3": 16_384,
        "layer1.0.downsample": 16_384,
        "layer1.1.conv1": 16_384,
        "layer2.0.conv1": 32_768,
        "layer2.0.conv2": 147_456,
        "layer2.0.downsample": 131_072,
        "layer3.5.conv2": 589_824,
        "layer4.0.downsample": 2_097_152,
        "layer4.2.conv3": 1_048_576,
        "fc": 2_048_000,
    }
    assert {name: geometries[name].weights for name in counts} == counts
    for network, first in (("resnet50", "conv2"), ("resnet50-v1", "conv1")):
        geometries = networks.spec_of(network).geometries
        strided = [name for name, g in geometries.items() if g.stride == (2, 2)]
        assert strided == ["conv1"] + [
            f"layer{stage}.0.{part}" for stage in (2, 3, 4) for part in (first, "downsample")
        ]


def test_caffenet_normalises_after_pooling() -> None:
    def order(network: str) -> list[str]:
        return [node.name for node in networks.spec_of(network).nodes][1:3]

    assert order("alexnet") == ["norm1", "pool1"]
    assert order("caffenet") == ["pool1", "norm1"]


def test_unknown_network() -> None:
    with pytest.raises(CosignError, match="unknown network 'vgg'; choose lenet5, alexnet, caffe"):
        networks.spec_of("vgg", 10)


def test_presets_name_every_layer_and_uniform_ones_keep_the_papers_total() -> None:
    for network, entry in NETWORKS.items():
        for row in entry.rows:
            chosen = networks.densities(network, row)
            assert list(chosen) == list(entry.spec.geometries)
            assert all(0 < density <= 1 for density in chosen.values())
    shown = {("vgg16", "26x"): 5.3e6, ("resnet50", "17x"): 1.47e6}  # Tables 3 and 4
    for (network, preset), remaining in shown.items():
        geometries = networks.spec_of(network).geometries
        kept = sum(
            d * geometries[n].weights for n, d in networks.densities(network, preset).items()
        )
        assert math.isclose(kept, remaining, rel_tol=0.01)


def test_densities_come_from_a_file(tmp_path: Path) -> None:
    given = {"fc2": 1, "conv1": 0.5, "conv2": 0.25, "fc1": 0.125}
    path = tmp_path / "alpha"
    path.write_text(json.dumps(given))
    assert networks.densities("lenet5", str(path)) == given
    assert list(networks.densities("lenet5", str(path))) == ["conv1", "conv2", "fc1", "fc2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must hold one JSON object"),
        ('{"conv1": 1, "conv9": 1}', "lenet5 has no layer 'conv9'; it has conv1, conv2, fc1, fc2"),
        ('{"conv1": 1, "conv2": 1, "fc1": 1}', "no density for layer 'fc2'"),
        ('{"conv1": -0.5, "conv2": 1, "fc1": 1, "fc2": 1}', "density of conv1 is -0.5, must be 0"),
        ('{"conv1": 1.5, "conv2": 1, "fc1": 1, "fc2": 1}', "density of conv1 is 1.5"),
        ('{"conv1": NaN, "conv2": 1, "fc1": 1, "fc2": 1}', "density of conv1 is nan"),
        ('{"conv1": "1", "conv2": 1, "fc1": 1, "fc2": 1}', "density of conv1 is '1'"),
    ],
)
def test_bad_density_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "alpha.json").write_text(text)
    with pytest.raises(CosignError, match=message):
        networks.densities("lenet5", str(tmp_path / "alpha.json"))


def test_unknown_presets_and_missing_files_are_named() -> None:
    with pytest.raises(
        CosignError, match=r"alexnet has no alpha preset 'ours3'; choose one of: table7, .*ours1"
    ):
        networks.densities("alexnet", "ours3")
    with pytest.raises(CosignError, match=r"cannot read nowhere\.json"):
        networks.densities("alexnet", "nowhere.json")


def test_a_network_that_does_not_fit_together_is_refused() -> None:
    def net() -> Builder:
        started = Builder("net", (2, 4, 4))
        started.conv("conv", 2, 1)
        return started

    with pytest.raises(CosignError, match="'sum': add takes two inputs, not 1"):
        net().host("sum", "add", "conv")
    with pytest.raises(CosignError, match="'sum' reads 'conv9', which is not before it"):
        net().host("sum", "add", "conv", "conv9")
    with pytest.raises(CosignError, match="two nodes are called 'conv'"):
        net().conv("conv", 2, 1)
    strided = net()
    strided.conv("down", 2, 1, stride=2)
    with pytest.raises(CosignError, match=r"'sum' adds maps of \(2, 4, 4\) and \(2, 2, 2\)"):
        strided.host("sum", "add", "conv", "down")


# --- rows of the paper by name ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "weights"),  # remaining, as Tables 1 to 4 print them
    [
        ("lenet5-85x", "5.06K"),
        ("lenet5-167x", "2.58K"),
        ("alexnet-24x", "2.5M"),
        ("alexnet-30x", "2.05M"),
        ("vgg16-20x", "6.9M"),
        ("vgg16-26x", "5.3M"),
        ("resnet50-7x", "3.6M"),
        ("resnet50-9x", "2.8M"),
        ("resnet50-17x", "1.47M"),
    ],
)
def test_rows_keep_as_many_weights_as_the_paper(name: str, weights: str) -> None:
    network, alpha = networks.preset(name)
    assert alpha is not None
    spec = networks.spec_of(network)
    kept = sum(kept_weights(spec, networks.densities(network, alpha)).values())
    # 60.9M / 30 is 2.03M and 5.06K is 85.08x: the paper rounds either
    assert kept == pytest.approx(float(weights[:-1]) * {"K": 1e3, "M": 1e6}[weights[-1]], rel=0.017)


def test_every_row_has_a_name() -> None:
    for network, entry in NETWORKS.items():
        for row in entry.rows:
            assert networks.preset(f"{network}-{row}") == (network, row)
        assert networks.preset(network, "some.json") == (network, "some.json")
    for name in ("resnet50-v1", "lenet5-99x", "a-85x", "my-net.onnx", "lenet5-", ""):
        assert networks.preset(name) == (name, None)
    with pytest.raises(CosignError, match="lenet5-85x says how far to prune"):
        networks.preset("lenet5-85x", "default")


def test_24x_prunes_convolutions_as_table_7_does() -> None:
    table7, row = ALEXNET.rows["table7"], ALEXNET.rows["24x"]
    for name, density in row.items():
        assert density == table7[name] if name.startswith("conv") else density < table7[name]
