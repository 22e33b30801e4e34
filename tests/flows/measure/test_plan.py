"""Plans within a budget, on cores whose areas and clocks are made up."""

from collections.abc import Callable

import numpy as np
import pytest

from compress.model.graph import Geometry
from compress.posttrain.expected import OFFERED, PORTIONS, Curve, Curves
from compress.zoo.networks import spec_of
from cosign import CosignError
from flows.measure import breakeven, options
from flows.measure.machines import CoreReports
from flows.measure.plan import Plan, Planner
from rtl.config import CoreConfig
from rtl.coreset import CoreSet, base
from rtl.program.fit import feed
from rtl.sram import macros
from sim.workload import random_layers
from synth.report import CoreReport
from synth.sram import MODELS, area_by_purpose

CORES = CoreSet(
    dense=feed(base("dense-2d"), lanes=2, filters=2),
    dense_scalar=feed(base("dense-scalar"), lanes=4),
    sparse=feed(base("sparse"), lanes=4),
    candidates=(feed(base("sparse"), lanes=6),),
    rows=(),
)
GEOMETRIES: dict[str, Geometry] = spec_of("lenet5").geometries
BATCH = 4


def reports(dense_um2: float) -> CoreReports:
    """Sparse logic of 1 mm2, all at 1 GHz."""

    def made(core: CoreConfig) -> CoreReport:
        areas = {model: area_by_purpose(model, macros(core)) for model in MODELS}
        logic = dense_um2 if core == CORES.dense else 1e6
        return CoreReport(core, logic, areas, 1e9, 0.0, "", {}, 0, {}, 0.0, {"lanes": logic})

    return CoreReports.of(CORES, map(made, CoreReports.needed(CORES)))


def curve(geometry: Geometry, hurts: float) -> Curve:
    """A cubic one that ends at `hurts`."""
    errors = tuple(hurts * portion**3 for portion in PORTIONS)
    sensed = tuple(errors[PORTIONS.index(portion)] for portion in (0.5, 0.8))
    return Curve(
        weights=geometry.weights,
        nonzeros=geometry.weights,
        filters=geometry.out_channels,
        errors=errors,
        sensed=sensed,
        entropies=(6.0,) * len(PORTIONS),
    )


HURTS = {"conv1": 1.0, "conv2": 0.3, "fc1": 0.02, "fc2": 0.2}
CURVES = Curves(layers={name: curve(g, HURTS[name]) for name, g in GEOMETRIES.items()})


def planner(dense_um2: float = 9e6, **break_even: float | None) -> Planner:
    cores = reports(dense_um2)
    cycles = options.measure(GEOMETRIES, cores, BATCH, 0, lambda done, of: None)
    ratios = dict.fromkeys(GEOMETRIES, 1.0) | break_even
    return Planner(CURVES, GEOMETRIES, cycles, ratios, cores, BATCH, 0)


@pytest.fixture(scope="module")
def usual() -> Planner:
    return planner()


def time_of(plan: Plan, cores: CoreReports) -> float | None:
    layers = random_layers(GEOMETRIES, plan.keep, 0)
    return breakeven.image_time(layers, cores, BATCH)["time_s"]


@pytest.mark.parametrize("speedup", [1.0, 1.5, 3.0, 6.0])
def test_a_time_is_met_by_the_cycles_of_the_layers_themselves(
    usual: Planner, speedup: float
) -> None:
    limit = usual.dense_s / speedup
    plan = usual.within_time(limit)
    assert plan.time_s == time_of(plan, usual.reports)
    assert plan.time_s is not None
    assert 0.8 * limit < plan.time_s <= limit * (1 + 1e-9)
    assert plan.loss == pytest.approx(sum(usual.losses(plan.keep).values()))


def test_the_shorter_the_time_the_more_is_lost(usual: Planner) -> None:
    losses = [usual.within_time(usual.dense_s / speedup).loss for speedup in (1, 2, 4, 8)]
    assert losses[0] == 0
    assert losses == sorted(losses)
    assert losses[-1] > losses[1] > 0


def test_weights_are_met_to_a_few_and_go_where_they_hurt_least(usual: Planner) -> None:
    plan = usual.within_weights(usual.weights / 5)
    assert 0.97 * usual.weights / 5 < sum(plan.keep.values()) <= usual.weights / 5
    density = {name: plan.keep[name] / g.weights for name, g in GEOMETRIES.items()}
    assert density["fc1"] == min(density.values())
    assert density["conv1"] > 0.9


def test_bytes_count_what_is_beside_the_layers(usual: Planner) -> None:
    plan = usual.within_bytes(100_000, 2_000)
    assert 95_000 < plan.bytes <= 98_000
    half = Planner(**vars(usual) | {"scales": dict.fromkeys(GEOMETRIES, 0.5)})
    assert 95_000 < half.within_bytes(100_000, 2_000).bytes <= 98_000
    assert sum(half.within_bytes(100_000, 2_000).keep.values()) > 1.5 * sum(plan.keep.values())


def test_layers_below_break_even_stay_dense(usual: Planner) -> None:
    picky = planner(conv1=None, fc1=6.0)
    for plan in (
        picky.within_time(picky.dense_s / 3),
        picky.within_weights(picky.weights / 4),
        picky.within_bytes(150_000, 2_000),
    ):
        assert plan.keep["conv1"] == 500
        assert plan.keep["fc1"] == 400_000 or 400_000 / plan.keep["fc1"] >= 6
        assert not plan.relaxed
    assert usual.within_weights(usual.weights / 4).keep["fc1"] > 400_000 / 6


def test_a_ratio_that_break_even_does_not_allow_is_met_all_the_same() -> None:
    never = planner(fc1=None)
    plan = never.within_weights(never.weights / 4)
    assert plan.relaxed
    assert sum(plan.keep.values()) <= never.weights / 4


def best(refused: Callable[[], object]) -> str:
    with pytest.raises(CosignError, match="cannot be met: the best that can be had is") as error:
        refused()
    return str(error.value)


def test_what_cannot_be_met_says_the_best_that_can(usual: Planner) -> None:
    assert "40x" in best(lambda: usual.within_weights(100))
    assert "bytes" in best(lambda: usual.within_bytes(3000, 2000))
    told = best(lambda: usual.within_time(usual.dense_s / 500))
    most = float(told.partition("had is ")[2].partition("x")[0])
    assert "--speedup 500x cannot be met" in told
    assert usual.within_time(usual.dense_s / (0.99 * most)).time_s is not None


def test_without_a_small_sparse_core_there_is_no_time() -> None:
    large = planner(dense_um2=1e3)
    assert large.within_weights(large.weights / 3).time_s is None
    with pytest.raises(CosignError, match="no sparse core here is as small"):
        large.within_time(large.dense_s / 2)
    around = large.around(large.within_weights(large.weights / 3), [0.5, 1.5, 1e-6])
    kept = [sum(plan.keep.values()) for plan in around]
    assert len(kept) == 2
    assert kept[0] == pytest.approx(large.weights / 6, rel=0.05)


def test_options_are_the_cycles_of_the_break_even_curve(usual: Planner) -> None:
    found = usual.cycles["conv2"]
    assert len(found.sparse["sparse-4"]) == 1 + len(PORTIONS)
    assert (np.diff(found.sparse["sparse-4"]) < 0).all()
    fast, slow = (found.seconds(core) for core in reversed(usual.reports.sized))
    assert len(fast) == len(OFFERED)
    assert (fast < slow).all()
