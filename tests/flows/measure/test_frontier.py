"""The search finds what trying everything finds, and no sparse core wins with nothing pruned."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from compress.model.graph import Geometry, Layer
from compress.zoo.networks import spec_of
from cosign import CosignError
from flows.measure import frontier
from flows.measure.contest import Masks
from flows.measure.floors import Alike, floor_of, turn_cycles
from flows.measure.frontier import Race, Side
from flows.measure.space import BANK_BYTES, KINDS, SAVED, Space, _divisors, banked, candidates
from flows.measure.workload import RandomMasks, ThinnedMasks, one_lane
from rtl.config import CORES, CoreConfig
from rtl.program.fit import feed, fit
from rtl.program.pack import layout_of
from rtl.sram import macros
from sim.cycles import layer_cycles
from synth import sram
from synth.breakeven import with_weights
from synth.prices import PriceList, Prices

SMALL = Geometry("conv", 4, 6, 7, 5, (3, 3), padding=(1, 1))


@functools.cache
def prices(act_bits: int = 8) -> Prices:
    """Of other activations as if those cost as much."""
    cores = PriceList.read().cores
    return Prices(structs.replace(c, config=c.config | {"act_bits": act_bits}) for c in cores)


def _race(monkeypatch: pytest.MonkeyPatch, geometry: Geometry, act_bits: int = 8) -> Race:
    """Of cores of at most 12 multipliers."""
    monkeypatch.setattr(frontier, "MOST", 12)
    return Race("small", [geometry], 1, prices(act_bits), act_bits)


@pytest.mark.parametrize(
    ("kind", "act_bits"), [("dense", 8), ("sparse", 8), ("sparse", 5), ("sparse-rows", 8)]
)
@pytest.mark.parametrize("weights", ["streamed", "on-chip"])
def test_the_fastest_is_that_of_all_cores(kind, act_bits, weights, monkeypatch: pytest.MonkeyPatch):
    race = _race(monkeypatch, SMALL, act_bits)
    masks = Masks([RandomMasks(SMALL, 1, 0)])
    side = Side(race, (kind,), "openram", weights)
    layer = masks.layers[0].layer(0.4)
    tried = []
    for config in race.field(kind, "openram").configs:
        core = fit(config, [layer])
        core = with_weights(core, masks.layers[0].stored(config, 0.4), weights)
        price = prices(act_bits).of(core)
        assert core.act_bits == act_bits
        memories = sram.area_by_purpose("openram", macros(core))
        area = price.logic_um2 + sum(memories.values())
        tried.append((layer_cycles(layer, core) / price.fmax_hz, area))
    for limit in sorted(area for _, area in tried)[:: max(1, len(tried) // 7)]:
        expected = min((s, a) for s, a in tried if a <= limit + 1e-6)
        found = side.fastest(limit + 1e-6, masks, 0.4)
        assert found is not None
        assert (found.seconds, found.area_um2) == pytest.approx(expected)
    assert side.fastest(min(area for _, area in tried) - 1, masks, 0.4) is None


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        ["bitmask", "bitmask-runs", "bitmask-windows", "window", "window-rows", *CORES]
    ),
    st.integers(1, 9),
    st.integers(2, 5),
    st.sampled_from([1, 2]),
    st.sampled_from([0.0, 0.3, 0.8, 0.97]),
    st.integers(1, 3),
    st.sampled_from([None, 0.5, 8.0]),
    st.sampled_from([8, 5]),
)
def test_floors_are_never_above_the_exact_figures(
    kind, lanes, filters, tiles, portion, kernel, bytes_per_cycle, act_bits
):
    g = Geometry("conv", 4, 6, 7, 5, (kernel, kernel), padding=(kernel // 2, 0), groups=2)
    fields = {"core": kind, "lanes": lanes, "tiles": tiles, "act_bits": act_bits}
    if kind.startswith("bitmask"):
        more = {"mask_bits": 5, "streams": filters - 1}
        more |= {"mask_bits": 2, "run_bits": tiles} if kind.endswith("runs") else {}
        windows = {"windows": 1, "mask_bits": 3, "window_span": 2 + tiles, "beats": 2}
        more |= windows if kind.endswith("windows") else {}
        fields |= {"core": "sparse", "coding": "bitmask", **more}
    if kind == "window":
        more = {"window_span": kernel, "beats": tiles, "streams": filters - 1, "filters": tiles}
        fields |= {"core": "sparse", "coding": "window", **more}
    if kind == "window-rows":
        more = {"window_span": 7 + kernel, "beats": 2 * tiles, "filters": tiles, "listed": 1}
        fields |= {"core": "sparse", "coding": "window", "streams": filters - 1, **more}
    if kind in ("dense-2d", "sparse-rows", "sparse-nm", "dense-packed"):
        fields |= {"filters": filters}
    config = feed(CoreConfig(), **fields)
    masks = RandomMasks(g, 1, 3)
    layout = layout_of(g, 1, tiles, config.element)
    floor = floor_of(one_lane(config), layout, masks.nonzeros(portion))
    turns = np.array([-(-layout.positions // lanes)])
    least = floor.cycles(turns, Alike.of(np.array([config.tile_shifts])))
    if bytes_per_cycle is not None:
        word_bits = np.array([[config.packed_bits], [config.mask_word_bits]])
        least = floor.within(least, word_bits, bytes_per_cycle)
    assert least[0] <= masks.cycles(config, portion, bytes_per_cycle)
    turn = turn_cycles(one_lane(config), layout, masks.layer_for(config, portion))
    assert turns[0] * turn <= masks.cycles(config, portion)
    if kind.startswith("window") or kind.endswith("windows"):
        entries = masks.work(config, portion).entries
        assert floor.entries.sum() <= turn <= entries.sum()
        assert turns[0] * entries.sum() <= masks.cycles(config, portion)
    exact = masks.stored(config, portion)
    assert all(bound <= found for bound, found in zip(floor.stored, exact, strict=True))
    assert floor.stored.buffers == exact.buffers


def test_a_dense_array_with_windows_needs_no_bits_for_places(monkeypatch: pytest.MonkeyPatch):
    race = _race(monkeypatch, SMALL)
    masks = Masks([RandomMasks(SMALL, 1, 0)])
    found = race.field(frontier.WINDOWS, "flat").smallest("on-chip", masks, 0.0)
    assert found is not None
    assert not found.measured
    weight, *others = [m for m in macros(found.config) if m.purpose == "weight"]
    assert not others
    bits = weight.bits - found.config.streams * found.config.place_bits
    assert bits == found.config.streams * found.config.weight_bits
    own = prices().of(found.config).logic_um2
    own += sum(sram.area_by_purpose("flat", macros(found.config)).values())
    saved = weight.count * (
        sram.area_um2("flat", weight.words, weight.bits) - sram.area_um2("flat", weight.words, bits)
    )
    assert found.area_um2 == pytest.approx(own - saved)
    ratios = [
        point.break_even_ratio
        for against in (frontier.ARRAYS, frontier.DENSE, frontier.WINDOWS)
        if (point := frontier.point(race, against, [masks], "random", "flat", "streamed", 8))
    ]
    assert ratios == sorted(ratios)
    assert len(ratios) == 3


@given(st.lists(st.integers(1, 60), min_size=1, max_size=3), st.integers(1, 70))
def test_sizes_between_thresholds_save_no_turn(totals, most):
    found = _divisors(totals, most)
    assert found[0] == 1
    assert found[-1] <= most
    for size in range(1, most + 1):
        best = max(known for known in found if known <= size)
        assert [-(-total // best) for total in totals] == [-(-total // size) for total in totals]


SEVERAL = (
    Geometry("conv", 3, 8, 32, 30, (3, 3), (2, 2), (1, 1)),
    Geometry("conv", 8, 8, 16, 15, (5, 5), padding=(2, 2), groups=8),
    Geometry("conv", 8, 24, 16, 15, (1, 1)),
    Geometry("linear", 24, 100),
)


@pytest.mark.parametrize(("tiles", "batch"), [(1, 1), (2, 5)])
def test_a_chip_of_several_layers_loses_little_by_sizes_that_are_not_tried(tiles, batch):
    """Turns of all layers, counted for every number of lanes and of filters on its own."""
    space = Space(SEVERAL, batch, 4096)
    positions = [layout.positions for layout in space.layouts(tiles)]
    images = [1, 1, 1, batch]

    def turns(lanes: int) -> float:
        return sum(
            -(-pixels // lanes) * g.weights / count
            for pixels, g, count in zip(positions, SEVERAL, images, strict=True)
        )

    def passes(filters: int) -> int:
        return sum(
            -(-(g.out_channels // g.groups) // filters)
            * g.groups
            * g.columns
            * g.out_height
            * g.out_width
            for g in SEVERAL
        )

    for tried, most, work in ((space.lanes(tiles), 256, turns), (space.filters(), 64, passes)):
        assert tried[0] == 1
        assert tried == sorted(tried)
        for size in range(1, most + 1):
            best = max(known for known in tried if known <= size)
            assert (1 - SAVED) * work(best) <= work(size) * (1 + 1e-12)
        assert all(work(b) < (1 - SAVED) * work(a) for a, b in itertools.pairwise(tried))


def test_windows_of_several_layers_are_those_that_save_reads():
    most = Geometry("conv", 32, 32, 28, 28, (3, 3), padding=(1, 1))
    little = Geometry("conv", 1, 1, 58, 58, (3, 3), padding=(1, 1))
    assert Space([most], 1, 64).spans() == [61]  # all three rows of a kernel
    assert Space([little], 1, 64).spans() == [62]  # two of them
    assert Space([most, little], 1, 64).spans() == [61]
    even = dataclasses.replace(little, in_channels=18, out_channels=18)
    assert Space([most, even], 1, 64).spans() == [61, 62]


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_cores_with_as_few_banks_as_feed_them(kind):
    """A search makes them without a check, so they are checked here."""
    space = Space([Geometry("conv", 8, 6, 9, 7, (3, 3), padding=(1, 1))], 1, 512)
    found = candidates(kind, space)
    assert len(found) == len(set(found)) > 30
    for core in (*found, *(banked(found[-1], width) for width in BANK_BYTES)):
        assert core == feed(CoreConfig(**vars(core)))


def test_lockstep_tiles_share_the_map():
    g = Geometry("conv", 4, 6, 8, 5, (3, 3), padding=(1, 1))
    masks = RandomMasks(g, 1, 0)
    layer = masks.layer(0.5)
    for tiles in (1, 2, 3):
        core = fit(feed(CoreConfig(), lanes=5, tiles=tiles), [layer])
        assert masks.cycles(core, 0.5) == layer_cycles(layer, core)


def test_masks_of_a_pruned_layer_keep_its_largest_weights():
    g = Geometry("conv", 2, 3, 5, 5, (3, 3))
    levels = np.zeros((3, 18), np.int8)
    levels.reshape(-1)[::4] = np.arange(1, 15)
    fields = {"bits": 8, "q": 0.1, "bias": np.zeros(3), "mul": 40_000, "shift": 20, "relu": True}
    layer = Layer.from_dense(
        levels, name="l", input="input", geometry=g, in_scale=1.0, out_scale=1.0, **fields
    )
    masks = ThinnedMasks(layer, 1, 0)
    own = 1 - 14 / 54
    np.testing.assert_array_equal(
        masks.layer(own).dense_levels().reshape(-1) != 0, levels.reshape(-1) != 0
    )
    five = masks.layer(1 - 5 / 54).dense_levels().reshape(-1)
    assert set(levels.reshape(-1)[five != 0]) == {10, 11, 12, 13, 14}
    refilled = masks.layer(0.5).dense_levels().reshape(-1)
    assert np.count_nonzero(refilled) == 27
    assert np.all(refilled[levels.reshape(-1) != 0] != 0)
    other = ThinnedMasks(layer, 1, 1).layer(0.5).dense_levels().reshape(-1)
    assert np.any(other != refilled)


def test_break_even_is_the_first_ratio_that_wins_for_good(monkeypatch: pytest.MonkeyPatch):
    race = _race(monkeypatch, SMALL)
    seeds = [Masks([RandomMasks(SMALL, 1, seed)]) for seed in range(2)]
    found = frontier.point(race, "dense", seeds, "random", "flat", "streamed", 8)
    assert found is not None
    assert found.break_even_ratio is not None
    assert found.spread == pytest.approx(max(found.ratios) - min(found.ratios))
    assert found.dense.area_um2 <= found.area_um2
    assert found.sparse.area_um2 <= found.area_um2
    sparse = Side(race, frontier.SPARSE, "flat", "streamed")
    seconds = found.dense.cycles / found.dense.fmax_hz
    for portion in np.arange(0.05, 0.975, 0.1):
        entry = sparse.fastest(found.area_um2, seeds[0], float(portion))
        if 1 / (1 - portion) > 1.02 * found.ratios[0]:
            assert entry.seconds <= seconds
        elif 1 / (1 - portion) < found.ratios[0] / 1.02:
            assert entry is None or entry.seconds > 0.97 * seconds


def test_no_area_for_any_core_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    race = _race(monkeypatch, SMALL)
    masks = [Masks([RandomMasks(SMALL, 1, 0)])]
    with pytest.raises(CosignError, match=r"no dense core has at most 0\.001 mm2"):
        frontier.point(race, "dense", masks, "random", "flat", "streamed", 1000.0)


@pytest.mark.parametrize(("network", "layer"), [("alexnet", "conv4"), ("lenet5", "conv2")])
@pytest.mark.parametrize("sram_model", sram.MODELS)
def test_unpruned_no_sparse_core_beats_the_best_dense_core_of_its_area(network, layer, sram_model):
    geometry = spec_of(network).geometries[layer]
    race = Race(layer, [geometry], 1, prices())
    masks = Masks([RandomMasks(geometry, 1, 0)])
    for weights in ("streamed", "on-chip"):
        found = frontier.unpruned(race, masks, sram_model, weights)
        assert found is not None
        assert found.over_all <= min(found.over_arrays, 1.01), found.what
