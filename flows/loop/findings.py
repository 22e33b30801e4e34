"""What each stage leaves in `stages/`, as types: a run goes on from nothing else."""

import typing
from typing import Any, Literal

from compress.file.packing import Sizes
from compress.posttrain.expected import Curves
from cosign import values
from cosign.values import Positive, Share, Value
from flows.loop.budgets import Chosen
from flows.loop.rundir import RunDir
from flows.measure.options import LayerCycles
from flows.report import results
from flows.report.allocation import Allocation
from flows.report.rounds import Feedback
from sim.verify import Verification
from synth.report import CoreReport

AGAIN = "repeat it with --from STAGE"


class Point(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A history point of a training stage; those of ADMM have residuals."""

    loss: float
    accuracy: float
    primal: dict[str, float] | None = None
    dual: dict[str, float] | None = None


class Training(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A stage of training."""

    val_accuracy: Share
    history: tuple[Point, ...]


class Admm(Training, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A stage of training that may be one of ADMM."""

    def iterations(self) -> tuple[results.Iteration, ...]:
        return tuple(
            results.Iteration(
                loss=point.loss,
                accuracy=point.accuracy,
                distance=point.primal,
                change=point.dual or {},
            )
            for point in self.history
            if point.primal is not None
        )


class Speedup(Value, frozen=True, kw_only=True):
    """`flows.measure.breakeven.speedups` of a layer."""

    speedup: float | None
    speedup_equal_pes: float
    break_even: float | None
    decision: Literal["sparse", "dense"]


class Speedups(Value, frozen=True, kw_only=True):
    layers: dict[str, Speedup]
    cores: tuple[results.Core, ...]


class Synthesized(Value, frozen=True, kw_only=True):
    reports: tuple[CoreReport, ...]


class Found(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What the stages of any loop found, as far as it is read again."""

    synthesize: Synthesized
    export: dict[str, Sizes]
    simulate: dict[str, Verification]
    speedup: Speedups


class Trained(Found, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Of a loop that trains."""

    dense: Training
    prune: Admm
    retrain: Training
    breakeven: dict[str, Positive | None]
    allocate: Feedback | None
    quantize: Admm
    evaluate: results.Accuracy


class Evaluated(Value, frozen=True, kw_only=True):
    accuracy: results.Accuracy | None
    fidelity: results.Fidelity


class Costs(Value, frozen=True, kw_only=True):
    """By layer, of a loop without training."""

    break_even: dict[str, Positive | None]
    cycles: dict[str, LayerCycles]


class OneShot(Found, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Of a loop without training."""

    curves: Curves
    breakeven: Costs
    allocate: Chosen
    compress: Chosen
    tradeoff: Allocation
    evaluate: Evaluated


_KINDS: dict[str, type[Found]] = {"admm": Trained, "oneshot": OneShot}


def check(run: RunDir) -> None:
    """Raises CosignError on what a finished stage left and no later one could read."""
    for stage, kind in typing.get_type_hints(
        _KINDS[run.config.method], include_extras=True
    ).items():
        found: Any = run.result(stage)
        if found is not None:
            where = f"{run.path}/stages/{stage}.json"
            values.parse(found, kind, where, f"repeat it with --from {stage}")
