"""Layer-wise ADMM against exhaustive search and direct least squares on small problems."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compress.admm import layerwise, projections
from compress.admm.constraints import largest
from compress.model.levels import max_level


def task_of(
    x: Tensor,
    weight: Tensor,
    y: Tensor | None = None,
    *,
    wide: bool = False,
    importance: Tensor | None = None,
) -> layerwise.Problem:
    """The problem of inputs [g, n, columns], W [g, out, columns], answers [g, n, out]."""
    answers = x @ weight.mT if y is None else y
    x = x - x.mean(1, keepdim=True)
    centred = answers - answers.mean(1, keepdim=True)
    n = x.shape[1]
    cross = (centred - x @ weight.mT).mT @ x / n
    square = centred.double().square().sum(1) / n
    if wide:
        return layerwise.problem(weight, x / n**0.5, None, cross, square, importance)
    return layerwise.problem(weight, None, x.mT @ x / n, cross, square, importance)


def correlated(seed: int, groups: int, n: int, columns: int) -> Tensor:
    """Inputs with correlated columns of different scales and means."""
    torch.manual_seed(seed)
    mixed = torch.randn(groups, n, columns) @ torch.randn(columns, columns)
    return mixed * torch.rand(columns) + torch.randn(columns)


def random_task(seed: int, groups: int = 1, out: int = 4, columns: int = 10) -> layerwise.Problem:
    x = correlated(seed, groups, 200, columns)
    weight = torch.randn(groups, out, columns)
    noise = 0.1 * torch.randn(groups, 200, out)
    return task_of(x, weight, x @ weight.mT + noise)


def test_the_loss_is_the_error_of_the_answers() -> None:
    x, weight = correlated(0, 2, 50, 6), torch.randn(2, 3, 6)
    y = torch.randn(2, 50, 3)
    task = task_of(x, weight, y)
    z = torch.randn(2, 3, 6)
    centred = x - x.mean(1, keepdim=True)
    error = y - y.mean(1, keepdim=True) - centred @ (z / task.scale).mT
    damping = layerwise.DAMPING * (z - weight * task.scale).square().sum()
    expected = float(error.square().sum() / 50 + damping)
    assert task.loss(z) == pytest.approx(expected, rel=1e-4)
    assert task.loss(torch.zeros_like(z)) == pytest.approx(task.energy)


def test_few_rows_are_the_same_problem() -> None:
    """Woodbury's and the other short cuts against the matrix itself."""
    x, weight = correlated(1, 2, 8, 20), torch.randn(2, 3, 20)
    short, full = task_of(x, weight, wide=True), task_of(x, weight)
    b = torch.randn(2, 3, 20)
    assert short.gram is None
    assert torch.allclose(short.goal, full.goal, atol=1e-3)
    assert torch.allclose(short.times(b), full.times(b), atol=1e-3)
    for part in (slice(0, 20), slice(7, 12)):
        assert torch.allclose(short.gram_columns(part), full.gram_columns(part), atol=1e-4)
    assert torch.allclose(short.solver(1.0)(b), full.solver(1.0)(b), atol=1e-3)
    assert torch.allclose(full.solver(1.0)(full.times(b) + b), b, atol=1e-3)


def test_far_closer_than_magnitude_to_the_best_of_all_supports() -> None:
    """Against exhaustive search, 3 of 8 columns kept; the share of the answers lost beyond it."""
    beyond = []
    for seed in range(40):
        task = random_task(seed, out=1, columns=8)
        errors = [lost(task, support) for support in combinations(range(8), 3)]
        found = layerwise.prune(task, 3)
        magnitudes = (task.weight / task.scale)[0, 0].abs().topk(3).indices.tolist()
        assert task.loss(found) >= min(errors) - 1e-3 * task.energy
        best = np.array([task.loss(found), lost(task, magnitudes)]) - min(errors)
        beyond.append(best / task.energy)
    ours, magnitude = np.mean(beyond, axis=0)
    assert ours < 0.04
    assert ours < 0.25 * magnitude


def lost(task: layerwise.Problem, support: Sequence[int]) -> float:
    """The least loss of one filter with weights in these columns alone."""
    chosen = list(support)
    gram = task.gram_columns(slice(None))[0].double()
    goal = task.goal[0, 0, chosen].double()
    return task.energy - float(goal @ torch.linalg.solve(gram[chosen][:, chosen], goal))


