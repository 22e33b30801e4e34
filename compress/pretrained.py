"""Pretrained weights by name: state dicts of torchvision, converted Caffe models, or our own."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from compress.models import Network, module_key
from compress.networks import NetworkSpec
from cosign import CosignError

# torchvision's VGG-16 numbers its modules, pooling and ReLU included.
_VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def load_weights(network: Network, path: Path) -> None:
    """Fill `network` from a file that `torch.save(model.state_dict(), path)` wrote.

    Raises CosignError, with the name, when the file cannot be read, or a tensor is missing, has
    another shape, is not finite, or belongs to no layer.
    """
    state = _read(path)
    wanted = min(
        _schemes(network.spec), key=lambda names: sum(name not in state for name in names.values())
    )
    parameters = network.state_dict()
    for target, name in wanted.items():
        if name not in state:
            raise CosignError(
                f"{path} has no tensor {name!r}, which {network.spec.name} needs; give weights of "
                "the same network."
            )
        shape, given = tuple(parameters[target].shape), tuple(state[name].shape)
        if shape != given:
            raise CosignError(
                f"{path}: {name} has shape {given}, {network.spec.name} needs {shape}."
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise CosignError(f"{path}: {name} holds a value that is not finite.")
    known = set(wanted.values())
    strange = [name for name in state if name not in known and not _counter(name)]
    if strange:
        raise CosignError(
            f"{path} has a tensor {strange[0]!r} that belongs to no layer of {network.spec.name}."
        )
    network.load_state_dict(
        {target: state[name] for target, name in wanted.items()},
        strict=False,  # the counters
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        path.open("rb").close()
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises anything on a damaged file
        raise CosignError(
            f"{path} is not a file of weights; write one with torch.save(model.state_dict(), ...)."
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CosignError(f"{path} must hold a state dict, tensors by name.")
    return dict(state)


def _counter(name: str) -> bool:
    """BatchNorm counts its batches; evaluation has no use for that."""
    return name.endswith("num_batches_tracked")


def _schemes(spec: NetworkSpec) -> list[dict[str, str]]:
    """For each naming that we know: the file's name of each of `Network`'s tensors."""
    layers = list(spec.geometries)
    plain = {name: (name, _torchvision_norm(name)) for name in layers}  # Caffe, ResNet
    if spec.name == "resnet50":
        plain |= {
            name: (f"{name}.0", f"{name}.1") for name in layers if name.endswith(".downsample")
        }
    ours = {name: (f"layers.{module_key(name)}", f"norms.{module_key(name)}") for name in layers}
    namings = [plain, ours]
    if {"fc1", "fc2", "fc3"} <= set(layers):  # AlexNet's and VGG-16's, in Caffe fc6 to fc8
        caffe = {f"fc{number}": (f"fc{number + 5}", "") for number in (1, 2, 3)}
        namings.append(plain | caffe)
    if spec.name == "vgg16":
        modules = [f"features.{number}" for number in _VGG16]
        modules += ["classifier.0", "classifier.3", "classifier.6"]
        namings.append({name: (module, "") for name, module in zip(layers, modules, strict=True)})
    return [_tensors(spec, names) for names in namings]


def _torchvision_norm(name: str) -> str:
    """layer1.0.conv2 is followed by layer1.0.bn2."""
    head, dot, last = name.rpartition(".")
    return head + dot + last.replace("conv", "bn")


def _tensors(spec: NetworkSpec, names: dict[str, tuple[str, str]]) -> dict[str, str]:
    wanted = {}
    for node in spec.nodes:
        if node.geometry is None:
            continue
        (module, norm), key = names[node.name], module_key(node.name)
        wanted[f"layers.{key}.weight"] = f"{module}.weight"
        if not node.batch_norm:
            wanted[f"layers.{key}.bias"] = f"{module}.bias"
            continue
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            wanted[f"norms.{key}.{tensor}"] = f"{norm}.{tensor}"
    return wanted
