"""The built-in networks: Table 7's weight counts, and a forward pass against plain torch."""

import pytest
import torch
from torch.nn import functional

from compress.nn.network import Network, _LocalResponseNorm
from compress.zoo.networks import spec_of


def test_alexnets_modules_have_the_weights_of_the_spec() -> None:
    network = Network(spec_of("alexnet", 10))
    geometries = network.spec.geometries
    assert {n: w.numel() for n, w in network.weights.items()} == {
        n: g.weights for n, g in geometries.items()
    }
    maps = {name: (g.in_height, g.out_height) for name, g in geometries.items()}
    assert [maps[f"conv{i}"] for i in range(1, 6)] == [
        (227, 55),
        (27, 27),
        (13, 13),
        (13, 13),
        (13, 13),
    ]
    assert network(torch.zeros(1, 3, 227, 227)).shape == (1, 10)


def test_lenet5_computes_what_torch_does() -> None:
    torch.manual_seed(0)
    network = Network(spec_of("lenet5"))
    x = torch.randn(3, 1, 28, 28)
    w, b = network.weights, network.biases
    y = functional.max_pool2d(functional.conv2d(x, w["conv1"], b["conv1"]).relu(), 2)
    y = functional.max_pool2d(functional.conv2d(y, w["conv2"], b["conv2"]).relu(), 2)
    y = functional.linear(y.flatten(1), w["fc1"], b["fc1"]).relu()
    y = functional.linear(y, w["fc2"], b["fc2"])
    assert torch.allclose(network(x), y, atol=1e-6)


@pytest.mark.parametrize(("size", "beta"), [(5, 0.75), (3, 0.5), (1, 0.75), (2, 0.75), (6, 0.5)])
def test_lrn_and_its_gradient_are_torchs(size: int, beta: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 7, 4, 3, dtype=torch.double, requires_grad=True)
    mine = _LocalResponseNorm.apply(x, size, 0.3, beta, 2.0)
    torchs = functional.local_response_norm(x, size, 0.3, beta, 2.0)
    assert torch.allclose(mine, torchs)
    upstream = torch.randn_like(x)
    assert torch.allclose(
        torch.autograd.grad(mine, x, upstream)[0], torch.autograd.grad(torchs, x, upstream)[0]
    )


def test_every_node_can_be_observed() -> None:
    network = Network(spec_of("lenet5")).eval()
    seen = {}
    y = network(torch.randn(1, 1, 28, 28), observe=seen.__setitem__)
    assert list(seen) == ["input", *(node.name for node in network.spec.nodes)]
    assert seen["fc2"] is y
