"""Layer after layer: compress each so that the network still answers as it did.

Two networks run side by side over calibration images: the dense one, whose layers say what is
wanted, and the one whose layers so far are compressed, which says from what it must be made.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from compress.admm import layerwise, projections
from compress.admm.constraints import largest
from compress.admm.moments import ANY, Aim, Moments
from compress.model import activations
from compress.model.levels import Levels
from compress.model.nodes import NetworkSpec, NodeSpec
from compress.model.pattern import NO_PATTERNS, Pattern, Patterns
from compress.nn.network import Network

_FINEST = 1 << 13
"""Accumulator units in a unit of the output: finer ones would only need a wider accumulator."""
ROUNDS = 4  # of fitting to a ReLU, after which little changes
_MANTISSA = 8  # bits of a filter's interval
Progress = Callable[[str], None]


@torch.no_grad()
def prune(
    network: Network,
    keep: Mapping[str, int],
    batches: Iterable[Tensor],
    progress: Progress = lambda _: None,
    units: Mapping[str, float] = MappingProxyType({}),
    patterns: Patterns = NO_PATTERNS,
    act_bits: int = activations.MOST,
    aim: Aim = ANY,
) -> None:
    """Change weights and biases so that at most `keep` weights per layer are not zero.

    network : folded, in evaluation
    batches : float32 [N, C, H, W], normalised calibration images
    progress : receives one line per layer
    units, act_bits, aim : as for `layers`
    patterns : of layers that have one; `keep` is then as many as it keeps
    """
    for layer in layers(network, batches, units, act_bits, aim):
        pruned = layer.pruned(keep[layer.name], patterns.get(layer.name))
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
    patterns: Patterns = NO_PATTERNS,
    act_bits: int = activations.MOST,
    aim: Aim = ANY,
) -> dict[str, Levels]:
    """The same with weights that are q * level, an interval for each filter; returns them by layer.

    Zero is a level, too: of `keep` weights those that are nearest to it go.

    units : real value of one unit of every node's output, and of the input; what layers read is
        rounded to them, so that each makes up for that as well
    """
    found = {}
    for layer in layers(network, batches, units, act_bits, aim):
        pruned = layer.behind_relu(layer.pruned(keep[layer.name], patterns.get(layer.name)))
        least = units[layer.name] / units[layer.input] / _FINEST
        found[layer.name], z = layer.quantize_filters(pruned, bits[layer.name], least)
        progress(layer.line(keep[layer.name], z))
    return found


@torch.no_grad()
def quantize_filters(
    network: Network,
    bits: Mapping[str, int],
    batches: Iterable[Tensor],
    units: Mapping[str, float],
    progress: Progress = lambda _: None,
    act_bits: int = activations.MOST,
) -> dict[str, Levels]:
    """The same for a network that is pruned already: its zeros stay."""
    found = {}
    for layer in layers(network, batches, units, act_bits):
        pruned = layer.task.weight
        least = units[layer.name] / units[layer.input] / _FINEST
        found[layer.name], z = layer.quantize_filters(pruned, bits[layer.name], least)
        progress(layer.line(int(torch.count_nonzero(pruned)), z))
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
    for layer in layers(network, batches):
        mask = masks[layer.name].reshape(layer.task.weight.shape)
        found[layer.name], z = layer.quantize(layer.task.weight, mask, bits[layer.name])
        progress(layer.line(int(mask.sum()), z))
    return found


def layers(
    network: Network,
    batches: Iterable[Tensor],
    units: Mapping[str, float] = MappingProxyType({}),
    act_bits: int = activations.MOST,
    aim: Aim = ANY,
) -> Iterator["Turn"]:
    """Every layer in its turn, to be changed before the next is asked for.

    units : what the compressed network's nodes are rounded to, those that are given
    act_bits : of their integers
    aim : how errors count, and how long weights are looked for
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
            add = beside.get(node.name)
            behind = node if add is None else add
            stops = None
            if units and behind.relu:
                stops = (0.0, math.inf if behind.top is None else behind.top)
            moments = Moments(node.geometry, dense, node, images, stops, aim)
            for want, have in zip(wanted, got, strict=True):
                joined = None
                if add is not None:
                    other = add.inputs[add.inputs[0] == node.name]
                    joined = (want[other], have[other]) if other in have else None
                want[node.name] = moments.add(want[node.input], have[node.input], rng, joined)
            yield Turn(node, network, moments, aim.iterations)
        for values, net, rounds in ((wanted, dense, False), (got, network, bool(units))):
            for batch in values:
                if node.name not in batch:
                    y = net.compute(node, *(batch[name] for name in node.inputs))
                    batch[node.name] = _rounded(y, units[node.name], act_bits) if rounds else y
                for name in finished:
                    del batch[name]


