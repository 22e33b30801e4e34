"""Fig. 5's loop as the report tells it: round by round, what was restored and what that bought."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from compress.model.graph import Geometry
from cosign.values import Value, parse
from flows.report.rounds import Feedback, Round, State, Trial
from flows.report.tables import times
from synth.profile import HardwareProfile


class _Trial(Value, frozen=True, kw_only=True):
    """A network that was trained: what it kept, how accurate it was, whether it was taken."""

    keep: dict[str, int]
    accuracy: float
    taken: bool


class _Round(Value, frozen=True, kw_only=True):
    """A round as the stage `allocate` left it: what it restored, tried and ended with."""

    bound: float
    restored: dict[str, float]
    trials: tuple[_Trial, ...]
    keep: dict[str, int]
    accuracy: float


def record(
    geometries: Mapping[str, Geometry],
    profile: HardwareProfile,
    keep: Mapping[str, int],
    accuracy: float,
    history: Sequence[Mapping[str, Any]],
    dense_accuracy: float,
    time: Callable[[Mapping[str, int]], dict[str, float | None]],
) -> Feedback:
    """The section `feedback` of results.json.

    keep, accuracy : weights kept and validation accuracy before the first round
    history : the rounds, as the stage `allocate` left them
    time : `image_time` of layers that keep so many weights
    """
    weights = {name: geometry.weights for name, geometry in geometries.items()}
    found = parse(history, tuple[_Round, ...], "the stage allocate", "repeat it with --from")

    def ratio_of(keep: Mapping[str, int]) -> float:
        return sum(weights.values()) / sum(keep.values())

    def state(keep: Mapping[str, int], accuracy: float) -> State:
        return State(
            ratios={name: weights[name] / max(1, keep[name]) for name in keep},
            pruning_ratio=ratio_of(keep),
            accuracy=accuracy,
            **time(keep),
        )

    start = before = state(keep, accuracy)
    rounds: list[Round] = []
    for this in found:
        after = state(this.keep, this.accuracy)
        trials = tuple(
            Trial(pruning_ratio=ratio_of(trial.keep), accuracy=trial.accuracy, taken=trial.taken)
            for trial in this.trials
        )
        gained = {
            name: (before.ratios[name], ratio)
            for name, ratio in after.ratios.items()
            if ratio > before.ratios[name]
        }
        ended = Round(
            restored=this.restored, gained=gained, trials=trials, **structs.asdict(after), why=()
        )
        why = (*_restored(ended, profile), _spent(ended, before.accuracy, this.bound))
        rounds.append(structs.replace(ended, why=why))
        before = after
    if not any(this.restored for this in rounds):
        why = (*rounds[-1].why, "No layer was pruned less than its break-even ratio.")
        rounds[-1] = structs.replace(rounds[-1], why=why)
    return Feedback(
        dense_accuracy=dense_accuracy,
        bound=found[0].bound,
        break_even={layer.name: layer.break_even for layer in profile.layers},
        start=start,
        rounds=tuple(rounds),
    )


def _restored(this: Round, profile: HardwareProfile) -> list[str]:
    """Why layers became dense again, and what that did to accuracy."""
    reasons = []
    for name, ratio in this.restored.items():
        needed = profile.break_even(name)
        below = "never wins" if needed is None else f"wins from {times(needed)} on"
        reasons.append(
            f"{name} is dense again: it was pruned {times(ratio)}, and sparse hardware {below}."
        )
    if reasons:
        reasons.append(f"With that the accuracy is {this.trials[0].accuracy:.2%}.")
    return reasons


def _spent(this: Round, accuracy: float, bound: float) -> str:
    """What the other layers gained, or why they could not."""
    trials = this.trials
    if this.restored:
        accuracy, trials = trials[0].accuracy, trials[1:]
    tried = f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"
    if this.gained:
        gains = (f"{name} {times(a)} to {times(b)}" for name, (a, b) in this.gained.items())
        return f"{', '.join(gains)}: {this.accuracy:.2%} after {tried}."
    if trials:
        best = max(trial.accuracy for trial in trials)
        return f"Nothing more was pruned: {tried} reached {best:.2%} at most."
    if accuracy < bound:
        return f"Nothing more was pruned: {accuracy:.2%} is below the bound already."
    return "Nothing more was pruned: the rounds that may are over, or no layer is left to prune."
