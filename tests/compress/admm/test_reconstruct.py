"""Compressing a network layer after layer: sampling, and what it keeps of the answers."""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from compress.admm import reconstruct
from compress.admm.constraints import cut, put_on_levels
from compress.data.pixels import normalised
from compress.model.graph import Geometry
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network, fold
from compress.posttrain import pipeline
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
    found = reconstruct.prune_and_quantize(ours, keep, bits, batches(known), lines.append)
    assert error(ours, new, wanted) < 0.5 * error(plain, new, wanted)
    assert len(lines) == len(keep)
    for name, weight in ours.weights.items():
        levels = found[name]
        assert np.array_equal(weight.detach().numpy(), levels.weights)
        assert np.abs(levels.values.astype(int)).max() <= 32
        assert np.count_nonzero(levels.values) == keep[name]


def test_dense_and_eight_bits_is_the_network(network: Network) -> None:
    x = images(64, 0, network.spec.shape[1])
    with torch.no_grad():
        wanted = network(x)
    bits = dict.fromkeys(network.weights, 8)
    keep = kept_weights(network.spec, dict.fromkeys(bits, 1.0))
    reconstruct.prune_and_quantize(network, keep, bits, batches(x))
    assert error(network, x, wanted) < 1e-3


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


@pytest.mark.parametrize("groups", [1, 2])
def test_sampled_columns_are_those_of_unfold(groups: int) -> None:
    geometry = Geometry(
        "conv", 4, 6, 9, 8, (3, 2), (2, 1), padding=(1, 2), dilation=(1, 2), groups=groups
    )
    x = torch.randn(5, 4, 9, 8)
    chosen = torch.randperm(geometry.out_height * geometry.out_width)[:7]
    down, right = chosen // geometry.out_width, chosen % geometry.out_width
    found = reconstruct.columns_at(x, geometry, down, right)
    unfolded = functional.unfold(x, (3, 2), (1, 2), (1, 2), (2, 1))[:, :, chosen]
    expected = unfolded.reshape(5, groups, -1, 7).permute(1, 0, 3, 2)
    assert torch.equal(found, expected.reshape(groups, 35, -1))
