"""The stages: what each leaves behind, resuming after a kill, and bad input."""

import dataclasses
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from compress.data.pixels import to_input
from compress.file import container
from compress.model.levels import Levels, max_level
from compress.nn import checkpoint
from compress.nn.network import Network
from compress.train import evaluation, stages
from compress.train.export import export
from compress.train.regimes import Regime, SettleRegime
from compress.train.results import StageResult
from compress.zoo.networks import recipe
from compress.zoo.recipe import Phase
from cosign import CosignError

Trained = dict[str, StageResult]


def test_every_stage_learns_the_toy_task(toy: ModuleType, trained: Trained) -> None:
    dataset = toy.dataset()
    for stage in ("dense", "retrain", "quantize"):
        assert evaluation.evaluate(trained[stage].network, dataset, dataset.test) > 0.8, stage


def test_exactly_alpha_weights_stay_and_zeros_stay_zero(toy: ModuleType, trained: Trained) -> None:
    keep = toy.recipe().keep
    for name, count in keep.items():
        masks = {stage: trained[stage].masks[name] for stage in ("prune", "retrain", "quantize")}
        assert int(masks["prune"].sum()) == count
        for stage, mask in masks.items():
            assert torch.equal(mask, masks["prune"])
            assert not trained[stage].network.weights[name][~mask].any()
    assert not trained["dense"].masks


def test_quantised_weights_are_levels_times_q(toy: ModuleType, trained: Trained) -> None:
    result = trained["quantize"]
    for name, bits in toy.recipe().bits.items():
        weight = result.network.weights[name].detach()
        levels = result.levels[name]
        assert levels.bits == bits
        assert np.array_equal(weight.numpy(), levels.weights)
        assert np.array_equal(levels.values != 0, result.masks[name].numpy())
        assert np.abs(levels.values.astype(int)).max() <= max_level(bits)


def test_history_has_residuals_of_every_admm_iteration(toy: ModuleType, trained: Trained) -> None:
    history = trained["prune"].history
    assert len(history) == toy.recipe().prune.points
    layers = set(toy.recipe().spec.geometries)
    for record in history:
        assert set(record["primal"]) == set(record["dual"]) == layers
        assert record["rho"] in toy.recipe().prune.rhos
        assert 0 <= record["accuracy"] <= 1
    assert "rho" not in trained["dense"].history[0]
    assert trained["quantize"].history[-1]["step"] == 2 * toy.recipe().quantize.steps


