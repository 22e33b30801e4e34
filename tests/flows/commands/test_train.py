"""`cosign train`: the stages and the file, found again by the same command."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compress.data import datasets
from compress.file import container
from compress.model.tidy import tidy
from compress.train import stages
from compress.zoo.density import kept_weights
from compress.zoo.networks import densities, spec_of
from cosign import CosignError
from flows.commands import train

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
        (("lenet5", "--targets", "13"), "targets is 13, must be 1 to 12"),
        (("alexnet", "--data", "nowhere"), "nowhere"),
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
