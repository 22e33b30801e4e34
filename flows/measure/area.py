"""The cores of a chip of some area: the fastest that fit, with all memories.

They are searched among all that `flows.measure.space` knows, by the price list and then by what
they really cost; or chosen among those of a CoreSet.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from compress.model.graph import Geometry, Layer
from cosign import CosignError
from flows.measure.breakeven import HEADLINE
from flows.measure.contest import Entry, Masks
from flows.measure.frontier import Race, Side
from flows.measure.machines import CoreReports
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.coreset import CoreSet, base
from rtl.program.fit import batch_of, feed
from sim.cycles import dense_cycles
from synth.prices import PriceList, Prices, standard
from synth.report import CoreReport

RATIOS = (8.0, 4.0, 2.0)
"""Pruning ratios at which the fastest sparse cores take part, and at the first executes one the
network."""
_ROUNDS = 4
"""Searches: what a netlist costs can make another core the fastest."""

Synthesize = Callable[[Sequence[CoreConfig]], Sequence[CoreReport]]


def searched(
    geometries: Mapping[str, Geometry],
    batch: int,
    area_um2: float,
    seed: int,
    synthesize: Synthesize,
) -> CoreSet:
    """The fastest dense core of that area on a network, and the fastest sparse ones.

    geometries : of the network's layers, all on one chip; `batch` images are the pixels of a linear
        one
    seed : of random masks
    synthesize : makes reports of cores

    Raises CosignError, with the area of the smallest core, where no dense or no sparse core fits.
    """
    masks = Masks([RandomMasks(g, batch_of(g, batch), seed) for g in geometries.values()])
    prices = Prices(PriceList.read().cores)
    known: set[CoreConfig] = set()
    found: list[CoreConfig] = []
    for _ in range(_ROUNDS):
        race = Race("network", list(geometries.values()), batch, prices)
        found = list(dict.fromkeys(standard(e.config) for e in _winners(race, masks, area_um2)))
        unknown = [core for core in found if not (prices.of(core).measured or core in known)]
        if not unknown:
            break
        known |= set(unknown)
        prices = prices.with_measured(synthesize(unknown))
    dense, sparse, *others = found
    by_name = {core.name: core for core in reversed(others) if core.name != sparse.name}
    scalar = feed(base("dense-scalar"), lanes=sparse.lanes, tiles=sparse.tiles)
    return CoreSet(_as_2d(dense), scalar, sparse, tuple(by_name.values()))


def _winners(race: Race, masks: Masks, area_um2: float) -> Iterator[Entry]:
    """The dense core, then the sparse ones at RATIOS."""
    for kind, ratios in (("dense", (1.0,)), ("sparse", RATIOS)):
        side = Side(race, (kind,), *HEADLINE)
        portions = [1 - 1 / ratio for ratio in ratios]
        fitting = [side.fastest(area_um2, masks, portion) for portion in portions]
        if fitting[0] is None:
            least = next(side.fields[0].fastest_by_area(HEADLINE[1], masks, portions[0]))
            raise _refused(kind, area_um2, least.config.name, least.area_um2)
        yield from (entry for entry in fitting if entry is not None)


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
    return dataclasses.replace(core, core="dense-2d")


def _fitting(kind: str, cores: Iterable[CoreReport], area_um2: float) -> list[CoreReport]:
    """Those of at most that area."""
    areas = {core: core.area_um2(HEADLINE[0]) for core in cores}
    if fitting := [core for core, area in areas.items() if area <= area_um2]:
        return fitting
    least = min(areas, key=lambda core: areas[core])
    raise _refused(kind, area_um2, least.name, areas[least])


def _refused(kind: str, area_um2: float, name: str, least_um2: float) -> CosignError:
    return CosignError(
        f"--area {area_um2:.10g}um2 holds no {kind} core with memories for this network; the "
        f"smallest, {name}, takes {math.ceil(least_um2)}um2."
    )
