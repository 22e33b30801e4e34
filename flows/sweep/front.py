"""The Pareto front: what nothing beats."""

from collections.abc import Sequence


def front(values: Sequence[tuple[float, ...]]) -> list[int]:
    """Indices, in order, of the tuples that no other dominates; less is better.

    One dominates another that is not below it anywhere, and above it somewhere; equal ones do not
    dominate each other.
    """
    kept: list[int] = []
    # What dominates a tuple comes before it in lexicographic order, and if that is dominated
    # itself, so it is by one that was kept.
    for index in sorted(range(len(values)), key=lambda i: values[i]):
        if not any(_dominates(values[other], values[index]) for other in kept):
            kept.append(index)
    return sorted(kept)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
