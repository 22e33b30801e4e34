"""Quantised weights as values: from quantisation to the file they travel as integers.

And the code of a level in n bits, which the file and the core's stream have in common.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Levels:
    """The weights of a layer after quantisation (§3.4.2): each is q times its level.

    Parameters
    ----------
    values : int8, of the weight's shape; +-1 .. +-max_level(bits), zero where it is pruned
    q : float64, the interval of the layer, [], or of each of its filters, [out]; dimensionless
    bits : n, 1..8
    """

    values: np.ndarray
    q: np.ndarray
    bits: int

    def __post_init__(self) -> None:
        if self.values.dtype != np.int8:
            raise ValueError(f"levels are int8, not {self.values.dtype}")
        object.__setattr__(self, "q", np.asarray(self.q, np.float64))
        if self.q.shape not in ((), self.values.shape[:1]):
            raise ValueError(f"{self.q.shape} intervals for {self.values.shape} levels")

    @property
    def weights(self) -> np.ndarray:
        """q * level, float32 of the same shape."""
        q = self.q.reshape(-1, *[1] * (self.values.ndim - 1)) if self.q.ndim else self.q
        return self.values * q.astype(np.float32)


def max_level(bits: int) -> int:
    """Largest level magnitude, M/2 = 2**(n-1) (§3.4.2); 127 at n = 8, so that levels are int8."""
    return min(1 << (bits - 1), 127)


def level_codes(levels: np.ndarray, bits: int) -> np.ndarray:
    """Zero-free n-bit codes, uint8: bit n-1 is the sign, the rest is |level| - 1."""
    negative = levels < 0
    magnitude = np.abs(levels.astype(np.int16)) - 1
    return (magnitude | (negative.astype(np.int16) << (bits - 1))).astype(np.uint8)


def codes_to_levels(codes: np.ndarray, bits: int) -> np.ndarray:
    """Inverse of `level_codes`, int8."""
    half = 1 << (bits - 1)
    magnitude = np.arange(1, half + 1)
    table = np.concatenate([magnitude, -magnitude]).astype(np.int8).tobytes().ljust(256)
    return np.frombuffer(codes.astype(np.uint8, copy=False).tobytes().translate(table), np.int8)
