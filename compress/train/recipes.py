"""What a recipe asks of weights: that of a network which comes with some, and LAMP's shares."""

from collections.abc import Mapping

import numpy as np

from compress.model.pretrained import Pretrained
from compress.train.lamp import share_out
from compress.zoo.networks import entry_for
from compress.zoo.recipe import NO_TRAINING, Recipe


def pretrained_recipe(
    pretrained: Pretrained, digest: str, alpha: str | None = None, budget: float = 1.0
) -> Recipe:
    """For a network that comes with weights: the dense stage leaves them as they are.

    digest : the network's
    alpha : as `pretrained_densities` reads it

    Raises CosignError on another alpha.
    """
    spec = pretrained.spec
    entry = entry_for(spec)
    return Recipe(
        **{**vars(entry.training), "dense": NO_TRAINING},
        architecture=spec,
        digest=digest,
        densities=pretrained_densities(pretrained, alpha),
        bits=entry.bits.by_layer(spec),
        budget=budget,
    )


def pretrained_densities(pretrained: Pretrained, alpha: str | None) -> dict[str, float]:
    """Remaining over all weights by layer of a network that comes with weights.

    Weights that are zero already, as those that stand for padding, are the first to go.

    alpha : "8x", one weight of 8 stays in the whole network; a JSON file {layer: density}; a preset
        where the network is built in; None for what its entry says

    Raises CosignError on another alpha.
    """
    entry = entry_for(pretrained.spec)
    alpha = alpha or entry.alpha
    asked = entry.asked(alpha)
    if not isinstance(asked, dict):
        keep = share_out(pretrained.weights, asked)
        return {name: keep[name] / weight.size for name, weight in pretrained.weights.items()}
    return asked if alpha in entry.rows else without_zeros(pretrained, asked)


def without_zeros(pretrained: Pretrained, densities: Mapping[str, float]) -> dict[str, float]:
    """`densities` by layer, no larger than the share of its weights that are not zero."""
    weights = pretrained.weights
    return {
        name: min(density, int(np.count_nonzero(weights[name])) / weights[name].size)
        for name, density in densities.items()
    }


def keep_of(recipe: Recipe, dense: Mapping[str, np.ndarray]) -> dict[str, int]:
    """alpha_i, whichever way they are given; `dense` are the dense network's weights by layer."""
    if isinstance(recipe.densities, dict):
        return recipe.keep
    return share_out(dense, recipe.densities)
