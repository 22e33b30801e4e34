"""Recipes: how long, how fast and how far to compress each built-in network."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compress.importing import Imported
from compress.networks import (
    CIFAR,
    NetworkSpec,
    default_bits,
    densities,
    folded,
    kept_weights,
    read_densities,
    spec_of,
    uniform_but_delicate,
)
from cosign import CosignError

ACCURACY_LOSS = 0.005
ROUNDS = 3
DEFAULT_ALPHA = {
    "lenet5": "default",
    "alexnet": "ours1",
    "cifar-vgg": "5x",
    "cifar-resnet20": "5x",
}
DEFAULT_RATIO = 4  # of a network of one's own
Pruner = Literal["admm", "iterative", "oneshot", "l1", "torch"]  # see compress.pruners


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


@dataclass(frozen=True)
class Recipe:
    """Everything the stages depend on, next to the data and the seed.

    Parameters
    ----------
    network, classes : the network and its outputs
    custom, digest : structure, and SHA-256 of structure and weights, of a network that is not
        built in
    densities : remaining over all weights by layer, 0..1; 1 leaves a layer dense (alpha_i)
    bits : n by layer, 1..8
    batch : images per step
    optimizer : "adam", or "sgd" with momentum 0.9
    dense, prune, retrain : the phases of the first three stages
    allocate : one trial of the allocation of Fig. 5
    quantize, settle : quantisation ADMM, then training of biases and q with levels fixed
    pruner : how the prune stage comes to alpha_i weights
    beta2 : decay of Adam's second moment; shorter runs want less than the usual 0.999
    weight_decay : L2 penalty of the dense stage
    dropout : probability behind AlexNet's fc1 and fc2 while training
    warmup : steps over which a phase's learning rate rises from zero
    break_even : pruning ratio, at least 1, from which each layer that the hardware executes gains
        by being sparse, or None when never; None instead of all: keep the densities as given
    accuracy_loss : validation accuracy that the allocation may cost against the dense network, 0..1
    rounds : rounds of the allocation that may take weights away
    calibration : training images on which pruned and quantised layers must answer as they did
        before (`snap`); 0 projects the weights
    budget : multiplies every phase's steps
    threads : of torch; part of the recipe since sums depend on it in the last bits
    checkpoint_s : least seconds between two checkpoints
    """

    network: str
    classes: int
    densities: dict[str, float]
    bits: dict[str, int]
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
    beta2: float = 0.999
    weight_decay: float = 0.0
    dropout: float = 0.5
    warmup: int = 0
    break_even: dict[str, float | None] | None = None
    accuracy_loss: float = ACCURACY_LOSS
    rounds: int = ROUNDS
    calibration: int = 0
    budget: float = 1.0
    threads: int = 2
    checkpoint_s: float = 30.0

    def __post_init__(self) -> None:
        names = set(self.spec.geometries)
        if set(self.densities) != names or set(self.bits) != names:
            raise CosignError(f"{self.network}: every layer needs a density and a bit width.")
        for name in names:
            if not 0 < self.densities[name] <= 1:
                raise CosignError(
                    f"{name}: density is {self.densities[name]}, must be above 0 and at most 1."
                )
            if not 1 <= self.bits[name] <= 8:
                raise CosignError(f"{name}: bits is {self.bits[name]}, must be 1..8.")
        for name, ratio in (self.break_even or {}).items():
            if name not in names:
                raise CosignError(f"{self.network} has no layer {name!r} with a break-even ratio.")
            if ratio is not None and not 1 <= ratio < math.inf:
                raise CosignError(f"{name}: break-even ratio is {ratio}, must be at least 1.")
        if not 0 <= self.accuracy_loss <= 1:
            raise CosignError(f"accuracy_loss is {self.accuracy_loss}, must be 0..1.")
        for what in ("rounds", "calibration"):
            if getattr(self, what) < 0:
                raise CosignError(f"{what} is {getattr(self, what)}, must not be negative.")
        if self.budget <= 0:
            raise CosignError(f"budget is {self.budget}, must be positive.")

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
        """alpha_i: weights that stay, by layer; at least one."""
        return kept_weights(self.spec, self.densities)

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

    alpha : preset or JSON file, as `networks.densities` reads it

    Raises CosignError on an unknown network or alpha preset.
    """
    if network not in DEFAULT_ALPHA:
        raise CosignError(f"unknown network {network!r}; choose {' or '.join(DEFAULT_ALPHA)}.")
    name = alpha or DEFAULT_ALPHA[network]
    if network in CIFAR:
        full = _cifar(network, name, classes)
    else:
        full = _lenet5(name) if network == "lenet5" else _alexnet(name, classes)
    full = dataclasses.replace(full, budget=budget)
    return full if scale == "full" else _tiny(full)


