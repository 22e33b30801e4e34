"""Break-even on cores and workloads simple enough to be computed by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.sram import macros
from synth.breakeven import RESOLUTION, Stored, TooDeep, Workload, measure
from synth.report import CoreReport
from synth.sram import MODELS, area_by_purpose

WEIGHTS = 600_000  # of the layer
FILTERS = 300
PIXELS = 180


def report(config: CoreConfig, logic_um2: float, fmax_hz: float = 1e9) -> CoreReport:
    areas = {model: area_by_purpose(model, macros(config)) for model in MODELS}
    blocks = {"lanes": logic_um2}
    return CoreReport(config, logic_um2, areas, fmax_hz, 0.0, "a to b", {}, 0, {}, 0.0, blocks)


def sparse(lanes: int, logic_um2: float, fmax_hz: float = 1e9) -> CoreReport:
    return report(CoreConfig(lanes=lanes, act_banks=32, act_depth=256), logic_um2, fmax_hz)


DENSE = report(CoreConfig(core="dense-scalar", lanes=60, act_banks=32, act_depth=256), 80_000.0)


def stored(config: CoreConfig, portion: float) -> Stored:
    left = WEIGHTS if config.dense else round(WEIGHTS * (1 - portion))
    return Stored(layer=left, filter=left // FILTERS)


def cycles(config: CoreConfig, portion: float) -> int:
    return stored(config, portion).layer * math.ceil(PIXELS / config.lanes)


LAYER = Workload("net", "conv", cycles, stored)


def test_equal_cores_break_even_at_once() -> None:
    curve = measure(LAYER, DENSE, [sparse(60, 70_000.0)], "flat", "streamed", (0.5, 0.9))
    assert curve.break_even_ratio == pytest.approx(2.0)
    assert "lowest portion" in curve.note
    assert [point.speedup for point in curve.points] == pytest.approx([2.0, 10.0], rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(slower=st.floats(0.3, 0.95))
def test_crossing_is_where_cycles_make_up_for_fmax(slower: float) -> None:
    """Same lanes, streamed, lower Fmax: the speedup is slower / (1 - portion)."""
    core = sparse(60, 1_000.0, slower * 1e9)
    curve = measure(LAYER, DENSE, [core], "flat", "streamed")
    assert curve.break_even_ratio == pytest.approx(1 / slower, rel=0.01)
    low, high = curve.bracket_ratio or (0.0, 0.0)
    assert low <= 1 / slower * 1.0001
    assert high >= 1 / slower * 0.9999
    for point in curve.points:
        assert point.speedup == pytest.approx(slower / (1 - point.portion), rel=1e-3)


def test_on_chip_is_set_by_area() -> None:
    """An entry has 20 bits, a dense weight 8: below 60 % pruning the layer does not fit."""
    curve = measure(LAYER, DENSE, [sparse(60, 80_000.0)], "flat", "on-chip")
    assert curve.break_even_ratio == pytest.approx(20 / 8, rel=0.02)
    assert "set by area" in curve.note
    assert curve.points[0].lanes == 0
    assert curve.points[0].speedup == 0
    limit = 80_000 + 0.57 * 8 * (WEIGHTS + CoreConfig(act_banks=32, act_depth=256).act_bytes)
    assert curve.limit_um2 == pytest.approx(limit, rel=1e-6)
    for point in curve.points:
        assert (point.area_um2 <= limit) == (point.lanes > 0)


@pytest.mark.parametrize(
    ("fmax_hz", "portion", "lanes", "cycles", "speedup"),
    [
        # All 600,000 entries of 20 bits are larger than the dense core's weights of 8.
        (1e9, 0.0, 0, 0, 0.0),
        # 180,000 are left, 2.20 mm2 with the maps. 91 lanes of 1 mm2 would be 3.20, over the limit
        # of 2.97; 60 lanes are 2.28 and take three steps where 46 take four.
        (1e9, 0.7, 60, 180_000 * 3, 600_000 / 180_000),
        # 30,000 are left, 0.49 mm2 with the maps: now 91 lanes fit, and take two steps, ...
        (1e9, 0.95, 91, 30_000 * 2, 1_800_000 / 60_000),
        # ... but at half the clock they are slower than 60 lanes that take three.
        (0.5e9, 0.95, 60, 30_000 * 3, 1_800_000 / 90_000),
    ],
)
def test_the_fastest_core_that_fits_is_taken(
    fmax_hz: float, portion: float, lanes: int, cycles: int, speedup: float
) -> None:
    """The dense core: 600,000 weights in three steps of 60 pixels."""
    cores = [sparse(46, 60_000.0), sparse(60, 80_000.0), sparse(91, 1_000_000.0, fmax_hz)]
    curve = measure(LAYER, DENSE, cores, "flat", "on-chip", (portion, 0.99))
    point = next(point for point in curve.points if point.portion == portion)
    assert (point.lanes, point.cycles) == (lanes, cycles)
    assert point.speedup == pytest.approx(speedup)


@pytest.mark.parametrize("fmax_hz", [0.3e9, 0.8e9, 1e9, 1e6])
@pytest.mark.parametrize("weights", ["streamed", "on-chip"])
def test_the_crossing_needs_no_whole_curve(fmax_hz: float, weights: str) -> None:
    """Nothing is measured further below it than the next portion."""
    cores = [sparse(46, 60_000.0, fmax_hz), sparse(60, 80_000.0, fmax_hz)]
    curve, few = (
        measure(LAYER, DENSE, cores, "flat", weights, whole=whole) for whole in (True, False)
    )
    assert few.break_even_ratio == curve.break_even_ratio
    assert few.bracket_ratio == curve.bracket_ratio
    assert set(few.points) <= set(curve.points)
    assert sum(point.speedup < 1 for point in few.points) <= 1 + math.log2(0.05 / RESOLUTION) + 1


def test_an_area_of_its_own_is_the_limit() -> None:
    """Which holds the core, and then is smaller than its logic alone."""
    several = [
        measure(LAYER, DENSE, [sparse(60, 80_000.0)], "flat", "streamed", limit_um2=limit)
        for limit in (2e6, 5e4)
    ]
    assert [curve.limit_um2 for curve in several] == [2e6, 5e4]
    assert several[0].break_even_ratio is not None
    assert several[1].break_even_ratio is None


def test_weights_that_no_memory_holds() -> None:
    """Eight filters of a dense core share a word; of a sparse one each weight takes a word."""
    many = 40_000_000

    def stored(config: CoreConfig, portion: float) -> Stored:
        left = many // config.filters if config.dense else round(many * (1 - portion))
        return Stored(layer=left, filter=100)

    layer = Workload("net", "fc", lambda config, portion: stored(config, portion).layer, stored)
    dense = report(CoreConfig("dense-2d", lanes=8, filters=8, act_depth=256), 80_000.0)
    curve = measure(layer, dense, [sparse(60, 80_000.0)], "flat", "on-chip")
    assert curve.points[0].lanes == 0
    assert curve.points[0].area_um2 > 0.57 * 20 * 2 * (1 << 22)
    assert curve.break_even_ratio is not None
    assert curve.break_even_ratio > many / (2 << 22)
    with pytest.raises(TooDeep, match="fc: weights on-chip need a deeper memory than dense-scal"):
        measure(layer, DENSE, [sparse(60, 80_000.0)], "flat", "on-chip")


def test_never_and_errors() -> None:
    curve = measure(LAYER, DENSE, [sparse(60, 1.0, 1e6)], "openram", "streamed")
    assert curve.break_even_ratio is None
    assert "not reached" in curve.note
    with pytest.raises(CosignError, match="at least one"):
        measure(LAYER, DENSE, [], "flat", "streamed")
    with pytest.raises(CosignError, match="streamed, on-chip"):
        measure(LAYER, DENSE, [sparse(60, 1.0)], "flat", "both")
    with pytest.raises(CosignError, match="no SRAM model"):
        measure(LAYER, DENSE, [sparse(60, 1.0)], "other", "streamed")


def test_a_dip_below_one_moves_the_crossing_behind_it() -> None:
    def dipping(config: CoreConfig, portion: float) -> int:
        if config.dense:
            return 100
        return 200 if 0.55 < portion < 0.65 else 90

    layer = Workload("net", "conv", dipping, lambda *_: Stored(100, 10))
    curve = measure(layer, DENSE, [sparse(60, 1.0)], "flat", "streamed")
    assert curve.break_even_ratio == pytest.approx(1 / (1 - 0.65), rel=0.02)


def test_difference() -> None:
    curve = measure(LAYER, DENSE, [sparse(60, 81_000.0, 0.9e9)], "openram", "on-chip")
    assert curve.difference_um2["logic"] == pytest.approx(1_000.0)
    assert curve.difference_um2["activation SRAM"] == 0
    assert curve.equal_bits
