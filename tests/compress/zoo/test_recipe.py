"""Recipes: what presets keep, what scales their steps, and what is no recipe."""

import dataclasses

import pytest

from compress.zoo.networks import NETWORKS, recipe
from compress.zoo.recipe import NO_TRAINING, Phase
from cosign import CosignError


@pytest.mark.parametrize(
    ("preset", "total"), [("table7", 2.9e6), ("ours1", 60.9e6 / 9.8), ("han", 60.9e6 / 9)]
)
def test_presets_keep_what_the_paper_says(preset: str, total: float) -> None:
    """Table 8 says 13x for `ours1`, but its FC columns, rounded to 1M MACs, give 9.8x."""
    keep = recipe("alexnet", 1000, preset).keep
    assert sum(keep.values()) == pytest.approx(total, rel=0.06)


def test_overall_convolution_ratios_are_those_of_table_9() -> None:
    """25.5x for `ours2` there, with conv1 dense; here conv1 is pruned as in Table 8."""
    for preset, ratio in {"ours1": 13.1, "ours2": 29.7}.items():
        chosen = recipe("alexnet", 1000, preset)
        names = [name for name in chosen.keep if name.startswith("conv")]
        weights = sum(chosen.spec.geometries[name].weights for name in names)
        assert weights / sum(chosen.keep[name] for name in names) == pytest.approx(ratio, rel=0.02)


def test_lenet5s_default_prunes_more_than_forty_times() -> None:
    assert 430_500 / sum(recipe("lenet5").keep.values()) > 40


def test_budget_scales_steps() -> None:
    chosen = recipe("alexnet", 12, budget=2.5)
    assert chosen.steps(chosen.dense) == round(2.5 * chosen.dense.steps)
    assert recipe("alexnet", 12, budget=1e-9).steps(chosen.prune) == chosen.prune.points


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg",), "unknown network 'vgg'"),
        (("lenet5", 10, "table7"), "lenet5 has no alpha preset 'table7'"),
        (("lenet5", 10, None, 0.0), "budget is 0.0"),
        (("vgg16",), "vgg16 is not trained from nothing; give its weights by --weights"),
    ],
)
def test_recipes_refuse_nonsense(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(CosignError, match=message):
        recipe(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"densities": {"conv1": 1.0}}, "every layer needs"),
        ({"bits": {"conv1": 9, "conv2": 3, "fc1": 3, "fc2": 3}}, "bits is 9"),
        ({"densities": 1.5}, "density is 1.5, must be 0..1"),
        ({"targets": 13}, "targets is 13, must be 1 to 12"),
        ({"targets": 0}, "targets is 0"),
        ({"quantize": NO_TRAINING}, "quantize phase has 0 points and 0 rhos"),
        ({"prune": Phase(steps=9, lr=1.0, points=3)}, "prune phase has 3 points and 0 rhos"),
        ({"distill": 1.1}, r"distill is 1.1, must be 0..1"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"bits_loss": -0.1}, "bits_loss is -0.1"),
        ({"densities": dict.fromkeys(("conv1", "conv2", "fc1", "fc2"), 0.0)}, "every density is 0"),
    ],
)
def test_a_recipe_checks_its_layers(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CosignError, match=message):
        dataclasses.replace(recipe("lenet5"), **changes)


def test_every_preset_is_a_recipe() -> None:
    for network, entry in NETWORKS.items():
        for preset in () if entry.needs_weights else entry.rows:
            made = recipe(network, 10, preset)
            assert set(made.to_json()["densities"]) == set(made.keep)
