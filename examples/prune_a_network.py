"""Prune a network of your own by ADMM, inside your own training loop.

Any torch module will do: `Admm` needs its weight tensors and a projection for each.

    python examples/prune_a_network.py
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from compress.admm.constraints import largest, prune_projection
from compress.admm.state import Admm, groups
from compress.data.datasets import load_dataset

STEPS, ADMM_EVERY, BATCH = 300, 15, 64


def network() -> nn.Sequential:
    """Two blocks as in torchvision's VGG, for 28 x 28 pixels."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )


def main() -> None:
    torch.manual_seed(0)
    dataset = load_dataset("lenet5", None, seed=0)
    labels = torch.from_numpy(dataset.train.labels)
    model = network()
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    keep = {name: max(1, weight.numel() // 8) for name, weight in weights.items()}
    optimizer = torch.optim.Adam(groups(weights.values(), model.parameters()), 2e-3)

    def step(number: int) -> float:
        indices = torch.arange(number * BATCH, (number + 1) * BATCH) % len(labels)
        pixels = torch.from_numpy(dataset.train.images(indices.numpy())).float() / 255
        loss = cross_entropy(model(pixels), labels[indices])
        optimizer.zero_grad()
        loss.backward()
        return float(loss.detach())

    for number in range(STEPS):
        step(number)
        optimizer.step()

    admm = Admm(weights, prune_projection(keep), rho=0.05)
    for number in range(STEPS):
        loss = step(STEPS + number)
        admm.add_gradient(optimizer)
        optimizer.step()
        if number % ADMM_EVERY == ADMM_EVERY - 1:
            residuals = admm.update(next_rho=admm.rho * 1.25)
            gap = sum(residuals.primal.values())
            print(f"step {number + 1}: loss {loss:.3f}, |W - Z| {gap:.3f}, rho {admm.rho:.3g}")

    masks = {name: largest(weight, keep[name]) for name, weight in weights.items()}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(masks[name])
    model.eval()
    pixels = torch.from_numpy(dataset.val.images(range(2000))).float() / 255
    right = model(pixels).argmax(1) == torch.from_numpy(dataset.val.labels[:2000])
    kept = sum(int(mask.sum()) for mask in masks.values())
    total = sum(weight.numel() for weight in weights.values())
    print(f"{kept:,} of {total:,} weights left, {right.float().mean():.1%} on validation images")


if __name__ == "__main__":
    main()
