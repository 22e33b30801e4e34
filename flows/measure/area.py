"""The cores of a chip of some area: the fastest that fit, with all memories.

They are searched among all that `flows.measure.space` knows, by the price list and then by what
they really cost; or chosen among those of a CoreSet.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from compress.model.graph import Geometry, Layer
from cosign import CosignError
from flows.measure.breakeven import HEADLINE
from flows.measure.contest import Field, Masks
from flows.measure.frontier import MOST
from flows.measure.machines import CoreReports
from flows.measure.space import Space, candidates
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.coreset import CoreSet, base
from rtl.program.fit import batch_of, feed
from sim.cycles import dense_cycles
from synth.prices import Prices, standard
from synth.report import CoreReport

RATIOS = (8.0, 4.0, 2.0)
"""Pruning ratios at which the fastest sparse cores take part, and at the first executes one the
network."""
_ROUNDS = 4
"""Of synthesis, and then of placing where prices are of placed cores: what a netlist costs can make
another core the fastest. Then those that are known take part."""

Synthesize = Callable[[Sequence[CoreConfig], bool], Sequence[CoreReport]]
"""Makes reports of cores; of placed ones where it is told so."""


def searched(
    geometries: Mapping[str, Geometry],
    batch: int,
    area_um2: float,
    seed: int,
    prices: Prices,
    synthesize: Synthesize,
) -> CoreSet:
    """The fastest dense core of that area on a network, and the fastest sparse ones.

    geometries : of the network's layers, all on one chip; `batch` images are the pixels of a linear
        one
    seed : of random masks
    prices : of logic, before it is known
    synthesize : what a winner really takes; few are placed, since that takes minutes each

    Raises CosignError, with the area of the smallest core, where no dense or no sparse core fits.
    """
    masks = Masks([RandomMasks(g, batch_of(g, batch), seed) for g in geometries.values()])
    space = Space(list(geometries.values()), batch, MOST)
    unknown: list[CoreConfig] = []
    for place in (False, True) if prices.placed else (False,):
        for _ in range(_ROUNDS):
            found = _winners(_fields(space, prices, False), masks, area_um2)
            known = prices.measured if place else prices.mapped
            unknown = [core for core in found if not known(core)]
            if not unknown:
                break
            prices = prices.with_measured(synthesize(unknown, place))
    if unknown:
        found = _winners(_fields(space, prices, True), masks, area_um2)
    dense, sparse, *others = found
    by_name = {core.name: core for core in reversed(others) if core.name != sparse.name}
    lanes = sparse.lanes * sparse.streams  # as many multipliers
    scalar = feed(base("dense-scalar"), lanes=lanes, tiles=sparse.tiles)
    return CoreSet(_as_2d(dense), scalar, sparse, tuple(by_name.values()))


def _fields(space: Space, prices: Prices, measured: bool) -> dict[str, Field]:
    """All candidates by kind; `measured`: of which there are netlists."""
    found = {}
    for kind in ("dense", "sparse"):
        found[kind] = Field(candidates(kind, space), space, prices, HEADLINE[0])
        if measured:
            known = [core for core in found[kind].configs if prices.measured(core)]
            found[kind] = Field(known, space, prices, HEADLINE[0], banked=True)
    return found


def _winners(fields: dict[str, Field], masks: Masks, area_um2: float) -> list[CoreConfig]:
    """The dense core, then the sparse ones at RATIOS, each once."""
    winners = []
    for kind, ratios in (("dense", (1.0,)), ("sparse", RATIOS)):
        field, portions = fields[kind], [1 - 1 / ratio for ratio in ratios]
        fitting = [field.fastest(HEADLINE[1], area_um2, masks, portion) for portion in portions]
        if fitting[0] is None:
            least = field.smallest(HEADLINE[1], masks, portions[0])
            if least is None:
                raise CosignError(
                    f"--area: no {kind} core can have memories that hold this network's layers."
                )
            raise _refused(kind, area_um2, least.config.name, least.area_um2)
        winners += [standard(entry.config) for entry in fitting if entry is not None]
    return list(dict.fromkeys(winners))


def within(
    cores: CoreSet, reports: CoreReports, layers: Sequence[Layer], batch: int, area_um2: float
) -> CoreSet:
    """`cores` with the dense core that is fastest on `layers` within the area, as `dense`.

    reports : of `cores`
    layers : a network with as few weights as there can be: sparse cores are sized to the densities
        that are found later
    batch : images that are the pixels of a linear layer

    Raises CosignError, with the smallest core, where no dense or no sparse core fits.
    """
    fitted = reports.fitted(layers, batch)
    dense = _fitting("dense", (fitted.dense, fitted.dense_scalar), area_um2)
    _fitting("sparse", fitted.sized, area_um2)

    def time_of(core: CoreReport) -> float:
        images = [batch_of(layer.geometry, batch) for layer in layers]
        cycles = (
            dense_cycles(layer.geometry, core.config, count) / count
            for layer, count in zip(layers, images, strict=True)
        )
        return sum(cycles) / core.fmax_hz

    if min(dense, key=time_of) is fitted.dense:
        return cores
    return dataclasses.replace(cores, dense=_as_2d(cores.dense_scalar))


def _as_2d(core: CoreConfig) -> CoreConfig:
    """A dense core in the role `dense`, of one filter too."""
    return core if core.structured else dataclasses.replace(core, core="dense-2d")


def _fitting(kind: str, cores: Sequence[CoreReport], area_um2: float) -> list[CoreReport]:
    """Those of at most that area."""
    if fitting := [core for core in cores if core.area_um2(HEADLINE[0]) <= area_um2]:
        return fitting
    least = min(cores, key=lambda core: core.area_um2(HEADLINE[0]))
    raise _refused(kind, area_um2, least.name, least.area_um2(HEADLINE[0]))


def _refused(kind: str, area_um2: float, name: str, least_um2: float) -> CosignError:
    return CosignError(
        f"--area {area_um2:.10g}um2 holds no {kind} core with memories for this network; the "
        f"smallest, {name}, takes {math.ceil(least_um2)}um2."
    )
