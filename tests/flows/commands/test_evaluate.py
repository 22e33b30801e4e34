"""`cosign evaluate`: the figures of results.json for one file."""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Black images in numbered class folders; five of the eight test images are of class 10."""
    for split in ("train", "val"):
        for name in ("0", "1", "2", "10"):
            (tmp_path / "digits" / split / name).mkdir(parents=True)
            for number in range(5 if name == "10" else 2 if split == "train" else 1):
                path = tmp_path / "digits" / split / name / f"{number}.png"
                Image.new("RGB", (8, 8)).save(path)
    return tmp_path / "digits"


def says_three(path: Path) -> Path:
    """A model of four outputs, of which the last is always the largest."""
    fc = random_layer(Geometry("linear", 192, 4), 0.1, input="flatten", name="fc1")
    fc = dataclasses.replace(fc, bias=np.array([0, 0, 0, 1 << 20], np.int32))
    spec = InputSpec((3, 8, 8), 0.02, (0.5,) * 3, (0.5,) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = CompressedModel("three", spec, (HostOp("flatten", "flatten", ("input",)), fc))
    container.save(made, path)
    return path


def test_outputs_are_classes_in_the_order_that_is_told(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "found.json"
    path = says_three(tmp_path / "run" / "model.cosign")
    words = [str(path), "--data", str(digits), "--json", str(found)]

    def right(*more: str) -> float:
        assert evaluate.run(options(*words, *more)) == 0
        return float(json.loads(found.read_text())["accuracy"]["integer"])

    with pytest.raises(CosignError, match="which order the network's outputs have is not told"):
        right()
    assert right("--classes", "numeric") == 5 / 8
    assert "outputs: 0 is 0, 1 is 1, 2 is 2, 3 is 10\n" in capsys.readouterr().out
    assert "--classes numeric" in json.loads(found.read_text())["command"]
    assert right("--classes", "text") == 1 / 8
    (path.parent / "classes.txt").write_text("10\n2\n1\n0\n")  # what training leaves
    assert right() == 1 / 8
    (digits / "classes.txt").write_text("0\n1\n2\n10\n")
    assert right() == 1 / 8  # the network was trained in that order
    (path.parent / "classes.txt").write_text("cat\ndog\n")  # of other data
    assert right() == 5 / 8


def test_an_order_is_for_folders(tmp_path: Path) -> None:
    container.save(model(), tmp_path / "model.cosign")
    with pytest.raises(CosignError, match="--classes is for an image folder"):
        evaluate.run(options(str(tmp_path / "model.cosign"), "--classes", "text"))


def test_one_output_is_evaluated_where_a_model_has_several(tmp_path: Path) -> None:
    one, file = model(), tmp_path / "model.cosign"
    fc = random_layer(Geometry("linear", 784, 4), 0.1, input="flatten", name="boxes")
    several = CompressedModel("two", one.input, (*one.nodes, fc), ("boxes", "fc1"))
    container.save(several, file)
    with pytest.raises(CosignError, match=r"two gives boxes \(4\), fc1 \(10\), and accuracy is of"):
        evaluate.run(options(str(file)))
    with pytest.raises(CosignError, match=r"no output 'fc2'; it has boxes \(4\), fc1 \(10\)"):
        evaluate.run(options(str(file), "--output", "fc2"))
    with pytest.raises(CosignError, match="has 4 outputs, mnist has 10 classes"):
        evaluate.run(options(str(file), "--output", "boxes"))
    found = {}
    for name, arguments in (("two", ["--output", "fc1"]), ("one", [])):
        container.save(several if name == "two" else one, file)
        path = tmp_path / f"{name}.json"
        assert evaluate.run(options(str(file), "--json", str(path), *arguments)) == 0
        found[name] = json.loads(path.read_text())["accuracy"]
    assert found["one"] == found["two"]