def test_masked_training_leaves_the_optimisers_moments_at_zero(
    toy: ModuleType, trained: Trained
) -> None:
    network, masks = trained["retrain"].network, trained["retrain"].masks
    network = type(network)(network.spec)
    with torch.no_grad():
        for name, mask in masks.items():
            network.weights[name].mul_(mask)
    regime = Regime(network, masks)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    dataset = toy.dataset()
    for step in range(3):
        indices = np.arange(step * 16, step * 16 + 16)
        loss = network(to_input(dataset, dataset.train.images(indices))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        regime.after_backward(optimizer)
        optimizer.step()
    for name, mask in masks.items():
        state = optimizer.state[network.weights[name]]
        assert state["exp_avg"][mask].any()
        for tensor in (network.weights[name], state["exp_avg"], state["exp_avg_sq"]):
            assert not tensor[~mask].any()


# --- resuming ---------------------------------------------------------------------------------


def differences(one: StageResult, two: StageResult) -> list[str]:
    """What differs between two results, bit for bit."""
    pairs = zip(one.network.named_parameters(), two.network.parameters(), strict=True)
    found = [
        f"{name} by {float((a - b).detach().abs().max())}"
        for (name, a), b in pairs
        if not torch.equal(a, b)
    ]
    found += [
        f"history: {a} != {b}" for a, b in zip(one.history, two.history, strict=True) if a != b
    ]
    found += [
        f"levels of {name}"
        for name in one.levels.keys() | two.levels.keys()
        if _plain(one.levels[name]) != _plain(two.levels[name])
    ]
    return found + ["accuracy"] * (one.accuracy != two.accuracy)


def _plain(levels: Levels) -> tuple[list[int], list[float], int]:
    return levels.values.reshape(-1).tolist(), levels.q.reshape(-1).tolist(), levels.bits


def test_killed_at_any_moment_and_resumed_gives_the_same_result(
    toy: ModuleType, trained: Trained, tmp_path: Path
) -> None:
    """kill -9 in every stage, between steps, while saving and between stages."""
    script = str(Path(__file__).parents[1] / "toy.py")
    root = str(Path(stages.__file__).parents[2])
    environment = dict(os.environ, PYTHONPATH=root)
    (tmp_path / ".prune.checkpoint.pt.torn").write_bytes(b"cut off by a kill")
    last_words = ["dense 7", "dense done", "prune 12", "prune 13", "retrain 3", "quantize 24"]
    last_words += ["quantize 25", "quantize 40", None]
    for words in last_words:
        process = subprocess.Popen(
            [sys.executable, script, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if words is not None and line.startswith(words):
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == (0 if words is None else -signal.SIGKILL)
    dataset = toy.dataset()
    for stage in stages.STAGES:
        resumed = stages.run_stage(stage, toy.recipe(), dataset, tmp_path, 0)
        assert differences(resumed, trained[stage]) == [], stage
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{stage}.pt" for stage in stages.STAGES
    )


OPTIONS = {
    "targets": 2,
    "distill": 0.5,
    "densities": 1 / 50,
    "bits": None,
    "retrain": Phase(steps=24, lr=3e-3, points=2),
}


@pytest.fixture(scope="module")
def optional(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """An uninterrupted run with every option of the method, and its folder."""
    folder, recipe = tmp_path_factory.mktemp("optional"), toy.recipe(**OPTIONS)
    dataset = toy.dataset()
    return folder, {
        stage: stages.run_stage(stage, recipe, dataset, folder, 0) for stage in stages.STAGES
    }


@pytest.mark.parametrize(
    ("stage", "steps"), [("prune", (5, 12)), ("retrain", (12,)), ("quantize", (0, 24))]
)
def test_with_all_options_it_resumes_to_the_same_result(
    toy: ModuleType, optional: tuple[Path, Trained], tmp_path: Path, stage: str, steps: tuple
) -> None:
    """Stopped while bits are chosen (step 0), around ADMM's iterations and after them."""
    folder, results = optional
    for before in stages.STAGES[: stages.STAGES.index(stage)]:
        (tmp_path / f"{before}.pt").write_bytes((folder / f"{before}.pt").read_bytes())
    recipe, dataset = toy.recipe(**OPTIONS, checkpoint_s=0.0), toy.dataset()

    def stop(at: int, _: str, step: int, *rest: object) -> None:
        if step == at:
            raise KeyboardInterrupt

    for at in steps:
        with pytest.raises(KeyboardInterrupt):
            stages.run_stage(stage, recipe, dataset, tmp_path, 0, functools.partial(stop, at))
    resumed = stages.run_stage(stage, recipe, dataset, tmp_path, 0)
    assert differences(resumed, results[stage]) == []


def test_targets_tighten_and_the_last_is_alpha(optional: tuple[Path, Trained]) -> None:
    _, results = optional
    assert [point["kept"] for point in results["prune"].history] == [8610, 8610]
    assert sum(results["retrain"].kept.values()) == 430_500 // 50
    assert {levels.bits for levels in results["quantize"].levels.values()} <= set(range(1, 9))


def test_every_target_and_every_rho_has_its_turn(toy: ModuleType, tmp_path: Path) -> None:
    phase = Phase(steps=12, lr=1e-3, points=6, rhos=(1e-3, 1e-2))
    recipe = toy.recipe(prune=phase, targets=3)
    for stage in ("dense", "prune"):
        result = stages.run_stage(stage, recipe, toy.dataset(), tmp_path, 0)
    assert [point["rho"] for point in result.history] == [1e-3] * 3 + [1e-2] * 3
    kept = [point["kept"] for point in result.history]  # Z is on the next one's target
    assert kept[0] > kept[1] == kept[2] > kept[3] == kept[4] == kept[5] == 7800


def test_one_phase_may_serve_two(toy: ModuleType, tmp_path: Path) -> None:
    shared = Phase(steps=8, lr=3e-4, points=2, rhos=(1e-2,))
    recipe = toy.recipe(quantize=shared, settle=shared)
    for stage in stages.STAGES:
        result = stages.run_stage(stage, recipe, toy.dataset(), tmp_path, 0)
    assert [point.get("rho") for point in result.history] == [1e-2, 1e-2, None, None]
    assert result.levels.keys() == result.masks.keys()


def test_rhos_make_no_admm_of_plain_training(toy: ModuleType, tmp_path: Path) -> None:
    plain = toy.recipe().dense
    asked = (plain, dataclasses.replace(plain, rhos=(1.0,)))
    one, two = (
        stages.run_stage("dense", toy.recipe(dense=phase), toy.dataset(), tmp_path / str(place), 0)
        for place, phase in enumerate(asked)
    )
    assert not differences(one, two)


def test_an_option_makes_another_stage(toy: ModuleType) -> None:
    dataset, plain = toy.dataset(), toy.recipe()
    changes = {"targets": 2, "distill": 0.5, "densities": 0.5, "bits": None}
    first = {"targets": "prune", "distill": "prune", "densities": "prune", "bits": "quantize"}
    for name, value in changes.items():
        other = dataclasses.replace(plain, **{name: value})
        for stage in stages.STAGES:
            same = stages.STAGES.index(stage) < stages.STAGES.index(first[name])
            one, two = (stages.identity(stage, recipe, dataset, 0) for recipe in (plain, other))
            assert (one == two) == same, (name, stage)


def test_a_finished_stage_is_not_run_again(toy: ModuleType, tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        stages.run_stage(
            "dense", toy.recipe(), toy.dataset(), tmp_path, 0, lambda *step: calls.append(step[1])
        )
    assert calls == list(range(1, toy.recipe().dense.steps + 1))


def test_another_seed_gives_another_result(
    toy: ModuleType, trained: Trained, tmp_path: Path
) -> None:
    other = stages.run_stage("dense", toy.recipe(), toy.dataset(), tmp_path, seed=1)
    assert differences(other, trained["dense"])


# --- bad input --------------------------------------------------------------------------------


def test_divergence_is_told_with_advice(toy: ModuleType, tmp_path: Path) -> None:
    wild = dataclasses.replace(toy.recipe().dense, lr=1e30)
    with pytest.raises(CosignError, match=r"diverged: the loss is .* stage dense; lower --rate"):
        stages.run_stage("dense", toy.recipe(dense=wild), toy.dataset(), tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_rate_multiplies_the_learning_rates(toy: ModuleType, tmp_path: Path) -> None:
    def trained(lr: float, rate: float) -> list[torch.Tensor]:
        asked = toy.recipe(dense=Phase(steps=4, lr=lr, points=1), rate=rate)
        folder = tmp_path / f"{lr}-{rate}"
        network = stages.run_stage("dense", asked, toy.dataset(), folder, 0).network
        return list(network.weights.values())

    assert all(map(torch.equal, trained(1e-2, 0.5), trained(5e-3, 1.0)))
    assert not any(map(torch.equal, trained(1e-2, 0.5), trained(1e-2, 1.0)))


@pytest.mark.parametrize(
    ("optimizer", "lr", "rho"), [("adam", 1.0, 1e-2), ("adam", 1.0, 1e3), ("sgd", 1e-2, 300.0)]
)
def test_a_growing_distance_stops_the_run(
    toy: ModuleType, tmp_path: Path, optimizer: str, lr: float, rho: float
) -> None:
    """A learning rate or a rho far too large; the loss alone would go on."""
    phase = Phase(steps=12, lr=lr, points=6, rhos=(rho,))
    recipe = toy.recipe(prune=phase, optimizer=optimizer)
    stages.run_stage("dense", recipe, toy.dataset(), tmp_path, 0)
    with pytest.raises(CosignError, match=r"diverged: \|\|W-Z\|\| grew .*; lower --rate"):
        stages.run_stage("prune", recipe, toy.dataset(), tmp_path, 0)
    assert not (tmp_path / "prune.pt").exists()


def test_a_stage_needs_the_one_before(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="run prune first"):
        stages.run_stage("retrain", toy.recipe(), toy.dataset(), tmp_path, 0)
    with pytest.raises(CosignError, match="unknown stage 'sparse'"):
        stages.run_stage("sparse", toy.recipe(), toy.dataset(), tmp_path, 0)


def test_results_of_another_run_are_refused(toy: ModuleType, tmp_path: Path) -> None:
    stages.run_stage("dense", toy.recipe(), toy.dataset(), tmp_path, 0)
    with pytest.raises(CosignError, match="another recipe, data set or seed"):
        stages.run_stage("dense", toy.recipe(), toy.dataset(), tmp_path, 1)
    with pytest.raises(CosignError, match="another recipe, data set or seed"):
        stages.run_stage("prune", toy.recipe(batch=8), toy.dataset(), tmp_path, 0)
    other = {**toy.recipe().densities, "conv1": 1.0}  # matters from pruning on only
    stages.run_stage("dense", toy.recipe(densities=other), toy.dataset(), tmp_path, 0)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_damaged_result_is_named(toy: ModuleType, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dense.pt").write_bytes(content)
    with pytest.raises(CosignError, match=r"dense\.pt is damaged"):
        stages.run_stage("dense", toy.recipe(), toy.dataset(), tmp_path, 0)


def test_a_checkpoint_of_another_optimiser_is_named(toy: ModuleType, tmp_path: Path) -> None:
    """Before ADMM's weights had a group of their own, checkpoints had one group in all."""
    dataset = toy.dataset()
    stages.run_stage("dense", toy.recipe(), dataset, tmp_path, 0)

    def stop(_: str, step: int, *__: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run_stage("prune", toy.recipe(checkpoint_s=0.0), dataset, tmp_path, 0, stop)
    file = tmp_path / "prune.checkpoint.pt"
    owner = stages.identity("prune", toy.recipe(), dataset, 0)
    state = checkpoint.load(file, owner)
    first, second = state["optimizer"]["param_groups"]
    state["optimizer"]["param_groups"] = [{**first, "params": first["params"] + second["params"]}]
    del state["identity"]
    checkpoint.save(file, state, owner)
    with pytest.raises(CosignError, match=r"earlier version .* stage prune begins anew"):
        stages.run_stage("prune", toy.recipe(), dataset, tmp_path, 0)


def test_data_must_fit_the_network(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="toy has 10 classes of"):
        stages.run_stage("dense", recipe("alexnet", 12), toy.dataset(), tmp_path, 0)


# --- recipes ----------------------------------------------------------------------------------


def test_filters_with_intervals_of_their_own_settle_by_one_factor(toy: ModuleType) -> None:
    torch.manual_seed(0)
    network = Network(toy.recipe().spec)
    rng = np.random.default_rng(0)
    levels = {
        name: Levels(
            rng.integers(-4, 5, weight.shape, np.int8), rng.uniform(0.01, 0.02, len(weight)), 3
        )
        for name, weight in network.weights.items()
    }
    masks = {name: torch.from_numpy(each.values != 0) for name, each in levels.items()}
    regime = SettleRegime(network, masks, levels)
    optimizer = torch.optim.SGD(regime.parameters(), 0.1)
    network(
        to_input(toy.dataset(), toy.dataset().train.images(np.arange(16)))
    ).square().sum().backward()
    slopes = {name: float((w.grad * w.detach()).sum()) for name, w in network.weights.items()}
    regime.after_backward(optimizer)
    optimizer.step()
    regime.after_step()
    for name, now in regime.levels.items():
        np.testing.assert_allclose(now.q, levels[name].q * np.exp(-0.1 * slopes[name]), rtol=1e-5)
        np.testing.assert_array_equal(network.weights[name].detach().numpy(), now.weights)
    state = regime.state_dict()
    again = SettleRegime(network, masks, SettleRegime.levels_of(state))
    again.load_state_dict(state)
    for name, now in regime.levels.items():
        np.testing.assert_array_equal(again.levels[name].q, now.q)


def test_a_layer_of_density_0_goes_through_all_stages(toy: ModuleType, tmp_path: Path) -> None:
    """It has its biases, on images as without, and nothing else."""
    densities = toy.recipe().densities | {"fc1": 0.0}
    breaks = {"conv1": None, "conv2": 1.5, "fc1": 4.0, "fc2": 2.0}
    for calibration in (0, 32):
        asked = toy.recipe(
            densities=densities, calibration=calibration, break_even=breaks, rounds=1
        )
        folder = tmp_path / str(calibration)
        folder.mkdir()
        for stage in stages.STAGES:
            result = stages.run_stage(stage, asked, toy.dataset(), folder, 0)
        assert not result.levels["fc1"].values.any()
        model = export(result, toy.dataset())
        layer = container.from_bytes(container.to_bytes(model)).layers[2]
        assert (layer.name, layer.nnz, layer.dead) == ("fc1", 0, 500)
        assert layer.bias.any()
