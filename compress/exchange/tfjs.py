"""Weights of a TensorFlow.js layers model, in torch's layout.

Such a model is a `model.json`, Keras's topology and a manifest of tensors, beside the shards that
hold those tensors one after the other, little endian. A quantised tensor is stored as unsigned
integers v for min + scale * v.
"""

import io
import json
import math
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosign import CosignError

_DTYPES = {"float32": "<f4", "int32": "<i4", "bool": "?", "uint8": "u1", "uint16": "<u2"}
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_TORCH_EPS = 1e-5  # of every BatchNorm2d


def state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors as torch names and lays them out, float32: `<layer>.weight`, `<layer>.running_var`...

    path : the folder of `model.json`, or a .tgz (of `npm pack`, say) that holds one

    Kernels become [out, in, kh, kw] and [out, in]. Keras's BatchNorm divides by
    sqrt(var + epsilon) of its own; running_var holds what makes torch's epsilon give the same.

    Raises CosignError when a file is missing or damaged, or a tensor has no place in a layer.
    """
    read = _opened(path)
    model = _json(path, read)
    try:
        layers = {
            layer["config"]["name"]: layer["config"]
            for layer in model["modelTopology"]["model_config"]["config"]["layers"]
        }
        manifest = [
            (group["paths"], [_entry(weight) for weight in group["weights"]])
            for group in model["weightsManifest"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CosignError(
            f"{path}: model.json is no layers model of TensorFlow.js ({error!r})."
        ) from error
    state = {}
    for shards, weights in manifest:
        blob = b"".join(read(name) for name in shards)
        needed = sum(size for *_, size in weights)
        if len(blob) != needed:
            raise CosignError(
                f"{path}: the shards {shards[0]} to {shards[-1]} hold {len(blob):,} bytes, "
                f"model.json lists {needed:,}; fetch the model again."
            )
        offset = 0
        for name, shape, dtype, quantization, size in weights:
            values = np.frombuffer(blob, dtype, math.prod(shape), offset).reshape(shape)
            offset += size
            if quantization is not None:
                values = values * quantization["scale"] + quantization["min"]
            key, tensor = _as_torch(path, name, values.astype(np.float32), layers)
            state[key] = torch.from_numpy(tensor)
    return state


def is_layers_model(path: Path) -> bool:
    """Whether the path looks like what `state_dict` reads: a folder or a packed one."""
    return path.is_dir() or path.suffix in (".tgz", ".gz", ".tar")


def _entry(weight: dict[str, Any]) -> tuple[str, list[int], str, dict[str, float] | None, int]:
    """(name, shape, dtype as stored, quantisation, bytes) of one tensor of the manifest."""
    quantization = weight.get("quantization")
    dtype = _DTYPES[weight["dtype"] if quantization is None else quantization["dtype"]]
    size = math.prod(weight["shape"]) * np.dtype(dtype).itemsize
    return weight["name"], weight["shape"], dtype, quantization, size


def _as_torch(
    path: Path, name: str, values: np.ndarray, layers: dict[str, Any]
) -> tuple[str, np.ndarray]:
    layer, _, part = name.rpartition("/")
    if layer not in layers:
        raise CosignError(f"{path} has a tensor {name!r} that belongs to no layer of its topology.")
    if part == "kernel" and values.ndim in (2, 4):  # [in, out], [kh, kw, in, out]
        return f"{layer}.weight", np.ascontiguousarray(
            values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1)
        )
    if part == "bias":
        return f"{layer}.bias", values
    if part in _BATCH_NORM and "epsilon" in layers[layer]:
        if part == "moving_variance":
            values = values + np.float32(layers[layer]["epsilon"] - _TORCH_EPS)
        return f"{layer}.{_BATCH_NORM[part]}", values
    raise CosignError(
        f"{path} has a tensor {name!r} of shape {values.shape}; only convolutions, dense layers "
        "and batch normalisation are read."
    )


def _opened(path: Path) -> Callable[[str], bytes]:
    """A function from a file's name beside model.json to its bytes."""
    if path.is_dir():
        files = {file.name: file for file in path.iterdir() if file.is_file()}
        return _reader(path, lambda name: files[name].read_bytes())
    try:
        with tarfile.open(path) as archive:
            contents = {
                member.name: file.read()
                for member in archive
                if (file := archive.extractfile(member)) is not None
            }
    except (OSError, EOFError, tarfile.TarError) as error:
        raise CosignError(f"cannot read {path} ({error}); fetch the model again.") from error
    found = [PurePosixPath(name) for name in contents if PurePosixPath(name).name == "model.json"]
    folder = found[0].parent if found else PurePosixPath()
    return _reader(path, lambda name: contents[str(folder / name)])


def _reader(path: Path, read: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def checked(name: str) -> bytes:
        try:
            return read(name)
        except KeyError as error:
            raise CosignError(f"{path} holds no {name}; fetch the model again.") from error
        except OSError as error:
            raise CosignError(f"cannot read {path / name}: {error.strerror or error}.") from error

    return checked


def _json(path: Path, read: Callable[[str], bytes]) -> Any:
    try:
        return json.load(io.BytesIO(read("model.json")))
    except (ValueError, RecursionError) as error:
        raise CosignError(f"{path}: model.json is not valid JSON ({error}).") from error
