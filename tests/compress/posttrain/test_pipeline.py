"""Compression without training: the command, calibration images, and pretrained weights."""

import dataclasses
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from compress.__main__ import main
from compress.data.pixels import normalised
from compress.exchange.state_dicts import load_weights
from compress.file import container
from compress.model.graph import CompressedModel
from compress.model.nodes import NetworkSpec, NodeSpec
from compress.model.pattern import Pattern
from compress.nn.network import Network
from compress.posttrain.samples import collect
from compress.zoo import networks
from compress.zoo.density import kept_weights
from compress.zoo.lenet5 import LENET5, lenet5_spec
from compress.zoo.vgg16 import vgg16_spec
from cosign import CosignError
from sim import golden


def lenet5_file(path: Path, *more: str) -> CompressedModel:
    arguments = ["export", "--network", "lenet5", "--alpha", "85x", "--out", str(path), *more]
    assert main(arguments) == 0
    return container.load(path)


def test_an_untrained_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = lenet5_file(tmp_path / "model.cosign", "--json", str(tmp_path / "sizes.json"))
    printed = capsys.readouterr().out
    assert "UNTRAINED" in printed
    keep = kept_weights(lenet5_spec(), networks.densities("lenet5", "85x"))
    assert {layer.name: layer.nnz for layer in model.layers} == keep
    assert {layer.name: layer.bits for layer in model.layers} == LENET5.bits.by_layer(LENET5.spec)
    total = json.loads((tmp_path / "sizes.json").read_text())["total"]
    assert total["nonzeros"] == sum(keep.values())
    assert total["file_bytes"] == (tmp_path / "model.cosign").stat().st_size


def test_the_seed_decides_the_file(tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        lenet5_file(tmp_path / name, "--seed", seed, "--bits", "2")
    blobs = [(tmp_path / name).read_bytes() for name in "abc"]
    assert blobs[0] == blobs[1] != blobs[2]
    assert {layer.bits for layer in container.from_bytes(blobs[0]).layers} == {2}


def test_given_weights_and_images_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small: ModuleType
) -> None:
    """A dense 8-bit file computes what the float network with those weights does."""
    network = small.trained(lenet5_spec())
    state = {
        key.removeprefix("layers."): value for key, value in network.state_dict().items()
    }  # as in Caffe
    torch.save(state, tmp_path / "lenet5.pt")
    (tmp_path / "alpha.json").write_text(json.dumps(dict.fromkeys(network.weights, 1.0)))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 28, 28), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    arguments = ["--weights", str(tmp_path / "lenet5.pt"), "--images", str(tmp_path), "--bits", "8"]
    out = tmp_path / "model.cosign"
    model = lenet5_file(out, "--alpha", str(tmp_path / "alpha.json"), *arguments)
    assert "UNTRAINED" not in capsys.readouterr().out
    with torch.no_grad():
        logits = network(normalised(model.input, pixels[:, None])).numpy()
    scores = golden.run(model, model.input.quantize(pixels[:, None]))[..., 0, 0]
    error = scores * model.layers[-1].out_scale - logits
    assert np.sqrt((error**2).mean()) < 0.03 * logits.std()


def test_images_are_scaled_cropped_and_in_order(tmp_path: Path) -> None:
    """A wide image whose centre is white: only the centre is left."""
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 17:43] = 255
    Image.fromarray(wide).save(tmp_path / "b.png")
    (tmp_path / "class").mkdir()
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "class" / "c.png")
    (tmp_path / "a.txt").write_text("not an image")
    pixels = collect((3, 10, 10), tmp_path, 0, 5).calibration
    assert pixels.shape == (2, 3, 10, 10)
    assert (pixels[0] == 255).all()
    assert (pixels[1] == 7).all()
    assert (collect((3, 10, 10), tmp_path, 0, 1).calibration == 255).all()
    assert collect((1, 10, 10), tmp_path, 0, 2).calibration.shape == (2, 1, 10, 10)


@pytest.mark.parametrize("method", ["magnitude", "oneshot"])
def test_a_ratio_is_the_same_in_every_layer(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.cosign"
    arguments = ["--network", "lenet5", "--ratio", "4", "--method", method, "--bits", "6"]
    assert main(["export", *arguments, "--act-bits", "5", "--out", str(out)]) == 0
    model = container.load(out)
    for layer in model.layers:
        assert layer.nnz == round(layer.geometry.weights / 4)
        assert layer.bits == 6
    units = golden.trace(model, model.input.quantize(np.full((1, 1, 28, 28), 255, np.uint8)))
    assert max(int(values.max()) for values in units.values()) == 15
    capsys.readouterr()
    assert main(["inspect", str(out)]) == 0
    assert "lenet5, activations of 5 bits" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["magnitude", "oneshot"])
