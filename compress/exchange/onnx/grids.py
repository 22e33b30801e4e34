"""The numbers that a quantised value can have: (q - zero) * scale for integers q in low..high."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import ml_dtypes
import numpy as np

_UNITS = 127  # of signed 8 bits on one side; a grid as fine needs no nodes


@dataclass(frozen=True)
class Grid:
    """One quantisation.

    Parameters
    ----------
    scale, zero : float64, one number or one by channel, ready to broadcast against the value
    low, high : int, the integers that it has
    """

    scale: np.ndarray
    zero: np.ndarray
    low: int
    high: int

    @property
    def plain(self) -> bool:
        """One scale and one zero for the whole value."""
        return self.scale.size == self.zero.size == 1

    @property
    def below(self) -> int:
        """Least multiple of the scale."""
        return self.low - int(self.zero.max())

    @property
    def above(self) -> int:
        """Largest multiple of the scale."""
        return self.high - int(self.zero.min())

    @property
    def fine(self) -> bool:
        """At least as many steps as signed 8 bits have, on the side where it has more."""
        return max(-self.below, self.above) >= _UNITS

    @property
    def unit(self) -> float:
        """Real value of one step of signed 8 bits, -128..127, that reaches as far."""
        return float(self.scale.max()) * max(self.above / 127, -self.below / 128)

    def within(self, low: float, high: float) -> Self:
        """Fewer integers."""
        return replace(self, low=int(max(self.low, low)), high=int(min(self.high, high)))

    def same(self, other: "Grid") -> bool:
        """Whether the integers of both stand for the same numbers."""
        return bool(
            np.array_equal(self.scale, other.scale) and np.array_equal(self.zero, other.zero)
        )


def limits(dtype: np.dtype) -> tuple[int, int]:
    """Least and largest of an integer type, those of 2 and 4 bits included."""
    info = ml_dtypes.iinfo(dtype)
    return int(info.min), int(info.max)


def dequantised(
    q: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None,
    axis: int = 1,
    block: int = 0,
) -> np.ndarray:
    """float32 (q - zero) * scale: one scale, one by place along `axis`, or one by block of them."""
    scale = along(np.asarray(scale, np.float32), q, axis, block)
    numbers = q.astype(np.float32)
    if zero is not None:
        numbers = numbers - along(np.asarray(zero).astype(np.float32), q, axis, block)
    return (numbers * scale).astype(np.float32)


def along(parameter: np.ndarray, q: np.ndarray, axis: int, block: int = 0) -> np.ndarray:
    """`parameter` so that it broadcasts against `q`."""
    if parameter.size == 1:
        return parameter.reshape(())
    if block:
        spread = np.repeat(parameter, block, axis)
        return np.take(spread, np.arange(q.shape[axis]), axis)
    if parameter.ndim == 1:
        shape = [1] * q.ndim
        shape[axis] = parameter.size
        return parameter.reshape(shape)
    return parameter


def bounds(bits: np.ndarray, signed: bool, narrow: bool) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest integers of QONNX's Quant."""
    bits = np.asarray(bits, np.float64)
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0 * bits, 2**bits - 1 - narrow


ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # by QONNX's name
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}
