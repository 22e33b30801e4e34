"""Which cores a chip of some area has, of cores whose logic is made up."""

import dataclasses
import functools
import re
from collections.abc import Sequence

import pytest
import small_chip
from small_chip import BATCH, LAYERS

from cosign import CosignError
from flows.measure.area import searched, within
from flows.measure.breakeven import HEADLINE, Chip
from flows.measure.contest import Field, Masks
from flows.measure.machines import CoreReports
from flows.measure.space import Space, candidates
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.program.fit import batch_of, fit
from rtl.sram import macros
from sim.workload import random_layers
from synth.prices import PriceList, Prices
from synth.report import CoreReport
from synth.sram import MODELS, area_by_purpose

CORES = small_chip.cores(filters=4)
DENSE, SCALAR, SIX, EIGHT, THREE = (
    core.name for core in (CORES.dense, CORES.dense_scalar, CORES.sparse, *CORES.candidates)
)


def reports(logic_um2: dict[str, float], limit_um2: float | None = None) -> CoreReports:
    made = small_chip.reports(CORES, lambda core: logic_um2[core.name])
    return CoreReports.of(CORES, made, limit_um2)


LOGIC = {DENSE: 4e6, SCALAR: 2e6, SIX: 2.5e6, EIGHT: 3e6, THREE: 1e6}


def area_of(name: str) -> float:
    fitted = reports(LOGIC).fitted(LAYERS, BATCH)
    known = {core.name: core for core in (fitted.dense, fitted.dense_scalar, *fitted.sized)}
    return known[name].area_um2(HEADLINE[0])


def test_the_fastest_dense_core_that_fits_is_the_rival() -> None:
    assert within(CORES, reports(LOGIC), LAYERS, BATCH, area_of(DENSE)) == CORES
    smaller = within(CORES, reports(LOGIC), LAYERS, BATCH, area_of(DENSE) - 1)
    scalar = dataclasses.replace(CORES.dense_scalar, core="dense-2d")
    assert smaller == dataclasses.replace(CORES, dense=scalar)


def test_the_fastest_sparse_core_that_fits_is_compared() -> None:
    """Whatever the dense core's own area."""
    for limit, fastest in ((EIGHT, EIGHT), (SIX, SIX), (THREE, THREE)):
        chip = Chip(LAYERS, reports(LOGIC, area_of(limit)), BATCH)
        assert chip.sparse is not None
        assert chip.sparse.name == fastest
    assert Chip(LAYERS, reports(LOGIC, area_of(THREE) - 1), BATCH).sparse is None
    sparse = Chip(LAYERS, reports(LOGIC), BATCH).sparse  # of the dense core's area
    assert sparse is not None
    assert sparse.name == EIGHT


def test_break_even_is_of_what_fits() -> None:
    """A smaller area leaves fewer lanes, which win later; none are left in the end."""
    masks = RandomMasks(LAYERS[0].geometry, 1, 0)
    several = [
        Chip(LAYERS, reports(LOGIC, 1.2 * area_of(core)), BATCH).break_even("net", "conv", masks)
        for core in (EIGHT, THREE)
    ]
    assert several[0] is not None
    assert several[1] is not None
    assert several[0] < several[1]
    small = Chip(LAYERS, reports(LOGIC, 1e6), BATCH)
    assert small.break_even("net", "conv", masks) is None


def test_a_search_counts_images_not_batches() -> None:
    """Of every candidate, one by one, none is faster than what is found; a linear layer takes its
    part of a batch's time."""
    geometries = [layer.geometry for layer in LAYERS]
    space, prices = Space(geometries, BATCH, 32), listed()
    conv, fc = (RandomMasks(g, batch_of(g, BATCH), 0) for g in geometries)
    masks, limit = Masks([conv, fc]), 2.5e5
    field = Field(candidates("sparse", space), space, prices, "openram")
    found = field.fastest("streamed", limit, masks, 0.75)
    assert found is not None
    cycles = conv.cycles(found.config, 0.75) + fc.cycles(found.config, 0.75) / BATCH
    assert found.seconds == pytest.approx(cycles / found.fmax_hz)
    for config in field.configs[::11]:
        alone = Field([config], space, prices, "openram", banked=True)
        entry = alone.fastest("streamed", limit, masks, 0.75)
        assert entry is None or entry.seconds >= found.seconds
    smallest = field.smallest("streamed", masks, 0.75)
    assert smallest is not None
    assert field.fastest("streamed", smallest.area_um2, masks, 0.75) is not None
    assert field.fastest("streamed", smallest.area_um2 * 0.999, masks, 0.75) is None


