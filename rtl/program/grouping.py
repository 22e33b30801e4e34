"""Which filters of `sparse-rows` are computed together.

The filters of a pass go through the windows together, and each window takes as long as the fullest
of them: the others wait. Filters of like density side by side wait less. Their order is the
packer's affair alone: weights and biases are sent in it, and outputs are put back.
"""

import numpy as np


def filter_order(
    entries: np.ndarray, reads: np.ndarray, groups: int, filters: int, tiles: int
) -> np.ndarray:
    """int64 [rows]: the filter that is computed in each place, each within its convolution group.

    entries : int64 [rows, windows], issues of each filter in each window
    reads : int64 [windows], cycles in which a window is filled
    groups, filters, tiles : convolution groups, filters of a pass, and tiles that each pass takes

    By density, the lightest or the heaviest filters first, or where neither is faster the network's
    order.
    """
    return min(
        orders(entries, groups),
        key=lambda order: _cycles(entries[order], reads, groups, filters, tiles),
    )


def orders(entries: np.ndarray, groups: int) -> list[np.ndarray]:
    """Those that are chosen from, each int64 [rows] as `filter_order` has it."""
    places = np.arange(len(entries)).reshape(groups, -1)
    totals = entries.sum(axis=1).reshape(groups, -1)
    found = [places.reshape(-1)]
    for key in (totals, -totals):
        by_density = np.argsort(key, axis=1, kind="stable")
        found.append(np.take_along_axis(places, by_density, axis=1).reshape(-1))
    return found


def _cycles(entries: np.ndarray, reads: np.ndarray, groups: int, filters: int, tiles: int) -> int:
    """Of all passes, filters in the order of `entries`; a pass loads while the one before computes.

    What `sim.cycles` counts more is the same for any order, but for a few cycles of a pass's start.
    """
    of_group = entries.reshape(groups, -1, len(reads))
    firsts = np.arange(0, of_group.shape[1], filters)
    fullest = np.maximum.reduceat(of_group, firsts, axis=1)
    computed = tiles * np.maximum(fullest, reads).sum(axis=2).reshape(-1)
    loaded = np.add.reduceat(of_group.sum(axis=2), firsts, axis=1).reshape(-1)
    return int(loaded[0] + np.maximum(computed, np.append(loaded[1:], 0)).sum())
