"""`cosign evaluate`: the figures of results.json for one file."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from random_layers import random_layer

from compress.data import datasets
from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec
from compress.model.hostops import HostOp
from cosign import CosignError
from flows.commands import evaluate
from sim import golden


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_options(parser)
    return parser.parse_args(arguments)


def model(channels: int = 1) -> CompressedModel:
    fc = random_layer(Geometry("linear", channels * 784, 10), 0.1, input="flatten", name="fc1")
    spec = InputSpec((channels, 28, 28), 0.02, (0.13,) * channels, (0.31,) * channels)
    return CompressedModel("one", spec, (HostOp("flatten", "flatten", ("input",)), fc))


def test_accuracy_and_compression_are_those_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, found = tmp_path / "model.cosign", tmp_path / "found.json"
    container.save(model(), path)
    assert evaluate.run(options(str(path), "--json", str(found))) == 0
    report = json.loads(found.read_text())
    test = datasets.load_dataset("lenet5", None, seed=0).test
    pixels = test.images(np.arange(len(test.labels)))
    scores = golden.run(model(), model().input.quantize(pixels)).reshape(len(pixels), 10)
    assert report["accuracy"]["integer"] == np.mean(scores.argmax(axis=1) == test.labels)
    compression = report["compression"]
    assert compression["file_bytes"] == path.stat().st_size
    assert compression["nonzeros"] == model().layers[0].nnz
    assert report["dataset"]["test"] == len(test.labels) == 10_000
    assert f"{path.stat().st_size:,} B" in capsys.readouterr().out


def test_data_of_another_shape_are_refused(tmp_path: Path) -> None:
    container.save(model(channels=3), tmp_path / "model.cosign")
    with pytest.raises(CosignError, match="one reads images of 3 channels, mnist has 1"):
        evaluate.run(options(str(tmp_path / "model.cosign"), "--data", "mnist"))
