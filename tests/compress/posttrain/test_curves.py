"""Curves against what a whole run of the pruned network gives."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from compress.admm import layerwise, reconstruct
from compress.admm.moments import Aim
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network, fold
from compress.posttrain import curves, importance
from compress.posttrain.expected import OFFERED, PORTIONS, SENSED, Curve, Curves


@pytest.fixture(scope="module")
def network(small) -> Network:
    return fold(small.trained(small.residual_spec())).eval()


def images(count: int, shape: tuple[int, ...], seed: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count // 2, *shape, generator=generator) for _ in range(2)]


@pytest.fixture(scope="module")
def measured(network: Network) -> Curves:
    bits = dict.fromkeys(network.spec.geometries, 8)
    shape = network.spec.shape
    return curves.measure(copy.deepcopy(network), bits, images(24, shape), images(12, shape, 6))


def test_the_network_keeps_its_weights(network: Network) -> None:
    used = copy.deepcopy(network)
    done: list[tuple[int, int]] = []
    bits = dict.fromkeys(network.spec.geometries, 8)
    shape = network.spec.shape
    curves.measure(used, bits, images(24, shape), images(12, shape, 6), lambda *of: done.append(of))
    for name, weight in network.weights.items():
        assert torch.equal(weight, used.weights[name])
        assert torch.equal(network.biases[name], used.biases[name])
    layers = len(network.spec.geometries)
    assert done == [(number, layers) for number in range(1, layers + 1)]


def test_what_is_sensed_is_what_the_whole_network_answers(
    network: Network, measured: Curves
) -> None:
    """Their change over their variance, a layer's weights pruned as its curve prunes them."""
    batches = images(24, network.spec.shape)
    x = torch.cat(images(12, network.spec.shape, 6))
    x = x[torch.linspace(0, len(x) - 1, 8).long()]
    changed = copy.deepcopy(network)
    with torch.no_grad():
        dense = network(x).double()
        spread = (dense - dense.mean(0)).square().mean()
        aim = Aim(coherence=importance.aim(network, torch.cat(batches)).coherence)
        for layer in reconstruct.layers(changed, batches, aim=aim):
            found = dict(
                zip(PORTIONS, curves._pruned(layer.task, layer.task.weight.numel()), strict=True)
            )
            before = changed.weights[layer.name].clone(), changed.biases[layer.name].clone()
            for portion, sensed in zip(SENSED, measured.layers[layer.name].sensed, strict=True):
                layer.put(found[portion] / layer.task.scale)
                expected = float((changed(x).double() - dense).square().mean() / spread)
                assert sensed == pytest.approx(expected, rel=1e-3, abs=1e-7)
            changed.weights[layer.name].copy_(before[0])
            changed.biases[layer.name].copy_(before[1])


def test_errors_are_near_those_of_pruning_each_density_alone(network: Network) -> None:
    batches = images(24, network.spec.shape)
    with torch.no_grad():
        for layer in reconstruct.layers(copy.deepcopy(network), batches):
            total = layer.task.weight.numel()
            for portion, z in zip(PORTIONS, curves._pruned(layer.task, total), strict=True):
                keep = max(1, total - round(portion * total))
                assert 0 < int((z != 0).sum()) <= keep
                alone = layer.task.loss(layerwise.prune(layer.task, keep)) / layer.task.energy
                error = layer.task.loss(z) / layer.task.energy
                assert error <= 1.5 * alone + 0.02


def test_what_few_images_cannot_tell_is_not_free() -> None:
    """A layer of more columns than images fits them whatever is pruned, and others it does not."""
    net = Builder("wide", (3, 8, 8))
    net.host("flatten", "flatten")
    net.linear("fc", 8, relu=False)
    torch.manual_seed(2)
    network = Network(net.spec()).eval()
    batches = images(24, (3, 8, 8))
    found = curves.measure(copy.deepcopy(network), {"fc": 8}, batches, images(40, (3, 8, 8), 6))
    with torch.no_grad():
        (layer,) = reconstruct.layers(copy.deepcopy(network), batches)
        keep = layer.task.weight.numel() // 2
        known = layer.task.loss(layerwise.prune(layer.task, keep)) / layer.task.energy
    assert found.layers["fc"].errors[PORTIONS.index(0.5)] > 3 * known


def test_losses_grow_and_costs_fall(measured: Curves) -> None:
    assert OFFERED[0] == 0
    assert set(PORTIONS) < set(OFFERED)
    for curve in measured.layers.values():
        assert curve.losses[0] == 0
        assert (np.diff(curve.losses) >= 0).all()
        assert (np.diff(curve.keep) <= 0).all()
        assert (np.diff(curve.bytes[1:]) <= 0.01 * curve.bytes[1]).all()  # entropies of few weights
        for portion, sensed in zip(SENSED, curve.sensed, strict=True):
            at = OFFERED.index(portion)
            assert curve.losses[at] >= sensed * (1 - 1e-6)
            if (np.diff(curve.errors) >= 0).all() and curve.sensed[0] <= curve.sensed[1]:
                assert curve.losses[at] == pytest.approx(sensed, rel=1e-6)


def test_zeros_that_were_there_cost_nothing() -> None:
    """Of a layer of which nine weights of ten are zero, the first 90 % are pruned already."""
    rising = tuple(portion**3 for portion in PORTIONS)
    curve = Curve(
        weights=1000,
        nonzeros=100,
        filters=10,
        errors=rising,
        sensed=(0.0, 0.0),
        entropies=(5.0,) * len(PORTIONS),
    )
    keep = dict(zip(OFFERED, curve.keep, strict=True))
    assert keep[0.0] == keep[0.5] == keep[0.9] == 100
    losses = dict(zip(OFFERED, curve.losses, strict=True))
    assert losses[0.9] == 0 < losses[0.95] < 1e-6


def several_outputs() -> NetworkSpec:
    net = Builder("heads", (3, 8, 8))
    stem = net.conv("stem", 8, 3, padding=1)
    net.conv("map", 4, 1, relu=False)
    net.conv("other", 6, 3, relu=False, source=stem)
    spec = net.spec()
    return NetworkSpec(spec.name, spec.shape, spec.nodes, ("map", "other"))


def test_of_several_outputs_the_change_is_the_mean_of_theirs() -> None:
    torch.manual_seed(1)
    network = Network(several_outputs()).eval()
    shape = network.spec.shape
    bits = dict.fromkeys(network.spec.geometries, 8)
    found = curves.measure(network, bits, images(16, shape), images(16, shape, 6))
    for low, high in (curve.sensed for curve in found.layers.values()):
        assert 0 < low < high < 1
    # the head alone changes one of two outputs, by its own error
    alone = found.layers["map"]
    expected = [alone.errors[PORTIONS.index(portion)] / 2 for portion in SENSED]
    for sensed, error in zip(alone.sensed, expected, strict=True):
        assert sensed == pytest.approx(error, rel=0.6)


@pytest.mark.parametrize("bits", [2, 8])
def test_bits_of_levels_are_those_of_the_entropy(bits: int) -> None:
    weights = np.random.default_rng(0).laplace(size=4000)
    found = curves._entropy(weights, bits)
    assert 1 < found <= bits
    assert curves._entropy(np.full(50, 0.5), bits) == 0
    assert curves._entropy(np.zeros(0), bits) == 0
    assert curves._entropy(weights, 2) <= curves._entropy(weights, 4) < found + 1e-9 or bits == 2
