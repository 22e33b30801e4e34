"""Layer after layer: compress each so that the network still answers as it did.

Two networks run side by side over calibration images: the dense one, whose layers say what is
wanted, and the one whose layers so far are compressed, which says from what it must be made.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from compress.admm import layerwise, projections
from compress.model.graph import Geometry
from compress.model.levels import Levels
from compress.model.nodes import NodeSpec
from compress.nn.network import Network

POSITIONS = 1 << 14  # outputs of a layer that are looked at, over all images
Progress = Callable[[str], None]


@torch.no_grad()
def prune(
    network: Network,
    keep: Mapping[str, int],
    batches: Iterable[Tensor],
    progress: Progress = lambda _: None,
) -> None:
    """Change weights and biases so that at most `keep` weights per layer are not zero.

    network : folded, in evaluation
    batches : float32 [N, C, H, W], normalised calibration images
    progress : receives one line per layer
    """
    for layer in _layers(network, batches):
        pruned = layerwise.prune(layer.task, keep[layer.name])
        layer.put(pruned / layer.task.scale)
        progress(layer.line(keep[layer.name], pruned))


@torch.no_grad()
def prune_and_quantize(
    network: Network,
    keep: Mapping[str, int],
    bits: Mapping[str, int],
    batches: Iterable[Tensor],
    progress: Progress = lambda _: None,
) -> dict[str, Levels]:
    """The same with weights that are q * level; returns them by layer."""
    found = {}
    for layer in _layers(network, batches):
        pruned = layerwise.prune(layer.task, keep[layer.name])
        found[layer.name], z = layer.quantize(pruned, pruned != 0, bits[layer.name])
        progress(layer.line(keep[layer.name], z))
    return found


@torch.no_grad()
def quantize(
    network: Network,
    masks: Mapping[str, Tensor],
    bits: Mapping[str, int],
    batches: Iterable[Tensor],
    progress: Progress = lambda _: None,
) -> dict[str, Levels]:
    """The same for a network that is pruned already: of its layers, the weights of `masks` stay."""
    found = {}
    for layer in _layers(network, batches):
        mask = masks[layer.name].reshape(layer.task.weight.shape)
        found[layer.name], z = layer.quantize(layer.task.weight, mask, bits[layer.name])
        progress(layer.line(int(mask.sum()), z))
    return found


def _layers(network: Network, batches: Iterable[Tensor]) -> Iterator["_Layer"]:
    """Every layer in its turn, to be changed before the next is asked for."""
    dense = copy.deepcopy(network)
    wanted = [{"input": x} for x in batches]  # values by node of the dense network, per batch
    got = [dict(values) for values in wanted]  # and of the compressed one
    images = sum(len(values["input"]) for values in wanted)
    rng = torch.Generator().manual_seed(0)
    last_reader = {name: node.name for node in network.spec.nodes for name in node.inputs}
    for node in network.spec.nodes:
        finished = [name for name in node.inputs if last_reader[name] == node.name]
        if node.geometry is not None:
            moments = _Moments(node.geometry, dense, node, images)
            for want, have in zip(wanted, got, strict=True):
                want[node.name] = moments.add(want[node.input], have[node.input], rng)
            yield _Layer(node.name, network, moments)
        for values, net in ((wanted, dense), (got, network)):
            for batch in values:
                if node.name not in batch:
                    batch[node.name] = net.compute(node, *(batch[name] for name in node.inputs))
                for name in finished:
                    del batch[name]


class _Layer:
    """A layer of the network, and what its weights shall minimise."""

    def __init__(self, name: str, network: Network, moments: "_Moments") -> None:
        self.name = name
        self._weight, self._bias = network.weights[name], network.biases[name]
        self._moments = moments
        self.task = moments.problem(self._weight.detach().reshape(moments.shape))

    def put(self, weight: Tensor) -> None:
        """Give the layer new weights [groups, out / groups, columns], and the bias they need."""
        self._weight.copy_(weight.reshape(self._weight.shape))
        self._bias.copy_(self._moments.bias(weight))

    def quantize(self, z: Tensor, mask: Tensor, bits: int) -> tuple[Levels, Tensor]:
        """Give the layer levels times q, near Z where `mask` holds; returns them and the new Z."""
        kept = (z / self.task.scale)[mask].numpy()
        start = projections.best_interval(kept, bits)
        levels, q = layerwise.quantize(self.task, z, mask, start, bits)
        self.put(levels * q)
        values = levels.reshape(self._weight.shape).numpy()
        return Levels(values, np.array(q), bits), levels * (q * self.task.scale)

    def line(self, keep: int, z: Tensor) -> str:
        """What Z, in scaled columns, has lost."""
        lost = self.task.loss(z) / (self.task.energy or 1.0)
        total = self._weight.numel()
        return f"{self.name}: {keep:,} of {total:,} weights, error {100 * lost:.2f} %"


class _Moments:
    """What a layer reads, and what its answers lack, over sampled positions.

    Sums are taken in float64 of products in float32; where there are fewer positions than columns,
    the rows themselves are kept. Of every image as many positions are looked at.
    """

    def __init__(self, geometry: Geometry, dense: Network, node: NodeSpec, images: int) -> None:
        g = self.geometry = geometry
        self.shape = (g.groups, g.out_channels // g.groups, g.columns)
        self._dense, self._node = dense, replace(node, relu=False)
        self._relu = node.relu
        self._weight = dense.weights[node.name].detach().reshape(self.shape)
        places = g.out_height * g.out_width
        self._sample = min(places, max(1, POSITIONS // images))
        self._wide = images * self._sample < g.columns
        self._rows: list[Tensor] = []
        self._lacks: list[Tensor] = []
        self._second = torch.zeros(g.groups, 0 if self._wide else g.columns, g.columns).double()
        self._cross = torch.zeros(self.shape).double()
        self._x_sum = torch.zeros(g.groups, g.columns).double()
        self._origin: Tensor | None = None
        self._lack_sum = torch.zeros(g.groups, self.shape[1]).double()
        self._y_sum = torch.zeros(g.groups, self.shape[1]).double()
        self._y_square = 0.0
        self._count = 0

    def add(self, wanted: Tensor, got: Tensor, rng: torch.Generator) -> Tensor:
        """Take in one batch of inputs, [N, C, H, W]; returns the dense network's output."""
        g = self.geometry
        answers = self._dense.compute(self._node, wanted)
        maps = answers.reshape(len(answers), *self.shape[:2], g.out_height, g.out_width)
        chosen = torch.randperm(g.out_height * g.out_width, generator=rng)[: self._sample]
        down, right = chosen // g.out_width, chosen % g.out_width
        rows = columns_at(got.reshape(len(got), g.in_channels, g.in_height, -1), g, down, right)
        # what the answers lack, beyond the bias: Y - X Wt
        y = maps[:, :, :, down, right].permute(1, 0, 3, 2).reshape(g.groups, -1, self.shape[1])
        lacks = y - rows @ self._weight.mT
        if self._origin is None:  # near the means, so that little is lost when they are taken off
            self._origin = rows.mean(1, keepdim=True)
        rows -= self._origin
        self._count += rows.shape[1]
        self._y_sum += y.sum(1, dtype=torch.float64)
        self._y_square += float(y.square().sum(dtype=torch.float64))
        self._x_sum += rows.sum(1, dtype=torch.float64)
        self._lack_sum += lacks.sum(1, dtype=torch.float64)
        if self._wide:
            self._rows.append(rows)
            self._lacks.append(lacks)
        else:
            self._second += rows.mT @ rows
            self._cross += lacks.mT @ rows
        return torch.relu_(answers) if self._relu else answers

    def problem(self, weight: Tensor) -> layerwise.Problem:
        x_mean, lack_mean = self._x_sum / self._count, self._lack_sum / self._count
        square = self._y_square / self._count - float((self._y_sum / self._count).square().sum())
        if self._wide:
            rows = (torch.cat(self._rows, 1) - x_mean[:, None].float()) / self._count**0.5
            lacks = (torch.cat(self._lacks, 1) - lack_mean[:, None].float()) / self._count**0.5
            return layerwise.problem(weight, rows, None, lacks.mT @ rows, square)
        second = self._second / self._count - x_mean[:, :, None] * x_mean[:, None]
        cross = self._cross / self._count - lack_mean[:, :, None] * x_mean[:, None]
        return layerwise.problem(weight, None, second.float(), cross.float(), square)

    def bias(self, weight: Tensor) -> Tensor:
        """The bias that with `weight` gives the mean answers of the dense network: [out]."""
        assert self._origin is not None
        x_mean = self._x_sum / self._count + self._origin[:, 0]
        lack_mean = self._lack_sum / self._count
        moved = ((self._weight - weight).double() @ x_mean[:, :, None])[:, :, 0] + lack_mean
        return moved.reshape(-1).float()


def columns_at(x: Tensor, g: Geometry, down: Tensor, right: Tensor) -> Tensor:
    """im2col at some output positions: [N, C, H, W] to [groups, N * positions, columns]."""
    (top, left), (height, width) = g.padding, g.kernel
    padded = torch.nn.functional.pad(x, (left, left, top, top))
    taps = [
        padded[
            :, :, down * g.stride[0] + r * g.dilation[0], right * g.stride[1] + s * g.dilation[1]
        ]
        for r in range(height)
        for s in range(width)
    ]  # each [N, C, positions]
    stacked = torch.stack(taps, 2)  # N, C, taps, positions
    split = stacked.reshape(len(x), g.groups, -1, len(taps), len(down))
    return split.permute(1, 0, 4, 2, 3).reshape(g.groups, -1, g.columns)
