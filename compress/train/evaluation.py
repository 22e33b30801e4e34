"""From a data set's pixels to a network's inputs, and to its accuracy."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from compress.data.batches import in_order
from compress.data.datasets import Dataset, Split
from compress.nn.network import Network
from compress.train import distributed

Device = torch.device | str
_EVALUATION_BATCH = 100


def to_input(dataset: Dataset, pixels: np.ndarray | Tensor, device: Device = "cpu") -> Tensor:
    """uint8 [n, C, H, W] to normalised float32, channels last in memory (a third faster)."""
    if isinstance(pixels, np.ndarray):
        pixels = torch.from_numpy(np.ascontiguousarray(pixels))
    x = pixels.to(device).to(torch.float32)
    mean = torch.tensor(dataset.mean, device=device)[:, None, None]
    std = torch.tensor(dataset.std, device=device)[:, None, None]
    return x.div_(255).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def some_images(dataset: Dataset, count: int, batch: int) -> Iterator[Tensor]:
    """`count` training images, always the same, normalised: float32 [batch, C, H, W] each."""
    count = min(count, len(dataset.train.labels))
    order = np.random.default_rng(0).permutation(len(dataset.train.labels))[:count]
    for start in range(0, count, batch):
        yield to_input(dataset, dataset.train.images(order[start : start + batch]))


def channels_last(network: Network) -> None:
    """Lay the weights of convolutions out with channels last, in place."""
    for weight in network.weights.values():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def evaluate(network: Network, dataset: Dataset, split: Split) -> float:
    """Top-1 accuracy of the float network on a split, 0..1; all processes share the images."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    count = len(split.labels)

    def images(start: int) -> tuple[Tensor, Tensor]:
        indices = np.arange(start, min(start + _EVALUATION_BATCH, count))
        return torch.from_numpy(split.images(indices)), torch.from_numpy(split.labels[indices])

    mine = range(
        distributed.rank() * _EVALUATION_BATCH, count, distributed.world() * _EVALUATION_BATCH
    )
    right = 0
    for pixels, labels in in_order(images, mine, dataset.workers):
        logits = network(to_input(dataset, pixels, device))
        right += int(torch.sum(logits.argmax(1) == labels.to(device)))
    network.train(was_training)
    return distributed.total(right) / count
