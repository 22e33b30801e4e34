"""Layer after layer: compress each so that the network still answers as it did.

Two networks run side by side over calibration images: the dense one, whose layers say what is
wanted, and the one whose layers so far are compressed, which says from what it must be made.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from compress.admm import layerwise, projections
from compress.model.graph import Geometry
from compress.model.levels import Levels
from compress.model.nodes import NetworkSpec, NodeSpec
from compress.nn.network import Network, rectified

GAIN, MOST = 0.0, 1.5
FISHER, LEAST, DRAWS = 8, 0.1, 4
WORK = 3.5e11
POSITIONS = 1 << 14  # outputs of a layer that are looked at, over all images
_FINEST = 1 << 13
"""Accumulator units in a unit of the output: finer ones would only need a wider accumulator."""
_MANTISSA = 8  # bits of a filter's interval
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
    units: Mapping[str, float],
    progress: Progress = lambda _: None,
) -> dict[str, Levels]:
    """The same with weights that are q * level, an interval for each filter; returns them by layer.

    Zero is a level, too: of `keep` weights those that are nearest to it go.

    units : real value of one int8 unit of every node's output, and of the input; what layers read
        is rounded to them, so that each makes up for that as well
    """
    found = {}
    weighing = importance(network, list(batches)[:FISHER]) if FISHER else {}
    for layer in _layers(network, batches, units):
        pruned = layer.pruned(keep[layer.name], weighing.get(layer.name))
        least = units[layer.name] / units[layer.input] / _FINEST
        found[layer.name], z = layer.quantize_filters(pruned, bits[layer.name], least)
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


def _layers(
    network: Network, batches: Iterable[Tensor], units: Mapping[str, float] = MappingProxyType({})
) -> Iterator["_Layer"]:
    """Every layer in its turn, to be changed before the next is asked for.

    units : what the compressed network's nodes are rounded to, those that are given
    """
    dense = copy.deepcopy(network)
    wanted = [{"input": x} for x in batches]  # values by node of the dense network, per batch
    got = [dict(values) for values in wanted]  # and of the compressed one
    images = sum(len(values["input"]) for values in wanted)
    rng = torch.Generator().manual_seed(0)
    last_reader = {name: node.name for node in network.spec.nodes for name in node.inputs}
    beside = _beside(network.spec) if units else {}
    for node in network.spec.nodes:
        finished = [name for name in node.inputs if last_reader[name] == node.name]
        if node.geometry is not None:
            moments = _Moments(node.geometry, dense, node, images)
            other = beside.get(node.name, "")
            for want, have in zip(wanted, got, strict=True):
                owed = want[other] - have[other] if other in have else None
                want[node.name] = moments.add(want[node.input], have[node.input], owed, rng)
            yield _Layer(node, network, moments)
        for values, net, rounds in ((wanted, dense, False), (got, network, bool(units))):
            for batch in values:
                if node.name not in batch:
                    y = net.compute(node, *(batch[name] for name in node.inputs))
                    batch[node.name] = _rounded(y, units[node.name]) if rounds else y
                for name in finished:
                    del batch[name]


def importance(network: Network, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """How much an error of each filter's sums changes the outputs: float64 [out], by layer.

    The diagonal of the Fisher information, summed over pixels, for labels drawn from the
    network's own answers.
    """
    found: dict[str, Tensor] = {}
    images = 0
    with torch.enable_grad():
        for x in batches:
            images += len(x) * DRAWS
            values = {"input": x.clone().requires_grad_(True)}
            sums: dict[str, Tensor] = {}
            for node in network.spec.nodes:
                inputs = (values[name] for name in node.inputs)
                if node.geometry is not None:
                    sums[node.name] = y = network.compute(replace(node, relu=False), *inputs)
                    values[node.name] = rectified(y.clone(), node.top) if node.relu else y
                else:
                    values[node.name] = network.compute(node, *inputs)
            y = values[network.spec.outputs[0]].flatten(1)
            p = torch.log_softmax(y, 1)
            for draw in range(DRAWS):
                label = torch.multinomial(p.detach().exp(), 1)
                grads = torch.autograd.grad(p.gather(1, label).sum(), list(sums.values()), retain_graph=draw < DRAWS - 1)
                for name, grad in zip(sums, grads, strict=True):
                    square = grad.double().square().sum(tuple(a for a in range(grad.dim()) if a != 1))
                    found[name] = found.get(name, 0) + square
    return {name: value / images for name, value in found.items()}


def _rounded(y: Tensor, unit: float) -> Tensor:
    """The values that int8 has."""
    return (y / unit).round_().clamp_(-128, 127).mul_(unit)


def _beside(spec: NetworkSpec) -> dict[str, str]:
    """Layers that an add alone reads, and what else it adds.

    What the other branch has lost, such a layer can make up for.
    """
    readers: dict[str, list[NodeSpec]] = {}
    for node in spec.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    found = {}
    for node in spec.nodes:
        first, *others = readers.get(node.name, [None])
        if first is None or others or first.op != "add" or node.relu:
            continue
        same = {spec.shapes[name] for name in first.inputs}
        if len(same) == 1 and node.name not in spec.outputs:
            found[node.name] = next(name for name in first.inputs if name != node.name)
    return found


class _Layer:
    """A layer of the network, and what its weights shall minimise."""

    def __init__(self, node: NodeSpec, network: Network, moments: "_Moments") -> None:
        self.name, self.input = node.name, node.input
        name = node.name
        self._weight, self._bias = network.weights[name], network.biases[name]
        self._moments = moments
        self.task = moments.problem(self._weight.detach().reshape(moments.shape))

    def put(self, weight: Tensor) -> None:
        """Give the layer new weights [groups, out / groups, columns], and the bias they need."""
        self._weight.copy_(weight.reshape(self._weight.shape))
        self._bias.copy_(self._moments.bias(weight))

    def pruned(self, keep: int, weighing: Tensor | None) -> Tensor:
        if weighing is None:
            return layerwise.prune(self.task, keep)
        task = self.task
        rows = weighing.to(task.weight.device).reshape(*task.weight.shape[:2], 1).sqrt()
        rows = rows.clamp(min=LEAST * float(rows.square().mean().sqrt()))
        rows = (rows / rows.square().mean().sqrt()).float()
        return layerwise.prune(replace(task, weight=task.weight * rows, goal=task.goal * rows), keep) / rows

    def quantize(self, z: Tensor, mask: Tensor, bits: int) -> tuple[Levels, Tensor]:
        """Give the layer levels times q, near Z where `mask` holds; returns them and the new Z."""
        kept = (z / self.task.scale)[mask].numpy()
        start = projections.best_interval(kept, bits)
        levels, q = layerwise.quantize(self.task, z, mask, start, bits)
        return self._taken(levels, q, bits)

    def quantize_filters(self, z: Tensor, bits: int, least: float) -> tuple[Levels, Tensor]:
        """The same with an interval, not below `least`, for each filter, and zero as a level."""
        start = layerwise.intervals(self.task, z, bits, least)
        mask = z != 0
        levels, q = layerwise.quantize(self.task, z, mask, start, bits, zeros=True)
        q = shortened(q * self._gain(levels * (q * self.task.scale))).clamp(min=least)
        layerwise.sweep(self.task, levels, mask, q, bits, zeros=True)
        return self._taken(levels, q, bits)

    def _gain(self, z: Tensor) -> Tensor:
        """What brings the outputs' variance back, [g, out, 1]."""
        task = self.task
        made = (z * (task.times(z) - layerwise.DAMPING * z)).sum(-1, keepdim=True).double()
        gain = (self._moments.variance[:, :, None] / made.clamp(min=1e-30)).sqrt()
        return gain.clamp(1.0, MOST).pow(GAIN).float()

    def _taken(self, levels: Tensor, q: Tensor, bits: int) -> tuple[Levels, Tensor]:
        self.put(levels * q)
        values = levels.reshape(self._weight.shape).cpu().numpy()
        each = q.double().reshape(-1 if q.dim() else ()).cpu().numpy()
        return Levels(values, each, bits), levels * (q * self.task.scale)

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
        wanted = min(max(POSITIONS, int(WORK / g.columns**2 / g.groups)), 1 << 17)
        self._sample = min(places, max(1, wanted // images))
        self._wide = images * self._sample < g.columns
        self._rows: list[Tensor] = []
        self._lacks: list[Tensor] = []
        self._second = torch.zeros(g.groups, 0 if self._wide else g.columns, g.columns).double()
        self._cross = torch.zeros(self.shape).double()
        self._x_sum = torch.zeros(g.groups, g.columns).double()
        self._origin: Tensor | None = None
        self._lack_sum = torch.zeros(g.groups, self.shape[1]).double()
        self._y_sum = torch.zeros(g.groups, self.shape[1]).double()
        self._y_square = torch.zeros(g.groups, self.shape[1]).double()
        self._count = 0

    def add(
        self, wanted: Tensor, got: Tensor, owed: Tensor | None, rng: torch.Generator
    ) -> Tensor:
        """Take in one batch of inputs, [N, C, H, W]; returns the dense network's output.

        owed : what is asked for on top of that output, of its shape
        """
        g = self.geometry
        answers = self._dense.compute(self._node, wanted)
        maps = answers.reshape(len(answers), *self.shape[:2], g.out_height, g.out_width)
        places = g.out_height * g.out_width
        chosen = torch.randperm(places, generator=rng, device=rng.device)[: self._sample]
        down, right = chosen // g.out_width, chosen % g.out_width
        rows = columns_at(got.reshape(len(got), g.in_channels, g.in_height, -1), g, down, right)
        # what the answers lack, beyond the bias: Y - X Wt
        if owed is not None:
            maps = maps + owed.reshape(maps.shape)
        y = maps[:, :, :, down, right].permute(1, 0, 3, 2).reshape(g.groups, -1, self.shape[1])
        lacks = y - rows @ self._weight.mT
        if self._origin is None:  # near the means, so that little is lost when they are taken off
            self._origin = rows.mean(1, keepdim=True)
        rows -= self._origin
        self._count += rows.shape[1]
        self._y_sum += y.sum(1, dtype=torch.float64)
        self._y_square += y.square().sum(1, dtype=torch.float64)
        self._x_sum += rows.sum(1, dtype=torch.float64)
        self._lack_sum += lacks.sum(1, dtype=torch.float64)
        if self._wide:
            self._rows.append(rows)
            self._lacks.append(lacks)
        else:
            self._second += rows.mT @ rows
            self._cross += lacks.mT @ rows
        return rectified(answers, self._node.top) if self._relu else answers

    def problem(self, weight: Tensor) -> layerwise.Problem:
        x_mean, lack_mean = self._x_sum / self._count, self._lack_sum / self._count
        self.variance = self._y_square / self._count - (self._y_sum / self._count).square()
        square = float(self.variance.sum())
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


def shortened(q: Tensor) -> Tensor:
    """The nearest numbers of `_MANTISSA` significant bits."""
    mantissa, exponent = torch.frexp(q)
    return torch.ldexp((mantissa * (1 << _MANTISSA)).round(), exponent - _MANTISSA)


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
