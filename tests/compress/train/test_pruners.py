"""Pruners beside ADMM: exact counts, zeros that stay, and resuming in the middle."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from compress.admm.constraints import largest
from compress.nn.network import Network, channels_last
from compress.train import pruners, stages
from compress.train.results import StageResult
from compress.zoo.networks import spec_of
from compress.zoo.recipe import Pruner, Recipe

OTHERS: tuple[Pruner, ...] = ("iterative", "magnitude", "l1", "torch")


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(spec_of("lenet5"))


def recipe_of(toy: ModuleType, pruner: Pruner) -> Recipe:
    prune = dataclasses.replace(toy.recipe().prune, rhos=(1e-3, 1e-2), points=4)
    changed: Recipe = toy.recipe(pruner=pruner, prune=prune, checkpoint_s=0.0)
    return changed


def pruned(
    toy: ModuleType, pruner: Pruner, dense: Path, folder: Path, stop: int = 0
) -> StageResult:
    """The stage's result; with `stop`, after an interruption at that step."""
    (folder / "dense.pt").write_bytes(dense.read_bytes())
    recipe, dataset = recipe_of(toy, pruner), toy.dataset()

    def interrupt(stage: str, step: int, steps: int, metrics: dict[str, Any]) -> None:
        if step == stop:
            raise KeyboardInterrupt

    if stop:
        with pytest.raises(KeyboardInterrupt):
            stages.run_stage("prune", recipe, dataset, folder, 0, interrupt)
        assert (folder / "prune.checkpoint.pt").exists()
    return stages.run_stage("prune", recipe, dataset, folder, 0)


@pytest.fixture(scope="module")
def dense(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    stages.run_stage("dense", toy.recipe(), toy.dataset(), folder, 0)
    return folder / "dense.pt"


@pytest.mark.parametrize("pruner", OTHERS)
def test_the_asked_weights_stay_and_an_interruption_changes_nothing(
    toy: ModuleType, dense: Path, tmp_path: Path, pruner: Pruner
) -> None:
    """The interruption is behind the second round of four, with momentum from the first."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = pruned(toy, pruner, dense, tmp_path / "whole")
    parts = pruned(toy, pruner, dense, tmp_path / "parts", stop=9)
    keep = recipe_of(toy, pruner).keep
    left = {name: int(torch.count_nonzero(w)) for name, w in whole.network.weights.items()}
    assert left == {name: int(mask.sum()) for name, mask in whole.masks.items()}
    if pruner == "torch":
        assert sum(left.values()) == sum(keep.values())
        assert left != keep
    else:
        assert left == keep
    for name, weight in whole.network.weights.items():
        assert torch.equal(weight, parts.network.weights[name])
        assert torch.equal(whole.masks[name], parts.masks[name])
    assert whole.history == parts.history


def test_masks_narrow_by_the_same_fraction_in_every_round(network: Network) -> None:
    keep = {"conv1": 100, "conv2": 900, "fc1": 4000, "fc2": 600}
    masks: dict[str, torch.Tensor] = {}
    regime = pruners.regime("iterative", network, masks, keep, 3, 0.0)
    counts = [int(masks["fc1"].sum())]
    before = dict(masks)
    for _ in range(3):
        regime.point(None)
        assert not any((masks[name] & ~before[name]).any() for name in keep)
        before = dict(masks)
        counts.append(int(masks["fc1"].sum()))
    assert counts == [round(400_000 * 0.01 ** (k / 3)) for k in (1, 2, 3)] + [4000]
    assert {name: int(mask.sum()) for name, mask in masks.items()} == keep


def test_one_shot_cuts_at_once(network: Network) -> None:
    keep = {"conv1": 100, "conv2": 900, "fc1": 4000, "fc2": 600}
    expected = {name: largest(weight, keep[name]) for name, weight in network.weights.items()}
    masks: dict[str, torch.Tensor] = {}
    pruners.regime("magnitude", network, masks, keep, 3, 0.0)
    assert all(torch.equal(masks[name], expected[name]) for name in keep)


def test_torchs_own_keeps_the_largest_of_all_layers() -> None:
    torch.manual_seed(1)
    network = Network(spec_of("lenet5"))
    channels_last(network)
    masks = pruners.global_masks(network, 5000)
    sizes = np.concatenate([w.detach().numpy().ravel() for w in network.weights.values()])
    threshold = np.sort(np.abs(sizes))[-5000]
    for name, weight in network.weights.items():
        assert torch.equal(masks[name], weight.detach().abs() >= float(threshold))
    assert (
        dict(network.named_parameters()).keys()
        == dict(Network(spec_of("lenet5")).named_parameters()).keys()
    )


def test_l1_adds_lambda_times_the_sign(network: Network) -> None:
    regime = pruners.L1Regime(network, {}, 0.5)
    for weight in network.weights.values():
        weight.grad = torch.ones_like(weight)
    regime.after_backward(torch.optim.SGD(regime.parameters(), 0.1))
    for weight in network.weights.values():
        assert weight.grad is not None
        assert torch.equal(weight.grad, torch.where(weight > 0, 1.5, 0.5))
    assert regime.point(0.25) == {"rho": 0.5}
    assert regime.point(None) == {"rho": 0.25}
