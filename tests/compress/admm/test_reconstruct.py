"""Compressing a network layer after layer: sampling, and what it keeps of the answers."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from compress.admm import layerwise, moments, reconstruct
from compress.admm.constraints import cut, put_on_levels
from compress.data.pixels import normalised
from compress.file import container
from compress.model.graph import Geometry, InputSpec
from compress.model.nodes import Builder, NetworkSpec
from compress.model.pattern import Pattern
from compress.nn.network import Network, fold
from compress.posttrain import pipeline
from compress.posttrain.calibration import scales
from compress.zoo import patterns
from compress.zoo.density import kept_weights
from sim import golden


def grouped_spec() -> NetworkSpec:
    """Groups, strides, dropout, and fully connected layers wider than the images are many."""
    net = Builder("grouped", (3, 11, 11))
    net.conv("conv1", 8, 3, stride=2)
    net.conv("conv2", 12, 3, padding=1, groups=2)
    net.host("flatten", "flatten")
    net.linear("fc1", 20)
    net.host("drop1", "dropout", p=0.5)
    net.linear("fc2", 10, relu=False)
    return net.spec()


def images(count: int, seed: int, size: int) -> Tensor:
    """Smooth ones: neighbouring pixels say nearly the same."""
    torch.manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4)
    return functional.interpolate(coarse, (size, size), mode="bilinear") + 0.1 * torch.randn(
        count, 3, size, size
    )


@pytest.fixture(params=["residual", "grouped"])
def network(request: pytest.FixtureRequest, small: ModuleType) -> Network:
    spec = small.residual_spec() if request.param == "residual" else grouped_spec()
    return fold(small.trained(spec))


def batches(x: Tensor) -> Iterator[Tensor]:
    yield from x.split(16)


def error(network: Network, x: Tensor, wanted: Tensor) -> float:
    with torch.no_grad():
        return float((network(x) - wanted).square().mean() / wanted.var())


def units_of(network: Network, x: Tensor) -> dict[str, float]:
    (channels, *sides) = network.spec.shape
    pixels = (0.0,) * channels, (1.0,) * channels
    source = InputSpec((channels, *sides), float(x.abs().max()) / 127, *pixels)
    return scales(network, lambda: [x], source)


def copy_of(network: Network) -> Network:
    twin = Network(network.spec).eval()
    twin.load_state_dict(network.state_dict())
    return twin


def test_much_nearer_than_magnitude_on_new_images(network: Network) -> None:
    size = network.spec.shape[1]
    known, new = images(64, 0, size), images(64, 1, size)
    with torch.no_grad():
        wanted = network(new)
    keep = kept_weights(network.spec, dict.fromkeys(network.weights, 0.4))
    bits = dict.fromkeys(keep, 6)
    plain, ours = copy_of(network), copy_of(network)
    put_on_levels(plain.weights, cut(plain.weights, keep), bits)
    lines: list[str] = []
    found = reconstruct.prune_and_quantize(
        ours, keep, bits, batches(known), units_of(network, known), lines.append
    )
    assert error(ours, new, wanted) < 0.5 * error(plain, new, wanted)
    assert len(lines) == len(keep)
    for name, weight in ours.weights.items():
        levels = found[name]
        assert np.array_equal(weight.detach().numpy(), levels.weights)
        assert np.abs(levels.values.astype(int)).max() <= 32
        assert 0.9 * keep[name] <= np.count_nonzero(levels.values) <= keep[name]


def test_dense_and_eight_bits_is_the_network(network: Network) -> None:
    x = images(64, 0, network.spec.shape[1])
    with torch.no_grad():
        wanted = network(x)
    bits = dict.fromkeys(network.weights, 8)
    keep = kept_weights(network.spec, dict.fromkeys(bits, 1.0))
    reconstruct.prune_and_quantize(network, keep, bits, batches(x), units_of(network, x))
    assert error(network, x, wanted) < 1e-3


def test_importance_of_filters_says_only_who_loses_weights(network: Network) -> None:
    """Where all stay, every filter is fitted by itself, behind ReLUs and beside sums as well."""
    x = images(64, 0, network.spec.shape[1])
    bits = dict.fromkeys(network.weights, 8)
    keep = kept_weights(network.spec, dict.fromkeys(bits, 1.0))
    units, plain, weighted = units_of(network, x), copy_of(network), copy_of(network)
    torch.manual_seed(4)
    importance = {name: 0.1 + torch.rand(len(bias)) for name, bias in network.biases.items()}
    reconstruct.prune_and_quantize(plain, keep, bits, batches(x), units)
    aim = moments.Aim(importance)
    reconstruct.prune_and_quantize(weighted, keep, bits, batches(x), units, aim=aim)
    with torch.no_grad():
        assert error(weighted, x, plain(x)) < 1e-4


@torch.no_grad()
def test_many_positions_need_less_damping(network: Network) -> None:
    x = images(64, 0, network.spec.shape[1])
    rows = {
        name: 64 * min(g.out_height * g.out_width, moments.POSITIONS // 64)
        for name, g in network.spec.geometries.items()
    }
    plain = reconstruct.layers(copy_of(network), batches(x))
    eased = reconstruct.layers(copy_of(network), batches(x), aim=moments.Aim(least_damping=0.01))
    found = []
    for one, other in zip(plain, eased, strict=True):
        share = network.spec.geometries[one.name].columns / rows[one.name]
        assert one.task.damping == layerwise.DAMPING
        assert other.task.damping == pytest.approx(min(layerwise.DAMPING, max(0.01, share)))
        found.append(other.task.damping)
    assert len(set(found)) > 1


def test_the_file_of_the_method_computes_what_the_network_does(network: Network) -> None:
    size = network.spec.shape[1]
    source = pipeline.input_spec(network.spec.shape, (0.5,) * 3, (0.25,) * 3)
    pixels = ((images(64, 0, size) * 0.2 + 0.5).clamp(0, 1) * 255).byte().numpy()
    bits = dict.fromkeys(network.weights, 8)
    density = dict.fromkeys(bits, 0.5)
    model = pipeline.compress(network, source, density, bits, pixels, "oneshot")
    scores = golden.run(model, source.quantize(pixels)).reshape(64, -1)
    with torch.no_grad():
        logits = network(normalised(source, pixels)).numpy()
    difference = scores * model.layers[-1].out_scale - logits
    assert np.sqrt((difference**2).mean()) < 0.1 * logits.std()


def depthwise_network(top: float | None) -> Network:
    """Channels of very different size, a ReLU that stops, and a shortcut."""
    net = Builder("depthwise", (3, 12, 12))
    net.conv("expand", 16, 1)
    net.conv("depthwise", 16, 3, padding=1, groups=16)
    first = net.conv("project", 8, 1, relu=False)
    net.conv("again", 8, 3, padding=1, source=first)
    last = net.conv("more", 8, 1, relu=False)
    net.host("add", "add", first, last)
    net.host("pool", "avgpool", kernel=12, stride=12, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc", 10, relu=False)
    spec = net.spec()
    nodes = (replace(node, top=top if node.relu else None) for node in spec.nodes)
    torch.manual_seed(0)
    network = Network(replace(spec, nodes=tuple(nodes))).eval()
    with torch.no_grad():
        network.weights["expand"].mul_(4)
        network.weights["depthwise"].mul_(10 ** torch.linspace(-1.5, 0.5, 16)[:, None, None, None])
    return network


@pytest.mark.parametrize("top", [None, 6.0])
def test_channels_of_any_size_and_relus_that_stop(top: float | None) -> None:
    """Eight bits are the network, on images that it was not calibrated on."""
    network = depthwise_network(top)
    known, new = images(64, 0, 12), images(64, 1, 12)
    with torch.no_grad():
        wanted = network(new)
    bits = dict.fromkeys(network.weights, 8)
    keep = kept_weights(network.spec, dict.fromkeys(bits, 1.0))
    units = units_of(network, known)
    reconstruct.prune_and_quantize(network, keep, bits, batches(known), units)
    assert error(network, new, wanted) < 1e-3


def test_a_branch_makes_up_for_what_the_other_has_lost() -> None:
    """Of an add: asked for its dense answers alone, the sum is further away."""
    x = images(64, 0, 12)
    sums = []
    for owed in (True, False):
        network = depthwise_network(None)
        seen: dict[str, Tensor] = {}
        with torch.no_grad():
            network(x, observe=seen.__setitem__)
        wanted = seen["add"].clone()
        keep = {name: w.numel() for name, w in network.weights.items()}
        keep["project"] //= 3
        bits = dict.fromkeys(keep, 8)
        with pytest.MonkeyPatch.context() as patch:
            if not owed:
                patch.setattr(reconstruct, "_beside", lambda spec: {})
            reconstruct.prune_and_quantize(network, keep, bits, batches(x), units_of(network, x))
        with torch.no_grad():
            network(x, observe=seen.__setitem__)
        sums.append(float((seen["add"] - wanted).square().mean()))
    assert sums[0] < 0.99 * sums[1]


@pytest.mark.parametrize("groups", [1, 2])
def test_sampled_columns_are_those_of_unfold(groups: int) -> None:
    geometry = Geometry(
        "conv", 4, 6, 9, 8, (3, 2), (2, 1), padding=(1, 2), dilation=(1, 2), groups=groups
    )
    x = torch.randn(5, 4, 9, 8)
    chosen = torch.randperm(geometry.out_height * geometry.out_width)[:7]
    down, right = chosen // geometry.out_width, chosen % geometry.out_width
    found = moments.columns_at(x, geometry, down, right)
    unfolded = functional.unfold(x, (3, 2), (1, 2), (1, 2), (2, 1))[:, :, chosen]
    expected = unfolded.reshape(5, groups, -1, 7).permute(1, 0, 3, 2)
    assert torch.equal(found, expected.reshape(groups, 35, -1))


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(1, 4), Pattern(3, 5)])
def test_a_pattern_is_obeyed_through_levels_and_file(network: Network, pattern: Pattern) -> None:
    """And the answers are nearer than those of the largest weights of each group."""
    size = network.spec.shape[1]
    source = pipeline.input_spec(network.spec.shape, (0.5,) * 3, (0.25,) * 3)
    pixels = ((images(64, 0, size) * 0.2 + 0.5).clamp(0, 1) * 255).byte().numpy()
    new = ((images(64, 1, size) * 0.2 + 0.5).clamp(0, 1) * 255).byte().numpy()
    with torch.no_grad():
        wanted = network(normalised(source, new)).numpy()
    bits, whole = dict.fromkeys(network.weights, 8), dict.fromkeys(network.weights, 1.0)
    chosen = patterns.asked(network.spec, str(pattern))
    keep = kept_weights(network.spec, whole, chosen)
    errors = []
    for method in ("oneshot", "magnitude"):
        model = pipeline.compress(
            copy_of(network), source, whole, bits, pixels, method, patterns=chosen
        )
        read = container.from_bytes(container.to_bytes(model))
        for layer in read.layers:
            g = layer.geometry
            levels = layer.dense_levels().reshape(g.out_channels, -1, g.kernel[0] * g.kernel[1])
            assert 0.9 * keep[layer.name] <= layer.nnz <= keep[layer.name]
            assert layer.name not in chosen or pattern.holds(levels)
        scores = golden.run(read, source.quantize(new)).reshape(64, -1)
        errors.append(np.square(scores * read.layers[-1].out_scale - wanted).mean())
    assert errors[0] < 0.7 * errors[1]


def test_what_sees_too_few_channels_stays_dense() -> None:
    spec = depthwise_network(None).spec
    chosen = patterns.asked(spec, "2:4")
    assert "depthwise" not in chosen  # one channel
    assert chosen["expand"] == (2, 4)  # three, padded to four
    keep = kept_weights(spec, dict.fromkeys(spec.geometries, 1.0), chosen)
    assert (keep["expand"], keep["depthwise"], keep["project"]) == (16 * 2, 16 * 9, 8 * 8)
    told = patterns.told(spec, chosen)
    assert "padded to whole groups of channels: expand; dense: depthwise" in told
