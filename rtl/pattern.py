"""N:M patterns: which `keep` of `group` neighbouring channels are kept, told by a number.

The numbers count the choices in lexicographic order. Both the packer and the gateware use them, so
that a choice takes as few bits as there are choices.
"""

import itertools
import math


def count(keep: int, group: int) -> int:
    """Choices of `keep` of `group` channels."""
    return math.comb(group, keep)


def choices(keep: int, group: int) -> tuple[tuple[int, ...], ...]:
    """The channels of each choice, ascending.

    The n-th of them is one of n..n + group - keep, so that an operand's multiplexer needs no more
    than these inputs.
    """
    return tuple(itertools.combinations(range(group), keep))