def custom_recipe(
    imported: Imported, digest: str, alpha: str | None = None, budget: float = 1.0
) -> Recipe:
    """For a network with trained weights of its own: the dense stage leaves them as they are.

    alpha : as `custom_densities` reads it; None for DEFAULT_RATIO

    Raises CosignError on another alpha.
    """
    spec = imported.spec
    return Recipe(
        network=spec.name,
        classes=imported.classes,
        densities=custom_densities(imported, alpha or f"{DEFAULT_RATIO}x"),
        bits=custom_bits(spec),
        batch=32,
        optimizer="adam",
        dense=Phase(steps=0, lr=0.0, points=0),
        prune=Phase(steps=1500, lr=5e-4, points=9, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=1500, lr=5e-4, points=3),
        allocate=Phase(steps=150, lr=5e-4, points=0),
        quantize=Phase(steps=600, lr=2e-4, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=300, lr=2e-4, points=1),
        calibration=128,
        custom=spec,
        digest=digest,
        budget=budget,
    )


def custom_densities(imported: Imported, alpha: str) -> dict[str, float]:
    """Remaining over all weights by layer of a network that is not built in.

    Weights that are zero already, as those that stand for padding, are the first to go.

    alpha : "8x" for that pruning ratio in every layer (the first and depthwise ones stay dense),
        or a JSON file {layer: density}

    Raises CosignError on another alpha.
    """
    try:
        ratio = float(alpha.removesuffix("x")) if alpha.endswith("x") else None
    except ValueError:
        ratio = None
    spec = imported.spec
    if ratio is None:
        chosen = read_densities(spec, Path(alpha))
    else:
        chosen = uniform_but_delicate(spec, ratio)
    return {
        name: min(density, max(1, int(np.count_nonzero(weight))) / weight.size)
        for (name, density), weight in zip(chosen.items(), imported.weights.values(), strict=True)
    }


def custom_bits(spec: NetworkSpec) -> dict[str, int]:
    """n by layer of a network that is not built in."""
    return {name: 5 if g.kind == "conv" else 4 for name, g in spec.geometries.items()}


def _lenet5(alpha: str) -> Recipe:
    return Recipe(
        network="lenet5",
        classes=10,
        densities=densities("lenet5", alpha),
        bits=default_bits("lenet5"),
        batch=64,
        optimizer="adam",
        dense=Phase(steps=4300, lr=1e-3, points=5),
        prune=Phase(steps=5160, lr=1e-3, points=12, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=3440, lr=1e-3, points=4),
        allocate=Phase(steps=300, lr=1e-3, points=0),
        quantize=Phase(steps=1720, lr=3e-4, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=860, lr=3e-4, points=1),
    )


def _alexnet(alpha: str, classes: int) -> Recipe:
    return Recipe(
        network="alexnet",
        classes=classes,
        densities=densities("alexnet", alpha),
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


def _cifar(network: str, alpha: str, classes: int) -> Recipe:
    """Seven epochs before pruning and seven after; a step takes 0.15 to 0.21 s of one core.

    No run has tuned the rates yet.
    """
    return Recipe(
        network=network,
        classes=classes,
        densities=densities(network, alpha),
        bits=default_bits(network),
        batch=64,
        optimizer="adam",
        dense=Phase(steps=4900, lr=2e-3, points=7),
        prune=Phase(steps=2100, lr=5e-4, points=9, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=2100, lr=5e-4, points=3),
        allocate=Phase(steps=200, lr=5e-4, points=0),
        quantize=Phase(steps=700, lr=2e-4, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=350, lr=2e-4, points=1),
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
        dense=shrink(full.dense),
        prune=shrink(full.prune),
        retrain=shrink(full.retrain),
        allocate=shrink(full.allocate),
        quantize=shrink(full.quantize),
        settle=shrink(full.settle),
    )
