"""`cosign energy`: what it asks to be measured of a run or a model, and what it says of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_layers import random_layer

from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec
from compress.model.hostops import HostOp
from flows.__main__ import main
from flows.loop.rundir import RunConfig, RunDir
from rtl.coreset import CoreSet

SMALL = Path(__file__).parents[2] / "small_cores.toml"
MODEL = CompressedModel(
    "small",
    InputSpec((1, 28, 28), 0.02, (0.13,), (0.31,)),
    (
        random_layer(Geometry("conv", 1, 2, 28, 28, (5, 5)), 0.5, name="conv1", input="input"),
        random_layer(Geometry("conv", 2, 3, 24, 24, (5, 5)), 0.5, name="conv2", input="conv1"),
        HostOp("flatten", "flatten", ("conv2",)),
        random_layer(Geometry("linear", 1200, 10), 0.1, name="fc", input="flatten"),
    ),
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = RunDir.create(tmp_path / "run", RunConfig("lenet5")).path
    container.save(MODEL, path / "model.cosign")
    return path


def test_the_first_test_image_goes_through_the_layers_asked_for(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["energy", str(run), "--layers", "conv2", "--cycles", "300", "--cores", str(SMALL)]
    assert main([*line, "--json", "-"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    cores = CoreSet.read(SMALL)
    names = [core.name for core in (cores.sparse, cores.dense_scalar, cores.dense)]
    assert [(row["layer"], row["core"]) for row in found["layers"]] == [
        ("conv2", name) for name in names
    ]
    assert (found["source"]["network"], found["source"]["data"]) == ("small", "mnist")
    for row in found["layers"]:
        total = found["per_image"][row["core"]]["total_nj"]
        assert total == row["total_nj"] == pytest.approx(sum(row["energy_nj"].values()))
        assert row["slice"]["output_bits_compared"] > 0
    # progress, of syntheses and a line for each core, is not on standard output
    lines = [told.split()[:2] for told in said.err.splitlines() if "synthesize" not in told]
    assert lines == [["conv2", n] for n in names]


def test_a_model_and_an_image_on_cores_of_ones_own_choice(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second image is another one: only the first is looked at."""
    model, image = run / "model.cosign", tmp_path / "two.npy"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), np.uint8)
    rows = {}
    for name, several in {"both": pixels, "first": pixels[:1], "other": pixels[1:]}.items():
        np.save(image, several)
        line = ["energy", str(model), "--input", str(image), "--layers", "conv2", "--cycles", "300"]
        cores = ["--cores", str(SMALL), "--like", "sparse-3", "dense", "sparse-3"]
        assert main([*line, *cores, "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        rows[name] = found["layers"]
        assert [row["core"] for row in rows[name]] == ["sparse-3", "dense-2d-2x2"]
        assert list(found["per_image"]) == ["sparse-3", "dense-2d-2x2"]
        assert found["source"]["data"] == "two.npy"
        assert found["source"]["image"] == f"the first 1 of {len(several)} images of two.npy"
    assert rows["both"] == rows["first"] != rows["other"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--like", "sparse-99"], "no core 'sparse-99'; there are dense, dense_scalar, sparse"),
        (["--layers", "fc"], "small has no convolution 'fc'; it has conv1, conv2"),
        (["--cycles", "0"], "0 is not positive"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["energy", str(run), *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_model_without_an_image(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", str(run / "model.cosign")]) == 2
    said = capsys.readouterr().err
    assert "a model.cosign comes without images; give one by --input" in said
    assert said.count("\n") == 1
