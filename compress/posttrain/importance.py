"""How much a network's outputs feel an error in what each filter answers, and in how many places.

Layer by layer, errors of all filters and of all places count alike; behind them some reach the
outputs and others hardly, and behind an average of all places only the sum of their errors does.
The measure is a Gauss-Newton matrix, as in the successors of Optimal Brain Surgeon. For outputs o
over their deviations and random signs r, the mean of (d(r . o) / dy)^2 over images and places is
the sum over outputs of (do / dy)^2, for every answer y of a filter, before its ReLU: how much the
filter counts, its `importance`. And the mean product of slopes by two different places, over that
mean square, is what places have in common: the layer's `coherence`.
"""

from dataclasses import replace

import torch
from torch import Tensor

from compress.admm.moments import Aim
from compress.nn.network import Network, rectified
from compress.posttrain.samples import spread

IMAGES = 32
LEAST = 0.1  # of a filter, over the root mean square of its layer: few images may not need it
_AT_ONCE = 8  # all that a network answers, and its gradients, are in memory together
_LEAST_DAMPING = 0.03
_ITERATIONS = 24


@torch.enable_grad()
def aim(network: Network, images: Tensor) -> Aim:
    """By which the layers of a network are pruned without training.

    network : folded, in evaluation; nothing of it changes
    images : float32 [N, C, H, W], normalised, of which `IMAGES` are looked at
    """
    signs = torch.Generator().manual_seed(0)
    squares: dict[str, Tensor] = {}  # of slopes, by filter
    sums: dict[str, Tensor] = {}  # squares of their sums over the places of an image
    places: dict[str, int] = {}
    few = images[spread(len(images), IMAGES)]
    for x in few.split(_AT_ONCE):
        answers, outputs = _answers(network, x)
        felt = sum((_signed(y, signs) for y in outputs), torch.zeros(()))
        found = torch.autograd.grad(felt, list(answers.values()), allow_unused=True)
        for (name, y), gradient in zip(answers.items(), found, strict=True):
            # None where no output reads it
            slopes = torch.zeros_like(y) if gradient is None else gradient
            slopes = slopes.reshape(*y.shape[:2], -1)
            places[name] = slopes.shape[2]
            squares[name] = squares.get(name, torch.zeros(())) + slopes.square().sum((0, 2))
            sums[name] = sums.get(name, torch.zeros(())) + slopes.sum(2).square().sum(0)
    return Aim(
        {name: _relative(square) for name, square in squares.items()},
        {name: _common(squares[name], sums[name], places[name]) for name in squares},
        _LEAST_DAMPING,
        _ITERATIONS,
    )


def _relative(square: Tensor) -> Tensor:
    """The root, of a mean square of 1 over filters."""
    mean = square.mean()
    if not mean > 0:
        return torch.ones_like(square)
    return (square / mean).sqrt().clamp(min=LEAST)


def _common(square: Tensor, summed: Tensor, places: int) -> float:
    """(sum of s)^2 = P mean of s^2 + P (P - 1) mean of s s' over pairs of P places."""
    total = float(square.sum())
    if places == 1 or not total > 0:
        return 0.0
    return min(1.0, max(0.0, (float(summed.sum()) / total - 1) / (places - 1)))


def _signed(outputs: Tensor, signs: torch.Generator) -> Tensor:
    """The sum of all outputs over their deviation, each with a random sign."""
    random = torch.randint(0, 2, outputs.shape, generator=signs) * 2.0 - 1.0
    deviation = outputs.detach().std(correction=0)
    return (outputs * random).sum() / (deviation if deviation > 0 else 1.0)


def _answers(network: Network, x: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """What every layer answers before its ReLU, and the outputs, in a graph of gradients."""
    spec = network.spec
    values = {"input": x.detach().requires_grad_()}
    answers = {}
    for node in spec.nodes:
        inputs = [values[name] for name in node.inputs]
        if node.geometry is None:
            values[node.name] = network.compute(node, *inputs)
            continue
        y = answers[node.name] = network.compute(replace(node, relu=False), *inputs)
        values[node.name] = rectified(y.clone(), node.top) if node.relu else y
    return answers, [values[name] for name in spec.outputs]
