"""The ADMM updates on problems whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compress.admm.constraints import prune_projection
from compress.admm.state import Admm, groups


def keep_one(_: str, tensor: Tensor) -> Tensor:
    return prune_projection({"w": 1})("w", tensor)


def weights(*values: float) -> dict[str, nn.Parameter]:
    return {"w": nn.Parameter(torch.tensor(values))}


def descent(network: dict[str, nn.Parameter], lr: float) -> torch.optim.SGD:
    """A step subtracts lr times the gradient."""
    return torch.optim.SGD(groups(network.values(), network.values()), lr)


def test_added_gradient_is_that_of_the_squared_penalty() -> None:
    network = weights(1.0, -2.0, 0.5)
    network["bias"] = nn.Parameter(torch.tensor([5.0]))
    w, bias = network.values()
    admm = Admm({"w": w}, keep_one, rho=7.0)
    optimizer = torch.optim.SGD(groups([w], network.values()), lr=1.0)
    admm.update(next_rho=0.3)
    penalty = 0.15 * torch.sum((w - admm.z["w"] + admm.u["w"]) ** 2)  # rho/2 ||W-Z+U||^2
    expected = w.detach() - (1 + torch.autograd.grad(penalty, w)[0])
    w.grad, bias.grad = torch.ones(3), torch.ones(1)
    admm.add_gradient(optimizer)
    optimizer.step()
    assert torch.allclose(w, expected)
    assert bias.item() == 4.0


def test_optimizer_must_be_able_to_decay_the_weights_alone() -> None:
    network = {**weights(1.0), "bias": nn.Parameter(torch.zeros(1))}
    admm = Admm({"w": network["w"]}, keep_one, rho=1.0)
    with pytest.raises(ValueError, match="first group"):
        admm.add_gradient(torch.optim.SGD(network.values(), lr=1.0))


def test_one_iteration_by_hand() -> None:
    network = weights(1.0, -2.0, 0.5)
    admm = Admm(network, keep_one, rho=1.0)
    assert admm.z["w"].tolist() == [0, -2, 0]
    with torch.no_grad():
        network["w"].copy_(torch.tensor([3.0, -2.0, 0.5]))
    residuals = admm.update()
    assert admm.z["w"].tolist() == [3, 0, 0]  # projection of W + U, U being zero
    assert admm.u["w"].tolist() == [0, -2, 0.5]  # U + W - Z
    assert residuals.primal["w"] == pytest.approx(np.hypot(2, 0.5))
    assert residuals.dual["w"] == pytest.approx(np.hypot(3, 2))


def test_changing_rho_keeps_the_multipliers() -> None:
    network = weights(1.0, -2.0, 0.5)
    admm = Admm(network, keep_one, rho=1.0)
    admm.update(next_rho=4.0)
    assert admm.rho == 4.0
    assert (admm.rho * admm.u["w"]).tolist() == [1.0, 0.0, 0.5]


def test_converges_on_least_squares_with_a_sparsity_constraint() -> None:
    """min ||A w - b||^2 with two non-zeros: A nearly orthogonal, so the support is known."""
    rng = np.random.default_rng(0)
    a = torch.tensor(np.linalg.qr(rng.standard_normal((20, 6)))[0], dtype=torch.float32)
    truth = torch.tensor([0.0, 3.0, 0.0, 0.1, -2.0, 0.05])
    b = a @ truth
    network = weights(*[0.0] * 6)
    admm = Admm(network, lambda _, t: prune_projection({"w": 2})("w", t), rho=1.0)
    optimizer = descent(network, 0.1)
    iterations = []
    for _ in range(60):
        for _ in range(50):
            w = network["w"]
            w.grad = 2 * a.T @ (a @ w.detach() - b)
            admm.add_gradient(optimizer)
            optimizer.step()
        iterations.append(admm.update())
    first, last = iterations[0], iterations[-1]
    assert last.primal["w"] < 1e-3 * first.primal["w"]
    assert last.dual["w"] < 1e-3 * first.dual["w"]
    assert torch.allclose(admm.z["w"], torch.tensor([0.0, 3, 0, 0, -2, 0]), atol=1e-2)


def test_state_goes_on_where_it_was() -> None:
    network = weights(1.0, -2.0, 0.5)
    one = Admm(network, keep_one, rho=1.0)
    one.update(next_rho=2.0)
    two = Admm(network, keep_one, rho=9.0)
    two.load_state_dict(
        {k: v.copy() if isinstance(v, dict) else v for k, v in one.state_dict().items()}
    )
    for admm in (one, two):
        network["w"].grad = torch.zeros(3)
        optimizer = descent(network, 1.0)
        admm.add_gradient(optimizer)
        admm.gradient = network["w"].grad.clone()  # type: ignore[attr-defined]
        assert optimizer.param_groups[0]["weight_decay"] == 2.0
    assert torch.equal(one.gradient, two.gradient)  # type: ignore[attr-defined]


def test_gradient_must_exist() -> None:
    with pytest.raises(ValueError, match="w has no gradient"):
        network = weights(1.0)
        Admm(network, keep_one, rho=1.0).add_gradient(descent(network, 1.0))
