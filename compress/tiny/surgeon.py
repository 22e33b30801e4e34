"""Where the loss feels it least: the optimal brain surgeon (Hassibi & Stork 1993).

ADMM's projection for pruning (Eqn. 7) keeps the largest magnitudes, since it measures distance by
the Euclidean norm. Here the norm is the loss' own: with H, the Fisher information of all
parameters, setting a weight to a value v costs (w - v)^2 / (2 [H^-1]_ii), and
the other parameters move along H^-1's column i to make up for it. A thousand parameters are few
enough for the whole H.
"""

from dataclasses import dataclass

import numpy as np
import torch

from compress.admm.projections import levels_of
from compress.tiny.network import SparseNetwork
from compress.tiny.samples import Samples

_GROUP = 16  # images whose gradients are averaged before they enter H
_GROUPS = 1500
_DAMPING = 0.02  # of H's mean diagonal
_GROWING_GROUPS = 800
_GROWING_DAMPING = 0.05
_BLOCKS = 4  # weights leave in so many groups, each ranked anew


@dataclass
class Surgeon:
    """A network on the table; its settled weights are not touched.

    Parameters
    ----------
    network : its theta is changed in place
    free : numbers of the parameters that are not settled, int64
    inverse : H^-1 over them, float64
    """

    network: SparseNetwork
    free: np.ndarray
    inverse: np.ndarray

    @classmethod
    def prepare(
        cls,
        network: SparseNetwork,
        samples: Samples,
        rng: np.random.Generator,
    ) -> "Surgeon":
        """Estimate H on some thousand images."""
        fixed = np.zeros(len(network.theta), bool)
        fixed[: network.nnz] = network.settled
        free = np.flatnonzero(~fixed)
        picked = rng.integers(0, len(samples.labels), (_GROUPS, _GROUP))
        gradients = torch.from_numpy(network.gradients(samples, picked)[:, free])
        fisher = (gradients.T @ gradients / _GROUPS).to(torch.float64)
        fisher.diagonal().add_(_DAMPING * fisher.diagonal().mean() + 1e-12)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(fisher))
        return cls(network, free, inverse.numpy())

    def prune(self, keep: int) -> np.ndarray:
        """Zero all but `keep` weights; returns bool [nnz], the weights that stay.

        None may be settled.
        """
        w, inverse = self.network.theta.astype(np.float64), self.inverse
        alive = np.ones(self.network.nnz, bool)
        for part in np.array_split(np.arange(self.network.nnz - keep), _BLOCKS):
            left = np.flatnonzero(alive)
            cost = np.full(len(alive), np.inf)
            cost[left] = w[left] ** 2 / np.diag(inverse)[left]
            leaving = np.argsort(cost, kind="stable")[: len(part)]
            columns = inverse[:, leaving]
            # Several at once: delta = -H^-1_:Q (H^-1_QQ)^-1 w_Q
            solved = np.linalg.solve(
                inverse[np.ix_(leaving, leaving)], np.column_stack([w[leaving], columns.T])
            )
            w -= columns @ solved[:, 0]
            inverse -= columns @ solved[:, 1:]
            alive[leaving] = False
            w[: len(alive)][~alive] = 0
        self.network.theta[:] = w
        return alive

    def round(self, count: int, q: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """Move the `count` dearest free weights to their nearest levels, the others after them.

        The dearest go first, while many others can still make up for them.

        q, bits : of each weight, [nnz]. Returns the numbers of the weights that are now levels.
        """
        w, inverse = self.network.theta[self.free].astype(np.float64), self.inverse
        weights = self.free[self.free < self.network.nnz]
        q, bits = q[weights], bits[weights]
        waiting = np.ones(len(weights), bool)
        for _ in range(count):
            error = w[: len(weights)] - levels_of(w[: len(weights)], q, bits) * q
            cost = error**2 / np.diag(inverse)[: len(weights)]
            cost[~waiting] = -np.inf
            chosen = int(np.argmax(cost))
            column = inverse[:, chosen] / inverse[chosen, chosen]
            w -= column * error[chosen]
            inverse -= np.outer(column, inverse[chosen])
            inverse[chosen, chosen] = 1  # it stays where it is: no other weight's column reaches it
            waiting[chosen] = False
        done = np.flatnonzero(~waiting)
        levels = levels_of(w[done], q[done], bits[done])
        w[done] = levels * q[done]
        self.network.theta[self.free] = w
        self.network.levels[weights[done]] = levels
        return weights[done]


def regrow(
    network: SparseNetwork, samples: Samples, rng: np.random.Generator, count: int
) -> SparseNetwork:
    """`network` with `count` more weights, among its live filters, where the loss gains most.

    With g the mean gradient of an absent weight and h its Fisher information, that is g^2 / (2 h).
    """
    full = network.grown([np.ones_like(mask) for mask in network.masks])
    picked = rng.integers(0, len(samples.labels), (_GROWING_GROUPS, _GROUP))
    gradients = full.gradients(samples, picked)[:, : full.nnz]
    fisher = np.mean(gradients**2, axis=0)
    gain = gradients.mean(axis=0) ** 2 / (fisher + _GROWING_DAMPING * fisher[fisher > 0].mean())
    live = np.concatenate([mask.reshape(-1) for mask in network.masks])
    gain[live] = -1
    live[np.argsort(-gain, kind="stable")[:count]] = True
    parts = np.split(live, np.cumsum([mask.size for mask in network.masks])[:-1])
    masks = [part.reshape(mask.shape) for part, mask in zip(parts, network.masks, strict=True)]
    return network.grown(masks)
