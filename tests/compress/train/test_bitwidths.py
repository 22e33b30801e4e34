"""Bits by layer: what is found, where it stops, and that the network is left alone."""

from types import ModuleType

import pytest
import torch

from compress.admm.constraints import quantize_projection
from compress.nn.network import Network
from compress.train import bitwidths, evaluation
from compress.train.results import StageResult


def pruned(trained: dict[str, StageResult]) -> tuple[Network, dict[str, torch.Tensor]]:
    return trained["allocate"].network, trained["allocate"].masks


def test_a_layer_stops_before_the_bound_and_the_fullest_begins(
    trained: dict[str, StageResult],
) -> None:
    """An accuracy that wants a number of different levels of every layer."""
    network, masks = pruned(trained)
    needs = {"conv1": 5, "conv2": 3, "fc1": 2, "fc2": 6}
    before = {name: weight.detach().clone() for name, weight in network.weights.items()}

    def accuracy() -> float:
        found = {n: len(w.detach()[masks[n]].abs().unique()) for n, w in network.weights.items()}
        return 1 - 0.01 * sum(found[name] <= 2 ** (n - 2) for name, n in needs.items())

    told: list[float] = []
    assert bitwidths.choose(network, masks, 0.005, accuracy, told.append) == needs
    assert told[0] == pytest.approx(8 - 4600 / 7800)  # fc1 has most weights left
    assert told[1] == pytest.approx(8 - (4600 + 2500) / 7800)  # then conv2
    assert all(torch.equal(before[name], weight) for name, weight in network.weights.items())


def test_quantised_to_the_chosen_bits_the_network_is_within_the_bound(
    toy: ModuleType, trained: dict[str, StageResult]
) -> None:
    network, masks = pruned(trained)
    dataset = toy.dataset()

    def accuracy() -> float:
        return evaluation.evaluate(network, dataset, dataset.val)

    before, originals = accuracy(), {n: w.detach().clone() for n, w in network.weights.items()}
    bits = bitwidths.choose(network, masks, 0.05, accuracy, lambda _: None)
    assert min(bits.values()) < 8
    with torch.no_grad():
        for name, weight in network.weights.items():
            weight.copy_(quantize_projection(bits, masks)(name, originals[name]))
        assert accuracy() >= before - 0.05
        for name, weight in network.weights.items():
            weight.copy_(originals[name])


def test_no_layer_uses_up_what_may_be_lost(trained: dict[str, StageResult]) -> None:
    """Accuracy falls with the steps of all layers: each gets as many, to one."""
    network, masks = pruned(trained)

    def accuracy() -> float:
        levels = [len(w.detach()[masks[n]].abs().unique()) for n, w in network.weights.items()]
        return -sum(1 / count for count in levels)

    bits = bitwidths.choose(network, masks, 0.25, accuracy, lambda _: None)
    assert max(bits.values()) - min(bits.values()) <= 1
    assert max(bits.values()) < 8


def test_with_accuracy_to_spare_one_bit_is_enough(trained: dict[str, StageResult]) -> None:
    network, masks = pruned(trained)
    bits = bitwidths.choose(network, masks, 1.0, lambda: 0.5, lambda _: None)
    assert bits == dict.fromkeys(network.weights, 1)
