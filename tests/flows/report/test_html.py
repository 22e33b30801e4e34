"""The page of a run: stands alone, tells what was measured, shows in Chromium without errors."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pages
import pytest
import small_chip
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image
from random_layers import random_layer

from compress.model.graph import Geometry
from compress.zoo.networks import spec_of
from cosign import values, write_json
from flows.report import html, pictures, tables
from flows.report.allocation import Allocation, Alternative
from flows.report.results import Energy, EnergyOfLayer, Fidelity, OutputError, Results
from synth.place.options import SCHEMA

RESULTS = Path(__file__).parents[3] / "docs" / "results"
ENERGY = Energy(
    method="toggles counted in a replay",
    per_image={},
    layers=(
        EnergyOfLayer(
            layer="conv1",
            core="sparse-61",
            energy_nj={"logic_toggle_nj": 3.0, "sram_activation_nj": 9.0},
            total_nj=12.0,
            pj_per_dense_mac=0.1,
        ),
    ),
)


def results(network: str) -> Results:
    return Results.read(RESULTS / network / "results.json")


def page_of(found: Results) -> str:
    """The page of measured results, with layers that keep as many weights, at random places."""
    geometries = spec_of(found.network).geometries
    layers = [
        random_layer(geometries[row.name], row.nonzeros / row.weights, name=row.name)
        for row in found.layers
        if row.weights < 1_000_000
    ]
    return html.render(found, layers)


@pytest.fixture(scope="module")
def lenet5() -> str:
    return page_of(results("lenet5"))


@pytest.mark.parametrize("network", ["lenet5", "alexnet"])
def test_a_page_stands_alone(network):
    found = results(network)
    page = pages.read(page_of(found))
    assert page.problems == []
    assert page.drawings == 7
    assert tables.verdict(found) in page.text
    for row in found.layers:
        assert f"{row.nonzeros:,}" in page.text
    assert "cosign energy" in page.text  # how to measure what was not


def test_energy_is_shown_when_it_was_measured():
    page = pages.read(page_of(replace(results("lenet5"), energy=ENERGY)))
    assert page.problems == []
    assert page.drawings == 8
    assert "conv1, sparse-61" in page.text
    assert ENERGY.method in page.text
    assert "cosign energy" not in page.text


def test_placed_cores_are_shown(tmp_path):
    found = results("lenet5")
    placed = small_chip.placed(7e4)
    write_json(tmp_path / "placed.json", values.stamped(placed, SCHEMA))
    Image.fromarray(np.zeros((30, 80, 4), np.uint8)).save(tmp_path / "floorplan.png")
    plain = pages.read(html.render(found, []))
    page = pages.read(html.render(found, [], {"sparse-61": tmp_path}))
    assert page.problems == []
    assert page.images == plain.images + 1
    shown = "rows of 312 × 318 µm that they fill to 69%"
    assert shown in page.text
    assert shown not in plain.text
    assert "0.87 in the fullest bin (nothing is routed" in page.text


@pytest.mark.parametrize("time_s", [None, 2e-3])
@pytest.mark.parametrize("labelled", [False, True])
def test_a_run_without_training_has_its_trade_off(time_s, labelled):
    """Also of images without labels, and where no sparse core is as small as the dense one."""

    def point(ratio: float, measured: bool) -> Alternative:
        return Alternative(
            pruning_ratio=ratio,
            time_s=time_s and time_s / ratio,
            file_bytes=round(90_000 / ratio),
            expected_loss=0.01 * (ratio - 1),
            measured=measured,
            accuracy=1 - 0.01 * ratio if measured and labelled else None,
            error=0.03 * ratio if measured else None,
        )

    trained = results("lenet5")
    names = [row.name for row in trained.layers]
    allocation = Allocation(
        budget="--size 30000B",
        ratios=dict.fromkeys(names, 3.0) | {"fc2": 1.0},
        losses=dict.fromkeys(names, 0.01) | {"fc2": 0.0},
        break_even={"conv1": None, "conv2": 1.5},
        images=40,
        dense_accuracy=0.99 if labelled else None,
        dense_time_s=3e-3,
        chosen=point(3.0, True),
        points=(point(1.0, False), point(2.0, True), point(4.0, False)),
        why=("Files were written of 30,100, 29,500 bytes.",),
    )
    output = OutputError(name="scores", relative_rms_error=0.0925)
    found = replace(
        trained,
        method="oneshot",
        accuracy=replace(trained.accuracy, pruned=None) if labelled else None,
        fidelity=Fidelity(images=32, outputs=(output,)),
        feedback=None,
        allocation=allocation,
        admm={},
        dataset=replace(trained.dataset, note="images without labels"),
    )
    page = pages.read(page_of(found))
    assert page.problems == []
    assert page.drawings == 6 + labelled
    assert "Files were written of 30,100, 29,500 bytes." in page.text
    assert ("97.00%" in page.text) == labelled
    assert ("9.25%" in page.text) != labelled
    assert "How ADMM converged" not in page.text
    assert tables.verdict(found) in page.text
    rows = {
        row[0]: row
        for row in zip(*(c.cells for c in tables.allocation_table(allocation).columns), strict=True)
    }
    assert rows["conv1"][1:3] == ("never", "3.00×")
    assert rows["fc2"][1:3] == ("–", "dense")
    shown = list(tables.tradeoff_table(allocation).columns[0].cells)
    assert shown == ["dense, float", "estimated", "compressed", "this run", "estimated"]


def test_what_a_page_is_told_is_escaped():
    found = replace(results("lenet5"), command="python <script>alert(1)</script>")
    page = pages.read(page_of(found))
    assert page.problems == []
    assert found.command in page.text


def test_the_same_results_give_the_same_page(lenet5):
    assert page_of(results("lenet5")) == lenet5


def test_a_mismatch_is_the_verdict():
    found = results("lenet5")
    wrong = replace(found.verification, mismatches=3)
    assert tables.verdict(replace(found, verification=wrong)).startswith("3 of 487,360 values")


@given(
    st.integers(1, 40),
    st.integers(1, 60),
    st.floats(0, 1),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_density_is_the_mean_of_each_block(rows, columns, density, height, width, seed):
    layer = random_layer(Geometry("linear", columns, rows), density, seed=seed)
    kept = layer.dense_levels() != 0
    found = pictures.density(layer, height, width)
    down, across = min(height, rows), min(width, columns)
    assert found.shape == (down, across)
    for y in range(down):
        for x in range(across):
            block = [
                kept[row, column]
                for row in range(rows)
                for column in range(columns)
                if (row * down // rows, column * across // columns) == (y, x)
            ]
            assert found[y, x] == pytest.approx(np.mean(block))


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; the page is parsed above")
def test_chromium_shows_it_in_light_and_dark_without_errors(lenet5, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(lenet5)
    corner = {}
    for scheme, code in (("dark", 0), ("light", 1)):
        shot = tmp_path / f"{scheme}.png"
        assert CHROMIUM is not None
        done = subprocess.run(
            [
                CHROMIUM,
                *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
                f"--user-data-dir={tmp_path / scheme}",
                f"--blink-settings=preferredColorScheme={code}",
                "--window-size=1050,6500",
                f"--screenshot={shot}",
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert "CONSOLE" not in done.stderr
        pixels = np.asarray(Image.open(shot).convert("L"))
        corner[scheme] = int(pixels[5, 5])
        # Text and lines against the paper, all the way down the page.
        for part in np.split(pixels[:6400], 8):
            assert np.abs(part.astype(int) - corner[scheme]).max() > 120
    assert corner["light"] > 250
    assert corner["dark"] < 40
