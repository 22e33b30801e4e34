"""Weights on their constraint: by projection, and with the layers' answers kept."""

import copy
from types import ModuleType

import numpy as np
import pytest
import torch

from compress.data.pixels import some_images, to_input
from compress.train import constrain, stages
from compress.train.results import StageResult


def answers(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(x)


def test_by_magnitude_the_largest_stay_as_they_are(toy: ModuleType, trained) -> None:
    """More weights than before: those that were zero stay zero, though they may be trained."""
    before = trained["retrain"].network
    network, keep = copy.deepcopy(before), toy.recipe().keep
    masks = constrain.prune(network, {**keep, "conv1": 500, "conv2": keep["conv2"] // 2})
    assert torch.equal(network.weights["conv1"], before.weights["conv1"])
    assert bool(masks["conv1"].all())
    kept = before.weights["conv2"].abs()[masks["conv2"]]
    assert len(kept) == keep["conv2"] // 2
    assert kept.min() >= before.weights["conv2"].abs()[~masks["conv2"]].max()
    assert not network.weights["conv2"][~masks["conv2"]].any()


@pytest.mark.parametrize("images", [32, 480])
def test_with_images_the_answers_stay_much_nearer(
    toy: ModuleType, trained: dict[str, StageResult], images: int
) -> None:
    dataset, keep = toy.dataset(), toy.recipe().keep
    dense = trained["dense"].network
    few = tuple(some_images(dataset, images, 16))
    new = to_input(dataset, dataset.test.images(np.arange(200)))
    wanted = answers(dense, new)
    error = {}
    for name, known in (("magnitude", ()), ("images", few)):
        network, through = copy.deepcopy(dense), []
        masks = constrain.prune(network, keep, known, lambda *done, to=through: to.append(done))
        assert {layer: int(mask.sum()) for layer, mask in masks.items()} == keep
        for layer, weight in network.weights.items():
            assert not weight[~masks[layer]].any()
        assert through == ([(done, 4) for done in range(1, 5)] if known else [])
        error[name] = float((answers(network, new) - wanted).square().mean())
    assert error["images"] < 0.5 * error["magnitude"]


def test_a_stage_with_it_resumes_to_the_same_network(toy: ModuleType, tmp_path) -> None:
    """Stopped in the cut and in those of trials, whose network then comes from a file."""

    def recipe(**changes: object) -> object:
        breaks = {"conv1": None, "conv2": 1.5, "fc1": 4.0, "fc2": 2.0}
        return toy.recipe(calibration=64, break_even=breaks, accuracy_loss=1.0, rounds=2, **changes)

    def stop_in(name: str) -> None:
        def report(stage: str, *_: object) -> None:
            if stage == name:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            for stage in stages.STAGES[:4]:
                stages.run_stage(stage, recipe(checkpoint_s=0.0), toy.dataset(), two, 0, report)

    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    for stage in stages.STAGES[:4]:
        result = stages.run_stage(stage, recipe(), toy.dataset(), one, 0)
    stop_in("prune, cut")
    stop_in("allocate 1, cut")
    stop_in("allocate 2, cut")
    for stage in stages.STAGES[:4]:
        again = stages.run_stage(stage, recipe(), toy.dataset(), two, 0)
    assert again.history == result.history
    for name, weight in again.network.weights.items():
        assert torch.equal(weight, result.network.weights[name])
