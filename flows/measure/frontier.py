"""Frontier against frontier: break-even between the best sparse and the best dense core of an area.

Both sides are searched over everything that flows.measure.space knows, at prices of synth.prices.
Break-even at an area is the smallest pruning ratio from which the fastest sparse core of at most
that area is no slower than the fastest dense machine of at most that area: a dense core, or a
sparse one that executes the layer with nothing pruned. Some of those are faster than any array,
since a window of activations serves several weights, whether others were pruned or not. Against the
arrays alone it is `dense-arrays`.

A dense array with such windows, which has not been built, would not need the bits of the weight
buffers that tell places. `dense-windows` is what it could be at best: the fastest of the dense
machines, of them cores with windows without the area of these bits.
"""

import functools
import math
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import structs

from compress.model.graph import Geometry
from cosign import CosignError
from cosign.values import Amount, Count, Positive, Ratio, Value
from flows.measure.contest import Entry, Field, Masks
from flows.measure.space import Space, candidates
from rtl.config import CoreConfig
from rtl.coreset import base
from synth.breakeven import PORTIONS, crossing
from synth.prices import Prices

SCHEMA = 1
AREAS = (16, 32, 64, 128, 256, 512, 1024)
"""Multipliers of the dense cores whose areas are the budgets."""
SPARSE = ("sparse", "sparse-rows")
DENSE = "dense"
ARRAYS = "dense-arrays"
"""The dense cores alone, which the sparse ones beat by whatever they are better at."""
WINDOWS = "dense-windows"
"""What a dense array with windows could be at best: no core, but a bound."""
RIVALS = (DENSE, ARRAYS, WINDOWS, "dense-packed", "sparse-nm")
"""What is searched on each side."""
RATIOS = (1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
"""Pruning ratios of which the speedup is told at every area."""
MOST = 4096
"""Multipliers of the largest cores that are tried."""


class RacedCore(Value, frozen=True, kw_only=True):
    """A core that was the fastest of its side.

    Parameters
    ----------
    name : dense-2d-2x46
    config : with the memories that it was counted with
    area_um2 : with all memories
    fmax_hz : its clock
    cycles : clock cycles of an image through the layer, or all layers of the chip; of a linear
        layer its part of those of the batch
    measured : whether its netlist was synthesised; else its logic and clock are priced
    """

    name: str
    config: CoreConfig
    area_um2: Positive
    fmax_hz: Positive
    cycles: Count
    measured: bool

    @classmethod
    def of(cls, entry: Entry) -> "RacedCore":
        return cls(
            name=entry.config.name,
            config=entry.config,
            area_um2=entry.area_um2,
            fmax_hz=entry.fmax_hz,
            cycles=round(entry.cycles),
            measured=entry.measured,
        )


class FrontierPoint(Value, frozen=True, kw_only=True):
    """Break-even at one area.

    Parameters
    ----------
    layer : name of the layer, or network: all of its convolutions on one chip
    against : dense, the fastest machine within the area with nothing pruned; dense-arrays, the
        fastest dense core; dense-windows, as dense, but the weights of cores with windows need no
        bits for their places; dense-packed, the fastest that stores no zeros, at each ratio for
        itself; sparse-nm, the fastest for layers with two weights of four, which it executes;
        dense-2d-8x8, that core alone
    masks : random, or model: those of a really pruned network, thinned or refilled
    sram_model : openram or flat
    weights : streamed or on-chip
    bytes_per_cycle : bandwidth of the memory outside; null without a limit
    multipliers : of the dense core whose area is the budget, at most
    area_um2 : the budget, memories included
    break_even_ratio : median over the seeds; null where it is not reached
    spread : largest less smallest break-even of the seeds; null where one has none
    ratios : break-even by seed, null where it is not reached
    dense, sparse : the fastest cores at break-even under the first seed, the sparse one at the
        smallest measured ratio that wins, at the largest portion where none does; null where no
        sparse core fits
    speedups : [pruning ratio, time on dense over time on sparse] under the first seed, 0 where no
        sparse core fits, null where no rival does
    measured : whether both cores were synthesised
    """

    layer: str
    against: str
    masks: str
    sram_model: str
    weights: str
    bytes_per_cycle: Positive | None
    multipliers: Count
    area_um2: Positive
    break_even_ratio: Ratio | None
    spread: Amount | None
    ratios: tuple[Ratio | None, ...]
    dense: RacedCore
    sparse: RacedCore | None
    speedups: tuple[tuple[Ratio, Amount | None], ...]
    measured: bool


class Frontier(Value, frozen=True, kw_only=True):
    """Break-even of layers over area.

    Parameters
    ----------
    network : whose layers
    seeds : of the masks
    points : by layer, masks, rival, SRAM model, accounting and area
    unpruned_advantage : the largest speedup of a sparse core of the same weight bits over the best
        dense machine of its area with nothing pruned; null where no two could be compared
    array_advantage : the same over the best dense core alone; null in earlier files
    unpruned : which core that is, and where, in words
    prices : the price list's size and the errors of its fit
    provenance : of the netlists
    """

    network: str
    seeds: tuple[Count, ...]
    points: tuple[FrontierPoint, ...]
    unpruned_advantage: Positive | None
    array_advantage: Positive | None = None
    unpruned: str
    prices: dict[str, Any]
    provenance: dict[str, Any]


def array(act_bits: int) -> CoreConfig:
    """The dense array of earlier figures, for such activations."""
    return base("dense-2d").for_activations(act_bits)


class Race:
    """The searches of one chip: fields of candidates, built when they are first asked for.

    Parameters
    ----------
    name : of the layer, or "network"
    geometries : what the chip executes
    batch : images that are the pixels of a linear layer
    prices : of logic
    act_bits : of the cores
    """

    def __init__(
        self,
        name: str,
        geometries: Sequence[Geometry],
        batch: int,
        prices: Prices,
        act_bits: int = CoreConfig.act_bits,
    ) -> None:
        self.name = name
        self._space = Space(geometries, batch, MOST, act_bits)
        self._prices = prices
        self._fields: dict[tuple[str, str], Field] = {}
        self._candidates = functools.cache(self._candidates_of)

    def field(self, kind: str, sram_model: str) -> Field:
        """All candidates of a kind, or one dense core by its name, `dense-2d-8x8`."""
        key = kind, sram_model
        if key not in self._fields:
            bare = kind == WINDOWS
            if bare:
                several = [
                    core for core in self.field("sparse", sram_model).configs if core.stepped
                ]
            else:
                several = self._candidates(kind)
            self._fields[key] = Field(
                several, self._space, self._prices, sram_model, banked=bare, bare=bare
            )
        return self._fields[key]

    def _candidates_of(self, kind: str) -> list[CoreConfig]:
        own = array(self._space.act_bits)
        return [own] if kind == own.name else candidates(kind, self._space)


class Side:
    """The fastest core of several kinds under one setting, by area and masks.

    Parameters
    ----------
    unpruned : kinds that take part with nothing pruned, at whatever portion
    """

    def __init__(
        self,
        race: Race,
        kinds: Sequence[str],
        sram_model: str,
        weights: str,
        unpruned: Sequence[str] = (),
    ) -> None:
        self.fields = [race.field(kind, sram_model) for kind in kinds]
        self.weights = weights
        self._unpruned = Side(race, unpruned, sram_model, weights) if unpruned else None
        self._of_unpruned = functools.cache(self._fastest_unpruned)

    def fastest(self, limit_um2: float, masks: Masks, portion: float) -> Entry | None:
        """Of at most that area; None where none fits."""
        best = self._of_unpruned(limit_um2, masks)
        for field in self.fields:
            below = math.inf if best is None else best.seconds
            best = field.fastest(self.weights, limit_um2, masks, portion, below) or best
        return best

    def _fastest_unpruned(self, limit_um2: float, masks: Masks) -> Entry | None:
        if self._unpruned is None:
            return None
        return self._unpruned.fastest(limit_um2, masks, 0.0)

    def any_within(self, seconds: float, limit_um2: float, masks: Masks, portion: float) -> bool:
        """Whether a core of at most that area takes no longer."""
        return any(
            field.any_within(self.weights, seconds, limit_um2, masks, portion)
            for field in self.fields
        )


def budget(dense: Side, masks: Masks, area: int | float) -> Entry:
    """The dense core that a budget is named after.

    area : an int is multipliers, of which the core with the least area times time has at most so
        many; a float square micrometres, of which the fastest core takes at most so many

    Raises CosignError when no dense core is so small.
    """
    if isinstance(area, int):
        (field,) = dense.fields
        found, what = field.best_value(dense.weights, masks, 0.0, area), f"{area} multipliers"
    else:
        found, what = dense.fastest(area, masks, 0.0), f"{area / 1e6:g} mm2"
    if found is None:
        raise CosignError(f"--areas: no dense core has at most {what}; give a larger one.")
    return found


def point(
    race: Race,
    against: str,
    seeds: Sequence[Masks],
    source: str,
    sram_model: str,
    weights: str,
    area: int | float,
) -> FrontierPoint | None:
    """Break-even at one area, or None where no such rival fits it.

    against : of RIVALS, or the name of one dense core, which is its own budget
    source : of the masks, as results call it
    area : as `budget` takes it

    Raises CosignError when no dense core fits.
    """
    kind = DENSE if against in (ARRAYS, WINDOWS) else against
    plain = {DENSE: SPARSE, WINDOWS: (*SPARSE, WINDOWS)}.get(against, ())
    dense = Side(race, (kind,), sram_model, weights, plain)
    sparse = Side(race, SPARSE, sram_model, weights)
    named_after = Side(race, (DENSE if against in RIVALS else against,), sram_model, weights)
    first = budget(named_after, seeds[0], area)
    limit = first.area_um2 if isinstance(area, int) else area

    def to_beat(masks: Masks, portion: float) -> float:
        found = dense.fastest(limit, masks, portion)
        return math.inf if found is None else found.seconds

    def speedup(masks: Masks, portion: float) -> float:
        found = sparse.fastest(limit, masks, portion)
        return 0.0 if found is None else to_beat(masks, portion) / found.seconds

    def wins(masks: Masks, portion: float) -> bool:
        return sparse.any_within(to_beat(masks, portion), limit, masks, portion)

    def told(ratio: float) -> float | None:
        times = speedup(seeds[0], 1 - 1 / ratio)
        return None if times == math.inf else times

    crossings = [crossing(partial(speedup, each), PORTIONS, partial(wins, each)) for each in seeds]
    ratios = [found.ratio for found in crossings]
    known = [ratio for ratio in ratios if ratio is not None]
    at = max(PORTIONS) if crossings[0].high is None else crossings[0].high
    winner, reference = (side.fastest(limit, seeds[0], at) for side in (sparse, dense))
    if reference is None:
        return None
    rival = RacedCore.of(reference)
    if against == WINDOWS and reference.config.stepped:
        rival = structs.replace(rival, name=f"{rival.name}, bare")
    return FrontierPoint(
        layer=race.name,
        against=against,
        masks=source,
        sram_model=sram_model,
        weights=weights,
        bytes_per_cycle=seeds[0].bytes_per_cycle,
        multipliers=area if isinstance(area, int) else first.config.multipliers,
        area_um2=limit,
        break_even_ratio=statistics.median_low(known) if len(known) == len(ratios) else None,
        spread=max(known) - min(known) if len(known) == len(ratios) else None,
        ratios=tuple(ratios),
        dense=rival,
        sparse=None if winner is None else RacedCore.of(winner),
        speedups=tuple((ratio, told(ratio)) for ratio in RATIOS),
        measured=winner is not None and winner.measured and reference.measured,
    )


class Advantage(NamedTuple):
    """Of sparse cores when nothing is pruned.

    Parameters
    ----------
    over_arrays : the largest speedup of one over the best dense core of its area
    over_all : the same over the best machine that executes the layer unpruned
    what : of which core over which, in words
    """

    over_arrays: float
    over_all: float
    what: str


def unpruned(race: Race, masks: Masks, sram_model: str, weights: str) -> Advantage | None:
    """The advantage under one setting; None where no dense core is as small as a sparse one."""
    arrays = Side(race, (DENSE,), sram_model, weights)
    every = Side(race, (DENSE,), sram_model, weights, SPARSE)
    sparse = Side(race, SPARSE, sram_model, weights)
    best: Advantage | None = None
    limit = math.inf
    while (entry := sparse.fastest(limit, masks, 0.0)) is not None:
        rival = arrays.fastest(entry.area_um2, masks, 0.0)
        strongest = every.fastest(entry.area_um2, masks, 0.0)
        if rival is None or strongest is None:
            break
        # Down to the rival's area a smaller core is slower, and has the same rival.
        limit = math.nextafter(rival.area_um2, 0)
        times = rival.seconds / entry.seconds
        over_all = strongest.seconds / entry.seconds
        if best is not None:
            over_all = max(over_all, best.over_all)
        if best is None or times > best.over_arrays:
            what = (
                f"{race.name}: {entry.config.name} against {rival.config.name}, "
                f"{entry.area_um2 / 1e6:.4g} mm2, SRAM {sram_model}, weights {weights}"
            )
            best = Advantage(times, over_all, what)
        else:
            best = best._replace(over_all=over_all)
    return best
