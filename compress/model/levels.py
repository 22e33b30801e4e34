"""Quantised weights as values: from quantisation to the file they travel as integers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Levels:
    """The weights of a layer after quantisation (§3.4.2): each is q times its level.

    Parameters
    ----------
    values : int8, of the weight's shape; +-1 .. +-max_level(bits), zero where it is pruned
    q : the layer's interval, dimensionless
    bits : n, 1..8
    """

    values: np.ndarray
    q: float
    bits: int

    def __post_init__(self) -> None:
        if self.values.dtype != np.int8:
            raise ValueError(f"levels are int8, not {self.values.dtype}")

    @property
    def weights(self) -> np.ndarray:
        """q * level, float32 of the same shape."""
        return self.values * np.float32(self.q)
