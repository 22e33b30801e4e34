"""The integers that an activation can be: two's complement, of as many bits in the whole network.

A core's activation memory has one width, and what one layer leaves there the next one reads: bits
that changed from layer to layer would save nothing where the memory is as wide as the widest. So
there is one number for a network, its input included.
"""

import numpy as np

from cosign import CosignError

FEWEST, MOST = 4, 8
"""Bits of an activation."""


def lowest(bits: int) -> int:
    """The least value: -128 of 8 bits, -8 of 4."""
    return -(1 << (bits - 1))


def highest(bits: int) -> int:
    """The largest value: 127 of 8 bits, 7 of 4."""
    return (1 << (bits - 1)) - 1


def bounds(bits: int, relu: bool = False) -> tuple[int, int]:
    """(least, largest) that an operation saturates at; behind a ReLU none is negative."""
    return 0 if relu else lowest(bits), highest(bits)


def check(bits: int, what: str) -> None:
    """Raises CosignError unless activations can have so many bits; `what` begins the sentence."""
    if type(bits) is not int or not FEWEST <= bits <= MOST:
        raise CosignError(
            f"{what} has activations of {bits} bits, must be whole, {FEWEST} to {MOST}."
        )


def check_values(x: np.ndarray, bits: int, what: str) -> None:
    """Raises CosignError unless int8 `x` are activations of so many bits."""
    low, high = bounds(bits)
    least, most = int(x.min(initial=0)), int(x.max(initial=0))
    if least < low or most > high:
        raise CosignError(
            f"{what} must be activations of {bits} bits, {low} to {high}, and holds "
            f"{least if least < low else most}."
        )
