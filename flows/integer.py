"""The golden model's sums by torch's 8-bit matrix product, for networks of many MACs.

The product is exact, int8 x int8 to int32, and several times as fast as numpy's float one.
"""

import functools

import numpy as np
import torch

from compress.container import Layer
from sim import golden


def accumulate(layer: Layer, x: np.ndarray) -> np.ndarray:
    """What `golden.accumulate` computes: int64 [N, out_channels, Ho, Wo].

    No sum leaves int32: |level * activation| <= 2**14, so up to 2**16 columns always fit.
    """
    g = layer.geometry
    if g.columns > 1 << 16:
        return golden.accumulate(layer, x)
    filters = _filters(layer)
    acc = np.empty((len(x), *filters.shape[:2], g.out_height * g.out_width), np.int64)
    for group, columns in enumerate(golden.taps(x, layer)):
        for image, part in enumerate(
            torch.from_numpy(columns.copy() if not columns.flags.writeable else columns)
        ):
            acc[image, group] = torch._int_mm(filters[group], part)
    return acc.reshape(len(x), g.out_channels, g.out_height, g.out_width)


@functools.lru_cache(maxsize=256)
def _filters(layer: Layer) -> torch.Tensor:
    """int8 [groups, out / groups, columns]."""
    g = layer.geometry
    return torch.from_numpy(layer.dense_levels().reshape(g.groups, -1, g.columns))


def run(model: golden.CompressedModel, x: np.ndarray) -> np.ndarray:
    """`golden.run`, faster."""
    return golden.run(model, x, accumulate)
