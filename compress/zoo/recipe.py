"""How long, how fast and how far a network is compressed, as values.

`Training` is what a network's entry says: phases, rates, batches. A `Recipe` is that of one
network, down to certain densities and bits: what `compress.train` depends on, next to the data and
the seed.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from compress.model.nodes import NetworkSpec
from compress.model.pattern import Pattern
from compress.zoo.density import kept_weights
from cosign import CosignError

ACCURACY_LOSS = 0.005  # untuned
BITS_LOSS = 0.002  # what the paper's pruned and quantised LeNet-5 and AlexNet lose, Tables 5 and 6
ROUNDS = 3  # untuned
Pruner = Literal["admm", "iterative", "magnitude", "l1", "torch"]  # see compress.train.pruners
T = TypeVar("T")


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser.

    Parameters
    ----------
    steps : optimiser steps before scaling by the recipe's budget
    lr : peak learning rate; cosine decay to 2 % of it
    points : history points, evenly spread; of `prune` and `quantize` each is an ADMM iteration
    rhos : penalty parameters of `prune` and `quantize`, each for an equal share of the iterations;
        lambdas where the pruner is l1. The other phases have no use for them
    """

    steps: int
    lr: float
    points: int
    rhos: tuple[float, ...] = ()

    def turn(self, schedule: Sequence[T], done: int) -> T:
        """The element whose turn it is after `done` points; each has an equal share of them."""
        return schedule[min(done * len(schedule) // self.points, len(schedule) - 1)]


NO_TRAINING = Phase(steps=0, lr=0.0, points=0)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how fast a network is trained in each stage.

    Nobody has searched for the numbers of any network: where an entry says no other source, they
    are untuned. The paper takes 3e-3 for every rho and finds that only orders of magnitude matter
    (§3.4.1); ours rise by tens.

    Parameters
    ----------
    batch : images per step
    optimizer : "adam", or "sgd" with momentum 0.9
    dense, prune, retrain : the phases of the first three stages
    allocate : one trial of the allocation of Fig. 5
    quantize, settle : quantisation ADMM, then training of biases and q with levels fixed
    beta2 : decay of Adam's second moment; 0.999 is its authors' (Kingma & Ba 2015), shorter runs
        want less
    weight_decay : L2 penalty of the dense stage
    warmup : steps over which a phase's learning rate rises from zero
    fine_tune : factor on the dense stage's rate of all layers but the last, where that one alone
        begins untrained
    targets : pruning ratios that the prune phase goes through, evenly in their logarithm, each for
        an equal share of the iterations; Z and U go on from one to the next
    distill : share of the dense network's answers in the loss of all stages after it, 0..1
    calibration : training images on which pruned and quantised layers must answer as they did
        before (`compress.train.constrain`); 0 projects the weights
    """

    batch: int
    optimizer: Literal["adam", "sgd"] = "adam"
    dense: Phase
    prune: Phase
    retrain: Phase
    allocate: Phase
    quantize: Phase
    settle: Phase
    beta2: float = 0.999
    weight_decay: float = 0.0
    warmup: int = 0
    fine_tune: float = 1.0
    targets: int = 1
    distill: float = 0.0
    calibration: int = 0


def from_weights(lr: float) -> Training:
    """For a network that comes with weights: the dense stage leaves them as they are.

    Steps, rhos and shares of the rate are untuned; 128 images calibrate as in
    `cosign posttrain`, which measures what they are good for (docs/results/oneshot.md).
    """
    return Training(
        batch=32,
        dense=NO_TRAINING,
        prune=Phase(steps=1500, lr=lr, points=9, rhos=(1e-3, 1e-2, 1e-1)),
        retrain=Phase(steps=1500, lr=lr, points=3),
        allocate=Phase(steps=150, lr=lr, points=0),
        quantize=Phase(steps=600, lr=0.4 * lr, points=8, rhos=(1e-2, 1e-1)),
        settle=Phase(steps=300, lr=0.4 * lr, points=1),
        calibration=128,
    )


# Of the networks of ImageNet, which are not trained from nothing here. In the first steps of Adam
# ResNet-50, its batch normalisation folded, goes from a loss of 0.16 to 0.6 at 2e-5, to 5 at 1e-4
# and to 68 at 5e-4; `resnet50-v1 --weights imagenet` with --rate 2, 10 and 50 shows it.
DEEP = from_weights(lr=1e-5)


@dataclass(frozen=True, kw_only=True)
class Recipe(Training):
    """Everything the stages depend on, next to the data and the seed.

    Parameters
    ----------
    architecture : what the dense stage trains, or where it is left as it is
    digest : SHA-256 of the weights that the network comes with, if it does
    densities : remaining over all weights, 0..1: by layer, where 1 leaves it dense (alpha_i), or of
        the whole network, which `compress.train.lamp` shares out by the dense network's weights
    patterns : N:M of layers that have one, whatever their density; these are then by layer
    bits : n by layer, 1..8; None: as few as `bits_loss` allows, chosen before quantising
    pruner : how the prune stage comes to alpha_i weights
    temperature : at which the dense network's answers are learnt; untuned, Hinton et al. 2015 take
        1 to 20
    bits_loss : validation accuracy that choosing bits may cost; training makes up for it, 0..1
    break_even : pruning ratio, at least 1, from which each layer that the hardware executes gains
        by being sparse, or None when never; None instead of all: keep the densities as given
    accuracy_loss : validation accuracy that the allocation may cost against the dense network, 0..1
    rounds : rounds of the allocation that may take weights away
    budget : multiplies every phase's steps
    rate : multiplies every phase's learning rate
    threads : of torch; part of the recipe since sums depend on it in the last bits
    checkpoint_s : least seconds between two checkpoints
    """

    architecture: NetworkSpec
    densities: dict[str, float] | float
    bits: dict[str, int] | None
    digest: str = ""
    patterns: dict[str, Pattern] = dataclasses.field(default_factory=dict)
    pruner: Pruner = "admm"
    temperature: float = 4.0
    bits_loss: float = BITS_LOSS
    break_even: dict[str, float | None] | None = None
    accuracy_loss: float = ACCURACY_LOSS
    rounds: int = ROUNDS
    budget: float = 1.0
    rate: float = 1.0
    threads: int = 2
    checkpoint_s: float = 30.0

    def __post_init__(self) -> None:
        names = set(self.architecture.geometries)
        given, bits = self.densities, self.bits
        if not isinstance(given, dict):
            given = dict.fromkeys(names, given)
        bits = dict.fromkeys(names, 1) if bits is None else bits
        if set(given) != names or set(bits) != names:
            raise CosignError(f"{self.network}: every layer needs a density and a bit width.")
        for name, density in given.items():
            if not 0 <= density <= 1:
                raise CosignError(f"{name}: density is {density}, must be 0..1.")
        if not any(given.values()):
            raise CosignError(f"{self.network}: every density is 0; leave some weights.")
        for name, count in bits.items():
            if not 1 <= count <= 8:
                raise CosignError(f"{name}: bits is {count}, must be 1..8.")
        if not 1 <= self.targets <= self.prune.points:
            raise CosignError(
                f"targets is {self.targets}, must be 1 to {self.prune.points}, the ADMM iterations "
                "of the prune stage."
            )
        for what in ("prune", "quantize"):
            phase = getattr(self, what)
            if not phase.rhos or phase.points < 1:
                raise CosignError(
                    f"the {what} phase has {phase.points} points and {len(phase.rhos)} rhos; ADMM "
                    "needs one of each, at least."
                )
        if self.patterns:
            self._check_patterns()
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
        for what in ("budget", "rate", "fine_tune"):
            if getattr(self, what) <= 0:
                raise CosignError(f"{what} is {getattr(self, what)}, must be positive.")

    def _check_patterns(self) -> None:
        strange = [name for name in self.patterns if name not in self.architecture.geometries]
        if strange:
            raise CosignError(f"{self.network} has no layer {strange[0]!r} with a pattern.")
        if not isinstance(self.densities, dict) or self.break_even is not None:
            raise CosignError(
                "a pattern says which share of a layer stays; leave out what else would: a ratio "
                "of the whole network, break-even ratios."
            )
        if self.pruner != "admm":
            raise CosignError(f"only admm prunes by a pattern, {self.pruner} does not.")

    @property
    def network(self) -> str:
        """The network's name."""
        return self.architecture.name

    @property
    def classes(self) -> int:
        """Outputs of the network."""
        return self.architecture.classes

    @property
    def spec(self) -> NetworkSpec:
        """What comes out of every stage: batch normalisation is folded."""
        return self.architecture.folded()

    @property
    def keep(self) -> dict[str, int]:
        """alpha_i: weights that stay, by layer. Of densities by layer only."""
        assert isinstance(self.densities, dict)
        return kept_weights(self.architecture, self.densities, self.patterns)

    def steps(self, phase: Phase) -> int:
        """Steps of a phase after scaling; at least one per history point."""
        return max(phase.points, round(phase.steps * self.budget))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
