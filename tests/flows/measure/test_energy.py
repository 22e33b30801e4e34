"""Energy of a small core's layer, through the real tools."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_layers import random_input, random_layer

from compress.model.graph import Geometry
from cosign import CosignError
from flows.__main__ import main
from flows.measure import energy as flow
from flows.measure.dram import DramUse
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer
from rtl.sram import macros
from sim.cycles import layer_cycles
from sim.record import record
from sim.run import simulators_dir
from sim.simulate import Job
from synth import energy
from synth.pdk import find_pdk
from synth.place.options import Placement
from synth.place.timing import SPEF
from synth.replay import Activity, replay
from synth.report import PLACED, synthesize

CONFIG = CoreConfig(
    core="sparse", lanes=2, act_banks=2, bank_bytes=4, act_depth=256, weight_depth=128
)
GEOMETRY = Geometry("conv", 4, 8, 5, 5, kernel=(3, 3), padding=(1, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("core")
    synthesize(CONFIG, path)
    return path


def activity_of(folder: Path, image: np.ndarray) -> Activity:
    layer = random_layer(GEOMETRY, 0.5)
    found = record([Job(pack_layer(layer, CONFIG), image)], CONFIG, simulators_dir())
    netlist = folder / "netlist.v"
    return replay(netlist, find_pdk().library, found.inputs, found.outputs, start=100)


def test_energy_rises_with_activity(folder: Path) -> None:
    """A map of noise against one of zeros: equal cycles and accesses, more toggles."""
    noise = random_input(GEOMETRY)[0]
    loud, silent = activity_of(folder, noise), activity_of(folder, 0 * noise)
    powers = energy.cell_powers(folder, find_pdk())
    high, low = (energy.combine(powers, activity) for activity in (loud, silent))
    assert high.toggles > low.toggles
    assert high.toggle_pj > 1.1 * low.toggle_pj > 0
    assert high.clock_pj == low.clock_pj > 0
    assert high.leakage_uw == low.leakage_uw > 0
    assert high.annotated > 0.99
    assert loud.accesses == silent.accesses


def test_a_layers_energy_reproduces_and_adds_up(folder: Path, tmp_path: Path) -> None:
    layer, image = random_layer(GEOMETRY, 0.5), random_input(GEOMETRY)[0]
    rows = [
        flow.layer_energy(layer, image, core, simulators_dir(), cycles=400)
        for core in (flow.PricedCore.of(CONFIG, tmp_path / name) for name in ("a", "b"))
    ]
    assert rows[0] == rows[1]
    row = rows[0].to_json()
    assert row["cycles"] == layer_cycles(layer, CONFIG)
    assert row["total_nj"] == pytest.approx(row["logic_nj"] + row["sram_nj"])
    assert row["total_nj"] == pytest.approx(sum(row["energy_nj"].values()))
    assert row["memories"]["weight"]["writes"] == len(pack_layer(layer, CONFIG).weights)
    assert 0 < row["memories"]["weight"]["reads"] <= row["cycles"]
    assert row["slice"]["filters"] < 8


def test_gated_clocks_take_less(tmp_path: Path) -> None:
    layer, image = random_layer(GEOMETRY, 0.5), random_input(GEOMETRY)[0]
    plain, gated = (
        flow.layer_energy(layer, image, core, simulators_dir(), cycles=400)
        for core in (
            flow.PricedCore.of(CONFIG, tmp_path / str(gating), clock_gating=gating)
            for gating in (False, True)
        )
    )
    assert gated.cycles == plain.cycles
    assert gated.memories.keys() == plain.memories.keys()
    assert gated.slice.output_bits_compared == plain.slice.output_bits_compared
    assert gated.slice.annotated > 0.99
    clocks = [row.logic_nj["clock"] / row.cycles for row in (gated, plain)]
    assert 0.3 < clocks[0] / clocks[1] < 0.9
    assert gated.synthesis["recipe"] != plain.synthesis["recipe"]


def test_wires_of_a_placement_are_priced(tmp_path: Path) -> None:
    layer, image = random_layer(GEOMETRY, 0.5), random_input(GEOMETRY)[0]
    plain, placed = (
        flow.layer_energy(layer, image, core, simulators_dir(), cycles=400)
        for core in (
            flow.PricedCore.of(CONFIG, tmp_path, place=place) for place in (None, Placement())
        )
    )
    assert placed.cycles == plain.cycles
    assert placed.slice.output_bits_compared == plain.slice.output_bits_compared
    assert placed.slice.annotated > 0.99
    assert {name: m.reads for name, m in placed.memories.items()} == {
        name: m.reads for name, m in plain.memories.items()
    }
    # Without its wires the same netlist takes less.
    folder = tmp_path / PLACED
    activity = activity_of(folder, image)
    whole = energy.combine(energy.cell_powers(folder, find_pdk()), activity)
    spef = folder / SPEF
    text = re.sub(r"^(\d+ \S+) [\d.]+$", r"\1 0.0", spef.read_text(), flags=re.M)
    spef.write_text(text)
    bare = energy.combine(energy.cell_powers(folder, find_pdk()), activity)
    assert whole.toggle_pj > bare.toggle_pj > 0
    assert whole.clock_pj == pytest.approx(bare.clock_pj, rel=1e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {"coding": "bitmask"},
        {"coding": "bitmask", "streams": 2},
        {"core": "dense-packed", "filters": 2},
    ],
)
def test_masks_and_tables_are_not_written_into_the_weight_memory(fields: dict[str, Any]) -> None:
    """Four masks for each filter, or pair of filters; nine taps in the table of each stream."""
    config = dataclasses.replace(CONFIG, mask_bits=9, mask_depth=32, tap_depth=16, **fields)
    layer, image = random_layer(GEOMETRY, 0.5), random_input(GEOMETRY)[0]
    accesses = {f"{macro.name}_{n}": (macro.name, 3, 4) for n, macro in enumerate(macros(config))}
    found = flow.memory_uses(layer, image, config, Activity(10, {}, {}, accesses, 0), 50, 1e-6)
    table = found["index+"].writes if config.table else 0
    taps = 9 * config.table * config.streams
    assert (found["index"].writes, table) == (4 * 8 // config.filters, taps)
    words = len(pack_layer(layer, config).weights)
    assert found["weight"].writes == words - (found["index"].writes + table) // config.streams
    assert found["weight"].reads == 15


def test_a_rows_parts_by_hand() -> None:
    """Memories of 2 and 3 nJ, 1 and 4 of leakage, beside 15 nJ of logic: 25 nJ."""
    row = flow.LayerEnergy(
        layer="conv",
        core="sparse-2",
        macs=5000,
        cycles=1000,
        fmax_hz=5e8,
        area_um2={"flat": 7.0},
        logic_nj={"toggle": 10.0, "clock": 4.0, "leakage": 1.0},
        memories={
            "weight": flow.MemoryUse(100.4, 50.0, 15.0, 10.0, leakage_nj=1.0),
            "activation": flow.MemoryUse(0.0, 600.0, 15.0, 5.0, leakage_nj=4.0),
        },
        slice=flow.Slice(2, 100, 0.1, 1.0, 7),
        dram=DramUse(bytes={"weights": 5.0}, total_bytes=5.0, energy_nj=0.8),
        synthesis={"yosys": "0"},
    ).to_json()
    assert row["dram"]["bytes"] == {"weights": 5.0}
    assert row["area_um2"] == {"flat": 7.0}
    assert row["seconds"] == pytest.approx(2e-6)
    assert row["memories"]["weight"]["access_nj"] == pytest.approx(1.506 + 0.5)
    assert row["memories"]["weight"]["reads"] == 100
    assert row["energy_nj"] == pytest.approx(
        {
            "logic_toggle_nj": 10.0,
            "logic_clock_nj": 4.0,
            "logic_leakage_nj": 1.0,
            "sram_weight_nj": 2.006,
            "sram_activation_nj": 3.0,
            "sram_leakage_nj": 5.0,
        }
    )
    assert row["logic_nj"] == pytest.approx(15.0)
    assert row["sram_nj"] == pytest.approx(10.006)
    assert row["total_nj"] == pytest.approx(25.006)
    assert row["pj_per_dense_mac"] == pytest.approx(25.006 / 5)


def test_prices_interpolate_between_the_two_reports() -> None:
    """Watts at a period of 1 ns; a cell of two outputs takes their mean."""
    quiet, busy = {"r": (1e-3, 1e-6), "g": (0.0, 2e-6)}, {"r": (3e-3, 1e-6), "g": (4e-3, 2e-6)}
    pins = {"r/Q": (5, 2), "r/QN": (5, 8), "g/Z": (20, 5)}
    found = energy.combine(energy.Powers(quiet, busy, {}), Activity(10, pins, {}, {}, 0))
    assert found.clock_pj == pytest.approx(1.0)
    assert found.toggle_pj == pytest.approx(2.0 * 0.5 + 4.0 * 2.0)
    assert found.leakage_uw == pytest.approx(3.0)
    assert found.annotated == 1.0
    assert (
        energy.combine(energy.Powers(quiet, busy, {}), Activity(10, {}, {}, {}, 0)).annotated == 0.0
    )


def test_slices_are_the_first_filters() -> None:
    layer = random_layer(dataclasses.replace(GEOMETRY, groups=2), 0.5)
    part = flow.slice_of(layer, CONFIG, 1)
    assert part.geometry.out_channels == 2
    assert part.geometry.in_channels == 2
    assert np.array_equal(part.dense_levels(), layer.dense_levels()[:2])


def test_memories_are_the_smallest_that_hold_all_layers(tmp_path: Path) -> None:
    """The core of CONFIG has memories for more."""
    layer, image = random_layer(GEOMETRY, 0.5, name="conv"), random_input(GEOMETRY)[0]
    rows: list[flow.LayerEnergy] = []
    found = flow.measure(
        [layer], {"conv": image}, [CONFIG], tmp_path, cycles=400, report=rows.append
    )
    smallest = dataclasses.replace(CONFIG, act_depth=64, weight_depth=64)
    areas = synthesize(smallest).total_um2
    assert rows[0].area_um2 == found["layers"][0]["area_um2"] == areas
    assert areas["openram"] < synthesize(CONFIG).total_um2["openram"]


def test_bad_input(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Activity(1, {}, {}, {}, 0)
    with pytest.raises(CosignError, match=r"has no netlist\.v"):
        energy.cell_powers(tmp_path, find_pdk())
    (tmp_path / "empty.rpt").write_text("nothing\n")
    with pytest.raises(CosignError, match="names no cell"):
        energy.parse_power(tmp_path / "empty.rpt")
    with pytest.raises(CosignError, match="not of the same core"):
        energy.memory_energy(CONFIG, quiet)
    linear = random_layer(Geometry("linear", 4, 2), 0.5)
    with pytest.raises(CosignError, match="no convolution"):
        core = flow.PricedCore.of(CONFIG, folder)
        flow.layer_energy(linear, random_input(linear.geometry)[0], core, tmp_path)
    assert main(["energy", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
