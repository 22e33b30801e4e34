"""What a run without training may cost, in one of four measures, and the network chosen by it."""

from collections.abc import Callable

import numpy as np

from compress.file import container
from compress.posttrain.expected import Curves
from compress.zoo.density import ratio_of
from cosign import CosignError
from cosign.values import Count, Share, Value
from flows.loop.candidates import Candidates
from flows.loop.rundir import RunConfig
from flows.measure.plan import Plan, Planner

RATIO = 2.0  # where nothing is said
_TRIES = 5  # networks that a search by accuracy compresses
_SIZES = 5  # files that are written until one is small enough
_LESS = 0.995
_NEAR = 0.97  # of the size that may be had, from which on a file is large enough


class Trial(Value, frozen=True, kw_only=True):
    """A network that was compressed and judged on its way to a bound.

    Parameters
    ----------
    plan : what it keeps
    accuracy : of its integers, on images of the validation split
    taken : whether that is within the bound
    """

    plan: Plan
    accuracy: Share
    taken: bool


class Chosen(Value, frozen=True, kw_only=True):
    """The network that a budget allows.

    Parameters
    ----------
    plan : what it keeps
    trials : of a search by accuracy
    file_bytes : of files that were written to come below a size
    why : in sentences
    """

    plan: Plan
    trials: tuple[Trial, ...] = ()
    file_bytes: tuple[Count, ...] = ()
    why: tuple[str, ...] = ()


def words(config: RunConfig) -> str:
    """The budget as options of the command."""
    if config.pattern is not None:
        return f"--pattern {config.pattern}"
    if config.speedup is not None:
        return f"--speedup {config.speedup:g}x"
    if config.size is not None:
        return f"--size {config.size}B"
    if config.loss is not None:
        return f"--loss {config.loss:g}"
    return f"--ratio {ratio(config):g}x"


def check(config: RunConfig) -> None:
    """Raises CosignError unless alpha is a ratio, and the only budget."""
    if ratio_of(str(config.alpha)) is None:
        raise CosignError(
            f"--alpha {config.alpha}: --method oneshot chooses densities by layer itself; give a "
            "ratio for the whole network, as 4x."
        )
    for name in ("speedup", "size", "loss"):
        if getattr(config, name) is not None:
            raise CosignError(f"a pruning ratio and --{name} are two budgets; give one of them.")


def ratio(config: RunConfig) -> float:
    """Of the whole network."""
    found = ratio_of(config.alpha) if config.alpha is not None else RATIO
    assert found is not None  # the command has seen to it
    return found


def density(config: RunConfig, curves: Curves, beside: int) -> float:
    """About what share of the weights stays; memories are made for it until layers are known."""
    if config.speedup is not None:
        return 1 / config.speedup
    if config.size is not None:
        dense = sum(float(curve.bytes[0]) for curve in curves.layers.values())
        return float(np.clip((config.size - beside) / dense, 0.02, 1.0))
    return 1 / (RATIO if config.loss is not None else ratio(config))


def choose(
    config: RunConfig,
    planner: Planner,
    beside: int,
    candidates: Candidates,
    report: Callable[[int, int], None],
) -> Chosen:
    """The network of least expected loss within the run's budget; for --loss, the fastest one.

    beside : bytes of the file that are not of layers

    Raises CosignError, with the best that can be had, when nothing is within it.
    """
    if config.loss is not None:
        return _by_accuracy(config.loss / 100, planner, candidates, report)
    if config.speedup is not None:
        plan = planner.within_time(planner.dense_s / config.speedup)
    elif config.size is not None:
        plan = planner.within_bytes(config.size, beside)
    else:
        plan = planner.within_weights(planner.weights / ratio(config))
    return Chosen(plan=plan)


