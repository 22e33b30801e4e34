"""The break-even pruning ratio as section 5.1 measures it, from synthesised cores only.

The dense core's total area, memories included, is the hard limit. For every pruning portion the
sparse core is sized to it: its memories hold what that portion leaves, and of the lane counts
that were really synthesised the fastest that still fits is taken, with its own Fmax and its own
cycles. speedup = (dense cycles / dense Fmax) / (sparse cycles / sparse Fmax); break-even is the
pruning ratio 1 / (1 - portion) at which the speedup becomes 1 for good.

The sparse cores may differ in lanes and in the coding of their indices: the packer picks the
coding per layer, so the better one at each portion counts.

Two accountings of the weight memory: "streamed" (two buffers of one filter each; compressed weights
arrive from outside) and "on-chip" (the two buffers together hold the whole layer).
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cosign import CosignError
from cosign.values import Amount, Count, Positive, Ratio, Share, Value
from rtl.config import CoreConfig
from rtl.program.fit import DEEPEST
from synth.report import CoreReport

PORTIONS = (0.0, 0.05, *(percent / 100 for percent in range(10, 95, 5)), 0.95, 0.975)
ACCOUNTINGS = ("streamed", "on-chip")
RESOLUTION = 0.005  # of the portion at the crossing


class Stored(NamedTuple):
    """Words to store at some portion.

    A word is what one address of the core's weight buffer holds: an entry (sparse, fillers
    included) or one weight for each of the core's filters (dense).

    Parameters
    ----------
    layer, filter : weight words of the whole layer, and of the fullest buffer of a pass
    layer_masks, filter_masks : mask words likewise, 0 without a bitmask
    buffers : weight buffers that are filled alternately or side by side
    table : words of the table of tap addresses, 0 without
    """

    layer: int
    filter: int
    layer_masks: int = 0
    filter_masks: int = 0
    buffers: int = 2
    table: int = 0


@dataclass(frozen=True)
class Workload:
    """A layer as the cores see it.

    `cycles(config, portion)` is measured or from the exact cycle model, never nnz / lanes;
    `stored(config, portion)` sizes the weight memory. A dense core gets portion 0.
    `bytes_per_cycle` is what the cycles are counted with: None for no limit.
    """

    network: str
    layer: str
    cycles: Callable[[CoreConfig, float], int]
    stored: Callable[[CoreConfig, float], Stored]
    bytes_per_cycle: float | None = None


class Point(Value, frozen=True, kw_only=True):
    """The fastest sparse core that fits the area at one portion.

    Parameters
    ----------
    portion : share of the weights that is pruned, 0 or more and below 1
    ratio : pruning ratio of it, 1 / (1 - portion)
    lanes : output pixels computed at once; 0 when no core fits
    coding : of the core's indices, empty when no core fits; early files of results.json had none
        but relative ones and don't tell
    area_um2 : with all memories, of the smallest core when none fits
    fmax_hz, cycles : its clock, and clock cycles of one run of the layer; 0 when no core fits
    speedup : time on the dense core over time on this one; 0 when no core fits
    """

    portion: Share
    ratio: Ratio
    lanes: Count
    coding: str = "relative"
    area_um2: Positive
    fmax_hz: Amount
    cycles: Count
    speedup: Amount


class Curve(Value, frozen=True, kw_only=True):
    """Speedup over pruning portion (Fig. 4) and its crossing.

    Parameters
    ----------
    network, layer : whose shape was measured, under random masks
    core, against : kind of the sparse cores, and name of the dense core
    sram_model : openram (composed of measured macros) or flat (0.57 µm²/bit)
    equal_bits : whether weights are as wide on both
    weights : streamed, or on-chip: the paper's accounting
    bytes_per_cycle : that maps, weights and biases together move to and from the memory outside;
        null where that has no limit, and a map is there when its layer begins
    limit_um2 : which the sparse core with its memories must not pass: the dense one's area
    break_even_ratio : pruning ratio from which the speedup stays at 1 or above; null when never
    bracket_ratio : the two measured pruning ratios around the crossing; null when there is none
    difference_um2 : sparse minus dense, by block, at the upper end of the bracket
    note : what set the crossing, and what eats the difference, in words
    points : by portion
    """

    network: str
    layer: str
    core: str
    against: str
    sram_model: str
    equal_bits: bool
    weights: str
    bytes_per_cycle: Positive | None = None
    limit_um2: Positive
    break_even_ratio: Ratio | None
    bracket_ratio: tuple[Ratio, Ratio] | None
    difference_um2: dict[str, float]
    note: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Trial:
    report: CoreReport
    cycles: int

    @property
    def seconds(self) -> float:
        return self.cycles / self.report.fmax_hz


def with_weights(config: CoreConfig, stored: Stored, weights: str) -> CoreConfig:
    """`config` with weight memories for `stored`, by one of ACCOUNTINGS."""
    words, masks = depths(stored, weights)
    fields: dict[str, Any] = {"weight_depth": words}
    if masks:
        fields["mask_depth"] = masks
    return dataclasses.replace(config, **fields)


def depths(stored: Stored, weights: str) -> tuple[int, int]:
    """(weight_depth, mask_depth) for `stored`, by one of ACCOUNTINGS; no masks make a depth of 0.

    They may be more than a core can have.
    """
    words, masks = stored.filter, stored.filter_masks
    if weights == "on-chip":
        words, masks = -(-stored.layer // stored.buffers), -(-stored.layer_masks // 2)
    return max(2, words), max(2, masks) if masks else 0


class TooDeep(CosignError):
    """A layer's weights need a deeper memory than a core can have."""


