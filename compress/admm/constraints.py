"""The constraint sets S_i of ADMM in torch: what `Admm` projects onto, and weights put on them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from compress.admm import projections
from compress.admm.state import Projection
from compress.model.levels import Levels
from compress.model.pattern import NO_PATTERNS, Pattern, Patterns


def largest(weight: Tensor, keep: int, pattern: Pattern | None = None) -> Tensor:
    """bool tensor: the `keep` largest magnitudes; of equal ones the first in memory order.

    pattern : of weight [filters, channels, ...]: what it keeps comes first, as `prune_mask` says
    """
    values = weight.detach().contiguous().cpu().numpy()
    return torch.from_numpy(projections.prune_mask(values, keep, pattern)).to(weight.device)


def prune_projection(keep: Mapping[str, int], patterns: Patterns = NO_PATTERNS) -> Projection:
    """alpha_i weights of layer i (§3.3), or those of its pattern."""

    def project(name: str, tensor: Tensor) -> Tensor:
        return torch.where(largest(tensor, keep[name], patterns.get(name)), tensor, 0.0)

    return project


def staged(
    weights: Mapping[str, int],
    keep: Mapping[str, int],
    targets: int,
    patterns: Patterns = NO_PATTERNS,
) -> list[Projection]:
    """Projections on ever fewer of `weights`, ending at `keep`: even steps of their logarithm."""
    return [
        prune_projection(
            {
                name: max(keep[name], round(whole * (keep[name] / whole) ** (part / targets)))
                for name, whole in weights.items()
            },
            patterns,
        )
        for part in range(1, targets + 1)
    ]


def quantize_projection(bits: Mapping[str, int], masks: Mapping[str, Tensor]) -> Projection:
    """Levels of the weights of `masks` (§3.4.2); q is found anew every time."""

    def project(name: str, tensor: Tensor) -> Tensor:
        mask = masks[name].cpu().numpy()
        found = projections.quantize(tensor.detach().cpu().numpy(), mask, bits[name])
        return torch.empty_like(tensor).copy_(torch.from_numpy(found.weights))

    return project


@torch.no_grad()
def cut(
    weights: Mapping[str, Tensor],
    keep: Mapping[str, int],
    patterns: Patterns = NO_PATTERNS,
) -> dict[str, Tensor]:
    """Leave the `keep` largest of every layer's weights, in place; returns their bool masks.

    patterns : of layers that have one; `keep` is then as many as it keeps
    """
    masks = {
        name: largest(weight, keep[name], patterns.get(name)) for name, weight in weights.items()
    }
    for name, weight in weights.items():
        weight.mul_(masks[name])
    return masks


@torch.no_grad()
def put_on_levels(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], bits: Mapping[str, int]
) -> dict[str, Levels]:
    """Give the weights of `masks` their nearest levels, in place, W = q * level (§3.4.2)."""
    levels = {}
    for name, weight in weights.items():
        mask = masks[name].cpu().numpy()
        levels[name] = projections.quantize(weight.detach().cpu().numpy(), mask, bits[name])
        weight.copy_(torch.from_numpy(levels[name].weights))
    return levels
