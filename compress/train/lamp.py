"""One pruning ratio for the whole network, shared out among its layers by LAMP.

The layer-adaptive magnitude score of a weight is its square over the sum of squares of all
weights of its layer that are not smaller: what pruning it costs the layer, relative to what is
left by then (Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021).
The weights with the largest scores of the network stay. A layer's largest weight scores 1, the most
there is, so that no layer disappears; and scaling a layer's weights changes nothing.

Only the dense network's weights are looked at: the shares are the same on every machine.
"""

from collections.abc import Mapping

import numpy as np

from compress.admm.projections import prune_mask


def scores(weight: np.ndarray) -> np.ndarray:
    """LAMP of every weight, float64 of the weight's shape; 0 for zeros, the layer's largest 1.

    Of equal magnitudes the ones that come first in memory order score more.
    """
    square = np.square(weight.astype(np.float64)).reshape(-1)
    order = np.argsort(-square, kind="stable")
    falling = square[order]
    result = np.zeros(square.size)
    alive = int(np.count_nonzero(falling))
    result[order[:alive]] = falling[:alive] / np.cumsum(falling[:alive])
    return result.reshape(weight.shape)


def share_out(weights: Mapping[str, np.ndarray], density: float) -> dict[str, int]:
    """Weights to keep by layer, of the whole network `density` of all.

    As many as asked for to the last one, but at least one of each layer that has any, and never
    more than are not zero: those that stand for padding go first.
    """
    total = round(density * sum(weight.size for weight in weights.values()))
    every = np.concatenate([scores(weight).reshape(-1) for weight in weights.values()])
    alive = sum(bool(weight.any()) for weight in weights.values())
    keep = min(max(total, alive), int(np.count_nonzero(every)))
    parts = np.split(prune_mask(every, keep), np.cumsum([w.size for w in weights.values()])[:-1])
    return {name: int(np.count_nonzero(part)) for name, part in zip(weights, parts, strict=True)}
