"""Pruning ratios: how one is written, and densities that come to it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.zoo import density, networks
from cosign import CosignError


def test_what_a_ratio_looks_like() -> None:
    texts = ("20x", "1.5x", "20", "ours1", "ax", "a.json")
    assert [density.ratio_of(text) for text in texts] == [20.0, 1.5, None, None, None, None]
    for text in ("0.5x", "-3x", "nanx", "infx"):
        with pytest.raises(CosignError, match=f"the pruning ratio is {text}, must be at least 1x"):
            density.ratio_of(text)


def test_a_row_goes_before_a_ratio_of_its_name() -> None:
    assert networks.recipe("lenet5", alpha="85x").densities == networks.densities("lenet5", "85x")
    assert networks.recipe("lenet5", alpha="86x").densities == 1 / 86


@given(st.sampled_from(["lenet5", "alexnet"]), st.floats(1, 2000))
def test_densities_are_brought_to_a_ratio(network: str, ratio: float) -> None:
    spec = networks.spec_of(network)
    preset = networks.densities(network, next(iter(networks.NETWORKS[network].rows)))
    scaled = density.at_ratio(spec, preset, ratio)
    weights = {name: geometry.weights for name, geometry in spec.geometries.items()}
    kept = sum(scaled[name] * count for name, count in weights.items())
    assert kept == pytest.approx(sum(weights.values()) / ratio, rel=1e-6)
    assert all(0 < share <= 1 for share in scaled.values())
    order = sorted(preset, key=preset.__getitem__)
    assert sorted(scaled.values()) == [scaled[name] for name in order]


def test_a_presets_own_ratio_gives_the_preset() -> None:
    spec, preset = networks.spec_of("lenet5"), networks.densities("lenet5", "85x")
    weights = {name: geometry.weights for name, geometry in spec.geometries.items()}
    kept = sum(preset[name] * count for name, count in weights.items())
    scaled = density.at_ratio(spec, preset, sum(weights.values()) / kept)
    assert scaled == pytest.approx(preset)
    assert density.kept_weights(spec, scaled) == density.kept_weights(spec, preset)


def test_a_density_of_0_leaves_nothing_and_others_one_weight_at_least(tmp_path: Path) -> None:
    spec = networks.spec_of("lenet5")
    given = {"conv1": 0, "conv2": 1e-9, "fc1": 0.5, "fc2": 1}
    (tmp_path / "alpha.json").write_text(json.dumps(given))
    read = density.read(spec, tmp_path / "alpha.json")
    assert read == given
    kept = density.kept_weights(spec, read)
    assert kept == {"conv1": 0, "conv2": 1, "fc1": 200_000, "fc2": 5000}
    for bad in (-0.1, 1.1, True, None):
        (tmp_path / "alpha.json").write_text(json.dumps(given | {"fc1": bad}))
        with pytest.raises(CosignError, match=r"density of fc1 is .*, must be 0\.\.1"):
            density.read(spec, tmp_path / "alpha.json")


@pytest.mark.parametrize("ratio", [0.5, float("nan"), float("inf"), 1e6])
def test_ratios_that_cannot_be_are_refused(ratio: float) -> None:
    with pytest.raises(CosignError, match=r"ratio is|cannot be pruned"):
        density.at_ratio(networks.spec_of("lenet5"), networks.densities("lenet5", "default"), ratio)
