"""Recipes: how long, how fast and how far to compress each built-in network."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from compress.exchange.importing import Imported
from compress.train.lamp import ratio_of, share_out
from compress.zoo.networks import CIFAR, NetworkSpec, folded, is_built_in, spec_of
from compress.zoo.presets import ALPHAS, default_bits, densities, kept_weights, read_densities
from cosign import CosignError

ACCURACY_LOSS = 0.005
BITS_LOSS = 0.002
ROUNDS = 3
DEFAULT_ALPHA = {
    "lenet5": "default",
    "alexnet": "ours1",
    "cifar-vgg": "5x",
    "cifar-resnet20": "5x",
}
DEFAULT_RATIO = "4x"  # of a network of one's own
Pruner = Literal["admm", "iterative", "magnitude", "l1", "torch"]  # see compress.train.pruners
T = TypeVar("T")


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser.

    Parameters
    ----------
    steps : optimiser steps before scaling by the recipe's budget
    lr : peak learning rate; cosine decay to 2 % of it
    points : history points, evenly spread; in an ADMM phase each is an ADMM iteration
    rhos : penalty parameters of an ADMM phase, each for an equal share of the iterations; lambdas
        where the pruner is l1
    """

    steps: int
    lr: float
    points: int
    rhos: tuple[float, ...] = ()

    def turn(self, schedule: Sequence[T], done: int) -> T:
        """The element whose turn it is after `done` points; each has an equal share of them."""
        return schedule[min(done * len(schedule) // self.points, len(schedule) - 1)]


# Of the networks of ImageNet that have no recipe. In the first steps of Adam ResNet-50, its batch
# normalisation folded, goes from a loss of 0.16 to 0.6 at 2e-5, to 5 at 1e-4 and to 68 at 5e-4.
_DEEP_RATE = 1e-5
_NO_TRAINING = Phase(steps=0, lr=0.0, points=0)


@dataclass(frozen=True)
class Recipe:
    """Everything the stages depend on, next to the data and the seed.

    Parameters
    ----------
    network, classes : the network and its outputs
    custom, digest : structure, and SHA-256 of structure and weights, of a network that is not
        built in
    densities : remaining over all weights, 0..1: by layer, where 1 leaves it dense (alpha_i), or of
        the whole network, which `budget` shares out by the dense network's weights
    bits : n by layer, 1..8; None: as few as `bits_loss` allows, chosen before quantising
    batch : images per step
    optimizer : "adam", or "sgd" with momentum 0.9
    dense, prune, retrain : the phases of the first three stages
    allocate : one trial of the allocation of Fig. 5
    quantize, settle : quantisation ADMM, then training of biases and q with levels fixed
    pruner : how the prune stage comes to alpha_i weights
    targets : pruning ratios that the prune phase goes through, evenly in their logarithm, each for
        an equal share of the iterations; Z and U go on from one to the next
    distill : share of the dense network's answers in the loss of all stages after it, 0..1
    temperature : at which they are learnt (Hinton et al. 2015)
    bits_loss : validation accuracy that choosing bits may cost; training makes up for it, 0..1
    beta2 : decay of Adam's second moment; shorter runs want less than the usual 0.999
    weight_decay : L2 penalty of the dense stage
    dropout : probability behind AlexNet's fc1 and fc2 while training
    warmup : steps over which a phase's learning rate rises from zero
    break_even : pruning ratio, at least 1, from which each layer that the hardware executes gains
        by being sparse, or None when never; None instead of all: keep the densities as given
    accuracy_loss : validation accuracy that the allocation may cost against the dense network, 0..1
    rounds : rounds of the allocation that may take weights away
    calibration : training images on which pruned and quantised layers must answer as they did
        before (compress.train.constrain); 0 projects the weights
    budget : multiplies every phase's steps
    rate : multiplies every phase's learning rate
    threads : of torch; part of the recipe since sums depend on it in the last bits
    checkpoint_s : least seconds between two checkpoints
    """

    network: str
    classes: int
    densities: dict[str, float] | float
    bits: dict[str, int] | None
    batch: int
    optimizer: Literal["adam", "sgd"]
    dense: Phase
    prune: Phase
    retrain: Phase
    allocate: Phase
    quantize: Phase
    settle: Phase
    custom: NetworkSpec | None = None
    digest: str = ""
    pruner: Pruner = "admm"
    targets: int = 1
    distill: float = 0.0
    temperature: float = 4.0
    bits_loss: float = BITS_LOSS
    beta2: float = 0.999
    weight_decay: float = 0.0
    dropout: float = 0.5
    warmup: int = 0
    break_even: dict[str, float | None] | None = None
    accuracy_loss: float = ACCURACY_LOSS
    rounds: int = ROUNDS
    calibration: int = 0
    budget: float = 1.0
    rate: float = 1.0
    threads: int = 2
    checkpoint_s: float = 30.0

    def __post_init__(self) -> None:
        names = set(self.spec.geometries)
        given, bits = self.densities, self.bits
        if not isinstance(given, dict):
            given = dict.fromkeys(names, given)
        bits = dict.fromkeys(names, 1) if bits is None else bits
        if set(given) != names or set(bits) != names:
            raise CosignError(f"{self.network}: every layer needs a density and a bit width.")
        for name, density in given.items():
            if not 0 < density <= 1:
                raise CosignError(f"{name}: density is {density}, must be above 0 and at most 1.")
        for name, count in bits.items():
            if not 1 <= count <= 8:
                raise CosignError(f"{name}: bits is {count}, must be 1..8.")
        if not 1 <= self.targets <= self.prune.points:
            raise CosignError(
                f"targets is {self.targets}, must be 1 to {self.prune.points}, the ADMM iterations "
                "of the prune stage."
            )
        for field in ("distill", "bits_loss", "accuracy_loss"):
            value = getattr(self, field)
            if not 0 <= value <= 1:
                raise CosignError(f"{field} is {value}, must be 0..1.")
        if self.temperature <= 0:
            raise CosignError(f"temperature is {self.temperature}, must be positive.")
        for name, ratio in (self.break_even or {}).items():
            if name not in names:
                raise CosignError(f"{self.network} has no layer {name!r} with a break-even ratio.")
            if ratio is not None and not 1 <= ratio < math.inf:
                raise CosignError(f"{name}: break-even ratio is {ratio}, must be at least 1.")
        for what in ("rounds", "calibration"):
            if getattr(self, what) < 0:
                raise CosignError(f"{what} is {getattr(self, what)}, must not be negative.")
        for what in ("budget", "rate"):
            if getattr(self, what) <= 0:
                raise CosignError(f"{what} is {getattr(self, what)}, must be positive.")

    @property
    def dense_spec(self) -> NetworkSpec:
        """What the dense stage trains."""
        return self.custom or spec_of(self.network, self.classes, self.dropout)

    @property
    def spec(self) -> NetworkSpec:
        """What comes out of every stage: batch normalisation is folded."""
        return folded(self.dense_spec)

    @property
    def keep(self) -> dict[str, int]:
        """alpha_i: weights that stay, by layer; at least one. Of densities by layer only."""
        assert isinstance(self.densities, dict)
        return kept_weights(self.spec, self.densities)

    def keep_of(self, dense: Mapping[str, np.ndarray]) -> dict[str, int]:
        """alpha_i, whichever way they are given; `dense` are the dense network's weights."""
        return self.keep if isinstance(self.densities, dict) else share_out(dense, self.densities)

    def steps(self, phase: Phase) -> int:
        """Steps of a phase after scaling; at least one per history point."""
        return max(phase.points, round(phase.steps * self.budget))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def recipe(
    network: str,
    classes: int = 10,
    alpha: str | None = None,
    budget: float = 1.0,
    scale: Literal["full", "tiny"] = "full",
) -> Recipe:
    """The preset of a network. `scale="tiny"` runs a few steps only, for tests.

    alpha : preset or JSON file, as `presets.densities` reads it, or "20x": one weight of 20 stays
        in the whole network

    Raises CosignError on an unknown network or alpha preset.
    """
    if network not in DEFAULT_ALPHA:
        raise CosignError(f"unknown network {network!r}; choose {' or '.join(DEFAULT_ALPHA)}.")
    name = alpha or DEFAULT_ALPHA[network]
    ratio = None if name in ALPHAS[network] else ratio_of(name)
    chosen = densities(network, name) if ratio is None else 1 / ratio
    if network in CIFAR:
        full = _cifar(network, chosen, classes)
    else:
        full = _lenet5(chosen) if network == "lenet5" else _alexnet(chosen, classes)
    full = dataclasses.replace(full, budget=budget)
    return full if scale == "full" else _tiny(full)


def custom_recipe(
    imported: Imported, digest: str, alpha: str | None = None, budget: float = 1.0
) -> Recipe:
    """For a network that comes with weights: the dense stage leaves them as they are.

    A built-in one keeps its recipe where it has one.

    alpha : as `custom_densities` reads it; None for the recipe's, else DEFAULT_RATIO

    Raises CosignError on another alpha.
    """
    spec = imported.spec
    if is_built_in(spec) and spec.name in DEFAULT_ALPHA:
        own = recipe(spec.name, imported.classes, alpha, budget)
        return dataclasses.replace(own, dense=_NO_TRAINING, custom=spec, digest=digest)
    lr = _DEEP_RATE if is_built_in(spec) else 5e-4
    return Recipe(
        network=spec.name,
        classes=imported.classes,
        densities=custom_densities(imported, alpha or DEFAULT_RATIO),
        bits=custom_bits(spec),
        batch=32,
        optimizer="adam",
        dense=_NO_TRAINING,
        prune=Phase(steps=1500, lr=lr, points=9, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=1500, lr=lr, points=3),
        allocate=Phase(steps=150, lr=lr, points=0),
        quantize=Phase(steps=600, lr=0.4 * lr, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=300, lr=0.4 * lr, points=1),
        calibration=128,
        custom=spec,
        digest=digest,
        budget=budget,
    )


def custom_densities(imported: Imported, alpha: str) -> dict[str, float]:
    """Remaining over all weights by layer of a network that comes with weights.

    Weights that are zero already, as those that stand for padding, are the first to go.

    alpha : "8x", one weight of 8 stays in the whole network; a JSON file {layer: density}; a preset
        where the network is built in

    Raises CosignError on another alpha.
    """
    if is_built_in(imported.spec) and alpha in ALPHAS[imported.spec.name]:
        return dict(ALPHAS[imported.spec.name][alpha])
    ratio = ratio_of(alpha)
    if ratio is not None:
        keep = share_out(imported.weights, 1 / ratio)
        return {name: keep[name] / weight.size for name, weight in imported.weights.items()}
    return without_zeros(imported, read_densities(imported.spec, Path(alpha)))


def without_zeros(imported: Imported, densities: dict[str, float]) -> dict[str, float]:
    """`densities` by layer, no larger than the share of its weights that are not zero."""
    return {
        name: min(
            density,
            max(1, int(np.count_nonzero(imported.weights[name]))) / imported.weights[name].size,
        )
        for name, density in densities.items()
    }


def custom_bits(spec: NetworkSpec) -> dict[str, int]:
    """n by layer of a network that comes with weights."""
    if is_built_in(spec):
        return default_bits(spec.name)
    return {name: 5 if g.kind == "conv" else 4 for name, g in spec.geometries.items()}


def _lenet5(densities: dict[str, float] | float) -> Recipe:
    return Recipe(
        network="lenet5",
        classes=10,
        densities=densities,
        bits=default_bits("lenet5"),
        batch=64,
        optimizer="adam",
        dense=Phase(steps=4300, lr=1e-3, points=5),
        prune=Phase(steps=5160, lr=1e-3, points=12, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=3440, lr=1e-3, points=4),
        allocate=Phase(steps=300, lr=1e-3, points=0),
        quantize=Phase(steps=1720, lr=3e-4, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=860, lr=3e-4, points=1),
        calibration=512,
    )


def _alexnet(densities: dict[str, float] | float, classes: int) -> Recipe:
    return Recipe(
        network="alexnet",
        classes=classes,
        densities=densities,
        bits=default_bits("alexnet"),
        batch=16,
        optimizer="adam",
        dense=Phase(steps=220, lr=1.5e-4, points=4),
        prune=Phase(steps=160, lr=1.5e-4, points=6, rhos=(1e-2, 1e-1, 1.0)),
        retrain=Phase(steps=100, lr=1.5e-4, points=2),
        allocate=Phase(steps=25, lr=1.5e-4, points=0),
        quantize=Phase(steps=50, lr=5e-5, points=4, rhos=(1e-1, 1.0)),
        settle=Phase(steps=20, lr=1e-4, points=1),
        beta2=0.98,
        calibration=128,
        dropout=0.0,  # too few steps to overfit; raise it with the budget
        warmup=10,
    )


def _cifar(network: str, densities: float | dict[str, float], classes: int) -> Recipe:
    """Seven epochs before pruning and seven after; a step takes 0.15 to 0.21 s of one core.

    No run has tuned the rates yet.
    """
    return Recipe(
        network=network,
        classes=classes,
        densities=densities,
        bits=default_bits(network),
        batch=64,
        optimizer="adam",
        dense=Phase(steps=4900, lr=2e-3, points=7),
        prune=Phase(steps=2100, lr=5e-4, points=9, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=2100, lr=5e-4, points=3),
        allocate=Phase(steps=200, lr=5e-4, points=0),
        quantize=Phase(steps=700, lr=2e-4, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=350, lr=2e-4, points=1),
        calibration=128,
        warmup=50,
    )


def _tiny(full: Recipe) -> Recipe:
    """A handful of steps of the same stages; keeps the compression, not the accuracy."""
    batch = 16 if full.network == "lenet5" else 4
    steps = 24 if full.network == "lenet5" else 2

    def shrink(phase: Phase) -> Phase:
        return dataclasses.replace(phase, steps=steps, points=min(phase.points, 2))

    return dataclasses.replace(
        full,
        batch=batch,
        calibration=min(batch, full.calibration),
        dense=shrink(full.dense),
        prune=shrink(full.prune),
        retrain=shrink(full.retrain),
        allocate=shrink(full.allocate),
        quantize=shrink(full.quantize),
        settle=shrink(full.settle),
    )