def _load(report: CoreReport, workload: Workload, portion: float, weights: str) -> _Trial:
    """The core with the weight memory that this portion and accounting need, and its cycles."""
    stored = workload.stored(report.config, portion)
    try:
        config = with_weights(report.config, stored, weights)
    except CosignError as error:
        raise TooDeep(
            f"{workload.layer}: weights {weights} need a deeper memory than {report.name} can have."
        ) from error
    return _Trial(report.with_memories(config), workload.cycles(config, portion))


def _loaded(
    sparse: Sequence[CoreReport], workload: Workload, portion: float, weights: str
) -> Iterator[_Trial]:
    """Those of the cores that can have the memory."""
    for report in sparse:
        with contextlib.suppress(TooDeep):
            yield _load(report, workload, portion, weights)


def _deepest(sparse: Sequence[CoreReport]) -> _Trial:
    """The smallest of cores of which none can have the memory, with as much as there can be."""
    full = [
        report.with_memories(dataclasses.replace(report.config, weight_depth=DEEPEST))
        for report in sparse
    ]
    return _Trial(min(full, key=lambda report: report.logic_um2), 0)


class Crossing(NamedTuple):
    """Where the speedup becomes 1 for good.

    Parameters
    ----------
    ratio : pruning ratio there; None when never
    low, high : measured portions around it; `low` is None when won at the lowest already
    how : what set it, in words
    """

    ratio: float | None
    low: float | None
    high: float | None
    how: str

    @property
    def bracket(self) -> tuple[float, float] | None:
        """The two measured ratios around it."""
        if self.high is None:
            return None
        top = _ratio(self.high)
        return (top if self.low is None else _ratio(self.low), top)


def bracket(
    wins: Callable[[float], bool], portions: Sequence[float]
) -> tuple[float | None, float | None]:
    """(largest portion that does not win, smallest from which all win), RESOLUTION apart at most.

    Looked for at `portions`, from the largest on, then between the two around it. The first is
    None where all portions win, the second where the largest does not.
    """
    low = high = None
    for portion in sorted(portions, reverse=True):
        if not wins(portion):
            low = portion
            break
        high = portion
    while low is not None and high is not None and high - low > RESOLUTION:
        middle = (low + high) / 2
        low, high = (low, middle) if wins(middle) else (middle, high)
    return low, high


def crossing(
    speedup: Callable[[float], float],
    portions: Sequence[float] = PORTIONS,
    wins: Callable[[float], bool] | None = None,
) -> Crossing:
    """Where `speedup`, which is 0 where no core fits, becomes 1 for good.

    wins : tells whether it is at least 1, if that is found with less work
    """
    low, high = bracket(wins or (lambda portion: speedup(portion) >= 1), portions)
    if high is None:
        return Crossing(
            None, low, None, f"not reached up to a ratio of {_ratio(max(portions)):.2f}"
        )
    if low is None:
        return Crossing(_ratio(high), low, high, "won at the lowest portion already")
    below, above = speedup(low), speedup(high)
    if above == math.inf:  # where the other core does not fit
        return Crossing(
            _ratio(high), low, high, "set by area, above it the other core does not fit"
        )
    if not below:
        how = "set by area, below it no synthesised core fits"
        return Crossing(_ratio(high), low, high, how)
    share = (1 - below) / (above - below)
    return Crossing(_ratio(low + share * (high - low)), low, high, "crossed")


