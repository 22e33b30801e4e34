"""`cosign energy`: what it asks to be measured of a run, and what it says of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_layers import random_layer

from compress.data.datasets import load_dataset
from compress.file import container
from compress.file.container import CompressedModel, Geometry, HostOp, InputSpec
from flows.__main__ import main
from flows.loop.rundir import RunConfig, RunDir
from flows.measure import energy
from flows.measure.energy import LayerEnergy, Slice
from sim import golden

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
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}
    row = LayerEnergy(
        layer="conv2",
        core="sparse-61",
        macs=100,
        cycles=10,
        fmax_hz=1e9,
        logic_nj={"toggle": 3.0},
        memories={},
        slice=Slice(1, 10, 0.1, 1.0, 8),
        synthesis={},
    )
    content = {"layers": [row.to_json()], "per_image": {"sparse-61": {"total_nj": 3.0}}}

    def measured(layers: Any, images: Any, *_: Any, report: Any, **more: Any) -> Any:
        asked.update(layers=[layer.name for layer in layers], images=images, **more)
        report(row)
        return content

    monkeypatch.setattr(energy, "measure", measured)
    line = ["energy", str(run), "--layers", "conv2", "--cycles", "500"]
    assert main(line) == 0
    assert (asked["layers"], asked["cycles"]) == (["conv2"], 500)
    pixels = load_dataset("lenet5", None, seed=0).test.images(np.arange(1))
    values = golden.trace(MODEL, MODEL.input.quantize(pixels))
    np.testing.assert_array_equal(asked["images"]["conv2"], values["conv1"][0])
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in told] == [
        ["conv2", "sparse-61", "3"],
        ["image", "sparse-61", "3"],
    ]
    assert main([*line, "--json", "-"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["layers"] == [row.to_json()]
    assert found["source"]["network"] == "small"
    assert said.err.startswith("conv2 ")


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
