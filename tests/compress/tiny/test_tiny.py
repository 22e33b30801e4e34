"""Training on the non-zeros: kernels against torch, the surgeon against the closed form."""

from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress.tiny import kernels, surgeon
from compress.tiny.expand import compressed, expand
from compress.tiny.network import SparseNetwork
from compress.tiny.run import Sparse
from compress.tiny.samples import Motion, Samples
from compress.tiny.surgeon import Surgeon, regrow

SHARE, TEMPERATURE = 0.7, 3.0


@pytest.fixture(scope="module")
def samples(toy: ModuleType) -> Samples:
    split = toy.dataset().train
    pixels = split.images(np.arange(64))[:, 0]
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(10), 64).astype(np.float32)
    return Samples(pixels, split.labels[:64], soft, 64, (0.01, 1.2), SHARE, TEMPERATURE)


def random_network(seed: int, density: float, widths: tuple[int, int, int]) -> SparseNetwork:
    rng = np.random.default_rng(seed)
    conv1, conv2, fc1 = widths
    shapes = [(conv1, 1, 5, 5), (conv2, conv1, 5, 5), (fc1, conv2 * 16), (10, fc1)]
    masks = [rng.random(shape) < density for shape in shapes]
    count = sum(int(mask.sum()) for mask in masks) + sum(len(mask) for mask in masks)
    theta = (0.3 * rng.standard_normal(count)).astype(np.float32)
    filters = [
        np.sort(rng.permutation(of)[:n]) for n, of in zip(widths, (20, 50, 500), strict=True)
    ]
    return SparseNetwork(masks, theta, filters, np.zeros_like(theta), np.zeros_like(theta))


def reference(network: SparseNetwork, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Logits and the loss' gradient, by torch on dense weights."""
    dense = [torch.tensor(p) for part in network.dense(network.theta) for p in part]
    for parameter in dense:
        parameter.requires_grad_()
    w, b = dense[:4], dense[4:]
    scale, shift = samples.scale_shift
    x = torch.from_numpy(samples.images[:, None] * np.float32(scale) - np.float32(shift))
    x = functional.max_pool2d(functional.conv2d(x, w[0], b[0]), 2).relu()
    x = functional.max_pool2d(functional.conv2d(x, w[1], b[1]), 2).relu()
    logits = functional.linear(functional.linear(x.flatten(1), w[2], b[2]).relu(), w[3], b[3])
    hard = functional.cross_entropy(logits, torch.from_numpy(samples.labels))
    soft = functional.kl_div(
        functional.log_softmax(logits / TEMPERATURE, 1),
        torch.from_numpy(samples.soft),
        reduction="batchmean",
    )
    ((1 - SHARE) * hard + SHARE * TEMPERATURE**2 * soft).backward()
    grads = [p.grad.numpy() for p in dense if p.grad is not None]
    kept = [grad[mask] for grad, mask in zip(grads, network.masks, strict=False)]
    return logits.detach().numpy(), np.concatenate([*kept, *grads[4:]])


@pytest.mark.parametrize(("seed", "density"), [(0, 1.0), (1, 0.3), (2, 0.05)])
def test_kernels_compute_what_torch_does(samples: Samples, seed: int, density: float) -> None:
    network = random_network(seed, density, (3, 5, 7))
    logits, gradient = reference(network, samples)
    np.testing.assert_allclose(network.logits(samples), logits, rtol=1e-4, atol=1e-4)
    found = network.gradients(samples, np.arange(64)[None])[0]
    np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())


def test_training_learns_and_leaves_settled_weights_alone(samples: Samples) -> None:
    network = random_network(3, 0.5, (4, 6, 12))
    network.levels[::2] = 1
    before = network.copy()
    batches = samples.batches(np.random.default_rng(0), 150, 32)
    rates = np.full(150, 3e-3, np.float32)
    first = network.train(samples, batches[:5], rates[:5])
    assert network.train(samples, batches[5:], rates[5:]) < first
    assert network.steps == 150
    stay = np.flatnonzero(network.settled)
    np.testing.assert_array_equal(network.theta[stay], before.theta[stay])
    moved = network.theta[: network.nnz][~network.settled] != before.theta[: network.nnz][1::2]
    assert moved.mean() > 0.5  # dead neurons get no gradient


