"""The loss of a layer whose places have something in common, against convolutions themselves."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from compress.admm import layerwise, reconstruct
from compress.admm.moments import Aim
from compress.model.nodes import Builder
from compress.nn.network import Network

SHARE = 0.3
IMAGES = 12


def layer(relu: bool, channels: int, groups: int) -> Network:
    net = Builder("one", (channels, 9, 8))
    net.conv("conv", 6, 3, stride=2, padding=1, groups=groups, relu=relu)
    torch.manual_seed(3)
    return Network(net.spec()).eval()


def turn(network: Network, x: Tensor, units: dict[str, float]) -> reconstruct.Turn:
    """Of all its places: there are fewer than are sampled."""
    turns: Iterator[reconstruct.Turn] = reconstruct.layers(
        network, x.split(5), units, aim=Aim(coherence={"conv": SHARE})
    )
    return next(turns)


def loss_of(errors: Tensor) -> Tensor:
    """(1 - c) mean e^2 + c P (mean e)^2 of [N, filters, H, W], means over everything taken off."""
    centred = errors - errors.mean((0, 2, 3), keepdim=True)
    together = centred.mean((2, 3)).square().mean(0).sum()
    places = errors.shape[2] * errors.shape[3]
    return (1 - SHARE) * centred.square().mean((0, 2, 3)).sum() + SHARE * places * together


def answers(network: Network, x: Tensor, weight: Tensor) -> Tensor:
    """Without the bias."""
    conv = network.layers["conv"]
    assert isinstance(conv, torch.nn.Conv2d)
    shaped = weight.reshape(conv.weight.shape)
    return functional.conv2d(x, shaped, None, conv.stride, conv.padding, 1, conv.groups)


@torch.no_grad()
@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (4, 2), (60, 1)])
def test_sums_over_an_image_count_beside_single_places(channels: int, groups: int) -> None:
    """With 60 channels there are more columns than places, and rows are kept."""
    network = layer(False, channels, groups)
    x = torch.randn(IMAGES, channels, 9, 8) + torch.randn(IMAGES, channels, 1, 1)
    task = turn(network, x, {}).task
    assert (task.gram is None) == (channels == 60)
    dense = network.weights["conv"].reshape(task.weight.shape)
    z = torch.randn(task.weight.shape)
    away = z / task.scale - dense
    damping = layerwise.DAMPING * (away * task.scale).square().sum()
    expected = float(loss_of(answers(network, x, away)) + damping)
    assert task.loss(z) == pytest.approx(expected, rel=1e-4)
    assert task.loss(torch.zeros_like(z)) == pytest.approx(task.energy, rel=1e-5)


def test_behind_a_relu_they_count_where_it_lets_something_through() -> None:
    """The new problem's slope against that of the loss without what the ReLU hides."""
    network = layer(True, 4, 1)
    x = torch.randn(IMAGES, 4, 9, 8)
    units = {"input": 1e-6, "conv": 1e-6}
    with torch.no_grad():
        mine = turn(network, x, units)
        first, dense = mine.task, network.weights["conv"].reshape(mine.task.weight.shape)
        other = dense + 0.3 * torch.randn(dense.shape)
        task = mine._moments.rectified(first, other)
    bias = network.biases["conv"].detach()[:, None, None]
    wanted = answers(network, x, dense.detach())
    moved = other.clone().requires_grad_()
    errors = answers(network, x, moved - dense.detach())
    errors = errors - errors.mean((0, 2, 3), keepdim=True)  # by the bias
    hidden = (wanted + bias < 0) & (wanted + bias + errors < 0)
    # what is hidden is wanted as it is: it has no error here, and slopes go on by the rest
    kept = errors - torch.where(hidden, errors, 0.0).detach()
    damping = layerwise.DAMPING * ((moved - dense.detach()) * first.scale).square().sum()
    (slope,) = torch.autograd.grad(loss_of(kept) + damping, moved)
    z = other * task.scale
    found = 2 * (task.times(z) - task.goal) * task.scale
    assert torch.allclose(found, slope, rtol=1e-2, atol=1e-3 * float(slope.abs().max()))