@functools.cache
def listed() -> Prices:
    return Prices(PriceList.read().cores)


class Dearer:
    """Netlists that take `factor` times what the price list says, and a little more placed."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.made: list[CoreReport] = []

    def __call__(self, wanted: Sequence[CoreConfig], place: bool) -> list[CoreReport]:
        prices = listed()
        reports = []
        for core in wanted:
            logic, fmax_hz, _ = prices.of(core)
            areas = {model: area_by_purpose(model, macros(core)) for model in MODELS}
            logic *= self.factor
            blocks = {"lanes": logic}
            report = CoreReport(core, logic, areas, fmax_hz, 0.0, "", {}, 0, {}, 0.0, blocks)
            placed = small_chip.placed(1.05 * logic) if place else None
            reports.append(dataclasses.replace(report, placed=placed))
        self.made += reports
        return reports


def test_what_a_search_finds_fits_by_what_it_really_costs() -> None:
    """And is found among those that are no dearer than was thought."""
    geometries = {layer.name: layer.geometry for layer in LAYERS}
    limit = 3e5
    dearer, cheap = Dearer(1.5), searched(geometries, BATCH, limit, 0, listed(), Dearer(1.0))
    found = searched(geometries, BATCH, limit, 0, listed(), dearer)
    assert found.dense.multipliers <= cheap.dense.multipliers
    assert found.sparse.multipliers <= cheap.sparse.multipliers
    assert found.dense_scalar.multipliers == found.sparse.multipliers
    prices = listed().with_measured(dearer.made)
    for core in (found.sparse, *found.candidates, found.dense):
        scalar = core.core == "dense-2d" and core.filters == 1
        price = prices.of(dataclasses.replace(core, core="dense-scalar") if scalar else core)
        needed = fit(core, random_layers(geometries, {"conv": 9, "fc": 9}, 0), BATCH)
        area = price.logic_um2 + sum(area_by_purpose(HEADLINE[0], macros(needed)).values())
        assert area <= limit
        assert price.measured
    with pytest.raises(CosignError, match="holds no dense core with memories for this network"):
        searched(geometries, BATCH, 1e3, 0, listed(), dearer)


def test_a_search_by_placed_prices_places_what_wins() -> None:
    """What is mapped alone does not win; and few are placed, since that takes minutes each."""
    geometries = {layer.name: layer.geometry for layer in LAYERS}
    prices, dearer = Prices(PriceList.read().cores, placed=True), Dearer(1.0)
    found = searched(geometries, BATCH, 3e5, 0, prices, dearer)
    placed = {report.config for report in dearer.made if report.placed is not None}
    assert 1 <= len(placed) <= 8
    known = prices.with_measured(dearer.made)
    for core in (found.sparse, *found.candidates, found.dense):
        assert known.measured(core)


@pytest.mark.parametrize(("kind", "least"), [("dense", SCALAR), ("sparse", THREE)])
def test_an_area_that_no_core_fits_names_the_smallest(kind: str, least: str) -> None:
    """And so much is enough."""
    logic = LOGIC if kind == "dense" else LOGIC | {DENSE: 1e5, SCALAR: 1e5}
    sentence = f"holds no {kind} core with memories for this network; the smallest, {least}, takes"
    with pytest.raises(CosignError, match=sentence) as refused:
        within(CORES, reports(logic), LAYERS, BATCH, 9e5)
    (needed,) = re.findall(r"takes (\d+)um2\.$", str(refused.value))
    within(CORES, reports(logic | {THREE: 1e5}), LAYERS, BATCH, float(needed))