def test_cut_keeps_the_function_and_drops_the_dead(samples: Samples) -> None:
    network = random_network(4, 0.2, (5, 8, 20))
    network.theta[network.nnz :] = 0  # a dead neuron's constant is then zero
    keep = np.random.default_rng(0).random(network.nnz) < 0.3
    zeroed = network.copy()
    zeroed.theta[: network.nnz][~keep] = 0
    small = network.cut(keep)
    assert small.nnz <= keep.sum()
    np.testing.assert_allclose(small.logits(samples), zeroed.logits(samples), atol=1e-4)
    for mask in small.masks[:3]:
        assert mask.reshape(len(mask), -1).any(axis=1).all()
    assert small.masks[1].any(axis=(0, 2, 3)).all()
    assert small.masks[3].any(axis=0).all()


def test_regrown_weights_change_nothing_and_follow_the_gradient(samples: Samples) -> None:
    network = random_network(5, 0.2, (4, 6, 10))
    grown = regrow(network, samples, np.random.default_rng(0), 40)
    assert grown.nnz == network.nnz + 40
    np.testing.assert_allclose(grown.logits(samples), network.logits(samples), atol=1e-4)
    everything = network.grown([np.ones_like(mask) for mask in network.masks])
    gradient = np.abs(everything.gradients(samples, np.arange(64)[None])[0][: everything.nnz])
    old = np.concatenate([mask.reshape(-1) for mask in network.masks])
    new = np.concatenate([mask.reshape(-1) for mask in grown.masks]) & ~old
    assert gradient[new].mean() > 3 * gradient[~old & ~new].mean()


def curvature(network: SparseNetwork, seed: int) -> np.ndarray:
    factors = np.random.default_rng(seed).standard_normal(
        (3 * len(network.theta), len(network.theta))
    )
    return factors.T @ factors / len(factors) + 0.1 * np.eye(len(network.theta))


