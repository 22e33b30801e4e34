"""Rectilinear Steiner trees of all nets of a placement, in C (`steiner.c`).

Up to 10 pins by the iterated 1-Steiner heuristic (Kahng and Robins 1992), which is exact for three;
beyond, a minimum spanning tree whose edges are laid over each other where they meet.
"""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosign import CosignError, native


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees of nets 0, 1, ...

    Parameters
    ----------
    starts : int64 [nets + 1]; the points of net n are starts[n] to starts[n + 1]
    x, y : float64 [points]; the pins of a net come first, in their order, then its Steiner points
    parent : int32 [points]; the point, counted from the net's first, from which the wire comes;
        -1 at the driver
    """

    starts: np.ndarray
    x: np.ndarray
    y: np.ndarray
    parent: np.ndarray

    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(net, upper point, lower point) of every wire between two points, int64 each."""
        nets = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        lower = np.flatnonzero(self.parent >= 0)
        nets = nets[lower]
        return nets, self.starts[nets] + self.parent[lower], lower

    def lengths(self) -> np.ndarray:
        """Length of each net's wires, float64 [nets]."""
        nets, upper, lower = self.edges()
        spans = np.abs(self.x[upper] - self.x[lower]) + np.abs(self.y[upper] - self.y[lower])
        return np.bincount(nets, spans, minlength=len(self.starts) - 1)


def steiner_trees(starts: np.ndarray, x: np.ndarray, y: np.ndarray) -> Trees:
    """Trees over pins at `x`, `y` (float64 [pins]); those of net n are starts[n]:starts[n + 1] and
    begin with the driver, the root. Raises CosignError where no C compiler is installed."""
    starts = np.ascontiguousarray(starts, np.int64)
    x, y = (np.ascontiguousarray(values, np.float64) for values in (x, y))
    nets, pins = len(starts) - 1, len(x)
    if starts[0] != 0 or starts[-1] != pins or pins != len(y):
        raise ValueError("starts must cover all pins")
    found_x, found_y = np.empty(2 * pins), np.empty(2 * pins)
    parent, counts = np.empty(2 * pins, np.int32), np.zeros(nets, np.int32)
    if _kernel()(nets, starts, x, y, found_x, found_y, parent, counts):
        raise CosignError("there is not enough memory for the wires of this core; free some.")
    ends = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    # Places of the points in the kernel's arrays, which leave room for as many Steiner points.
    picked = np.arange(ends[-1]) + np.repeat(2 * starts[:-1] - ends[:-1], counts)
    return Trees(ends, found_x[picked], found_y[picked], parent[picked])


def half_perimeters(starts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Half the perimeter of the box around each net's pins, float64 [nets]; no net is empty."""
    if len(starts) == 1:
        return np.zeros(0)
    at = starts[:-1]
    return (
        np.maximum.reduceat(x, at)
        - np.minimum.reduceat(x, at)
        + np.maximum.reduceat(y, at)
        - np.minimum.reduceat(y, at)
    )


@functools.cache
def _kernel() -> "ctypes._NamedFuncPointer":
    kernel = native.library(Path(__file__).with_name("steiner.c")).trees
    whole, real = (
        np.ctypeslib.ndpointer(kind, flags="C_CONTIGUOUS") for kind in (np.int64, np.float64)
    )
    small = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
    kernel.argtypes = (ctypes.c_int64, whole, real, real, real, real, small, small)
    kernel.restype = ctypes.c_int32
    return kernel
