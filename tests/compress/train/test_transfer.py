"""Training that begins with trained layers and a new classifier."""

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from compress.data.datasets import Dataset
from compress.data.pixels import some_images
from compress.model.nodes import Builder, NetworkSpec
from compress.model.pretrained import Features
from compress.nn.network import Network
from compress.train import stages, transfer
from compress.zoo.entry import Bits, Entry
from compress.zoo.recipe import NO_TRAINING, Phase, Recipe, Training

PLAIN = Phase(steps=24, lr=1e-2, points=2)


def spec(classes: int = 10) -> NetworkSpec:
    net = Builder("small-conv", (1, 28, 28))
    net.conv("conv", 4, 5, stride=2)
    net.maxpool("pool", 2, 2)
    net.host("flatten", "flatten")
    net.host("drop", "dropout", p=0.1)
    net.linear("fc", classes, relu=False)
    return net.spec()


def recipe(fine_tune: float) -> Recipe:
    admm = dataclasses.replace(PLAIN, rhos=(1e-2,))
    training = Training(
        batch=16,
        dense=PLAIN,
        prune=admm,
        retrain=PLAIN,
        allocate=NO_TRAINING,
        quantize=admm,
        settle=PLAIN,
        fine_tune=fine_tune,
    )
    entry = Entry(spec, Bits(8, 8), training, rows={}, alpha="2x", dropout=0.1)
    return dataclasses.replace(entry.recipe(), threads=1, checkpoint_s=0.0)


@pytest.fixture(scope="module")
def trained_layers() -> Features:
    rng = np.random.default_rng(3)
    return Features(
        {"conv": rng.standard_normal((4, 1, 5, 5), np.float32) / 5},
        {"conv": rng.standard_normal(4, np.float32) / 5},
    )


def dense(
    fine_tune: float, features: Features, dataset: Dataset, folder: Path, report=None
) -> Network:
    made = recipe(fine_tune)
    start = transfer.begin(made, features, dataset, 0)
    return stages.run_stage("dense", made, dataset, folder, 0, report, start).network


def test_layers_are_as_given_and_the_classifier_is_scaled_to_the_data(
    toy: ModuleType, trained_layers: Features
) -> None:
    dataset = toy.dataset()
    made = recipe(0.5)
    networks = [transfer.begin(made, trained_layers, dataset, seed) for seed in (0, 0, 1)]
    for network in networks:
        assert torch.equal(network.weights["conv"], torch.tensor(trained_layers.weights["conv"]))
        assert torch.equal(network.biases["conv"], torch.tensor(trained_layers.biases["conv"]))
        (images,) = some_images(dataset, 48, 48)
        with torch.no_grad():
            logits = network(images)
        assert float(logits.square().mean().sqrt()) == pytest.approx(0.1, rel=1e-3)
    one, again, other = (network.weights["fc"] for network in networks)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_smaller_factor_keeps_trained_layers_and_trains_the_classifier(
    toy: ModuleType, trained_layers: Features, tmp_path: Path
) -> None:
    """Adam's steps are as long as the rate says, whatever the gradients."""
    before = torch.tensor(trained_layers.weights["conv"])
    moved, learnt = {}, {}
    dataset = toy.dataset()
    start = transfer.begin(recipe(1.0), trained_layers, dataset, 0)
    for factor in (1.0, 0.1, 1e-6):
        network = dense(factor, trained_layers, dataset, tmp_path / str(factor))
        moved[factor] = float((network.weights["conv"].detach() - before).norm())
        learnt[factor] = float((network.weights["fc"] - start.weights["fc"]).detach().norm())
    assert 3 < moved[1.0] / moved[0.1] < 30
    assert 0 < moved[1e-6] < 1e-5 * moved[1.0] * 10
    assert min(learnt.values()) > 0.5 * max(learnt.values())


def test_stopped_and_resumed_it_is_the_same(
    toy: ModuleType, trained_layers: Features, tmp_path: Path
) -> None:
    dataset = toy.dataset()
    whole = dense(0.25, trained_layers, dataset, tmp_path / "whole")

    def stop(_: str, step: int, *rest: object) -> None:
        if step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dense(0.25, trained_layers, dataset, tmp_path / "stopped", stop)
    assert (tmp_path / "stopped" / "dense.checkpoint.pt").exists()
    resumed = dense(0.25, trained_layers, dataset, tmp_path / "stopped")
    for one, two in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_checkpoints_belong_to_the_factor(toy: ModuleType) -> None:
    dataset = toy.dataset()
    names = {stages.identity("dense", recipe(factor), dataset, 0) for factor in (1.0, 0.5, 0.25)}
    assert len(names) == 3


def test_it_is_taken_to_integers(toy: ModuleType, trained_layers: Features, tmp_path: Path) -> None:
    dataset, made = toy.dataset(), recipe(0.5)
    start = transfer.begin(made, trained_layers, dataset, 0)
    for stage in stages.STAGES:
        result = stages.run_stage(stage, made, dataset, tmp_path, 0, start=start)
    weights = sum(geometry.weights for geometry in made.spec.geometries.values())
    assert sum(result.kept.values()) == round(weights / 2)
    assert result.accuracy > 0.5  # of ten classes