def _rounded(y: Tensor, unit: float, act_bits: int) -> Tensor:
    """The values that activations of so many bits have."""
    return (y / unit).round_().clamp_(*activations.bounds(act_bits)).mul_(unit)


def _beside(spec: NetworkSpec) -> dict[str, NodeSpec]:
    """Layers that an add alone reads, and that add.

    What the other branch has lost, such a layer can make up for.
    """
    readers: dict[str, list[NodeSpec]] = {}
    for node in spec.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    shapes, found = spec.shapes, {}
    for node in spec.nodes:
        reading = readers.get(node.name, [])
        alone = len(reading) == 1 and node.name not in spec.outputs and not node.relu
        if node.geometry is None or not alone or reading[0].op != "add":
            continue
        joined = reading[0].inputs
        if len({shapes[name] for name in joined}) == 1:
            found[node.name] = reading[0]
    return found


class Turn:
    """A layer of the network whose turn it is, and what its weights shall minimise.

    name, input : the layer's and that of the node that it reads
    task : the problem, for its weights in scaled columns
    """

    def __init__(self, node: NodeSpec, network: Network, moments: Moments, iterations: int) -> None:
        self._iterations = iterations
        self.name, self.input = node.name, node.input
        self._weight, self._bias = network.weights[node.name], network.biases[node.name]
        self._moments = moments
        self.task = moments.problem(self._weight.detach().reshape(moments.shape))

    def pruned(self, keep: int, pattern: Pattern | None) -> Tensor:
        """Z with `keep` non-zeros, those of the pattern if there is one."""
        shape = self._weight.shape

        def choose(values: Tensor, count: int) -> Tensor:
            return largest(values.reshape(shape), count, pattern).reshape(values.shape)

        return layerwise.prune(self.task, keep, choose, self._iterations)

    def behind_relu(self, z: Tensor) -> Tensor:
        """Z on the same support, fitted to what a ReLU behind the layer lets through."""
        first = self.task
        for _ in range(ROUNDS):
            self.task = self._moments.rectified(first, z / first.scale)
            z = layerwise.least_squares(self.task, z != 0, z)
        return z

    def put(self, weight: Tensor) -> None:
        """Give the layer new weights [groups, out / groups, columns], and the bias they need."""
        self._weight.copy_(weight.reshape(self._weight.shape))
        self._bias.copy_(self._moments.bias(weight))

    def quantize(self, z: Tensor, mask: Tensor, bits: int) -> tuple[Levels, Tensor]:
        """Give the layer levels times q, near Z where `mask` holds; returns them and the new Z."""
        kept = (z / self.task.scale)[mask].numpy()
        start = projections.best_interval(kept, bits)
        levels, q = layerwise.quantize(self.task, z, mask, start, bits)
        return self._taken(levels, q, bits)

    def quantize_filters(self, z: Tensor, bits: int, least: float) -> tuple[Levels, Tensor]:
        """The same with an interval, not below `least`, for each filter, and zero as a level."""
        start = layerwise.intervals(z / self.task.scale, self.task.scale, bits, least)
        mask = z != 0
        levels, q = layerwise.quantize(self.task, z, mask, start, bits, zeros=True)
        q = shortened(q).clamp(min=least)
        layerwise.sweep(self.task, levels, mask, q, bits, zeros=True)
        return self._taken(levels, q, bits)

    def _taken(self, levels: Tensor, q: Tensor, bits: int) -> tuple[Levels, Tensor]:
        self.put(levels * q)
        values = levels.reshape(self._weight.shape).numpy()
        intervals = q.double().reshape(-1 if q.dim() else ()).numpy()
        return Levels(values, intervals, bits), levels * (q * self.task.scale)

    def line(self, keep: int, z: Tensor) -> str:
        """What Z, in scaled columns, has lost."""
        lost = self.task.loss(z) / (self.task.energy or 1.0)
        total = self._weight.numel()
        return f"{self.name}: {keep:,} of {total:,} weights, error {100 * lost:.2f} %"


def shortened(q: Tensor) -> Tensor:
    """The nearest numbers of `_MANTISSA` significant bits."""
    mantissa, exponent = torch.frexp(q)
    return torch.ldexp((mantissa * (1 << _MANTISSA)).round(), exponent - _MANTISSA)
