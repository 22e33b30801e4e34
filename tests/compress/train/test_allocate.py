"""Fig. 5's rounds: on invented accuracies, against their promises; on networks really trained."""

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.train import evaluation, stages
from compress.train.allocate import HALVINGS, Constraints, Keep, Round, allocate
from compress.train.results import StageResult
from cosign import CosignError

LAYERS = ("a", "b", "c", "d")


@st.composite
def problems(draw: st.DrawFn) -> tuple[Keep, Constraints, dict[str, float]]:
    """Kept weights, constraints, and what a layer costs in accuracy when nothing of it is left."""
    weights = {name: draw(st.integers(1, 5000)) for name in LAYERS}
    ratios = st.one_of(st.none(), st.floats(1, 50))
    constraints = Constraints(
        weights=weights,
        macs={name: draw(st.integers(1, 10**9)) for name in LAYERS},
        # d is not executed by the hardware
        break_even={name: draw(ratios) for name in LAYERS[:3]},
        bound=draw(st.floats(0, 1)),
        rounds=draw(st.integers(0, 5)),
    )
    keep = {name: draw(st.integers(1, weights[name])) for name in LAYERS}
    return keep, constraints, {name: draw(st.floats(0, 0.5)) for name in LAYERS}


class Accuracy:
    """An accuracy that falls with every weight taken away; counts how often it was asked."""

    def __init__(self, constraints: Constraints, costs: dict[str, float]) -> None:
        self.weights, self.costs = constraints.weights, costs
        self.asked: list[Keep] = []

    def of(self, keep: Keep) -> float:
        lost = (self.costs[n] * (1 - keep[n] / self.weights[n]) ** 2 for n in LAYERS)
        return max(0.0, 1.0 - sum(lost))

    def train(self, keep: Keep, state: Keep) -> tuple[float, Keep]:
        """The state is what the network keeps: the caller must go on from the last one taken."""
        self.asked.append(keep)
        return self.of(keep), dict(keep)


def run(problem: tuple[Keep, Constraints, dict[str, float]]) -> tuple[list[Round], Keep, Accuracy]:
    keep, constraints, costs = problem
    accuracy = Accuracy(constraints, costs)
    rounds, state = allocate(keep, accuracy.of(keep), dict(keep), constraints, accuracy.train)
    return rounds, state, accuracy


@given(problems())
def test_no_layer_ends_between_dense_and_its_break_even(problem) -> None:
    _, constraints, _ = problem
    rounds, state, _ = run(problem)
    for name, needed in constraints.break_even.items():
        ratio = constraints.weights[name] / state[name]
        assert ratio == 1 or (needed is not None and ratio >= needed)
    assert rounds[-1].keep == state


@given(problems())
def test_layers_only_lose_weights_or_become_dense_for_good(problem) -> None:
    keep, constraints, _ = problem
    dense: set[str] = set()
    for this in run(problem)[0]:
        for name, ratio in this.restored.items():
            assert ratio == constraints.weights[name] / keep[name] > 1
            assert name in constraints.break_even
        dense |= set(this.restored)
        for name, count in this.keep.items():
            whole = constraints.weights[name]
            assert count == whole if name in dense or keep[name] == whole else count <= keep[name]
            assert count >= 1
        keep = this.keep


@given(problems())
def test_weights_go_only_where_the_bound_allows(problem) -> None:
    keep, constraints, costs = problem
    accuracy = Accuracy(constraints, costs)
    for this in run(problem)[0]:
        assert this.accuracy == accuracy.of(this.keep)
        if any(this.keep[name] < keep[name] for name in keep):
            assert this.accuracy >= constraints.bound
        for trial in this.trials[len(this.restored) > 0 :]:
            assert trial.taken == (trial.accuracy >= constraints.bound)
        keep = this.keep


@given(problems())
def test_a_rounds_search_ends_and_finds_the_best_of_its_grid(problem) -> None:
    """Against trying every share of the grid, in the first round."""
    keep, constraints, _ = problem
    rounds, _, accuracy = run(problem)
    assert len(rounds) <= max(1, constraints.rounds) + len(constraints.break_even)
    assert len(accuracy.asked) <= len(LAYERS) + constraints.rounds * (1 + HALVINGS)
    if constraints.rounds == 0 or accuracy.of(keep) < constraints.bound:
        assert rounds[0].keep == keep
        return
    grid = [constraints.step(keep, part / 2**HALVINGS) for part in range(2**HALVINGS + 1)]
    allowed = [wanted for wanted in grid if accuracy.of(wanted) >= constraints.bound]
    assert rounds[0].keep == min(allowed, key=lambda wanted: sum(wanted.values()))


@given(problems())
def test_densities_fall_in_proportion_to_the_macs(problem) -> None:
    keep, constraints, _ = problem
    taken = constraints.step(keep, 1.0)
    sparse = [name for name in LAYERS if keep[name] < constraints.weights[name]]
    assert all(taken[name] == keep[name] for name in set(LAYERS) - set(sparse))
    drops = {n: (keep[n] - taken[n]) / constraints.weights[n] for n in sparse}
    for name, drop in drops.items():
        assert 2 * taken[name] >= keep[name]
        for other in sparse:
            share = constraints.macs[name] / constraints.macs[other]
            rounding = 1 / constraints.weights[name] + share / constraints.weights[other]
            assert abs(drop - share * drops[other]) <= rounding + 1e-9