def _ratio(portion: float) -> float:
    return 1 / (1 - portion)


def measure(
    workload: Workload,
    dense: CoreReport,
    sparse: Sequence[CoreReport],
    sram_model: str,
    weights: str,
    portions: Sequence[float] = PORTIONS,
    limit_um2: float | None = None,
    whole: bool = True,
) -> Curve:
    """The curve of `workload` for the synthesised `sparse` cores against `dense`.

    limit_um2 : area that a sparse core may have; None for that of the dense one
    whole : measure at all `portions`, not only where the crossing is looked for

    Activation memories are those of the given reports (their act_depth); weight memories are
    sized here. Raises CosignError when there is no sparse core or an unknown accounting, TooDeep
    when the dense core cannot hold the layer.
    """
    if not sparse:
        raise CosignError("break-even needs at least one synthesised sparse core.")
    if weights not in ACCOUNTINGS:
        raise CosignError(f"weights {weights!r} is not one of {', '.join(ACCOUNTINGS)}.")
    reference = _load(dense, workload, 0.0, weights)
    limit = reference.report.area_um2(sram_model) if limit_um2 is None else limit_um2

    def at(portion: float) -> tuple[Point, _Trial]:
        trials = [*_loaded(sparse, workload, portion, weights)]
        fitting = [t for t in trials if t.report.area_um2(sram_model) <= limit]
        ratio = _ratio(portion)
        if not fitting:
            least = (
                min(trials, key=lambda t: t.report.area_um2(sram_model))
                if trials
                else _deepest(sparse)
            )
            area = least.report.area_um2(sram_model)
            nothing = Point(
                portion=portion,
                ratio=ratio,
                lanes=0,
                coding="",
                area_um2=area,
                fmax_hz=0.0,
                cycles=0,
                speedup=0.0,
            )
            return nothing, least
        best = min(fitting, key=lambda t: t.seconds)
        fastest = Point(
            portion=portion,
            ratio=ratio,
            lanes=best.report.config.lanes,
            coding=best.report.config.coding,
            area_um2=best.report.area_um2(sram_model),
            fmax_hz=best.report.fmax_hz,
            cycles=best.cycles,
            speedup=reference.seconds / best.seconds,
        )
        return fastest, best

    found = {portion: at(portion) for portion in sorted(set(portions))} if whole else {}

    def speedup(portion: float) -> float:
        if portion not in found:
            found[portion] = at(portion)
        return found[portion][0].speedup

    crossed = crossing(speedup, portions)
    end = found[max(found) if crossed.high is None else crossed.high]
    difference = _difference(end[1].report, reference.report, sram_model)
    return Curve(
        network=workload.network,
        layer=workload.layer,
        core=sparse[0].config.core,
        against=dense.name,
        sram_model=sram_model,
        equal_bits=len({r.config.weight_bits for r in (dense, *sparse)}) == 1,
        weights=weights,
        bytes_per_cycle=workload.bytes_per_cycle,
        limit_um2=limit,
        break_even_ratio=crossed.ratio,
        bracket_ratio=crossed.bracket,
        difference_um2=difference,
        note=f"{crossed.how}: {_explain(end, reference, difference)}",
        points=tuple(found[portion][0] for portion in sorted(found)),
    )


def _difference(sparse: CoreReport, dense: CoreReport, sram_model: str) -> dict[str, float]:
    """Sparse minus dense, per block, in square micrometres."""
    ours, theirs = sparse.sram_um2[sram_model], dense.sram_um2[sram_model]
    memories = {
        f"{purpose} SRAM": ours.get(purpose, 0.0) - theirs.get(purpose, 0.0)
        for purpose in sorted({*ours, *theirs})
    }
    return {"logic": sparse.logic_um2 - dense.logic_um2, **memories}


def _explain(end: tuple[Point, _Trial], reference: _Trial, difference: dict[str, float]) -> str:
    """What eats the difference at `end`, in words."""
    sparse, dense = end[1].report, reference.report
    block, area = max(difference.items(), key=lambda item: item[1])
    parts = [
        f"{sparse.config.multipliers} multipliers against {dense.config.multipliers}",
        f"Fmax x{sparse.fmax_hz / dense.fmax_hz:.3f}",
        f"cycles x{end[1].cycles / reference.cycles:.3f}",
    ]
    if area > 0:
        parts.append(f"the largest extra area is {block}, {area:,.0f} um2")
    return ", ".join(parts)
