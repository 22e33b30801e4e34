"""A chip of cores whose areas and clocks are made up, on layers whose cycles are counted."""

import dataclasses

import pytest
import small_chip
from small_chip import BATCH, LAYERS

from compress.model.graph import Layer
from cosign import CosignError
from flows.measure.breakeven import Chip, image_time
from flows.measure.machines import CoreReports, machines_for
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.coreset import base
from rtl.program.fit import feed, fit
from rtl.program.pack import pack_layer
from sim.cycles import layer_cycles

CORES = small_chip.cores(filters=2)


def reports(**logic_um2: float) -> CoreReports:
    """Logic of 1 mm2 at 1 GHz, or what is given by name: `sparse_8=2e6`."""
    made = small_chip.reports(CORES, lambda core: logic_um2.get(core.name.replace("-", "_"), 1e6))
    return CoreReports.of(CORES, reversed(made))


def cycles(core: CoreConfig, layer: Layer) -> int:
    """Of a run: an image, or the whole batch of a linear layer."""
    batch = BATCH if layer.geometry.kind == "linear" else 1
    return layer_cycles(layer, fit(core, LAYERS, BATCH), batch)


def test_reports_find_their_roles_in_any_order() -> None:
    found = reports()
    assert found.dense.name == "dense-2d-2x4"
    assert found.dense_scalar.name == "dense-scalar-6"
    assert found.sparse.name == "sparse-6"
    assert [report.name for report in found.candidates] == ["sparse-8", "sparse-3"]
    assert [report.name for report in found.sized] == ["sparse-6", "sparse-8", "sparse-3"]
    with pytest.raises(CosignError, match="the core sparse-3 is not synthesised"):
        CoreReports.of(CORES, (found.dense, found.dense_scalar, found.sparse, found.candidates[0]))


@pytest.mark.parametrize(
    ("logic_um2", "chosen"),
    [
        ({"dense_2d_2x4": 9e6}, "sparse-8"),  # all fit, and most lanes are fastest
        ({"dense_2d_2x4": 9e6, "sparse_8": 2e7}, "sparse-6"),
        ({"dense_2d_2x4": 9e6, "sparse_8": 2e7, "sparse_6": 2e7}, "sparse-3"),
        ({"dense_2d_2x4": 1e3}, None),
    ],
)
def test_speedups_are_of_equal_area_and_of_equal_multipliers(
    logic_um2: dict[str, float], chosen: str | None
) -> None:
    chip = Chip(LAYERS, reports(**logic_um2), BATCH)
    names = [report.name for report in chip.reports]
    others = [chosen] if chosen not in (None, "sparse-6") else []
    assert names == ["dense-2d-2x4", "dense-scalar-6", "sparse-6", *others]
    for layer in LAYERS:
        found = chip.speedups(layer)
        assert found["speedup_equal_pes"] == pytest.approx(
            cycles(CORES.dense_scalar, layer) / cycles(CORES.sparse, layer)
        )
        if chosen is None:
            assert found["speedup"] is None
        else:
            faster = cycles(CORES.named(chosen), layer)
            assert found["speedup"] == pytest.approx(cycles(CORES.dense, layer) / faster)
        assert chip.cycles(layer) == {name: cycles(CORES.named(name), layer) for name in names}


def test_the_clock_counts() -> None:
    """Eight lanes at a third of the clock lose to six, and six then stand in both roles."""
    found = reports(dense_2d_2x4=9e6)
    slow = dataclasses.replace(found.candidates[0], fmax_hz=3e8)
    chip = Chip(LAYERS, dataclasses.replace(found, candidates=(slow,)), BATCH)
    assert [report.name for report in chip.reports][2:] == ["sparse-6"]


def test_break_even_is_where_cycles_make_up_for_the_clock() -> None:
    """Sparse cores of half the clock win as soon as the fastest takes half the cycles."""
    found = reports(dense_2d_2x4=9e6)
    slow = [dataclasses.replace(report, fmax_hz=5e8) for report in found.sized]
    found = dataclasses.replace(found, sparse=slow[0], candidates=tuple(slow[1:]))
    chip = Chip(LAYERS, found, BATCH)
    masks = RandomMasks(LAYERS[0].geometry, 1, 0)

    def wins(ratio: float) -> bool:
        fastest = min(masks.cycles(core, 1 - 1 / ratio) for core in CORES.sized)
        return 2 * fastest <= masks.cycles(CORES.dense, 0.0)

    ratio = chip.break_even("net", "conv", masks)
    assert ratio is not None
    assert 1.5 < ratio < 4
    assert wins(1.05 * ratio)
    assert not wins(ratio / 1.05)


def test_cores_that_are_too_large_never_win() -> None:
    """Where no sparse core is as small as the dense one, no ratio wins."""
    masks = RandomMasks(LAYERS[0].geometry, 1, 0)
    assert Chip(LAYERS, reports(dense_2d_2x4=1e3), BATCH).break_even("net", "conv", masks) is None


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_core_with_a_pattern_has_a_mask_of_it(layer: Layer) -> None:
    core = fit(feed(base("sparse-nm"), lanes=2, nm_keep=1), LAYERS, BATCH)
    batch = BATCH if layer.geometry.kind == "linear" else 1
    masks = RandomMasks(layer.geometry, batch, 0)
    for portion in (0.0, 0.9):
        drawn = masks.layer_for(core, portion)
        pack_layer(drawn, core, batch)  # it is not refused
        assert masks.cycles(core, portion) == layer_cycles(drawn, core, batch)
        assert masks.stored(core, portion).layer == len(pack_layer(drawn, core, batch).weights)


def test_time_of_an_image() -> None:
    """A convolution is run for each image, a linear layer for all of a batch at once."""
    conv, fc = LAYERS
    found = image_time(LAYERS, reports(dense_2d_2x4=9e6), BATCH)
    core = CORES.named("sparse-8")
    expected = (cycles(core, conv) + cycles(core, fc) / BATCH) / 1e9
    assert found == {"time_s": pytest.approx(expected), "sparse_s": pytest.approx(expected)}


def test_machines_hold_the_largest_layer() -> None:
    machines = machines_for(CORES, LAYERS, BATCH)
    assert (machines.sparse.lanes, machines.dense.filters, machines.dense_scalar.lanes) == (6, 2, 6)
    assert machines.dense_scalar == fit(CORES.dense_scalar, LAYERS, BATCH)
