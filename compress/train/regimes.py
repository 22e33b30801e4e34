"""Regimes: what a phase of training does besides stepping the optimiser."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compress.admm.state import Admm, Projection, groups
from compress.model.levels import Levels
from compress.nn.network import Network
from compress.train import distributed, results
from cosign import CosignError

_FAR = 2  # times the norm of the weights; LeNet-5 and AlexNet stay below 1.2


class Regime:
    """Plain training of all parameters; with masks, pruned weights stay zero.

    Masked gradients keep the optimiser's moments of pruned weights at zero too, so that their
    updates are exactly zero.
    """

    def __init__(self, network: Network, masks: dict[str, Tensor]) -> None:
        self.network = network
        self.masks = masks

    def parameters(self) -> list[nn.Parameter] | list[dict[str, Any]]:
        """What the optimiser trains, or groups of it."""
        return list(self.network.parameters())

    def after_backward(self, optimizer: torch.optim.Optimizer) -> None:
        """Change the gradients before the optimiser sees them."""
        for name, mask in self.masks.items():
            grad = self.network.weights[name].grad
            if grad is not None:
                grad.mul_(mask)

    def after_step(self) -> None:
        """Restore what the optimiser's step has broken."""

    def point(self, rho: float | None) -> dict[str, Any]:
        """A history point: an ADMM iteration where there is one. `rho` is the next one's."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class FineTuneRegime(Regime):
    """Plain training at `factor` times the rate, but for the last layer, which begins untrained."""

    def __init__(self, network: Network, masks: dict[str, Tensor], factor: float) -> None:
        super().__init__(network, masks)
        self.factor = factor

    def parameters(self) -> list[dict[str, Any]]:
        last = list(self.network.weights)[-1]
        new = [self.network.weights[last], self.network.biases[last]]
        known = [p for p in self.network.parameters() if all(p is not each for each in new)]
        return [{"params": known, "factor": self.factor}, {"params": new, "factor": 1.0}]


class AdmmRegime(Regime):
    """Training under the ADMM penalty (Eqn. 5), with an iteration at every history point.

    Z is projected by `projections` in turn, one an iteration, and by the last one from then on.
    Of several processes all take rank 0's Z; W, and U with it, are the same everywhere already.
    """

    _STATE = ("iteration", "norm", "distance")

    def __init__(
        self,
        network: Network,
        masks: dict[str, Tensor],
        projections: Sequence[Projection],
        rho: float,
    ) -> None:
        super().__init__(network, masks)
        self.iteration = 0
        self.norm = math.hypot(*(float(w.detach().norm()) for w in network.weights.values()))
        self.distance = self.norm  # ||W - Z|| of the iteration before

        def agreed(name: str, tensor: Tensor) -> Tensor:
            project = projections[min(self.iteration, len(projections) - 1)]
            return distributed.of_first(project(name, tensor))

        self.admm = Admm(network.weights, agreed, rho)

    def parameters(self) -> list[dict[str, Any]]:
        return groups(self.network.weights.values(), self.network.parameters())

    def after_backward(self, optimizer: torch.optim.Optimizer) -> None:
        self.admm.add_gradient(optimizer)
        super().after_backward(optimizer)

    def point(self, rho: float | None) -> dict[str, Any]:
        used = self.admm.rho
        self.iteration += 1
        residuals = self.admm.update(rho)
        self._check(math.hypot(*residuals.primal.values()))
        kept = sum(int(torch.count_nonzero(z)) for z in self.admm.z.values())
        return {"rho": used, "kept": kept, "primal": residuals.primal, "dual": residuals.dual}

    def _check(self, distance: float) -> None:
        """Raise CosignError when W runs away from Z.

        Healthy runs stay within the norm that W had when the phase began: the first Z is no farther
        than that, and the penalty draws W towards it.
        """
        if self.distance < distance > _FAR * self.norm:
            raise CosignError(
                f"training diverged: ||W-Z|| grew from {self.distance:.3g} to {distance:.3g}; the "
                f"norm of W was {self.norm:.3g} at first; lower --rate, or rho of this stage in "
                "the recipe."
            )
        self.distance = distance

    def state_dict(self) -> dict[str, Any]:
        return self.admm.state_dict() | {name: getattr(self, name) for name in self._STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.admm.load_state_dict(state)
        for name in self._STATE:
            setattr(self, name, state[name])


class SettleRegime(Regime):
    """Levels fixed; biases and each layer's q are trained, W = q * level throughout.

    q is parametrised as q0 * exp(s), so that one learning rate suits every layer; its gradient is
    dL/ds = sum(dL/dW * W). The q0 of a layer's filters share one s.
    """

    def __init__(
        self, network: Network, masks: dict[str, Tensor], levels: Mapping[str, Levels]
    ) -> None:
        super().__init__(network, masks)
        self._first = dict(levels)
        self._values: dict[str, Tensor] = {}
        self._log_scale: dict[str, nn.Parameter] = {}
        for name, weight in network.weights.items():
            values = torch.empty_like(weight, dtype=torch.int8, requires_grad=False)
            self._values[name] = values.copy_(torch.from_numpy(levels[name].values))
            self._log_scale[name] = nn.Parameter(torch.zeros((), device=weight.device))
        self.after_step()

    @property
    def levels(self) -> dict[str, Levels]:
        """By layer, with q as it is now."""
        return {name: replace(self._first[name], q=q) for name, q in self._q().items()}

    def _q(self) -> dict[str, np.ndarray]:
        return {
            name: np.asarray(self._first[name].q * float(torch.exp(scale.detach().double())))
            for name, scale in self._log_scale.items()
        }

    def parameters(self) -> list[nn.Parameter]:
        return [*self.network.biases.values(), *self._log_scale.values()]

    def after_backward(self, optimizer: torch.optim.Optimizer) -> None:
        for name, weight in self.network.weights.items():
            assert weight.grad is not None
            self._log_scale[name].grad = torch.sum(weight.grad * weight.detach())

    @torch.no_grad()
    def after_step(self) -> None:
        for name, q in self._q().items():
            weight = self.network.weights[name]
            weight.copy_(self._values[name])
            weight.mul_(torch.from_numpy(q).to(weight).reshape(-1, *[1] * (weight.dim() - 1)))
            weight.grad = None

    def state_dict(self) -> dict[str, Any]:
        scales = {name: scale.detach() for name, scale in self._log_scale.items()}
        levels = {name: results.packed_levels(each) for name, each in self._first.items()}
        return {"levels": levels, "log_scale": scales}

    @staticmethod
    def levels_of(state: dict[str, Any]) -> dict[str, Levels]:
        """Of a `state_dict`: what the regime that it is loaded into must be made with."""
        return {name: results.unpacked_levels(each) for name, each in state["levels"].items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, scale in state["log_scale"].items():
                self._log_scale[name].copy_(scale)
        self.after_step()
