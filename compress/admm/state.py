"""ADMM for one constraint per layer (§3.2): state Z, U and rho, and the three updates.

*How* a layer is projected is a function handed in, *when* the updates happen is the training
stage's business.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Projection = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Residuals:
    """Frobenius norms by layer after an ADMM iteration; both tend to zero on convergence.

    Parameters
    ----------
    primal : ||W - Z||
    dual : ||Z - Z of the iteration before||
    """

    primal: dict[str, float]
    dual: dict[str, float]


def groups(weights: Iterable[Tensor], parameters: Iterable[Tensor]) -> list[dict[str, Any]]:
    """`parameters` in two groups, the weights first, for an optimiser that trains with `Admm`."""
    first = list(weights)
    known = {id(weight) for weight in first}
    return [{"params": first}, {"params": [p for p in parameters if id(p) not in known]}]


class Admm:
    """Scaled-form ADMM on a network's weights.

    Parameters
    ----------
    weights : the parameters W_i by layer
    project : (layer, tensor) -> nearest tensor of the constraint set S_i (Eqn. 7)
    rho : penalty parameter; `update` may change it
    """

    def __init__(self, weights: Mapping[str, Tensor], project: Projection, rho: float) -> None:
        self._weights = weights
        self._project = project
        self.rho = rho
        self.z = {name: project(name, weight.detach()) for name, weight in weights.items()}
        self.u = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self._target = dict(self.z)  # Z - U, what the weights are drawn to

    @torch.no_grad()
    def add_gradient(self, optimizer: torch.optim.Optimizer) -> None:
        """Add the penalty's gradient, rho (W - Z + U), to the loss's.

        rho (U - Z) goes into the weights' gradients. rho W is left to the optimiser's weight decay,
        which costs no further pass over the weights; so it must be one that adds the decay to the
        gradient (SGD, Adam), made of `groups`. Raises ValueError where that is not so.
        """
        decayed = optimizer.param_groups[0]
        if {id(weight) for weight in decayed["params"]} != set(map(id, self._weights.values())):
            raise ValueError("the optimizer's first group must be ADMM's weights; see admm.groups")
        decayed["weight_decay"] = self.rho  # set anew in every step, as update() changes rho
        for name, weight in self._weights.items():
            if weight.grad is None:
                raise ValueError(f"{name} has no gradient yet")
            weight.grad.sub_(self._target[name], alpha=self.rho)

    @torch.no_grad()
    def update(self, next_rho: float | None = None) -> Residuals:
        """Z := projection of W + U (Eqn. 7), U := U + W - Z; then rho := next_rho.

        U is scaled by 1/rho, so that a change of rho leaves the multipliers rho U as they are.
        """
        primal, dual = {}, {}
        for name, weight in self._weights.items():
            before = self.z[name]
            self.z[name] = self._project(name, weight + self.u[name])
            gap = weight - self.z[name]
            self.u[name].add_(gap)
            primal[name] = float(torch.linalg.vector_norm(gap))
            dual[name] = float(torch.linalg.vector_norm(self.z[name] - before))
            if next_rho is not None:
                self.u[name].mul_(self.rho / next_rho)
            self._target[name] = self.z[name] - self.u[name]
        self.rho = self.rho if next_rho is None else next_rho
        return Residuals(primal, dual)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on exactly from here."""
        return {"rho": self.rho, "z": self.z, "u": self.u}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rho = state["rho"]
        for name, weight in self._weights.items():
            self.z[name], self.u[name] = (state[key][name].to(weight.device) for key in "zu")
        self._target = {name: self.z[name] - self.u[name] for name in self.z}
