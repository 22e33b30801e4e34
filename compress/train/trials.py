"""The stage `allocate`: Fig. 5's algorithm with networks that are really trained.

A trial goes on from the last network taken: a copy is cut to the wanted number of weights in every
layer, and what is left is retrained for a short while. A restored layer has all its weights again,
and the network computes what it did before.
"""

import dataclasses
from collections.abc import Callable

from compress.train.allocate import Constraints, Keep, allocate
from compress.train.results import StageResult
from compress.zoo.recipe import Recipe


def run(
    recipe: Recipe,
    dense_accuracy: float,
    previous: StageResult,
    trial: Callable[[int, Keep, StageResult], StageResult],
) -> StageResult:
    """The last network taken; its history are the rounds.

    dense_accuracy : of the dense network, on the validation split; the bound is
        `recipe.accuracy_loss` below it
    previous : the pruned network to start from; returned as it is without `recipe.break_even`
    trial : (number from 1 on, weights to keep, network to start from) -> network cut and retrained

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
        result = trial(len(seconds) + 1, keep, network)
        seconds.append(result.seconds)
        return result.accuracy, result

    rounds, last = allocate(previous.kept, previous.accuracy, previous, constraints, train)
    return dataclasses.replace(
        last,
        stage="allocate",
        history=[{"bound": constraints.bound, **dataclasses.asdict(r)} for r in rounds],
        seconds=sum(seconds),
    )
