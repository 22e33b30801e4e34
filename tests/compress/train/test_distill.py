"""The dense network's answers in the loss: by hand, and off."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress.nn.network import Network
from compress.train.distill import Loss
from compress.zoo.lenet5 import lenet5_spec


def test_by_hand() -> None:
    torch.manual_seed(0)
    teacher = Network(lenet5_spec()).eval()
    x, labels = torch.randn(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    logits = torch.randn(4, 10, requires_grad=True)
    answers = teacher(x).detach().double().numpy()

    def softmax(z: np.ndarray, t: float) -> np.ndarray:
        e = np.exp(z / t)
        return e / e.sum(1, keepdims=True)

    own = logits.detach().double().numpy()
    t, s = softmax(answers, 3.0), softmax(own, 3.0)
    soft = (t * np.log(t / s)).sum(1).mean()
    hard = -np.log(softmax(own, 1.0)[np.arange(4), labels]).mean()
    loss = Loss(teacher, 0.7, 3.0)(x, logits, labels)
    assert loss.item() == pytest.approx(0.3 * hard + 0.7 * 9 * soft, rel=1e-5)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    # dL/dz = (1 - share) (p - label) + share T (s - t), the mean over the batch
    wanted = 0.3 * (softmax(own, 1.0) - np.eye(10)[labels]) + 0.7 * 3.0 * (s - t)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), wanted / 4, atol=1e-6)


def test_without_a_teacher_it_is_cross_entropy() -> None:
    logits, labels = torch.randn(4, 10), torch.tensor([1, 2, 3, 4])
    assert torch.equal(
        Loss()(torch.empty(0), logits, labels), functional.cross_entropy(logits, labels)
    )