def test_slack_of_a_restored_layer_goes_to_the_others() -> None:
    """b must be 4x and is 2x: dense again, it gives back the accuracy that lets a go on."""
    constraints = Constraints(
        weights={"a": 1000, "b": 1000},
        macs={"a": 3, "b": 1},
        break_even={"a": 1.2, "b": 4.0},
        bound=0.90,
        rounds=3,
    )

    def accuracy(keep: Keep, state: None) -> tuple[float, None]:
        return 1 - (1000 - keep["a"]) * 2e-4 - (1000 - keep["b"]) * 1e-4, None

    start = {"a": 700, "b": 500}
    rounds, _ = allocate(start, accuracy(start, None)[0], None, constraints, accuracy)
    assert [this.restored for this in rounds] == [{}, {"b": 2.0}, {}]
    assert [this.keep["b"] for this in rounds] == [500, 1000, 1000]
    assert rounds[0].keep == start  # 0.89 is below the bound: nothing to spend yet
    assert rounds[1].trials[0].accuracy == pytest.approx(0.94)
    assert rounds[1].keep["a"] == 700 - 700 // 2 // 2
    assert rounds[2].keep == rounds[1].keep


# --- networks that are really trained ---------------------------------------------------------

BREAK_EVEN = {"conv1": 3.0, "conv2": 1.5, "fc1": 4.0, "fc2": None}


def steered(toy: ModuleType, **changes: object) -> object:
    recipe = toy.recipe(break_even=BREAK_EVEN, accuracy_loss=0.1, rounds=2, **changes)
    return dataclasses.replace(recipe, allocate=dataclasses.replace(recipe.allocate, steps=30))


@pytest.fixture(scope="module")
def allocated(
    toy: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, StageResult]]:
    folder = tmp_path_factory.mktemp("allocated")
    results = {
        stage: stages.run_stage(stage, steered(toy), toy.dataset(), folder, 0)
        for stage in stages.STAGES
    }
    return folder, results


def test_the_networks_follow_the_rounds(toy: ModuleType, allocated) -> None:
    folder, results = allocated
    result, keep = results["allocate"], toy.recipe().keep
    weights = {name: mask.numel() for name, mask in result.masks.items()}
    # 2.5x < 3x and never: dense from the second round on; 87x and 10x are above.
    assert set(result.history[1]["restored"]) == {"conv1", "fc2"}
    last = result.history[-1]
    assert {name: int(mask.sum()) for name, mask in result.masks.items()} == last["keep"]
    assert last["keep"]["conv1"] == weights["conv1"]
    assert last["keep"]["fc1"] <= keep["fc1"]
    assert result.accuracy == last["accuracy"]
    assert result.accuracy == evaluation.evaluate(result.network, toy.dataset(), toy.dataset().val)
    for name, mask in result.masks.items():
        assert not result.network.weights[name][~mask].any()
        assert torch.equal(results["quantize"].masks[name], mask)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{stage}.pt" for stage in stages.STAGES
    )


def test_stopped_between_and_in_trials_it_ends_in_the_same_network(
    toy: ModuleType, allocated, tmp_path: Path
) -> None:
    folder, results = allocated
    for stage in ("dense", "prune", "retrain"):
        (tmp_path / f"{stage}.pt").write_bytes((folder / f"{stage}.pt").read_bytes())

    def stop_at(name: str, step: int) -> None:
        def report(stage: str, done: int, *_: object) -> None:
            if (stage, done) == (name, step):
                raise KeyboardInterrupt

        recipe = steered(toy, checkpoint_s=0.0)
        with pytest.raises(KeyboardInterrupt):
            stages.run_stage("allocate", recipe, toy.dataset(), tmp_path, 0, report)

    stop_at("allocate 1", 7)
    stop_at("allocate 2", 1)
    stop_at("allocate 2", 30)
    again = stages.run_stage("allocate", steered(toy), toy.dataset(), tmp_path, 0)
    assert again.history == results["allocate"].history
    for name, weight in again.network.weights.items():
        assert torch.equal(weight, results["allocate"].network.weights[name])


def test_without_break_even_the_densities_stay(toy: ModuleType, trained) -> None:
    assert trained["allocate"].history == []
    for name, weight in trained["allocate"].network.weights.items():
        assert torch.equal(weight, trained["retrain"].network.weights[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"break_even": {"conv9": 2.0}}, "no layer 'conv9'"),
        ({"break_even": {"conv1": 0.5}}, "conv1: break-even ratio is 0.5"),
        ({"break_even": {"conv1": float("nan")}}, "conv1: break-even ratio is nan"),
        ({"accuracy_loss": 1.5}, "accuracy_loss is 1.5"),
        ({"rounds": -1}, "rounds is -1"),
        ({"calibration": -1}, "calibration is -1"),
    ],
)
def test_recipes_refuse_nonsense(toy: ModuleType, changes, message) -> None:
    with pytest.raises(CosignError, match=message):
        toy.recipe(**changes)
