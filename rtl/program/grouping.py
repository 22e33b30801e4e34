"""Which filters of `sparse-rows` are computed together.

The filters of a pass go through the windows together, and each window takes as long as the fullest
of them: the others wait. Filters of like density side by side wait less. Their order is the
packer's affair alone: weights and biases are sent in it, and outputs are put back.
"""

import numpy as np


def filter_order(entries: np.ndarray, reads: np.ndarray, groups: int, filters: int) -> np.ndarray:
    """int64 [rows]: the filter that is computed in each place, each within its convolution group.

    entries : int64 [rows, windows], issues of each filter in each window
    reads : int64 [windows], cycles in which a window is filled
    groups, filters : convolution groups, and filters of a pass

    Those with most entries come first, so that a last pass that is not full has the shortest; where
    that takes no fewer cycles, it is the network's order.
    """
    places = np.arange(len(entries)).reshape(groups, -1)
    totals = entries.sum(axis=1).reshape(groups, -1)
    sorted_places = np.take_along_axis(places, np.argsort(-totals, axis=1, kind="stable"), axis=1)
    orders = places.reshape(-1), sorted_places.reshape(-1)
    return min(orders, key=lambda order: _cycles(entries[order], reads, groups, filters))


def _cycles(entries: np.ndarray, reads: np.ndarray, groups: int, filters: int) -> int:
    """Of one tile of all passes in a steady state, filters in the order of `entries`."""
    of_group = entries.reshape(groups, -1, len(reads))
    passes = np.maximum.reduceat(of_group, np.arange(0, of_group.shape[1], filters), axis=1)
    return int(np.maximum(passes, reads).sum())