def settle(
    size: int,
    chosen: Chosen,
    planner: Callable[[dict[str, float]], Planner],
    beside: int,
    candidates: Candidates,
) -> Chosen:
    """The plan whose file, as written, is at most `size` bytes, and near it.

    Every file says how many bytes its layers really take, and the next plan counts with those.
    Raises CosignError, with the smallest file, when none is small enough.
    """
    plan, sizes, aim = chosen.plan, [], float(size)
    best: Plan | None = None
    most = 0
    for _ in range(_SIZES):
        candidates.model(plan.keep)
        file = candidates.file(plan.keep)
        sizes.append(file.stat().st_size)
        if most < sizes[-1] <= size:
            best, most = plan, sizes[-1]
        if _NEAR * size <= most:
            break
        layers = container.inspect(file)[1]
        took = {
            name: layer.data_bytes + layer.index_bytes + layer.bias_bytes
            for name, layer in layers.items()
        }
        plain = planner({})
        scales = {
            name: took[name] / max(plain.estimate(name, plan.keep[name]), 1.0) for name in took
        }
        if sizes[-1] > size and len(sizes) > 1:  # though all layers counted with what they took
            aim *= _LESS * size / sizes[-1]
        found = planner(scales).within_bytes(min(aim, size), sizes[-1] - sum(took.values()))
        if found.keep == plan.keep:
            break
        plan = found
    if best is None:
        raise CosignError(
            f"a file of {size:,} bytes was not come to: the smallest of {len(sizes)} that were "
            f"written has {min(sizes):,}; raise --size."
        )
    told = ", ".join(f"{some:,}" for some in sizes)
    return Chosen(
        plan=best,
        file_bytes=tuple(sizes),
        why=(f"Files were written of {told} bytes; the largest of at most {size:,} was taken.",),
    )


def _by_accuracy(
    bound: float, planner: Planner, candidates: Candidates, report: Callable[[int, int], None]
) -> Chosen:
    """By bisection between no pruning and the most: of time, or of weights without a small core."""
    dense = candidates.judge.dense_accuracy
    assert dense is not None  # the preflight has seen to labels
    fastest = planner.fastest()
    if fastest is not None and fastest.time_s is not None:
        ends = planner.dense_s, fastest.time_s
        within: Callable[[float], Plan] = planner.within_time
    else:
        ends = float(planner.weights), planner.weights / 20.0
        within = planner.within_weights
    trials: list[Trial] = []

    def tried(plan: Plan) -> bool:
        accuracy = candidates.quality(plan.keep).accuracy
        assert accuracy is not None
        trials.append(Trial(plan=plan, accuracy=accuracy, taken=accuracy >= dense - bound))
        report(len(trials), _TRIES)
        return trials[-1].taken

    low, high = 0.0, 1.0  # shares of the way, in logarithms
    for number in range(_TRIES):
        share = (low + high) / 2 if number else 0.4
        plan = within(float(ends[0] ** (1 - share) * ends[1] ** share))
        if any(plan.keep == trial.plan.keep for trial in trials):
            break
        low, high = (share, high) if tried(plan) else (low, share)
    if not any(trial.taken for trial in trials):
        tried(within(ends[0]))
    taken = [trial for trial in trials if trial.taken]
    if not taken:
        most = max(trial.accuracy for trial in trials)
        raise CosignError(
            f"--loss {100 * bound:g} cannot be met: integers of the unpruned network are "
            f"{100 * (dense - most):.2f} points below its {dense:.2%} at best, on "
            f"{candidates.judge.images} images of the validation split."
        )
    best = min(taken, key=lambda trial: (trial.plan.time_s or 0.0, sum(trial.plan.keep.values())))
    return Chosen(
        plan=best.plan,
        trials=tuple(trials),
        why=(
            f"{len(trials)} networks were compressed and judged on {candidates.judge.images} "
            f"images of the validation split, where the float network has {dense:.2%} right: at "
            f"most {100 * bound:g} points less has the fastest that was taken, with "
            f"{best.accuracy:.2%}.",
        ),
    )


def why(plan: Plan, planner: Planner) -> list[str]:
    """What hardware had to do with it, in sentences."""
    dense = [name for name in planner.dense(plan.keep) if name in planner.break_even]
    never = [name for name in planner.break_even if planner.break_even[name] is None]
    told = [
        f"{len(dense)} of {len(planner.break_even)} layers of the machine stay dense"
        + (f"; {len(never)} would never win on sparse hardware." if never else ".")
    ]
    if plan.relaxed:
        told.append(
            "The budget is too small for layers that are dense or beyond break-even alone: some "
            "are pruned less than their break-even ratio."
        )
    return told