def test_columns_that_say_the_same_are_merged() -> None:
    """Of four equal columns one stays and speaks for all."""
    x = torch.randn(1, 100, 1).expand(1, 100, 4) * torch.tensor([1.0, 2.0, 1.0, 1.0])
    task = task_of(x, torch.ones(1, 1, 4))
    z = layerwise.prune(task, 1)
    assert int((z != 0).sum()) == 1
    assert task.loss(z) < 0.05 * task.energy


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), groups=st.integers(1, 2), share=st.floats(0.1, 1.0))
def test_invariants_of_pruning(seed: int, groups: int, share: float) -> None:
    """As many non-zeros as asked; no worse than the magnitudes' own values on their support."""
    task = random_task(seed, groups)
    keep = max(1, round(share * task.weight.numel()))
    z = layerwise.prune(task, keep)
    assert int((z != 0).sum()) <= keep
    mask = largest(task.weight, keep)
    fitted = layerwise.least_squares(task, mask, task.weight)
    plain = torch.where(mask, task.weight, 0.0)
    assert bool((fitted[~mask] == 0).all())
    assert task.loss(fitted) <= task.loss(plain) + 1e-4 * task.energy


def test_least_squares_is_that_of_a_direct_solver() -> None:
    """Six columns, six steps of conjugate gradients: exact, on another support for every filter."""
    task = random_task(3, out=5, columns=layerwise.DESCENTS)
    mask = torch.rand(task.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[:, 0] = False
    found = layerwise.least_squares(task, mask, task.weight)
    for row in range(5):
        chosen = mask[0, row]
        expected = torch.zeros(layerwise.DESCENTS)
        gram = task.gram_columns(slice(None))[0][chosen][:, chosen]
        expected[chosen] = torch.linalg.solve(gram, task.goal[0, row, chosen])
        assert torch.allclose(found[0, row], expected, atol=1e-2)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), bits=st.integers(1, 8), share=st.floats(0.2, 1.0))
def test_invariants_of_quantisation(seed: int, bits: int, share: float) -> None:
    """Levels of n bits where there were weights, and no more error than the nearest levels."""
    task = random_task(seed)
    z = layerwise.prune(task, max(1, round(share * task.weight.numel())))
    q = projections.best_interval((z / task.scale)[z != 0].numpy(), bits)
    levels, fitted = layerwise.quantize(task, z, z != 0, q, bits)
    magnitude = levels.abs()
    assert bool(((levels != 0) == (z != 0)).all())
    assert levels.dtype == torch.int8
    assert int(magnitude.max()) <= max_level(bits)
    nearest = layerwise.nearest(z / (q * task.scale), bits, z != 0)
    before, after = nearest * (q * task.scale), levels * (fitted * task.scale)
    assert task.loss(after) <= task.loss(before) + 1e-4 * task.energy


