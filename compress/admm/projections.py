"""Euclidean projections onto the constraint sets of ADMM (Eqn. 7), in plain numpy.

Onto alpha_i non-zeros or an N:M pattern (`prune_mask`), and onto levels (`quantize`, which is
`best_interval`, then `levels_of` it). All of them take arrays of any shape, patterns those of
weights, and work on AlexNet's fc1 (37.7M weights) in about a second.
"""

import numpy as np

from compress.model.levels import Levels, max_level
from compress.model.pattern import Pattern

_TOP = np.array([0, *(max_level(bits) for bits in range(1, 9))])  # by bits
_COARSE_STEPS = 1024
_FINE_STEPS = 64
_WEIGHTED_STEPS = 300
# Up to this many pieces all are examined; beyond, the error is smooth enough to be scanned.
_EXACT_PIECES = 1 << 18
# Candidates x levels computed at once: bounds memory.
_BLOCK = 1 << 20
# Values that stand for all in a closer scan, and the share of the error it must save to count.
_SAMPLE = 4096
_WORTHWHILE = 1e-3
_ROUNDING = 1e-9  # of sums of as many values as there are pieces, with room


def prune_mask(values: np.ndarray, keep: int, pattern: Pattern | None = None) -> np.ndarray:
    """bool mask of exactly `keep` elements with the largest magnitudes (§3.3).

    pattern : whose weights are kept first, of values [filters, channels, ...]: the largest of each
        group, which is the exact projection onto it; beyond as many as it has, the largest others

    Of equal magnitudes the ones that come first in memory order are kept. Raises ValueError on more
    than there are, or fewer than the pattern has.
    """
    if pattern is not None:
        return _pattern_mask(values, keep, pattern)
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


def _pattern_mask(values: np.ndarray, keep: int, pattern: Pattern) -> np.ndarray:
    groups = pattern.grouped(np.abs(values), padding=-1)  # padding comes last
    order = np.argsort(-groups, axis=2, kind="stable")[:, :, : pattern.keep]
    first = np.zeros(groups.shape, bool)
    np.put_along_axis(first, order, True, axis=2)
    filters, channels = values.shape[:2]
    mask = first.reshape(filters, -1, groups.shape[-1])[:, :channels].reshape(values.shape)
    count = int(np.count_nonzero(mask))
    if keep < count:
        raise ValueError(f"{pattern} has {count} weights, not {keep}")
    return mask if keep == count else prune_mask(np.where(mask, np.inf, values), keep)


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
    """Nearest levels where `mask` holds, by the best interval for them; zero elsewhere.

    A weight that is zero has no level near it and stays zero, as in a layer that adds nothing.
    """
    mask = mask & (values != 0)
    kept = values[mask]
    q = best_interval(kept, bits)
    levels = np.zeros(values.shape, np.int8)
    levels[mask] = levels_of(kept, q, bits)
    return Levels(levels, np.array(q), bits)