def test_surgeon_makes_up_for_what_it_prunes() -> None:
    """Afterwards the other parameters are the minimum of the quadratic loss."""
    network = random_network(6, 0.1, (3, 4, 6))
    h, before = curvature(network, 0), network.theta.astype(np.float64)
    patient = network.copy()
    keep = Surgeon(patient, np.arange(len(before)), np.linalg.inv(h)).prune(network.nnz // 2)
    assert keep.sum() == network.nnz // 2
    gone = np.flatnonzero(~keep)
    rest = np.setdiff1d(np.arange(len(before)), gone)
    best = before[rest] + np.linalg.solve(
        h[np.ix_(rest, rest)], h[np.ix_(rest, gone)] @ before[gone]
    )
    np.testing.assert_allclose(patient.theta[rest], best, atol=1e-5)
    assert not patient.theta[gone].any()

    def cost(theta: np.ndarray) -> float:
        return float((theta - before) @ h @ (theta - before))

    magnitude = before.copy()
    magnitude[np.argsort(np.abs(before[: network.nnz]))[: len(gone)]] = 0
    assert cost(patient.theta) < cost(magnitude)


def test_surgeon_makes_up_for_what_it_rounds() -> None:
    network = random_network(7, 0.1, (3, 4, 6))
    network.levels[:5] = 1
    settled = np.flatnonzero(network.settled)
    free = np.setdiff1d(np.arange(len(network.theta)), settled)
    h = curvature(network, 1)[np.ix_(free, free)]
    before = network.theta.astype(np.float64)
    q, bits = np.full(network.nnz, 0.11), np.full(network.nnz, 3)
    patient = network.copy()
    done = Surgeon(patient, free, np.linalg.inv(h)).round(network.nnz // 3, q, bits)
    assert len(done) == network.nnz // 3
    np.testing.assert_array_equal(patient.theta[settled], network.theta[settled])
    levels = patient.levels[done]
    np.testing.assert_array_equal(patient.theta[done], (levels * 0.11).astype(np.float32))
    assert set(np.abs(levels)) <= {1, 2, 3, 4}
    np.testing.assert_array_equal(
        np.flatnonzero(patient.settled), np.sort(np.append(settled, done))
    )
    at, rest = np.isin(free, done), ~np.isin(free, done)
    move = h[np.ix_(rest, at)] @ (patient.theta[free][at] - before[free][at])
    best = before[free][rest] - np.linalg.solve(h[np.ix_(rest, rest)], move)
    np.testing.assert_allclose(patient.theta[free][rest], best, atol=1e-5)


def test_prepared_surgeon_inverts_the_damped_fisher_information(samples: Samples) -> None:
    network = random_network(8, 0.1, (3, 4, 6))
    network.levels[:3] = 1
    made = Surgeon.prepare(network, samples, np.random.default_rng(0))
    picked = np.random.default_rng(0).integers(0, 64, (surgeon._GROUPS, 16))
    gradients = network.gradients(samples, picked)[:, made.free].astype(np.float64)
    fisher = gradients.T @ gradients / len(gradients)
    fisher += np.eye(len(fisher)) * (surgeon._DAMPING * np.diag(fisher).mean() + 1e-12)
    assert made.free[0] == 3
    np.testing.assert_allclose(made.inverse @ fisher, np.eye(len(fisher)), atol=1e-2)


def test_warp_moves_as_told(samples: Samples) -> None:
    images = samples.images[:4]
    maps = np.tile(np.array([1, 0, 0, 0, 1, 0], np.float32), (4, 1))
    np.testing.assert_allclose(kernels.warp(images, maps, 2.0, 1.0), images * 2.0 - 1.0, atol=1e-3)
    maps[:, 2] = 3  # shows what lies three pixels further right
    moved = kernels.warp(images, maps, 1.0, 0.0)
    np.testing.assert_allclose(moved[:, :, :-3], images[:, :, 3:], atol=1e-3)
    assert not moved[:, :, -3:].any()
    drawn = Motion(5, 0.1, 0.05, 1.0).draw(np.random.default_rng(0), 1000)
    assert np.abs(drawn[:, [2, 5]]).max() <= 1
    assert np.allclose(drawn[:, [0, 4]].mean(), 1, atol=0.02)


def test_expanded_network_is_the_same_function(samples: Samples) -> None:
    network = random_network(9, 0.3, (4, 6, 10))
    whole = expand(network)
    scale, shift = samples.scale_shift
    x = torch.from_numpy(samples.images[:, None] * np.float32(scale) - np.float32(shift))
    with torch.no_grad():
        np.testing.assert_allclose(whole(x).numpy(), network.logits(samples), atol=1e-4)
    assert sum(int((w != 0).sum()) for w in whole.weights.values()) == network.nnz


def test_integers_have_the_levels_in_their_places(toy: ModuleType) -> None:
    """Not what the weights, moved a little here, would be rounded to."""
    network = random_network(10, 0.3, (4, 6, 10))
    rng = np.random.default_rng(1)
    network.levels[:] = rng.integers(1, 5, network.nnz) * rng.choice([-1, 1], network.nnz)
    q, bits = np.array([0.25, 0.125, 0.5, 0.25]), (3, 3, 3, 3)
    network.theta[: network.nnz] = 1.6 * network.levels * q[network.layer_of]
    model = compressed(Sparse(network.nnz, network, q, bits), toy.dataset())
    whole = expand(network)
    for number, layer in enumerate(model.layers):
        weights = whole.weights[layer.name].detach().numpy().reshape(len(layer.bias), -1)
        np.testing.assert_array_equal(layer.dense_levels(), np.rint(weights / 1.6 / q[number]))
        assert set(layer.q) == {q[number]}


def test_the_kernels_leave_the_process_its_subnormal_numbers() -> None:
    kernels.library()
    image = np.zeros((1, 28, 28), np.uint8)
    kernels.warp(image, np.array([[1, 0, 0, 0, 1, 0]], np.float32), 1.0, 0.0)
    assert np.nextafter(0.0, 1.0) > 0
