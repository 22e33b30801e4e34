"""`cosign train`: the stages and the file, found again by the same command."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.data import datasets
from compress.file import container
from compress.model.pattern import Pattern
from compress.model.tidy import tidy
from compress.train import stages
from compress.zoo.density import kept_weights
from compress.zoo.networks import densities, spec_of
from cosign import CosignError
from flows.commands import train
from rtl.config import CoreConfig
from rtl.program.fit import batch_of, fit
from rtl.program.pack import pack_layer

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "flows")


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_options(parser)
    return parser.parse_args(arguments)


def test_a_row_is_trained_to_a_file_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "_MNIST_VALIDATION", 100)
    asked = ("lenet5-167x", "--budget", "1e-9", "--out", str(tmp_path / "out"))
    assert train.run(options(*asked)) == 0
    path = tmp_path / "out" / "model.cosign"
    content = path.read_bytes()
    wanted = kept_weights(spec_of("lenet5"), densities("lenet5", "167x"))
    model = container.load(path)
    assert all(layer.nnz <= wanted[layer.name] for layer in model.layers)
    left = sum(layer.nnz for layer in model.layers)
    assert [layer.nnz for layer in tidy(model).layers] == [layer.nnz for layer in model.layers]
    shown = capsys.readouterr()
    assert f"{left:,} of 430,500 weights, {len(content):,} B" in shown.out
    assert f"{2580 - left:,} more were kept" in shown.out
    assert "prune" in shown.err

    checkpoints = tmp_path / "out" / "checkpoints"
    assert {file.stem for file in checkpoints.iterdir()} == set(stages.STAGES)
    times = {file: file.stat().st_mtime_ns for file in checkpoints.iterdir()}
    path.unlink()
    (checkpoints / "quantize.pt").unlink()
    assert train.run(options(*asked, "--quiet")) == 0
    assert path.read_bytes() == content
    assert {file for file, time in times.items() if file.stat().st_mtime_ns != time} == {
        checkpoints / "quantize.pt"
    }
    assert capsys.readouterr().err == ""
    with pytest.raises(CosignError, match=r"dense\.pt was made with another recipe, data set or"):
        train.run(options(*asked, "--seed", "1"))


def test_a_pattern_is_trained_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through cut, retraining and levels: one layer 1:4, one 2:8, the first dense."""
    monkeypatch.setattr(datasets, "_MNIST_VALIDATION", 100)
    asked = {"conv1": "1:4", "conv2": "2:8", "fc1": "1:4"}
    (tmp_path / "layers.json").write_text(json.dumps(asked))
    out = tmp_path / "out"
    words = ("lenet5", "--pattern", str(tmp_path / "layers.json"), "--out", str(out))
    assert train.run(options(*words, "--budget", "1e-9", "--targets", "2")) == 0
    shown = capsys.readouterr()
    padded = "padded to whole groups of channels: conv2; dense: conv1, fc2"
    assert f"1:4, 2:8 leaves 113,000 of 430,500 weights; {padded}" in " ".join(shown.err.split())
    model = container.load(out / "model.cosign")
    for layer in model.layers:
        g = layer.geometry
        levels = layer.dense_levels().reshape(g.out_channels, g.in_channels, -1)
        if layer.name in ("conv2", "fc1"):
            pattern = Pattern.parse(asked[layer.name])
            assert pattern.holds(levels)
            assert 0 < layer.nnz <= pattern.kept(g)
            core = CoreConfig("sparse-nm", 8, 4, nm_keep=pattern.keep, nm_group=pattern.group)
            pack_layer(layer, fit(core, [layer], 16), batch_of(g, 16))  # refuses what does not
    assert 112_000 < sum(layer.nnz for layer in model.layers) <= 113_000


@pytest.mark.slow
def test_a_classifier_is_learnt_on_given_convolutions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step or two of every stage, on eight photographs in training."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, g in list(spec_of("alexnet-conv").geometries.items())[:-1]:
        shape = (g.out_channels, g.in_channels, *g.kernel)
        arrays[f"{name}.weight"] = rng.standard_normal(shape, np.float32) / g.columns**0.5
        arrays[f"{name}.bias"] = np.zeros(g.out_channels, np.float32)
    np.savez(tmp_path / "own.npz", **arrays)
    for folder in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / folder / f"{number}.png")
    asked = ("alexnet", "--weights", str(tmp_path / "own.npz"), "--data", str(tmp_path / "photos"))
    out = tmp_path / "out"
    assert train.run(options(*asked, "--budget", "1e-9", "--out", str(out))) == 0
    model = container.load(out / "model.cosign")
    weights = sum(layer.geometry.weights for layer in model.layers)
    assert model.name == "alexnet-conv"
    assert sum(layer.nnz for layer in model.layers) <= weights / 10
    assert model.shapes[model.outputs[0]] == (2, 1, 1)
    assert f"of {weights:,} weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("vgg",), "unknown network 'vgg'"),
        (("vgg16-26x",), "vgg16 is not trained from nothing; give its weights by --weights"),
        (("lenet5", "--weights", "none.pt"), "cannot read none.pt|cannot read /.*/none.pt"),
        (("lenet5", "--weights", "imagenet"), "no ImageNet weights of lenet5 can be fetched"),
        (("net.onnx", "--weights", "own.pt"), "net.onnx has its own weights"),
        (("lenet5-85x", "--alpha", "default"), "leave --alpha out"),
        (("lenet5", "--alpha", "ours1"), "no alpha preset 'ours1'"),
        (("lenet5", "--alpha", "0.5x"), "the pruning ratio is 0.5x, must be at least 1x"),
        (("lenet5", "--pattern", "2:4", "--alpha", "20x"), "--pattern and --alpha both say what"),
        (("lenet5-85x", "--pattern", "2:4"), "--pattern and lenet5-85x both say what stays"),
        (("lenet5", "--pattern", "0:4"), "a pattern of 0:4 is none: N of each M weights stay"),
        (("lenet5", "--pattern", "2-4"), "'2-4' is no pattern; write N:M, as 2:4"),
        (("lenet5", "--pattern", "8:32"), "a pattern of 8:32 is none"),
        (("lenet5", "--pattern", "none.json"), "cannot read none.json: No such file"),
        (("lenet5", "--targets", "13"), "targets is 13, must be 1 to 12"),
        (("alexnet", "--data", "nowhere"), "nowhere"),
        (("alexnet-conv",), "begins with trained convolutions; give --weights imagenet-conv"),
        (("alexnet-conv", "--weights", "imagenet"), "alexnet-conv has no weights called imagenet"),
        (("alexnet", "--weights", "none.npz"), "cannot read .*none.npz: No such file"),
        (("lenet5", "--weights", "imagenet-conv"), "as imagenet-conv has them, only alexnet does"),
        (("vgg16-26x", "--weights", "own.npz"), "vgg16 takes no convolutions without a classifier"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=sentence):
        train.run(options(*arguments, "--out", str(tmp_path / "out")))
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_two_processes_tell_bad_input_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TORCHRUN, "train", "lenet5-85x", "--alpha", "default"],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(Path(train.__file__).parents[2])),
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode != 0
    assert done.stderr.count("cosign: lenet5-85x says how far to prune") == 1
