"""`cosign energy`: what it asks to be measured of a run, and what it says of it."""

import json
from pathlib import Path

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
    # progress, a line for each core, is not on standard output
    assert [told.split()[:2] for told in said.err.splitlines()] == [["conv2", n] for n in names]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
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
