"""Which option of every layer: the least loss within a budget, a multiple-choice knapsack.

Each layer has a table of options, each with a cost (seconds, bytes or weights) and the loss that is
expected of it; both add up over layers. Two searches, of which the better one counts:

- Lagrange: for any price of a unit of cost each layer takes the option that is best at that price,
  which lies on the lower convex hull of its table. Going through all edges of all hulls from the
  steepest on is going through all prices. Where the next edge no longer fits, the bound of the
  linear relaxation says that no choice loses less than what this one loses without that edge.
- Dynamic programming over a grid of costs, each rounded up, so that what is found fits. On whole
  numbers of at most `GRID` it is exact.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosign import CosignError

GRID = 8192
_ROUNDING = 1e-12  # relative, of sums of costs


@dataclass(frozen=True)
class Table:
    """The options of a layer, in any order.

    Parameters
    ----------
    losses : what is expected of each, float64 [options], 0 or more
    costs : float64 [options], 0 or more
    """

    losses: np.ndarray
    costs: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.losses) or len(self.losses) != len(self.costs):
            raise ValueError("a table has as many losses as costs, at least one")

    def best(self) -> np.ndarray:
        """Options that no other one beats, by growing cost and falling loss: int64 indices."""
        order = np.lexsort((self.losses, self.costs))
        least = np.minimum.accumulate(self.losses[order])
        return order[np.append(True, least[1:] < least[:-1])]


class TooSmall(CosignError):
    """A budget that no choice of options meets; `least` is what the cheapest one costs."""

    def __init__(self, message: str, least: float) -> None:
        super().__init__(message)
        self.least = least


def choose(
    tables: Sequence[Table],
    budget: float,
    say: Callable[[float], str] = "{:g}".format,
    quick: bool = False,
) -> list[int]:
    """An option of every table: costs of at most `budget` together, losses near the least.

    What is lost is at most a single step between neighbouring options of one layer more than the
    least; with `quick`, which is Lagrange alone, a step of a layer's hull.

    Raises TooSmall, in which `say` writes costs, when even the cheapest options cost more.
    """
    best = [table.best() for table in tables]
    chosen = [0] * len(tables)
    least = sum(float(table.costs[rows[0]]) for table, rows in zip(tables, best, strict=True))
    room = budget - least
    if room < -_ROUNDING * max(abs(budget), least):
        raise TooSmall(f"{say(budget)} cannot be met: the least is {say(least)}.", least)
    if room > 0:
        pairs = list(zip(tables, best, strict=True))
        costs = [table.costs[rows] - table.costs[rows[0]] for table, rows in pairs]
        losses = [table.losses[rows] for table, rows in pairs]
        found = [_lagrange(losses, costs, room)]
        if not quick:
            found.append(_on_grid(losses, costs, room))
        chosen = min(found, key=lambda some: sum(map(_at, losses, some)))
    return [int(rows[place]) for rows, place in zip(best, chosen, strict=True)]


def _at(values: np.ndarray, place: int) -> float:
    return float(values[place])


def _hull(losses: np.ndarray, costs: np.ndarray) -> list[int]:
    """Places on the lower convex hull of losses over costs; both are strictly ordered."""
    hull: list[int] = []
    for place in range(len(costs)):
        while len(hull) > 1:
            first, last = hull[-2:]
            here = (losses[first] - losses[last]) * (costs[place] - costs[first])
            if here > (losses[first] - losses[place]) * (costs[last] - costs[first]):
                break
            hull.pop()
        hull.append(place)
    return hull


def _lagrange(losses: Sequence[np.ndarray], costs: Sequence[np.ndarray], room: float) -> list[int]:
    """Every edge of every hull, the steepest first, as long as they fit; then what else fits."""
    edges = []
    for layer, (loss, cost) in enumerate(zip(losses, costs, strict=True)):
        hull = _hull(loss, cost)
        for before, after in itertools.pairwise(hull):
            slope = (loss[before] - loss[after]) / (cost[after] - cost[before])
            edges.append((-slope, layer, before, after))
    chosen = [0] * len(losses)
    for _, layer, before, after in sorted(edges):
        more = costs[layer][after] - costs[layer][before]
        if chosen[layer] == before and more <= room:
            chosen[layer] = after
            room -= more
    return chosen


def _on_grid(losses: Sequence[np.ndarray], costs: Sequence[np.ndarray], room: float) -> list[int]:
    """Dynamic programming: the least loss of the layers so far within each of GRID + 1 costs."""
    whole = all((cost == np.rint(cost)).all() for cost in costs)
    cells = int(room) if whole and room <= GRID else GRID
    unit = 1.0 if cells != GRID else max(room / GRID, np.finfo(float).tiny)
    least = np.zeros(cells + 1)
    taken = np.zeros((len(losses), cells + 1), np.int32)
    beyond = cells + 1.0  # of what does not fit at all, however small the room
    steps = [
        np.ceil(np.minimum(cost / unit * (1 - _ROUNDING), beyond)).astype(np.int64)
        for cost in costs
    ]
    for layer, loss in enumerate(losses):
        before, least = least, least + loss[0]
        for place in range(1, len(loss)):
            step = steps[layer][place]
            if step > cells:
                break
            with_it = before[: cells + 1 - step] + loss[place]
            better = with_it < least[step:]
            least[step:][better] = with_it[better]
            taken[layer, step:][better] = place
    cell, chosen = cells, []
    for layer in reversed(range(len(losses))):
        place = int(taken[layer, cell])
        chosen.append(place)
        cell -= int(steps[layer][place])
    return chosen[::-1]
