"""From pixels to what a float network reads."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from compress.data.datasets import Dataset
from compress.model.graph import InputSpec

Device = torch.device | str


def normalised(
    source: Dataset | InputSpec, pixels: np.ndarray | Tensor, device: Device = "cpu"
) -> Tensor:
    """uint8 [n, C, H, W] to (pixel / 255 - mean) / std, mean and std by channel.

    In torch's default dtype: float32, unless a test has set another.
    """
    if isinstance(pixels, np.ndarray):
        pixels = torch.from_numpy(pixels)
    x = pixels.to(device).to(torch.get_default_dtype())
    mean = torch.tensor(source.mean, device=device)[:, None, None]
    std = torch.tensor(source.std, device=device)[:, None, None]
    return x.div_(255).sub_(mean).div_(std)


def to_input(dataset: Dataset, pixels: np.ndarray | Tensor, device: Device = "cpu") -> Tensor:
    """The same with channels last in memory (a third faster)."""
    if isinstance(pixels, np.ndarray):
        pixels = np.ascontiguousarray(pixels)
    return normalised(dataset, pixels, device).contiguous(memory_format=torch.channels_last)


def some_images(dataset: Dataset, count: int, batch: int) -> Iterator[Tensor]:
    """`count` training images, always the same, normalised: float32 [batch, C, H, W] each."""
    count = min(count, len(dataset.train.labels))
    order = np.random.default_rng(0).permutation(len(dataset.train.labels))[:count]
    for start in range(0, count, batch):
        yield to_input(dataset, dataset.train.images(order[start : start + batch]))
