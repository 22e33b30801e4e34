"""The accuracy of a float network on a data set."""

import numpy as np
import torch
from torch import Tensor

from compress.data.batches import in_order
from compress.data.datasets import Dataset, Split
from compress.data.pixels import to_input
from compress.nn.network import Network
from compress.train import distributed

_EVALUATION_BATCH = 100


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
