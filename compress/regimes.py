"""Regimes: what a phase of training does besides stepping the optimiser."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from compress import distributed, projections
from compress.admm import Admm, Projection
from compress.models import Network


class Regime:
    """Plain training of all parameters; with masks, pruned weights stay zero.

    Masked gradients keep the optimiser's moments of pruned weights at zero too, so that their
    updates are exactly zero.
    """

    def __init__(self, network: Network, masks: dict[str, Tensor]) -> None:
        self.network = network
        self.masks = masks

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.network.parameters()

    def after_backward(self) -> None:
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


class AdmmRegime(Regime):
    """Training under the ADMM penalty (Eqn. 5), with an iteration at every history point.

    Of several processes all take rank 0's Z; W, and U with it, are the same everywhere already.
    """

    def __init__(
        self, network: Network, masks: dict[str, Tensor], project: Projection, rho: float
    ) -> None:
        super().__init__(network, masks)

        def agreed(name: str, tensor: Tensor) -> Tensor:
            return distributed.of_first(project(name, tensor))

        self.admm = Admm(network.weights, agreed, rho)

    def after_backward(self) -> None:
        self.admm.add_gradient()
        super().after_backward()

    def point(self, rho: float | None) -> dict[str, Any]:
        used = self.admm.rho
        residuals = self.admm.update(rho)
        return {"rho": used, "primal": residuals.primal, "dual": residuals.dual}

    def state_dict(self) -> dict[str, Any]:
        return self.admm.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.admm.load_state_dict(state)


class SettleRegime(Regime):
    """Levels fixed; biases and each layer's q are trained, W = q * level throughout.

    q, by layer, is that of the weights as they are now. It is parametrised as q0 * exp(s), so that
    one learning rate suits every layer; its gradient is dL/ds = sum(dL/dW * W).
    """

    def __init__(self, network: Network, masks: dict[str, Tensor], q: dict[str, float]) -> None:
        super().__init__(network, masks)
        self.q0 = q
        self.levels: dict[str, Tensor] = {}
        self.log_scale: dict[str, nn.Parameter] = {}
        for name, weight in network.weights.items():
            self.levels[name] = (weight.detach() / q[name]).round().to(torch.int8)
            self.log_scale[name] = nn.Parameter(torch.zeros((), device=weight.device))
        self.after_step()

    @property
    def q(self) -> dict[str, float]:
        return {
            name: float(self.q0[name] * torch.exp(scale.detach().double()))
            for name, scale in self.log_scale.items()
        }

    def parameters(self) -> Iterable[nn.Parameter]:
        return [*self.network.biases.values(), *self.log_scale.values()]

    def after_backward(self) -> None:
        for name, weight in self.network.weights.items():
            assert weight.grad is not None
            self.log_scale[name].grad = torch.sum(weight.grad * weight.detach())

    @torch.no_grad()
    def after_step(self) -> None:
        for name, q in self.q.items():
            weight = self.network.weights[name]
            weight.copy_(self.levels[name])
            weight.mul_(q)
            weight.grad = None

    def state_dict(self) -> dict[str, Any]:
        scales = {name: scale.detach() for name, scale in self.log_scale.items()}
        return {"levels": self.levels, "q0": self.q0, "log_scale": scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.levels = {n: x.to(self.levels[n].device) for n, x in state["levels"].items()}
        self.q0 = dict(state["q0"])
        with torch.no_grad():
            for name, scale in state["log_scale"].items():
                self.log_scale[name].copy_(scale)
        self.after_step()


def prune_projection(keep: dict[str, int]) -> Projection:
    """Keep alpha_i weights of layer i."""

    def project(name: str, tensor: Tensor) -> Tensor:
        return torch.where(mask_of(tensor, keep[name]), tensor, 0.0)

    return project


def quantize_projection(bits: dict[str, int], masks: dict[str, Tensor]) -> Projection:
    """Nearest quantisation value of the kept weights; q is found anew every time."""

    def project(name: str, tensor: Tensor) -> Tensor:
        kept = tensor[masks[name]].cpu().numpy()
        q = projections.best_interval(kept, bits[name])
        result = torch.zeros_like(tensor)
        levels = projections.levels_of(kept, q, bits[name])
        result[masks[name]] = torch.from_numpy(levels).to(tensor) * q
        return result

    return project


def mask_of(weight: Tensor, keep: int) -> Tensor:
    """bool tensor: the `keep` largest magnitudes."""
    values = weight.detach().contiguous().cpu().numpy()
    return torch.from_numpy(projections.prune_mask(values, keep)).to(weight.device)
