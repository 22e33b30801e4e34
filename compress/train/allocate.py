"""The hardware-aware algorithm of Fig. 5 (§5.1): how many weights each layer keeps.

Every round first leaves layers dense again that are pruned less than their break-even ratio: the
sparse hardware would be slower there. What accuracy that wins back, and what was there to spare
before, is spent on the others: their densities alpha_i fall by amounts in proportion to C_i, the
layer's MACs, as far as a binary search finds the network accurate enough. It ends when there is
nothing to restore and a round spent nothing or was the last that may.

Densities only fall but for restored layers, and those stay dense: what is above break-even
stays there, and at most as many rounds restore as there are layers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State")
Keep = dict[str, int]
Train = Callable[[Keep, State], tuple[float, State]]

HALVINGS = 2
"""Trials of a round's binary search after the longest step has failed."""


@dataclass(frozen=True)
class Constraints:
    """What the allocation must respect.

    Parameters
    ----------
    weights, macs : of the dense layers, by name
    break_even : pruning ratio from which a layer is faster on sparse hardware, None when never;
        layers that the hardware does not execute are left out: they have nothing to reach
    bound : least validation accuracy, 0..1, at which weights may still be taken away
    rounds : rounds that may take weights away
    """

    weights: Mapping[str, int]
    macs: Mapping[str, int]
    break_even: Mapping[str, float | None]
    bound: float
    rounds: int

    def losing(self, keep: Keep) -> dict[str, float]:
        """Pruned layers that are slower than dense ones, with their pruning ratios."""
        ratios = {name: self.weights[name] / max(1, keep[name]) for name in self.break_even}
        return {
            name: ratio
            for name, ratio in ratios.items()
            if ratio > 1 and not self._pays(ratio, self.break_even[name])
        }

    @staticmethod
    def _pays(ratio: float, break_even: float | None) -> bool:
        return break_even is not None and ratio >= break_even

    def step(self, keep: Keep, share: float) -> Keep:
        """`keep` less `share` of the longest step.

        alpha_i falls in proportion to C_i; the longest step, share 1, halves the layer that it
        meets hardest. Layers without a pruned weight, or with no other, are not touched.
        """
        sparse = [name for name in keep if 0 < keep[name] < self.weights[name]]
        slope = {name: self.macs[name] * self.weights[name] for name in sparse}
        longest = min((keep[name] / slope[name] / 2 for name in sparse), default=0.0)
        return keep | {
            name: max(1, keep[name] - int(share * longest * slope[name])) for name in sparse
        }


@dataclass(frozen=True)
class Trial:
    """One network that was trained: what it kept, how accurate it was, whether it was taken."""

    keep: Keep
    accuracy: float
    taken: bool


@dataclass(frozen=True)
class Round:
    """One round: what it restored (with the ratio that was too low), tried, and ended with."""

    restored: dict[str, float]
    trials: tuple[Trial, ...]
    keep: Keep
    accuracy: float


def allocate(
    keep: Keep,
    accuracy: float,
    state: State,
    constraints: Constraints,
    train: Train[State],
) -> tuple[list[Round], State]:
    """Go through the rounds from a network that keeps `keep` weights at `accuracy`.

    `train(keep, state)` goes on from the network `state` with other weights kept and returns
    validation accuracy and network; its `state` is always the last one taken. Returns the rounds,
    at least one, and the last network taken.
    """
    rounds: list[Round] = []
    restored: dict[str, float] = {}
    while True:
        before = keep
        trials: list[Trial] = []
        if restored:
            keep = keep | {name: constraints.weights[name] for name in restored}
            accuracy, state = train(keep, state)
            trials.append(Trial(keep, accuracy, taken=True))
        if len(rounds) < constraints.rounds and accuracy >= constraints.bound:
            spent, state = _spend(keep, state, constraints, train)
            trials += spent
            keep, accuracy = next(
                ((trial.keep, trial.accuracy) for trial in reversed(spent) if trial.taken),
                (keep, accuracy),
            )
        rounds.append(Round(restored, tuple(trials), keep, accuracy))
        restored = constraints.losing(keep)
        if not restored and (keep == before or len(rounds) >= constraints.rounds):
            return rounds, state


def _spend(
    keep: Keep, state: State, constraints: Constraints, train: Train[State]
) -> tuple[list[Trial], State]:
    """Binary search for the largest share of the longest step that leaves accuracy enough."""
    trials: list[Trial] = []
    share = width = 1.0
    last = keep
    for _ in range(1 + HALVINGS):
        wanted = constraints.step(keep, share)
        taken = wanted == last  # a step shorter than a weight needs no trial
        if not taken:
            accuracy, network = train(wanted, state)
            taken = accuracy >= constraints.bound
            trials.append(Trial(wanted, accuracy, taken))
            if taken:
                state, last = network, wanted
        if taken and share == 1:
            break
        width /= 2
        share += width if taken else -width
    return trials, state
