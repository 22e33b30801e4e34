"""A network that is added: one entry, and everything that asks for a network by name has it."""

import dataclasses
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from compress.model.nodes import Builder, NetworkSpec
from compress.model.pretrained import Pretrained
from compress.nn.network import pretrained_network
from compress.train import export, recipes, stages
from compress.zoo import networks
from compress.zoo.entry import Bits, Entry
from compress.zoo.recipe import NO_TRAINING, Phase, Training
from cosign import CosignError


def perceptron(classes: int = 10) -> NetworkSpec:
    net = Builder("perceptron", (1, 28, 28))
    net.maxpool("pool", 2, 2)
    net.host("flatten", "flatten")
    net.linear("hidden", 16)
    net.host("drop", "dropout", p=0.5)
    net.linear("out", classes, relu=False)
    return net.spec()


PLAIN = Phase(steps=20, lr=3e-3, points=2)
ADMM = dataclasses.replace(PLAIN, rhos=(1e-2,))
ADDED = Entry(
    build=perceptron,
    bits=Bits(conv=8, linear=6),
    training=Training(
        batch=16,
        dense=PLAIN,
        prune=ADMM,
        retrain=PLAIN,
        allocate=PLAIN,
        quantize=ADMM,
        settle=Phase(steps=10, lr=1e-3, points=1),
    ),
    rows={"mine": {"hidden": 0.1, "out": 0.5}},
    alpha="mine",
    data="mnist",
    dropout=0.25,
    calibration_images=7,
)


def test_it_is_known_by_its_name() -> None:
    """With it in the registry; the one of all commands is made in the same way."""
    known = networks.by_name(*networks.NETWORKS.values(), ADDED)
    assert set(known) == {*networks.NETWORKS, "perceptron"}
    assert networks.entry_of("perceptron", known) is ADDED
    assert networks.preset("perceptron-mine", networks=known) == ("perceptron", "mine")
    assert networks.entry_for(perceptron(3), known) is ADDED
    with pytest.raises(CosignError, match=r"unknown network 'perceptrom'; choose .*perceptron"):
        networks.entry_of("perceptrom", known)
    with pytest.raises(CosignError, match="unknown network 'perceptron'"):
        networks.entry_of("perceptron")


def test_densities_and_bits_are_those_of_the_entry(tmp_path: Path) -> None:
    assert ADDED.densities("mine") == {"hidden": 0.1, "out": 0.5}
    (tmp_path / "own.json").write_text(json.dumps({"out": 1, "hidden": 0.5}))
    assert ADDED.densities(str(tmp_path / "own.json")) == {"hidden": 0.5, "out": 1.0}
    assert ADDED.asked("20x") == 1 / 20
    assert ADDED.bits.by_layer(ADDED.spec) == {"hidden": 6, "out": 6}


def test_its_recipe_has_its_classes_dropout_and_budget() -> None:
    made = ADDED.recipe(classes=3, budget=0.5)
    assert (made.network, made.classes) == ("perceptron", 3)
    assert [node.attrs["p"] for node in made.architecture.nodes if node.op == "dropout"] == [0.25]
    assert made.keep == {"hidden": round(0.1 * 16 * 196), "out": 24}
    assert made.steps(made.dense) == 10
    weighted = dataclasses.replace(
        ADDED, training=dataclasses.replace(ADDED.training, dense=NO_TRAINING)
    )
    with pytest.raises(CosignError, match="perceptron is not trained from nothing"):
        weighted.recipe()


def test_it_is_trained_to_integers(toy: ModuleType, tmp_path: Path) -> None:
    recipe, dataset = dataclasses.replace(ADDED.recipe(), threads=1), toy.dataset()
    for stage in stages.STAGES:
        result = stages.run_stage(stage, recipe, dataset, tmp_path, 0)
    model = export.export(result, dataset)
    assert {layer.name: layer.nnz for layer in model.layers} == recipe.keep
    assert [layer.bits for layer in model.layers] == [6, 6]
    assert result.accuracy > 0.5  # of ten classes


def test_of_a_network_of_ones_own_its_layers_are_all_that_is_known(
    toy: ModuleType, tmp_path: Path
) -> None:
    spec = perceptron()
    rng = np.random.default_rng(0)
    weights = {
        name: rng.standard_normal((g.out_channels, g.columns), np.float32)
        for name, g in spec.geometries.items()
    }
    weights["out"][:, 1:] = 0
    own = Pretrained(spec, weights, {n: np.zeros(len(w), np.float32) for n, w in weights.items()})
    recipe = recipes.pretrained_recipe(own, own.digest())
    assert recipe.bits == {"hidden": 4, "out": 4}
    assert sum(recipe.keep.values()) == (16 * 196 + 160) // 4
    assert recipe.keep["out"] <= 10  # what is zero already goes first
    start = pretrained_network(own)
    dense = stages.run_stage("dense", recipe, toy.dataset(), tmp_path, 0, start=start).network
    for name, weight in weights.items():
        np.testing.assert_array_equal(dense.weights[name].detach(), weight)
