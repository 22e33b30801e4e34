"""Networks that are no classifiers: several outputs, any channels, errors instead of accuracy."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper

from compress.__main__ import main
from compress.exchange import sources
from compress.file import container
from cosign import CosignError
from sim import golden


def two_headed(channels: int = 5) -> onnx.ModelProto:
    """A map [N, 3, 6, 6] and a vector [N, 4] of images of `channels`."""
    graph = onnx_models.Graph(("N", channels, 8, 8))
    y = graph.node("Relu", graph.conv("x", channels, 6, "c"), name="r")
    graph.conv(y, 6, 3, "map", kernel=1)
    flat = graph.node("Flatten", graph.node("GlobalAveragePool", y, name="p"), name="flat")
    graph.node("MatMul", flat, graph.random("w", 6, 4), name="vec")
    model = graph.model("map")
    model.graph.output.append(helper.make_tensor_value_info("vec", TensorProto.FLOAT, None))
    return model


def export(model: onnx.ModelProto, folder: Path, *more: str) -> tuple[int, dict]:
    file, out, report = (folder / name for name in ("n.onnx", "n.cosign", "n.json"))
    onnx.save(model, file)
    words = ["--network", file, "--ratio", "1", "--bits", "8", "--out", out, "--json", report]
    status = main(["export", *map(str, words), *more])
    return status, json.loads(report.read_text()) if status == 0 else {}


def test_the_error_of_every_output_is_that_of_the_file(tmp_path: Path) -> None:
    """Against onnxruntime, on the images that were not calibrated on."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 5, 8, 8), np.uint8)
    np.save(tmp_path / "p.npy", pixels)
    status, report = export(two_headed(), tmp_path, "--images", str(tmp_path / "p.npy"))
    assert status == 0
    fidelity = report["fidelity"]
    assert fidelity["images"] == 3
    held = pixels[[0, 5, 11]]  # spread over what there is
    model = container.load(tmp_path / "n.cosign")
    values = golden.trace(model, model.input.quantize(held))
    x = ((held / 255 - 0.5) / 0.25).astype(np.float32)
    running = onnx_models.session(two_headed())
    scales = {layer.name: layer.out_scale for layer in model.layers}
    for output, node in zip(fidelity["outputs"], model.outputs, strict=True):
        y = running.run([output["name"]], {"x": x})[0]
        found = values[node].reshape(y.shape) * scales[node]
        expected = np.sqrt(np.square(y - found).sum() / np.square(y).sum())
        assert output["relative_rms_error"] == pytest.approx(expected, rel=1e-3)
        assert output["relative_rms_error"] < 0.05
        assert output["shape"] == list(model.shapes[node])
    assert [output["name"] for output in fidelity["outputs"]] == ["map", "vec"]


@pytest.mark.parametrize("channels", [1, 2, 64])
def test_any_channels_are_compressed(
    channels: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = export(two_headed(channels), tmp_path)
    assert status == 0
    assert report["fidelity"]["images_are"] == "16 images (generated)"
    assert container.load(tmp_path / "n.cosign").input.shape == (channels, 8, 8)
    printed = capsys.readouterr().out
    assert "relative RMS error" in printed
    assert "Calibrated on 16 images (generated)" in printed
    assert ("Pixels of 0 to 255 become -2 to 2" in printed) == (channels != 1)


@pytest.mark.parametrize(("output", "shape"), [("vec", [4, 1, 1]), ("r", [6, 6, 6])])
def test_an_output_is_chosen_by_its_name(output: str, shape: list[int], tmp_path: Path) -> None:
    status, report = export(two_headed(), tmp_path, "--output", output)
    assert status == 0
    (found,) = report["fidelity"]["outputs"]
    assert (found["name"], found["shape"]) == (output, shape)
    assert len(container.load(tmp_path / "n.cosign").outputs) == 1


def test_an_unknown_output_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(two_headed(), tmp_path, "--output", "z")[0] == 2
    assert "has no output 'z'; its outputs are map, vec" in capsys.readouterr().err
    words = ["export", "--network", "lenet5", "--ratio", "2", "--out", str(tmp_path / "m")]
    assert main([*words, "--output", "fc2"]) == 2
    assert "--output is for a network of your own" in capsys.readouterr().err


def test_what_was_left_out_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = onnx_models.Graph()
    y = graph.node("GlobalAveragePool", graph.conv("x", 3, 4, "c"), name="p")
    y = graph.node("Flatten", y, name="flat")
    graph.node("Softmax", y, name="answer", axis=1)
    assert export(graph.model(), tmp_path)[0] == 0
    told = capsys.readouterr().err
    assert told.count("the Softmax 'answer' at its end is left out.") == 1


def test_a_file_of_bytes_says_what_its_pixels_are(tmp_path: Path) -> None:
    graph = onnx_models.Graph((1, 3, 8, 8))
    x = graph.node("Cast", "x", name="floats", to=TensorProto.FLOAT)
    graph.conv(x, 3, 4, "c")
    model = graph.model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    assert export(model, tmp_path)[0] == 0
    source = container.load(tmp_path / "n.cosign").input
    assert source.mean == (0, 0, 0)
    np.testing.assert_allclose(source.std, 1 / 255)


def test_scales_of_a_quantised_file_are_taken(tmp_path: Path) -> None:
    """Steps of 0.37 and, of unsigned bytes, 0.02 x 255 / 127 at a ReLU."""
    graph = onnx_models.Graph()
    y = graph.conv("x", 3, 4, "c")

    def rounded(y: str, name: str, step: float, dtype: type) -> str:
        grid = (graph.constant(f"{name}.s", step), graph.constant(f"{name}.z", 0, dtype))
        q = graph.node("QuantizeLinear", y, *grid, name=f"{name}.q")
        return graph.node("DequantizeLinear", q, *grid, name=f"{name}.d")

    y = rounded(y, "a", 0.37, np.int8)
    y = graph.node("Relu", graph.conv(y, 4, 4, "e"), name="r")
    graph.conv(rounded(y, "b", 0.02, np.uint8), 4, 2, "f", kernel=1)
    assert export(graph.model(), tmp_path)[0] == 0
    first, second, _ = container.load(tmp_path / "n.cosign").layers
    assert first.out_scale == pytest.approx(0.37, rel=1e-3)
    assert second.out_scale == pytest.approx(0.02 * 255 / 127, rel=1e-3)


MODULE = """
import torch
from torch import nn

class Heads(nn.Module):
    input_shape = (3, 8, 8)
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3)
    def forward(self, x):
        return self.first(x).mean((2, 3)), self.second(x)

class Named(Heads):
    def forward(self, x):
        vector, boxes = super().forward(x)
        return {"scores": vector, "boxes": [boxes, boxes.relu()]}
"""


def test_outputs_of_a_module_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many_heads.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "many_heads", raising=False)
    two = sources.load("many_heads:Heads")
    assert two.outputs == ("output.0", "output.1")
    assert [two.spec.shapes[name] for name in two.spec.outputs] == [(4, 1, 1), (2, 6, 6)]
    named = sources.load("many_heads:Named")
    assert named.outputs == ("scores", "boxes.0", "boxes.1")
    boxes = sources.load("many_heads:Named", outputs=["boxes.0"])
    assert boxes.spec.geometries.keys() == {"second"}
    with pytest.raises(CosignError, match=r"its outputs are scores, boxes\.0, boxes\.1"):
        sources.load("many_heads:Named", outputs=["classes"])
