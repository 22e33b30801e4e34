"""Stripes: a map too large for the activation memory, or shared by lockstep tiles, is cut by rows.

A stripe is a few rows of the output with all input rows they read. Stripes have one geometry and
so one set of addresses: lockstep tiles work on different stripes at the same time, and what does
not fit is done stripe by stripe. A linear layer's "rows" are the images of its batch.
"""

import dataclasses

import numpy as np

from compress.model.graph import Geometry


def stripe(geometry: Geometry, count: int) -> Geometry:
    """Geometry of one of `count` stripes of a convolution; vertical padding becomes data."""
    if count == 1:
        return geometry
    rows = -(-geometry.out_height // count)
    return dataclasses.replace(
        geometry,
        in_height=(rows - 1) * geometry.stride[0] + _reach(geometry),
        padding=(0, geometry.padding[1]),
    )


def cut(x: np.ndarray, geometry: Geometry, count: int) -> np.ndarray:
    """int8 [C, H, W] (linear: [batch, C]) as [count, ...] stripes, zeros behind the map's end."""
    if count == 1:
        return x[None]
    if geometry.kind == "linear":
        size = -(-len(x) // count)
        return np.pad(x, ((0, size * count - len(x)), (0, 0))).reshape(count, size, -1)
    one = stripe(geometry, count)
    step = one.out_height * geometry.stride[0]
    above = geometry.padding[0]
    below = max(0, step * (count - 1) + one.in_height - above - x.shape[1])
    padded = np.pad(x, ((0, 0), (above, below), (0, 0)))
    return np.stack([padded[:, n * step : n * step + one.in_height] for n in range(count)])


def join(stripes: np.ndarray, geometry: Geometry, batch: int) -> np.ndarray:
    """Outputs [count, K, rows, Wo] of the stripes as [K, Ho, Wo] (linear: [batch, K])."""
    if geometry.kind == "linear":
        return stripes.reshape(-1, geometry.out_channels)[:batch]
    rows = stripes.transpose(1, 0, 2, 3).reshape(geometry.out_channels, -1, geometry.out_width)
    return rows[:, : geometry.out_height]


def _reach(geometry: Geometry) -> int:
    """Input rows that one output row reads, from the first to the last."""
    return geometry.dilation[0] * (geometry.kernel[0] - 1) + 1
