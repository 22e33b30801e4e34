"""The built-in networks by name: the registry, and what is asked of it.

A network is one entry, in a module of its own beside this one; here it is listed.
"""

from collections.abc import Mapping
from types import MappingProxyType

from compress.model.nodes import NetworkSpec
from compress.zoo.alexnet import ALEXNET, ALEXNET_CONV, CAFFENET
from compress.zoo.cifar import CIFAR_RESNET20, CIFAR_VGG
from compress.zoo.entry import Bits, Entry
from compress.zoo.lenet5 import LENET5
from compress.zoo.recipe import Recipe, from_weights
from compress.zoo.resnet50 import RESNET50, RESNET50_V1
from compress.zoo.vgg16 import VGG16
from cosign import CosignError

Networks = Mapping[str, Entry]


def by_name(*entries: Entry) -> Networks:
    """A registry of these entries."""
    return MappingProxyType({entry.name: entry for entry in entries})


NETWORKS = by_name(
    LENET5,
    ALEXNET,
    CAFFENET,
    ALEXNET_CONV,
    VGG16,
    RESNET50,
    RESNET50_V1,
    CIFAR_VGG,
    CIFAR_RESNET20,
)
FEATURES = "imagenet-conv"
"""For --weights: convolutions trained on ImageNet, which are fetched."""


def entry_of(network: str, networks: Networks = NETWORKS) -> Entry:
    """The entry of that name. Raises CosignError when there is none."""
    if network not in networks:
        raise CosignError(f"unknown network {network!r}; choose {', '.join(networks)}.")
    return networks[network]


def spec_of(network: str, classes: int | None = None) -> NetworkSpec:
    """The layers of the built-in network of that name, for `classes` or as many as it has.

    Raises CosignError on an unknown name.
    """
    entry = entry_of(network)
    return entry.spec if classes is None else entry.build(classes)


def recipe(
    network: str, classes: int | None = None, alpha: str | None = None, budget: float = 1.0
) -> Recipe:
    """How a built-in network is trained from nothing, as `Entry.recipe` says.

    Raises CosignError on an unknown network too.
    """
    return entry_of(network).recipe(classes, alpha, budget)


def densities(network: str, alpha: str) -> dict[str, float]:
    """Remaining over all weights by layer of a built-in network, as `Entry.densities` reads them.

    Raises CosignError on an unknown network too.
    """
    return entry_of(network).densities(alpha)


def preset(
    name: str, alpha: str | None = None, networks: Networks = NETWORKS
) -> tuple[str, str | None]:
    """Network and alpha of a row of the paper: "alexnet-ours1" is "alexnet" with "ours1".

    A name that is no row, such as that of a network, comes back as it is, with `alpha`. Raises
    CosignError on a row with an alpha beside it.
    """
    network, _, row = name.rpartition("-")
    if network not in networks or row not in networks[network].rows:
        return name, alpha
    if alpha is not None:
        raise CosignError(f"{name} says how far to prune; leave --alpha out or give {network}.")
    return network, row


def without_classifier(weights: str) -> bool:
    """Whether `weights` are convolutions alone: FEATURES, or a .npz file of some."""
    return weights == FEATURES or weights.lower().endswith(".npz")


def beginning_with(network: str, weights: str | None, networks: Networks = NETWORKS) -> str:
    """The built-in network that is meant by `network` where it begins with these weights.

    That is another one where these have no classifier. Raises CosignError when there are none of
    this network, or it cannot do without.
    """
    entry = entry_of(network, networks)
    if entry.features is not None:
        if weights is None:
            raise CosignError(
                f"{network} begins with trained convolutions; give --weights {FEATURES}, or a file "
                "of your own."
            )
        return network
    if weights is None or not without_classifier(weights):
        return network
    if not entry.transfer:
        there = ", ".join(name for name, each in networks.items() if each.transfer)
        raise CosignError(
            f"{network} takes no convolutions without a classifier, as {weights} has them, only "
            f"{there} does; give weights of the whole network."
        )
    return entry.transfer


def is_foreign(network: str) -> bool:
    """Whether `network` names an ONNX file or a factory, `package.module:function`."""
    return is_onnx(network) or ":" in network


def is_onnx(network: str) -> bool:
    return network.lower().endswith(".onnx")


def entry_for(spec: NetworkSpec, networks: Networks = NETWORKS) -> Entry:
    """The entry of a network that came with weights.

    A built-in one has its own, known by its name and the names of its layers. Of a network of one's
    own its layers are all that is known: bits, rate and whatever else an entry says are untuned.
    """
    known = networks.get(spec.name)
    if known is not None and known.spec.geometries.keys() == spec.geometries.keys():
        return known

    def build(classes: int = 0) -> NetworkSpec:
        return spec  # it has the classes that it has

    return Entry(
        build=build,
        bits=Bits(conv=5, linear=4),
        training=from_weights(lr=5e-4),
        rows={},
    )
