"""What ADMM pruning is compared with: other ways to leave alpha_i weights, as regimes of the
stage `prune`, so that everything else of the training is the same.

- iterative: magnitude pruning with retraining (Han et al. 2015), narrower at every history point;
- magnitude: magnitude pruning at once, at the start, then retraining;
- l1: the penalty lambda ||W||_1 on all weights, then the cut;
- torch: `torch.nn.utils.prune.global_unstructured` in as many rounds as `iterative`. It chooses
  among the weights of all layers together, so that alpha_i hold for their sum only.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import prune

from compress.admm.constraints import largest
from compress.nn.network import Network, module_key
from compress.train.regimes import Regime
from compress.zoo.recipe import Pruner

Masks = dict[str, Tensor]


class CutRegime(Regime):
    """Masked training under masks that narrow in rounds: one now, one at each history point.

    Parameters
    ----------
    masks : filled, and changed in every round
    choose : share of the rounds done, above 0 and at most 1 -> masks of that round
    rounds : after the last the masks stay
    """

    def __init__(
        self, network: Network, masks: Masks, choose: Callable[[float], Masks], rounds: int
    ) -> None:
        super().__init__(network, masks)
        self._choose, self._rounds, self._done = choose, rounds, 0
        self.point(None)

    @torch.no_grad()
    def after_step(self) -> None:
        """The optimiser's momentum still moves what was cut in mid-phase."""
        for name, mask in self.masks.items():
            self.network.weights[name].mul_(mask)

    def point(self, rho: float | None) -> dict[str, Any]:
        if self._done < self._rounds:
            self._done += 1
            self.masks.update(self._choose(self._done / self._rounds))
            self.after_step()
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"masks": self.masks, "done": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._done = state["done"]
        for name, mask in state["masks"].items():
            self.masks[name] = mask.to(self.masks[name].device)
        self.after_step()


class L1Regime(Regime):
    """Training with lambda ||W||_1 added to the loss; a new lambda at every history point."""

    def __init__(self, network: Network, masks: Masks, penalty: float) -> None:
        super().__init__(network, masks)
        self.penalty = penalty

    @torch.no_grad()
    def after_backward(self, optimizer: torch.optim.Optimizer) -> None:
        for weight in self.network.weights.values():
            assert weight.grad is not None
            weight.grad.add_(weight.sign(), alpha=self.penalty)
        super().after_backward(optimizer)

    def point(self, rho: float | None) -> dict[str, Any]:
        used, self.penalty = self.penalty, self.penalty if rho is None else rho
        return {"rho": used}

    def state_dict(self) -> dict[str, Any]:
        return {"penalty": self.penalty}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.penalty = state["penalty"]


def regime(
    pruner: Pruner,
    network: Network,
    masks: Masks,
    keep: dict[str, int],
    points: int,
    penalty: float,
) -> Regime:
    """The regime of a pruner other than ADMM.

    masks : of the pruned weights; the regime fills it, or leaves the cut to the end of the stage
    keep : alpha_i
    points : history points of the stage
    penalty : first lambda of l1
    """
    if pruner == "l1":
        return L1Regime(network, masks, penalty)

    def by_layer(share: float) -> Masks:
        return {
            name: largest(weight, _kept(keep[name], weight.numel(), share))
            for name, weight in network.weights.items()
        }

    def of_all(share: float) -> Masks:
        every = sum(weight.numel() for weight in network.weights.values())
        return global_masks(network, _kept(sum(keep.values()), every, share))

    rounds = 1 if pruner == "magnitude" else points
    return CutRegime(network, masks, of_all if pruner == "torch" else by_layer, rounds)


def _kept(keep: int, every: int, share: float) -> int:
    """Weights left when `share` of the rounds is done: each round keeps the same fraction."""
    return max(keep, round(every * (keep / every) ** share))


def global_masks(network: Network, keep: int) -> Masks:
    """`torch.nn.utils.prune` by magnitude over all layers; exactly `keep` weights stay."""
    pruned = copy.deepcopy(network)  # torch gives the modules other parameters
    layers = {name: pruned.layers[module_key(name)] for name in pruned.weights}
    for weight in pruned.weights.values():
        weight.data = weight.data.contiguous()  # torch flattens it by a view
    every = sum(weight.numel() for weight in pruned.weights.values())
    prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()], prune.L1Unstructured, amount=every - keep
    )
    return {name: layer.get_buffer("weight_mask").bool() for name, layer in layers.items()}
