"""The stage `allocate`: Fig. 5's algorithm with networks that are really trained.

A trial goes on from the last network taken: the wanted number of largest weights stays in every
layer (Eqn. 7), and what is left is retrained for a short while. The weights of a restored layer
start at zero where they were pruned, so that the network computes what it did before.
"""

import copy
import dataclasses
from collections.abc import Callable

import torch

from compress.allocate import Constraints, Keep, allocate
from compress.recipes import Recipe
from compress.regimes import mask_of
from compress.stages import StageResult


def run(
    recipe: Recipe,
    dense_accuracy: float,
    previous: StageResult,
    retrain: Callable[[int, StageResult], StageResult],
) -> StageResult:
    """The last network taken; its history are the rounds.

    dense_accuracy : of the dense network, on the validation split; the bound is
        `recipe.accuracy_loss` below it
    previous : the pruned network to start from; returned as it is without `recipe.break_even`
    retrain : (number of the trial from 1 on, network cut to its masks) -> network retrained

    The trials follow from one another: the same accuracies lead to the same trials.
    """
    if recipe.break_even is None:
        return dataclasses.replace(previous, stage="allocate", history=[], seconds=0.0)
    geometries = recipe.spec.geometries
    constraints = Constraints(
        weights={name: geometry.weights for name, geometry in geometries.items()},
        macs={name: geometry.macs for name, geometry in geometries.items()},
        break_even=recipe.break_even,
        bound=dense_accuracy - recipe.accuracy_loss,
        rounds=recipe.rounds,
    )
    seconds: list[float] = []

    def train(keep: Keep, network: StageResult) -> tuple[float, StageResult]:
        result = retrain(len(seconds) + 1, cut(network, keep))
        seconds.append(result.seconds)
        return result.accuracy, result

    rounds, last = allocate(previous.kept, previous.accuracy, previous, constraints, train)
    return dataclasses.replace(
        last,
        stage="allocate",
        history=[{"bound": constraints.bound, **dataclasses.asdict(r)} for r in rounds],
        seconds=sum(seconds),
    )


@torch.no_grad()
def cut(result: StageResult, keep: Keep) -> StageResult:
    """A copy of the network with the `keep` largest weights of every layer, others zero."""
    network = copy.deepcopy(result.network)
    masks = {name: mask_of(weight, keep[name]) for name, weight in network.weights.items()}
    for name, weight in network.weights.items():
        weight.mul_(masks[name])
    return dataclasses.replace(result, network=network, masks=masks)
