"""The golden model's sums by torch's convolution, for networks of many MACs.

In float32 a sum of integers is exact as long as no part of it reaches 2**24. Where a filter's
levels could, its channels are summed in parts.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from compress.model.graph import CompressedModel, Layer
from sim import golden

_EXACT = 1 << 24
_LARGEST = 128  # magnitude of an int8


def run(model: CompressedModel, x: np.ndarray) -> np.ndarray:
    """`golden.run`, faster."""
    return golden.run(model, x, accumulate)


@torch.no_grad()
def accumulate(layer: Layer, x: np.ndarray) -> np.ndarray:
    """What `golden.accumulate` computes: int64 [N, out_channels, Ho, Wo]."""
    if not _convolution_is_exact():
        return golden.accumulate(layer, x)
    g = layer.geometry
    maps = torch.from_numpy(x).reshape(len(x), g.groups, -1, g.in_height, g.in_width)
    total: Tensor | None = None
    for channels, filters in _parts(layer):
        part = maps[:, :, channels].flatten(1, 2).to(filters.dtype)
        sums = torch.conv2d(part, filters, None, g.stride, g.padding, g.dilation, g.groups).long()
        total = sums if total is None else total.add_(sums)
    assert total is not None
    return total.numpy()


@functools.lru_cache(maxsize=256)
def _parts(layer: Layer) -> list[tuple[slice, Tensor]]:
    """Channels of every group, and their filters, floats [out, channels, height, width]."""
    g = layer.geometry
    levels = layer.dense_levels().reshape(g.out_channels, -1, *g.kernel)
    reach = np.abs(levels.astype(np.int64)).sum((2, 3)).cumsum(1) * _LARGEST  # [out, channels]
    parts, first, before = [], 0, np.zeros(g.out_channels, np.int64)
    while first < reach.shape[1]:
        fitting = int(np.argmin(np.append(((reach - before[:, None]) < _EXACT).all(0), False)))
        last = max(fitting, first + 1)
        chosen = torch.from_numpy(np.ascontiguousarray(levels[:, first:last]))
        fits = bool((reach[:, last - 1] - before < _EXACT).all())  # of a single channel it may not
        parts.append((slice(first, last), chosen.float() if fits else chosen.double()))
        first, before = last, reach[:, last - 1]
    return parts


@functools.cache
def _convolution_is_exact() -> bool:
    """Some algorithms for convolutions transform their operands first, and round."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(-128, 128, (2, 32, 12, 12))).float()
    w = torch.from_numpy(rng.integers(-127, 128, (32, 32, 3, 3))).float()
    return torch.equal(torch.conv2d(x, w).double(), torch.conv2d(x.double(), w.double()))
