"""What a training stage leaves behind: `<stage>.pt`."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.model.levels import Levels
from compress.nn import checkpoint
from compress.nn.network import Network
from compress.zoo.recipe import Recipe

# Fields of a result that are stored as they are.
_PLAIN = ("stage", "accuracy", "history", "seconds")


@dataclass(frozen=True)
class StageResult:
    """A finished stage.

    Parameters
    ----------
    stage : its name, one of `stages.STAGES`
    network : in evaluation mode, with the stage's weights
    accuracy : on the validation split, 0..1
    history : one record per point: stage step, mean loss since the last point, validation
        accuracy, and in an ADMM phase rho and, by layer, ||W-Z|| ("primal") and the change of Z
        ("dual"); of the allocate stage one `allocate.Round` per round
    masks : bool tensors by layer, the weights that stay; empty after the dense stage
    levels : the weights as integers, by layer; empty before the last stage. Every weight of the
        network is then q times its level
    seconds : training time, all interrupted runs together
    """

    stage: str
    network: Network
    accuracy: float
    history: list[dict[str, Any]]
    masks: dict[str, Tensor] = field(default_factory=dict)
    levels: dict[str, Levels] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def kept(self) -> dict[str, int]:
        """Weights that stay, by layer."""
        return {name: int(torch.count_nonzero(mask)) for name, mask in self.masks.items()}


def packed_levels(levels: Levels) -> dict[str, Any]:
    """As `checkpoint.save` takes them, without zeros."""
    packed = _packed(levels.values, levels.values != 0)
    return {**packed, "q": torch.from_numpy(levels.q), "bits": levels.bits}


def unpacked_levels(stored: dict[str, Any]) -> Levels:
    """Inverse of `packed_levels`."""
    values, _ = _unpacked(stored)
    return Levels(values, stored["q"].numpy(), stored["bits"])


def _packed(values: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """An array of which only what `mask` holds is not zero."""
    return {
        "shape": list(mask.shape),
        "mask": torch.from_numpy(np.packbits(mask.reshape(-1))),
        "kept": torch.from_numpy(values[mask]),
    }


def _unpacked(stored: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(values, mask)."""
    shape, kept = stored["shape"], stored["kept"].numpy()
    flat = np.unpackbits(stored["mask"].numpy(), count=math.prod(shape))
    mask = flat.astype(bool).reshape(shape)
    values = np.zeros(shape, kept.dtype)
    values[mask] = kept
    return values, mask


def save_result(path: Path, result: StageResult, owner: str) -> None:
    """Write a result; masked layers store their kept weights only, quantised ones their levels."""
    weights: dict[str, Any] = {}
    for name, parameter in result.network.weights.items():
        dense = parameter.detach().contiguous()
        if name in result.levels:
            weights[name] = packed_levels(result.levels[name])
        elif name in result.masks:
            weights[name] = _packed(dense.numpy(), result.masks[name].contiguous().numpy())
        else:
            weights[name] = {"dense": dense}
    fields = {name: getattr(result, name) for name in _PLAIN}
    biases = {name: bias.detach() for name, bias in result.network.biases.items()}
    checkpoint.save(path, {**fields, "weights": weights, "biases": biases}, owner)


def load_result(path: Path, recipe: Recipe, owner: str) -> StageResult:
    """Read a result. Raises CosignError like `checkpoint.load`."""
    content = checkpoint.load(path, owner)
    network = Network(recipe.spec)
    masks, levels = {}, {}
    with torch.no_grad():
        for name, weight in network.weights.items():
            stored = content["weights"][name]
            if "dense" in stored:
                weight.copy_(stored["dense"])
                continue
            if "q" in stored:
                levels[name] = unpacked_levels(stored)
                values, mask = levels[name].weights, levels[name].values != 0
            else:
                values, mask = _unpacked(stored)
            weight.copy_(torch.from_numpy(values))
            masks[name] = torch.from_numpy(mask)
        for name, bias in network.biases.items():
            bias.copy_(content["biases"][name])
    network.eval()
    return StageResult(
        network=network,
        masks=masks,
        levels=levels,
        **{name: content[name] for name in _PLAIN},
    )