def test_a_pattern_is_in_every_layer_that_has_the_channels(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.cosign"
    arguments = ["--network", "lenet5", "--pattern", "2:4", "--method", method, "--bits", "6"]
    assert main(["export", *arguments, "--out", str(out)]) == 0
    words = "2:4 leaves 215,500 of 430,500 weights; dense: conv1"
    assert words in capsys.readouterr().err
    first, *others = container.load(out).layers
    assert first.nnz > 0.9 * first.geometry.weights
    for layer in others:
        g = layer.geometry
        assert Pattern(2, 4).holds(layer.dense_levels().reshape(g.out_channels, g.in_channels, -1))
        assert 0.9 * g.weights / 2 < layer.nnz <= g.weights / 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--pattern", "0:4"], "a pattern of 0:4 is none: N of each M weights stay"),
        (["--pattern", "4:4"], "a pattern of 4:4 is none"),
        (["--pattern", "5:4"], "a pattern of 5:4 is none"),
        (["--pattern", "2-4"], "'2-4' is no pattern; write N:M, as 2:4"),
        (["--pattern", "8:32"], "a pattern of 8:32 is none"),
        (["--pattern", "2:4", "--ratio", "2"], "not allowed with argument --pattern"),
        (["--pattern", "2:4", "--alpha", "85x"], "not allowed with argument"),
        (["--network", "lenet5-85x", "--pattern", "2:4"], "--pattern or a row of the paper, one"),
        (["--pattern", "none.json"], "cannot read none.json"),
        (["--pattern", "STRANGE"], "lenet5 has no layer 'conv9'"),
        (["--pattern", "NUMBER"], 'the pattern of conv2 is 0.5, write "2:4"'),
        (["--pattern", "NOTHING"], "prunes no layer of lenet5: none sees as many channels"),
    ],
)
def test_what_is_no_pattern_of_the_network_is_refused(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"STRANGE": {"conv9": "2:4"}, "NUMBER": {"conv2": 0.5}, "NOTHING": {"conv1": "2:4"}}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    arguments = [str(tmp_path / part) if part in files else part for part in arguments]
    out = tmp_path / "model.cosign"
    assert main(["export", "--network", "lenet5", *arguments, "--out", str(out)]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_ratio_below_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "model.cosign")
    assert main(["export", "--network", "lenet5", "--ratio", "0.5", "--out", out]) == 2
    assert "0.5 is no pruning ratio; it must be at least 1x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "90x"], "lenet5 has no alpha preset '90x'; choose one of: default, 85x"),
        (["--weights", "none.pt"], "cannot read none.pt"),
        (["--weights", __file__], "is not a file of weights"),
        (["--weights", "EMPTY"], "holds no model.json"),
        (["--weights", "imagenet"], "no ImageNet weights of lenet5 can be fetched"),
        (["--seed", "-1"], "-1 is negative"),
        (["--images", "nowhere"], "cannot read nowhere: No such file or directory"),
        (["--images", "EMPTY"], "holds no image"),
        (["--images", "BROKEN"], "cannot read the image"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_file(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BROKEN").mkdir()
    (tmp_path / "BROKEN" / "a.png").write_bytes(b"no picture")
    arguments = [str(tmp_path / part) if part.isupper() else part for part in arguments]
    out = tmp_path / "model.cosign"
    command = ["export", "--network", "lenet5", "--alpha", "85x", "--out", str(out)]
    assert main([*command, *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not out.exists()


def torchvision_state(network: Network) -> dict[str, torch.Tensor]:
    """The state of `small.residual_spec("resnet50")`, by the names that torchvision would use."""
    renamed = {
        "layers.conv1": "conv1",
        "norms.conv1": "bn1",
        "layers.layer1/0/conv1": "layer1.0.conv1",
        "norms.layer1/0/conv1": "layer1.0.bn1",
        "layers.layer1/0/conv2": "layer1.0.conv2",
        "norms.layer1/0/conv2": "layer1.0.bn2",
        "layers.layer1/0/downsample": "layer1.0.downsample.0",
        "norms.layer1/0/downsample": "layer1.0.downsample.1",
        "layers.fc": "fc",
    }
    return {
        f"{renamed[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value
        for key, value in network.state_dict().items()
    }


def test_torchvisions_names_are_understood(tmp_path: Path, small: ModuleType) -> None:
    spec = small.residual_spec("resnet50")
    network, x = small.trained(spec, seed=3), torch.randn(2, 3, 12, 12)
    for state in (torchvision_state(network), network.state_dict()):
        torch.save(state, tmp_path / "weights.pt")
        loaded = Network(spec).eval()
        load_weights(loaded, tmp_path / "weights.pt")
        assert torch.equal(loaded(x), network(x))


def test_vgg16_and_caffe_names_are_understood(tmp_path: Path) -> None:
    """By shapes on the meta device: 138 million weights are not needed to compare names."""
    features = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # vgg16() of torchvision 0.20
    torchvision = [f"features.{i}" for i in features] + [f"classifier.{i}" for i in (0, 3, 6)]
    ours = list(vgg16_spec().geometries)
    caffe = [*ours[:13], "fc6", "fc7", "fc8"]
    tiny = NetworkSpec("vgg16", (3, 2, 2), _shrunk(vgg16_spec()))
    network = Network(tiny)
    for names in (torchvision, caffe, ours):
        state = {}
        for name, new in zip(ours, names, strict=True):
            state[f"{new}.weight"] = network.weights[name].detach() + 1
            state[f"{new}.bias"] = network.biases[name].detach() + 2
        torch.save(state, tmp_path / "weights.pt")
        loaded = Network(tiny)
        load_weights(loaded, tmp_path / "weights.pt")
        for name in ours:
            assert torch.equal(loaded.weights[name], network.weights[name] + 1)
            assert torch.equal(loaded.biases[name], network.biases[name] + 2)


def _shrunk(spec: NetworkSpec) -> tuple[NodeSpec, ...]:
    """The same layers with two channels each; only their names and parameters matter."""
    return tuple(
        dataclasses.replace(
            node, geometry=dataclasses.replace(node.geometry, in_channels=2, out_channels=2)
        )
        for node in spec.nodes
        if node.geometry is not None
    )


def _without(state: dict[str, torch.Tensor]) -> None:
    del state["layer1.0.bn2.running_var"]


def _reshaped(state: dict[str, torch.Tensor]) -> None:
    state["fc.weight"] = state["fc.weight"][:7]


def _poisoned(state: dict[str, torch.Tensor]) -> None:
    state["conv1.weight"][0, 0, 0, 0] = float("nan")


def _extended(state: dict[str, torch.Tensor]) -> None:
    state["layer9.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, r"has no tensor 'layer1\.0\.bn2\.running_var', which resnet50 needs"),
        (_reshaped, r"fc\.weight has shape \(7, 32\), resnet50 needs \(10, 32\)"),
        (_poisoned, r"conv1\.weight holds a value that is not finite"),
        (_extended, r"a tensor 'layer9\.weight' that belongs to no layer"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: object, message: str, tmp_path: Path, small: ModuleType
) -> None:
    spec = small.residual_spec("resnet50")
    state = {key: value.clone() for key, value in torchvision_state(small.trained(spec)).items()}
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CosignError, match=message):
        load_weights(Network(spec), tmp_path / "weights.pt")


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "weights.pt")
    with pytest.raises(CosignError, match="must hold a state dict"):
        load_weights(Network(lenet5_spec()), tmp_path / "weights.pt")


@pytest.mark.slow
@pytest.mark.parametrize(("network", "alpha"), [("resnet50", "17x"), ("vgg16", "26x")])
def test_a_full_network_becomes_a_file_and_runs(
    network: str, alpha: str, tmp_path: Path, small: ModuleType
) -> None:
    """8-bit levels follow the float network with the same levels."""
    out = tmp_path / "model.cosign"
    arguments = ["--network", network, "--alpha", alpha, "--bits", "8", "--out", str(out)]
    assert main(["export", *arguments]) == 0
    model = container.load(out)
    spec = networks.spec_of(network)
    keep = kept_weights(spec, networks.densities(network, alpha))
    assert {layer.name: layer.nnz for layer in model.layers} == keep
    pixels = collect(spec.shape, None, seed=9, count=2).calibration
    scores = golden.run(model, model.input.quantize(pixels))[..., 0, 0]
    with torch.no_grad():
        logits = small.float_twin(model, spec)(normalised(model.input, pixels)).numpy()
    real = scores * model.layers[-1].out_scale
    for ours, floats in zip(real, logits, strict=True):
        assert np.corrcoef(ours, floats)[0, 1] > 0.95
