"""Euclidean projections onto the constraint sets of ADMM (Eqn. 7), in plain numpy.

Onto alpha_i non-zeros (`prune_mask`), and onto levels (`quantize`, which is `best_interval`, then
`levels_of` it). All of them take arrays of any shape and work on AlexNet's fc1 (37.7M weights) in
about a second.
"""

import numpy as np

from compress.model.levels import Levels, max_level

_TOP = np.array([0, *(max_level(bits) for bits in range(1, 9))])  # by bits
_COARSE_STEPS = 1024
_FINE_STEPS = 64
_WEIGHTED_STEPS = 300
# Up to this many pieces all are examined; beyond, the error is smooth enough to be scanned.
_EXACT_PIECES = 1 << 18
# Candidates x levels computed at once: bounds memory.
_BLOCK = 1 << 20


def prune_mask(values: np.ndarray, keep: int) -> np.ndarray:
    """bool mask of exactly `keep` elements with the largest magnitudes (§3.3).

    Of equal magnitudes the ones that come first in memory order are kept.
    """
    magnitude = np.abs(values).reshape(-1)
    if not 0 <= keep <= magnitude.size:
        raise ValueError(f"cannot keep {keep} of {magnitude.size} values")
    if keep == 0:
        return np.zeros(values.shape, bool)
    threshold = np.partition(magnitude, magnitude.size - keep)[magnitude.size - keep]
    mask = magnitude > threshold
    ties = np.flatnonzero(magnitude == threshold)
    mask[ties[: keep - int(np.count_nonzero(mask))]] = True
    return mask.reshape(values.shape)


def levels_of(values: np.ndarray, q: float | np.ndarray, bits: int | np.ndarray) -> np.ndarray:
    """Nearest level of every value, int8 in +-1 .. +-max_level(bits); never zero (§3.4.2).

    A value halfway between two levels goes to the larger magnitude, zero to +1. q and bits may be
    arrays, one for each value.
    """
    magnitude = np.floor(
        np.abs(values) / np.asarray(q, values.dtype) + np.asarray(0.5, values.dtype)
    )
    clipped = np.clip(magnitude, 1, np.asarray(_TOP[bits], values.dtype)).astype(np.int16)
    return np.where(values < 0, -clipped, clipped).astype(np.int8)


def quantize(values: np.ndarray, mask: np.ndarray, bits: int) -> Levels:
    """Nearest levels where `mask` holds, by the best interval for them; zero elsewhere."""
    kept = values[mask]
    q = best_interval(kept, bits)
    levels = np.zeros(values.shape, np.int8)
    levels[mask] = levels_of(kept, q, bits)
    return Levels(levels, q, bits)


class _Prefix:
    """Sorted magnitudes with prefix sums, so that the error of any q costs M binary searches.

    With a fixed assignment of values to levels the total square error is
    S2 - 2 q B + q^2 A, where A = sum of level^2 and B = sum of level * value.
    """

    def __init__(self, values: np.ndarray, bits: int) -> None:
        self.sorted = np.sort(np.abs(values).reshape(-1).astype(np.float64))
        self.sums = np.concatenate([[0.0], np.cumsum(self.sorted)])
        self.square = float(self.sorted @ self.sorted)
        self.top = max_level(bits)
        self.halves = np.arange(1, self.top) + 0.5

    def coefficients(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(A, B) of the nearest-level assignment at each q; float64 [n] each."""
        blocks = [self._block(part) for part in np.array_split(q, len(q) * self.top // _BLOCK + 1)]
        a, b = zip(*blocks, strict=True)
        return np.concatenate(a), np.concatenate(b)

    def _block(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cuts = np.searchsorted(self.sorted, q[:, None] * self.halves)
        ends = np.concatenate([cuts, np.full((len(q), 1), len(self.sorted))], axis=1)
        counts = np.diff(ends, axis=1, prepend=0)
        sums = np.diff(self.sums[ends], axis=1, prepend=0.0)
        level = np.arange(1, self.top + 1)
        return counts @ (level**2), sums @ level

    def error(self, q: np.ndarray) -> np.ndarray:
        """Total square error at each q."""
        a, b = self.coefficients(q)
        return self.square - 2 * q * b + q * q * a

    def settle(self, q: float) -> float:
        """Alternate the assignment and its best q until neither changes: a local minimum."""
        while True:
            a, b = self.coefficients(np.array([q]))
            better = float(b[0] / a[0])
            if better == q or self.error(np.array([better]))[0] >= self.error(np.array([q]))[0]:
                return q
            q = better


def best_interval(values: np.ndarray, bits: int) -> float:
    """The interval q > 0 that minimises the total square error of `levels_of` (§3.4.2).

    The error is a continuous, piecewise quadratic function of q whose pieces meet where a value
    crosses from one level to the next, at |v| / (k + 1/2). For few values every piece is
    examined and the minimum is exact; for many, a scan of the range finds the promising
    intervals, each is scanned again and its minima are settled in closed form.
    """
    prefix = _Prefix(values[values != 0], bits)
    count = len(prefix.sorted)
    if count == 0:
        return 1.0
    return _exact(prefix) if count * prefix.top <= _EXACT_PIECES else _scan(prefix)


def weighted_interval(values: np.ndarray, importance: np.ndarray, bits: int) -> float:
    """q of the least error of `levels_of`, each value's square error times its `importance`.

    The best of 300 candidates: for intervals that are rounded to few bits after all (compress.tiny)
    a finer search would make no better levels.
    """
    values = values.astype(np.float64)
    top = np.abs(values).max()
    tries = np.geomspace(top / max_level(bits) / 4, 1.2 * top, _WEIGHTED_STEPS)
    errors = [importance @ (values - levels_of(values, q, bits) * q) ** 2 for q in tries]
    return float(tries[int(np.argmin(errors))])


def _exact(prefix: _Prefix) -> float:
    edges = np.unique((prefix.sorted[:, None] / prefix.halves).reshape(-1))
    beyond = 2 * max(prefix.sorted[-1], edges[-1] if len(edges) else 0.0)
    edges = np.concatenate([[0.0], edges, [beyond]])
    a, b = prefix.coefficients((edges[:-1] + edges[1:]) / 2)
    # A piece's own parabola may have its minimum outside the piece. The error there is then
    # smaller still under the right assignment, so no candidate misleads, and the piece that
    # holds the global minimum contributes it.
    candidates = b / a
    return float(candidates[np.argmin(prefix.error(candidates))])


def _scan(prefix: _Prefix) -> float:
    largest = float(prefix.sorted[-1])
    coarse = np.geomspace(largest / prefix.top / 64, largest, _COARSE_STEPS)
    error = prefix.error(coarse)
    valleys = np.flatnonzero(
        (error <= np.append(error[1:], np.inf)) & (error <= np.append(np.inf, error[:-1]))
    )
    best = [float(coarse[np.argmin(error)])]
    for valley in valleys[np.argsort(error[valleys])][:8]:
        below, above = max(valley - 1, 0), min(valley + 1, len(coarse) - 1)
        fine = np.geomspace(coarse[below], coarse[above], _FINE_STEPS)
        best += [prefix.settle(float(q)) for q in fine[np.argsort(prefix.error(fine))[:4]]]
    candidates = np.array(best)
    return float(candidates[np.argmin(prefix.error(candidates))])