def test_the_last_column_has_its_best_level() -> None:
    """What coordinate descent looked at last cannot be improved by any other level."""
    task = random_task(5, out=6)
    mask = torch.ones_like(task.weight, dtype=torch.bool)
    q, bits = torch.tensor(0.3), 3
    levels = layerwise.nearest(task.weight / (q * task.scale), bits, mask)
    layerwise.sweep(task, levels, mask, q, bits)
    settled = task.loss(levels * (q * task.scale))
    for row in range(6):
        for level in np.delete(np.arange(-4, 5), 4):
            other = levels.clone()
            other[0, row, -1] = int(level)
            assert task.loss(other * (q * task.scale)) >= settled - 1e-4 * task.energy


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), bits=st.integers(1, 8))
def test_filters_have_intervals_of_their_own(seed: int, bits: int) -> None:
    """Zero among the levels, and no filter with more error than its nearest levels."""
    task = random_task(seed, groups=2, out=3)
    z = layerwise.prune(task, 40)
    start = layerwise.intervals(z / task.scale, task.scale, bits, 1e-9)
    mask = z != 0
    before = layerwise.nearest(z / (start * task.scale), bits, mask, zeros=True)
    levels, fitted = layerwise.quantize(task, z, mask, start, bits, zeros=True)
    assert fitted.shape == (2, 3, 1)
    assert not bool((levels[~mask] != 0).any())
    assert int(levels.abs().max()) <= max_level(bits)
    for row in np.ndindex(2, 3):
        only = torch.zeros_like(z)
        losses = []
        for some, q in ((before, start), (levels, fitted)):
            only[row] = (some * (q * task.scale))[row]
            losses.append(task.loss(only))
        assert losses[1] <= losses[0] + 1e-4 * task.energy


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), bits=st.integers(1, 8), spread=st.floats(0, 4))
def test_intervals_of_filters_are_near_the_best(seed: int, bits: int, spread: float) -> None:
    """Against many times as many candidates, each tried on its own."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(3, 400)) * 10 ** rng.uniform(-spread, spread, (3, 1))
    scale = rng.uniform(0.5, 2, 400)
    found = layerwise.intervals(torch.tensor(weights), torch.tensor(scale), bits, 0.0).numpy()
    top = max_level(bits)

    def error(row: np.ndarray, q: float) -> float:
        return float(np.square((np.clip(np.rint(row / q), -top, top) * q - row) * scale).sum())

    for row, q in zip(weights, found[:, 0], strict=True):
        candidates = np.abs(row).max() / top * np.linspace(0.05, 1, 400)
        best = min(error(row, candidate) for candidate in candidates)
        assert error(row, q) <= 1.4 * best


def test_no_interval_is_below_the_least() -> None:
    weights = torch.tensor([[0.0, 0.0], [1e-9, -2e-9], [1.0, 2.0]])
    found = layerwise.intervals(weights, 1.0, 4, 1e-3)[:, 0]
    assert found[:2].tolist() == pytest.approx([1e-3, 1e-3])
    assert found[2] == pytest.approx(0.25, rel=0.3)


def test_dead_columns_are_given_up_first() -> None:
    """A column that is always the same tells nothing: the bias has it."""
    x = correlated(2, 1, 100, 6)
    x[:, :, 2:4] = 7.0
    torch.manual_seed(0)
    task = task_of(x, torch.ones(1, 4, 6) + 0.2 * torch.randn(1, 4, 6))
    z = layerwise.prune(task, 16)
    assert bool((z[:, :, 2:4] == 0).all())
    assert task.loss(z) < 0.02 * task.energy


def test_weights_of_columns_that_hardly_vary_do_not_grow() -> None:
    """Whatever rounding says of them: the images are few, and in others they may vary."""
    x = correlated(3, 1, 60, 900)
    x[:, :, ::3] *= 1e-3
    weight = torch.randn(1, 8, 900)
    task = task_of(x, weight)
    pruned = layerwise.prune(task, 800) / task.scale
    assert float(pruned.abs().max()) < 3 * float(weight.abs().max())


@pytest.mark.parametrize("wide", [False, True])
def test_importance_multiplies_the_errors_of_a_filter(wide: bool) -> None:
    """Loss and energy are sums over filters by themselves, each times its importance squared."""
    x, weight, y = correlated(0, 1, 12, 20), torch.randn(1, 3, 20), torch.randn(1, 12, 3)
    importance = torch.tensor([0.1, 1.0, 3.0]).reshape(1, 3, 1)
    task = task_of(x, weight, y, wide=wide, importance=importance)
    z = torch.randn(1, 3, 20)
    parts = [task_of(x, weight[:, [f]], y[:, :, [f]], wide=wide) for f in range(3)]
    counts = importance.flatten().square().tolist()
    energy = sum(c * part.energy for c, part in zip(counts, parts, strict=True))
    loss = sum(
        c * part.loss(z[:, [f]] / task.scale[:, [f]] * part.scale)
        for f, (c, part) in enumerate(zip(counts, parts, strict=True))
    )
    assert task.energy == pytest.approx(energy, rel=1e-4)
    assert task.loss(z) == pytest.approx(loss, rel=1e-4)


def test_weights_go_where_they_are_important() -> None:
    """Of two equal filters the important one keeps more, and the weighted error is less for it."""
    x, weight = correlated(3, 1, 200, 12), torch.randn(1, 1, 12).expand(1, 2, 12).contiguous()
    importance = torch.tensor([1.0, 10.0]).reshape(1, 2, 1)
    task, alike = task_of(x, weight, importance=importance), task_of(x, weight)
    z, other = layerwise.prune(task, 10), layerwise.prune(alike, 10)
    assert int((z[0, 1] != 0).sum()) > int((z[0, 0] != 0).sum())
    assert task.loss(z) < 0.9 * task.loss(other / alike.scale * task.scale)
