"""python -m compress inspect."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from compress.__main__ import main
from compress.commands.inspect import inspect, table
from compress.file import container
from compress.model.graph import Layer
from compress.model.tidy import tidy
from compress.train import export
from compress.train.results import StageResult


@pytest.fixture(scope="module")
def model(
    toy: ModuleType, trained: dict[str, StageResult], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("inspect") / "model.cosign"
    container.save(export.export(trained["quantize"], toy.dataset()), path)
    return path


def test_every_byte_is_accounted_for(model: Path) -> None:
    report = inspect(model)
    total = report["total"]
    parts = ("data_bytes", "index_bytes", "bias_bytes", "header_bytes")
    assert total["file_bytes"] == model.stat().st_size == sum(total[part] for part in parts)
    assert total["weights"] == 430_500
    for layer in report["layers"]:
        assert 0 < layer["data_bytes"] <= (layer["nonzeros"] * layer["bits"] + 7) // 8


def test_computation_is_that_of_the_weights_that_are_left(model: Path) -> None:
    report = inspect(model)
    layers = container.load(model).layers
    for row, layer in zip(report["layers"], layers, strict=True):
        outputs = 24 * 24 if layer.name == "conv1" else 8 * 8 if layer.name == "conv2" else 1
        assert row["macs"] == sum(np.count_nonzero(f) * outputs for f in layer.dense_levels())
        assert row["mac_bits"] == row["macs"] * layer.bits
    conv1, conv2, *_ = report["layers"]
    assert report["conv"]["macs"] == conv1["macs"] + conv2["macs"] < report["total"]["macs"]


def test_filters_without_a_weight_are_counted(model: Path, tmp_path: Path) -> None:
    tidied = tidy(container.load(model))  # neurons that nothing reads lose their weights
    container.save(tidied, tmp_path / "tidy.cosign")
    report = inspect(tmp_path / "tidy.cosign")
    dense = {layer.name: layer.dense_levels() for layer in tidied.layers}
    dead = {name: int((~rows.any(axis=1)).sum()) for name, rows in dense.items()}
    assert {row["name"]: row["dead"] for row in report["layers"]} == dead
    assert report["total"]["dead"] == sum(dead.values()) > 0
    assert report["total"]["filters"] == 20 + 50 + 500 + 10
    assert f"{dead['fc1']}/500" in table(report)


def test_the_intervals_of_filters_are_a_range(model: Path, tmp_path: Path) -> None:
    one = container.load(model)
    conv1, *rest = one.nodes
    assert isinstance(conv1, Layer)
    q = np.linspace(0.125, 0.25, 20)
    q[np.diff(conv1.row_ptr) == 0] = 8  # says nothing
    several = dataclasses.replace(one, nodes=(dataclasses.replace(conv1, q=q), *rest))
    container.save(several, tmp_path / "several.cosign")
    report = inspect(tmp_path / "several.cosign")
    live = q[np.diff(conv1.row_ptr) > 0]
    assert report["layers"][0]["q"] == [live.min(), live.max()]
    lines = table(report).splitlines()
    assert f" {live.min():.3g}-{live.max():.3g} " in lines[2]
    assert f" {report['layers'][1]['q'][0]:.3g} " in lines[3]
    total = report["total"]
    parts = ("data_bytes", "index_bytes", "bias_bytes", "header_bytes")
    assert total["file_bytes"] == sum(total[part] for part in parts)
    assert total["bias_bytes"] > inspect(model)["total"]["bias_bytes"]


def test_table_and_json(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--json", str(tmp_path / "sizes.json")]) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "sizes.json").read_text())
    for layer in report["layers"]:
        assert layer["name"] in printed
    assert f"{report['total']['file_bytes']:,} B" in printed


@pytest.mark.parametrize("coding", ["relative", "adaptive"])
def test_repack_writes_the_coding_asked_for(model: Path, tmp_path: Path, coding: str) -> None:
    out, sizes = tmp_path / "again.cosign", tmp_path / "sizes.json"
    arguments = ["repack", str(model), "--coding", coding, "--out", str(out), "--json", str(sizes)]
    assert main(arguments) == 0
    report = json.loads(sizes.read_text())
    assert {layer["index_coding"] for layer in report["layers"]} == {coding}
    assert report["total"]["file_bytes"] == out.stat().st_size


def test_bad_files_are_one_sentence_and_status_2(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.cosign").write_bytes(model.read_bytes()[:-10])
    for path, words in [("short.cosign", "truncated or damaged"), ("none.cosign", "cannot read")]:
        assert main(["inspect", str(tmp_path / path), "--json", str(tmp_path / "x.json")]) == 2
        message = capsys.readouterr().err
        assert words in message
        assert message.count("\n") == 1
    assert not (tmp_path / "x.json").exists()


def test_it_runs_without_torch(model: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from compress.__main__ import main; "
        f"sys.exit(main(['inspect', {str(model)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
