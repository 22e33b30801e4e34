"""What a run starts from: network, data and recipe, built in or the user's own."""

import dataclasses
import functools
from collections.abc import Callable

from compress.data import datasets
from compress.data.datasets import Dataset
from compress.data.pixels import some_images
from compress.exchange import features, sources
from compress.model.nodes import size_of
from compress.model.pretrained import Pretrained
from compress.nn.network import Network, pretrained_network
from compress.posttrain.balance import balance
from compress.train import recipes, transfer
from compress.zoo import networks, patterns
from compress.zoo.density import uniform
from compress.zoo.networks import entry_of, is_foreign
from compress.zoo.recipe import Recipe
from cosign import CosignError
from flows.loop.rundir import RunConfig
from rtl.program.fit import batch_for

_SMALL = 1_000_000  # weights, up to which a network of one's own is executed on many images
_MANY = 16
_BALANCED_ON = 16  # training images


def pretrained(config: RunConfig) -> Pretrained | None:
    """The network with the weights that it comes with, or None for one that is trained here.

    Reads it from its file. Raises CosignError when it cannot be read, or is another than the run
    began with.
    """
    if not is_foreign(config.network) and (config.weights is None or config.learns_classifier):
        return None
    network = sources.load(config.network, config.weights, config.outputs or ())
    if network.digest() != config.digest:
        raise CosignError(
            f"{config.network} is another network than this run began with; start a new run."
        )
    return network


def begun(config: RunConfig, recipe: Recipe, data: Dataset) -> Network | None:
    """A network of the recipe with those trained layers; None where it is trained from nothing.

    Raises CosignError when they cannot be read, or are others than the run began with.
    """
    if not config.learns_classifier:
        return None
    assert config.weights is not None
    found = features.load(config.network, config.weights)
    if found.digest() != config.digest:
        raise CosignError(
            f"{config.weights} has other weights than this run began with; start a new run."
        )
    return transfer.begin(recipe, found, data, config.seed)


def tell(name: str, network: Pretrained | None, note: Callable[[str], None]) -> None:
    """What was changed or left out in reading a network that comes with weights."""
    for line in network.notes if network is not None else ():
        note(f"{name}: {line}.")


def dataset(
    config: RunConfig, network: Pretrained | None, note: Callable[[str], None] | None = None
) -> Dataset:
    """The run's data. Raises CosignError when they do not fit the network, or nothing does."""
    if network is not None:
        _check_classifies(config.network, network)
    # In the order that the run began with, whatever the folder's classes.txt says by now.
    order = (config.classes or "text") if datasets.is_folder(config.data) else None
    told = None
    if config.mean is not None and config.std is not None:
        told = tuple(config.mean), tuple(config.std)
    if network is None:
        entry = entry_of(config.network)
        if entry.features is None:
            return datasets.load_dataset(config.network, config.data, config.seed, note, order)
        data = entry.data if config.data is None else config.data
        return datasets.load_for(entry.spec.shape, data, config.seed, told, note, order)
    pixels = told or network.pixels
    loaded = datasets.load_for(network.spec.shape, config.data, config.seed, pixels, note, order)
    if len(loaded.classes) != network.spec.classes:
        raise CosignError(
            f"{config.network} has {network.spec.classes} outputs, but {loaded.name} has "
            f"{len(loaded.classes)} classes; give data with one class for each output, or where "
            "they are no classes compress it without training: cosign compress export."
        )
    return loaded


def _check_classifies(name: str, network: Pretrained) -> None:
    """Raises CosignError unless the network's output is a number for each class."""
    if network.spec.classifies:
        return
    given = ", ".join(
        f"{output} ({size_of(network.spec.shapes[node])})"
        for output, node in zip(network.outputs, network.spec.outputs, strict=True)
    )
    raise CosignError(
        f"{name} gives {given}, and what is trained gives one vector, a number for each class; "
        "choose that by --output NAME, or compress the network as it is without training: cosign "
        "compress export."
    )


def start(network: Pretrained, data: Dataset, note: Callable[[str], None]) -> Network:
    """The network with its weights, branches of its concats in one range.

    note : gets a line for each branch that was scaled
    """
    images = functools.partial(some_images, data, _BALANCED_ON, _BALANCED_ON)
    made = pretrained_network(network)
    balance(made, images, note)
    return made


def recipe(config: RunConfig, network: Pretrained | None, classes: int) -> Recipe:
    """What was asked; break-even ratios are added when they are known.

    Raises CosignError on an unknown alpha or pattern.
    """
    if network is None:
        found = networks.recipe(config.network, classes, config.alpha, config.budget)
        found = dataclasses.replace(found, digest=config.digest)
    else:
        found = recipes.pretrained_recipe(network, config.digest, config.alpha, config.budget)
    if config.pattern is not None:
        chosen = patterns.asked(found.spec, config.pattern)
        found = dataclasses.replace(found, densities=uniform(found.spec, 1), patterns=chosen)
    bits = found.bits
    if config.bits is not None:
        layers = found.spec.geometries
        bits = None if config.bits == "auto" else dict.fromkeys(layers, int(config.bits))
    return dataclasses.replace(
        found,
        rate=config.rate,
        targets=found.targets if config.targets is None else config.targets,
        distill=found.distill if config.distill is None else config.distill,
        bits=bits,
        accuracy_loss=config.accuracy_loss,
        rounds=config.rounds,
    )


def rtl_images(config: RunConfig, network: Pretrained | None) -> int:
    """Test images that the RTL executes where nothing is said."""
    if network is None:
        return entry_of(config.network).rtl_images
    weights = sum(geometry.weights for geometry in network.spec.geometries.values())
    return _MANY if weights <= _SMALL else 1


def check_images(config: RunConfig, network: Pretrained | None, data: str, images: int) -> None:
    """Raises CosignError where the RTL is to execute more images than there are to report on.

    data, images : what they are called, and how many there are
    """
    if config.images > max(images, rtl_images(config, network)):
        raise CosignError(
            f"--images asks for {config.images:,} images, and the test split of {data} has "
            f"{images:,}; give no more than that."
        )


def batch(config: RunConfig, network: Pretrained | None) -> int:
    """Images that the linear layers compute together where nothing is said."""
    spec = entry_of(config.network).spec if network is None else network.spec
    return batch_for(spec.geometries.values())
