"""How much a network's outputs feel an error in what each filter answers.

Layer by layer, errors of all filters count alike; behind them some reach the outputs and others
hardly. Pruning shares a layer's weights out among its filters better when it knows. The measure is
the diagonal of a Gauss-Newton matrix, as in Optimal Brain Surgeon's successors: for outputs o over
their deviations, and random signs r, the mean of (d(r . o) / dy)^2 over images and places is the
sum over outputs of (do / dy)^2, for every answer y of a filter, before its ReLU.
"""

from dataclasses import replace

import torch
from torch import Tensor

from compress.admm.moments import Aim
from compress.nn.network import Network, rectified
from compress.posttrain.samples import spread

IMAGES = 32
_LEAST_DAMPING = 0.03
_ITERATIONS = 24
_AT_ONCE = 8  # all that a network answers, and its gradients, are in memory together
LEAST = 0.1  # of a filter, over the root mean square of its layer: few images may not need it


def aim(network: Network, images: Tensor) -> Aim:
    """By which a network's layers are pruned without training; as for `of_filters`."""
    return Aim(of_filters(network, images), _LEAST_DAMPING, _ITERATIONS)


@torch.enable_grad()
def of_filters(network: Network, images: Tensor) -> dict[str, Tensor]:
    """By layer the root of what errors of each filter count, float32 [out], its mean square 1.

    network : folded, in evaluation; nothing of it changes
    images : float32 [N, C, H, W], normalised, of which `IMAGES` are looked at
    """
    signs = torch.Generator().manual_seed(0)
    squares: dict[str, Tensor] = {}
    few = images[spread(len(images), IMAGES)]
    for x in few.split(_AT_ONCE):
        answers, outputs = _answers(network, x)
        felt = sum((_signed(y, signs) for y in outputs), torch.zeros(()))
        found = torch.autograd.grad(felt, list(answers.values()), allow_unused=True)
        for (name, y), gradient in zip(answers.items(), found, strict=True):
            if gradient is None:  # no output reads it
                gradient = torch.zeros_like(y)
            square = gradient.square().sum((0, *range(2, y.dim())))
            squares[name] = squares.get(name, torch.zeros(())) + square
    return {name: _relative(square) for name, square in squares.items()}


def _relative(square: Tensor) -> Tensor:
    mean = square.mean()
    if not mean > 0:
        return torch.ones_like(square)
    return (square / mean).sqrt().clamp(min=LEAST)


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
