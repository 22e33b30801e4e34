"""From the live weights back to the whole LeNet-5, and to its integers."""

import dataclasses
import math

import numpy as np
import torch

from compress.data.datasets import Dataset
from compress.model.graph import CompressedModel, Layer
from compress.nn.network import Network
from compress.tiny.network import CELLS, LAYERS, SparseNetwork
from compress.tiny.schedule import SCALE_BITS, Sparse
from compress.train import export
from compress.zoo.networks import spec_of

_BIAS_STEP = 0.125
"""Biases are rounded to steps no larger than this, in units of the output."""


@torch.no_grad()
def expand(small: SparseNetwork) -> Network:
    """LeNet-5 with the small network's weights in their places and zeros everywhere else."""
    network = Network(spec_of("lenet5"))
    conv1, conv2, fc1 = small.filters
    pixels = (conv2[:, None] * CELLS + np.arange(CELLS)).reshape(-1)
    rows = [conv1, conv2, fc1, np.arange(10)]
    columns = [np.zeros(1, np.int64), conv1, pixels, fc1]
    weights, biases = small.dense(small.theta)
    for number, name in enumerate(LAYERS):
        weight, bias = network.weights[name], network.biases[name]
        weight.zero_()
        weight[np.ix_(rows[number], columns[number])] = torch.from_numpy(weights[number])
        bias.zero_()
        bias[rows[number]] = torch.from_numpy(biases[number])
    return network.eval()


def compressed(reached: Sparse, dataset: Dataset) -> CompressedModel:
    """The integers of a target reached."""
    q = dict(zip(LAYERS, map(float, reached.q), strict=True))
    bits = dict(zip(LAYERS, reached.bits, strict=True))
    model = export.integers(expand(reached.network), q, bits, dataset, SCALE_BITS)
    nodes = (_rounded(node) if isinstance(node, Layer) else node for node in model.nodes)
    return dataclasses.replace(model, nodes=tuple(nodes))


def _rounded(layer: Layer) -> Layer:
    """The layer with biases that are multiples of a power of two, whose zeros the file omits."""
    step = 1 << max(
        0, math.floor(math.log2(_BIAS_STEP * layer.out_scale / layer.in_scale / layer.q))
    )
    return dataclasses.replace(layer, bias=step * np.rint(layer.bias / step).astype(np.int64))