class _Prefix:
    """Sorted magnitudes with prefix sums, so that the error of any q costs M binary searches.

    With a fixed assignment of values to levels the total square error is
    S2 - 2 q B + q^2 A, where A = sum of level^2 and B = sum of level * value.
    """

    def __init__(self, values: np.ndarray, bits: int) -> None:
        self.sorted = np.sort(np.abs(values).reshape(-1).astype(np.float64))
        self.sums = np.concatenate([[0.0], np.cumsum(self.sorted)])
        self.square = float(self.sorted @ self.sorted)
        self.bits = bits
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

    def least_below(self, q: float) -> float:
        """What the error of any interval up to `q` cannot fall below.

        The largest level ends at top * q, and what lies beyond misses it by its distance at least.
        """
        end = self.top * q
        first = int(np.searchsorted(self.sorted, end))
        beyond = self.sorted[first:]
        total = float(self.sums[-1] - self.sums[first])
        return float(beyond @ beyond) - 2 * end * total + end * end * len(beyond)

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
    crosses from one level to the next, at |v| / (k + 1/2). For few values, or few that are
    repeated, as weights are that were on levels before, every piece is examined and the minimum is
    exact; for many, a scan of the range finds the promising intervals, each is scanned again and
    its minima are settled in closed form.
    """
    prefix = _Prefix(values[values != 0], bits)
    count = len(prefix.sorted)
    if count == 0:
        return 1.0
    distinct = 1 + int(np.count_nonzero(np.diff(prefix.sorted)))
    pieces = (distinct if 2 * distinct <= count else count) * prefix.top
    return _exact(prefix) if pieces <= _EXACT_PIECES else _scan(prefix)


def weighted_interval(values: np.ndarray, importance: np.ndarray, bits: int) -> float:
    """q of the least error of `levels_of`, each value's square error times its `importance`.

    The best of 300 candidates, and of more below them where an outlier lifts these above what the
    others need: for intervals that are rounded to few bits after all (compress.tiny) a finer search
    would make no better levels.
    """
    values = values.astype(np.float64)
    magnitude = np.abs(values)
    most, top = max_level(bits), magnitude.max()

    def errors(tries: np.ndarray) -> list[float]:
        return [float(importance @ (values - levels_of(values, q, bits) * q) ** 2) for q in tries]

    tries = np.geomspace(top / most / 4, 1.2 * top, _WEIGHTED_STEPS)
    found = errors(tries)
    mean = magnitude @ importance / (importance.sum() or 1.0) or top
    reached = min(*found, *errors(np.array([mean])))  # less than that of all weights at zero
    lowest = tries[0]
    while importance @ np.maximum(magnitude - most * lowest, 0) ** 2 < reached:
        lowest /= 2  # as in `_below`
    if lowest < tries[0]:
        steps = np.log(tries[0] / lowest) / np.log(tries[1] / tries[0])
        more = np.geomspace(lowest, tries[0], int(steps) + 2)
        tries, found = np.concatenate([tries, more]), found + errors(more)
    return float(tries[int(np.argmin(found))])


def _exact(prefix: _Prefix) -> float:
    values, counts = np.unique(prefix.sorted, return_counts=True)
    edges = (values[:, None] / prefix.halves).reshape(-1)
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    # From piece to piece a value goes from level k + 1 to k, which changes A and B by little.
    steps = np.outer(counts, 2 * prefix.halves).reshape(-1)[order]
    moved = np.repeat(values * counts, len(prefix.halves))[order]
    top = float(prefix.top)
    a = np.append(0.0, np.cumsum(-steps)) + top * top * len(prefix.sorted)
    b = np.append(0.0, np.cumsum(-moved)) + top * prefix.sums[-1]
    # A piece's own parabola may have its minimum outside the piece. The error there is then
    # smaller still under the right assignment, so no piece misleads, and the one that holds the
    # global minimum S2 - B^2 / A contributes it. The sums above have rounded, so the few that come
    # close to the best are computed again.
    gain = b * b / a
    near = np.flatnonzero(gain >= gain.max() - _ROUNDING * prefix.square)
    ends = np.concatenate([[0.0], edges, [2 * max([prefix.sorted[-1], *edges[-1:]])]])
    a, b = prefix.coefficients((ends[near] + ends[near + 1]) / 2)
    candidates = b / a
    return float(candidates[np.argmin(prefix.error(candidates))])


def _scan(prefix: _Prefix) -> float:
    largest = float(prefix.sorted[-1])
    coarse = np.geomspace(largest / prefix.top / 64, largest, _COARSE_STEPS)
    best = _best(prefix, _valleys(prefix, prefix, coarse))
    return _closer(prefix, coarse, _below(prefix, coarse, best))


def _best(prefix: _Prefix, candidates: list[float]) -> float:
    """The first of those with the least error."""
    return candidates[int(np.argmin(prefix.error(np.array(candidates))))]


def _valleys(prefix: _Prefix, scanned: _Prefix, coarse: np.ndarray) -> list[float]:
    """The best of `coarse`, and settled intervals in its deepest valleys, as `scanned` has them."""
    error = scanned.error(coarse)
    valleys = np.flatnonzero(
        (error <= np.append(error[1:], np.inf)) & (error <= np.append(np.inf, error[:-1]))
    )
    found = [float(coarse[np.argmin(error)])]
    for valley in valleys[np.argsort(error[valleys])][:8]:
        below, above = max(valley - 1, 0), min(valley + 1, len(coarse) - 1)
        fine = np.geomspace(coarse[below], coarse[above], _FINE_STEPS)
        found += [prefix.settle(float(q)) for q in fine[np.argsort(prefix.error(fine))[:4]]]
    return found


def _below(prefix: _Prefix, coarse: np.ndarray, best: float) -> float:
    """`best`, or a better interval below those of `coarse`.

    One weight of 1,000 deviations lifts the range above what all others need. Where the error that
    is found is less than any interval below can have, there is nothing to look for.
    """
    error = float(prefix.error(np.array([best]))[0])
    lowest = float(coarse[0])
    smallest = float(prefix.sorted[0]) / prefix.top  # q = B / A of nothing but largest levels
    while lowest > smallest and prefix.least_below(lowest) < error:
        lowest = max(lowest / 2, smallest)
    if lowest == coarse[0]:
        return best
    steps = np.log(coarse[0] / lowest) / np.log(coarse[1] / coarse[0])
    finer = np.geomspace(lowest, coarse[0], int(steps) + 2)
    return _best(prefix, [best, *_valleys(prefix, prefix, finer)])


def _closer(prefix: _Prefix, coarse: np.ndarray, best: float) -> float:
    """`best`, or an interval between those of `coarse` that is clearly better.

    From 7 bits on, a step of `coarse` moves the largest levels by half an interval and more, and
    weights that are nearly on levels have a valley narrower than that. A sample of them shows it.
    """
    steps = int(np.log(coarse[-1] / coarse[0]) * 4 * prefix.top)
    if steps < 2 * len(coarse):
        return best
    sample = _Prefix(prefix.sorted[:: -(-len(prefix.sorted) // _SAMPLE)], prefix.bits)
    found = _best(prefix, _valleys(prefix, sample, np.geomspace(coarse[0], coarse[-1], steps)))
    before, after = prefix.error(np.array([best, found]))
    return found if after < (1 - _WORTHWHILE) * before else best
