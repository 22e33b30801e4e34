"""From the live weights back to the whole LeNet-5, and to its integers."""

import dataclasses

import numpy as np
import torch

from compress.data.datasets import Dataset
from compress.model.graph import CompressedModel, Layer
from compress.model.levels import Levels
from compress.nn.network import Network
from compress.posttrain import integers
from compress.tiny.network import CELLS, LAYERS, SparseNetwork
from compress.tiny.run import SCALE_BITS, Sparse
from compress.zoo.networks import spec_of

_BIAS_STEP = 0.125
"""Biases are rounded to steps no larger than this, in units of the output."""


@torch.no_grad()
def expand(small: SparseNetwork) -> Network:
    """LeNet-5 with the small network's weights in their places and zeros everywhere else."""
    network = Network(spec_of("lenet5"))
    weights, biases = small.dense(small.theta)
    rows, _ = _places(small)
    for name, weight, bias, row in zip(LAYERS, _whole(small, weights), biases, rows, strict=True):
        network.weights[name].copy_(torch.from_numpy(weight))
        network.biases[name].zero_()
        network.biases[name][row] = torch.from_numpy(bias)
    return network.eval()


def _places(small: SparseNetwork) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Numbers of the small network's rows and columns in LeNet-5, by layer."""
    conv1, conv2, fc1 = small.filters
    pixels = (conv2[:, None] * CELLS + np.arange(CELLS)).reshape(-1)
    return [conv1, conv2, fc1, np.arange(10)], [np.zeros(1, np.int64), conv1, pixels, fc1]


def _whole(small: SparseNetwork, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays shaped like the small network's layers in those of LeNet-5, zeros around them."""
    found = []
    for weight, rows, columns, name in zip(weights, *_places(small), LAYERS, strict=True):
        g = spec_of("lenet5").geometries[name]
        whole = np.zeros((g.out_channels, g.in_channels, *weight.shape[2:]), weight.dtype)
        whole[np.ix_(rows, columns)] = weight
        found.append(whole)
    return found


def compressed(reached: Sparse, dataset: Dataset) -> CompressedModel:
    """The integers of a target reached."""
    small = reached.network
    values, _ = small.dense(small.levels)
    levels = {
        name: Levels(whole, q, bits)
        for name, whole, q, bits in zip(
            LAYERS, _whole(small, values), reached.q, reached.bits, strict=True
        )
    }
    model = integers.from_dataset(expand(small), levels, dataset, SCALE_BITS)
    nodes = (_rounded(node) if isinstance(node, Layer) else node for node in model.nodes)
    return dataclasses.replace(model, nodes=tuple(nodes))


def _rounded(layer: Layer) -> Layer:
    """The layer with biases that are multiples of a power of two, whose zeros the file omits."""
    _, exponent = np.frexp(_BIAS_STEP * layer.out_scale / layer.in_scale / layer.q)
    step = np.int64(1) << np.maximum(0, exponent - 1).astype(np.int64)
    return dataclasses.replace(layer, bias=step * np.rint(layer.bias / step).astype(np.int64))
