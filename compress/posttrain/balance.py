"""Branches of a concat brought to one range, before pruning, levels and scales of activations.

A concat has one scale. A branch 1,000 times smaller than another would be zero in its units,
however much the layers behind make of it by large weights, beside which those of the other branch
would lose their levels. Scaling the layer that makes a branch up, and the columns that read it
down, is the same function: convolution, ReLU and pooling commute with a positive factor. Factors
are powers of two, so that floats only change their exponents.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from compress.model.nodes import NetworkSpec, NodeSpec
from compress.nn.network import Network
from compress.posttrain.calibration import Batches

_WORTH = 3  # bits that branches must be apart; below, they are left as they are
_BY_CHANNEL = ("maxpool", "avgpool", "flatten", "dropout")


@dataclass(frozen=True)
class _Joint:
    """A concat that only layers read, through what commutes with a factor.

    makers : the layer that makes each branch, or None where that may not be scaled
    readers : the layers that read it
    """

    node: NodeSpec
    makers: tuple[str | None, ...]
    readers: tuple[str, ...]


def balance(network: Network, batches: Batches, note: Callable[[str], None]) -> set[str]:
    """Change the network in place to the same function with branches of one range.

    batches : of calibration images; what they make of each branch is its range
    note : gets a line for each branch that was scaled

    Returns the nodes whose outputs have another range than before.
    """
    joints = _joints(network.spec)
    changed: set[str] = set()
    if not joints:
        return changed
    nodes = {node.name: node for node in network.spec.nodes}
    ranges = _ranges(network, batches)
    channels = {name: shape[0] for name, shape in network.spec.shapes.items()}
    for joint in joints:
        counts = [channels[name] for name in joint.node.inputs]
        factors = _factors(network, joint, counts, ranges)
        for name, maker, factor in zip(joint.node.inputs, joint.makers, factors, strict=True):
            if factor != 1:
                assert maker is not None
                note(
                    f"concat {joint.node.name!r}: its branch {name!r} is scaled by {factor:g} and "
                    "the weights that read it by the inverse, so that its branches share a scale."
                )
                with torch.no_grad():
                    network.weights[maker].mul_(factor)
                    network.biases[maker].mul_(factor)
                changed |= {joint.node.name, maker}
                while name != maker:
                    changed.add(name)
                    name = nodes[name].input
        for reader in joint.readers:
            _divide_columns(network, reader, np.repeat(factors, counts))
    return changed


def _joints(spec: NetworkSpec) -> list[_Joint]:
    nodes = {node.name: node for node in spec.nodes}
    edges = Counter(name for node in spec.nodes for name in node.inputs) + Counter(spec.outputs)
    found = []
    for node in spec.nodes:
        readers = _readers(spec, node.name) if node.op == "concat" else ()
        if readers:
            makers = tuple(_maker(nodes, edges, name) for name in node.inputs)
            found.append(_Joint(node, makers, readers))
    return found


def _commutes(node: NodeSpec) -> bool:
    """Whether a factor of a channel before the node is one of the same channel behind it."""
    return node.op in _BY_CHANNEL or (node.op == "relu" and node.top is None)


def _maker(nodes: Mapping[str, NodeSpec], edges: Counter[str], name: str) -> str | None:
    while name in nodes and edges[name] == 1:
        node = nodes[name]
        if node.geometry is not None:
            return None if node.batch_norm or node.top is not None else name
        if not _commutes(node) and node.op not in ("take", "permute"):
            return None
        name = node.input
    return None


def _readers(spec: NetworkSpec, joint: str) -> tuple[str, ...]:
    """The layers that read a concat; none when other nodes do, or it is an output."""
    carriers, readers = {joint}, []
    for node in spec.nodes:
        if carriers.isdisjoint(node.inputs):
            continue
        if node.geometry is not None:
            readers.append(node.name)
        elif _commutes(node):
            carriers.add(node.name)
        else:
            return ()
    return tuple(readers) if carriers.isdisjoint(spec.outputs) else ()


def _ranges(network: Network, batches: Batches) -> dict[str, float]:
    """Largest magnitude of every node's output."""
    largest: dict[str, float] = {}

    def observe(name: str, value: torch.Tensor) -> None:
        largest[name] = max(largest.get(name, 0.0), float(value.abs().max()))

    with torch.no_grad():
        for x in batches():
            network(x, observe=observe)
    return largest


def _factors(
    network: Network, joint: _Joint, counts: list[int], ranges: Mapping[str, float]
) -> list[float]:
    """Of each branch. All go towards the largest branch that is fixed, or the largest of all.

    A branch is scaled no further than the columns that read it are larger, too: behind that its
    weights would be too small for levels instead.
    """
    found = [ranges[name] for name in joint.node.inputs]
    fixed = [number for number, maker in enumerate(joint.makers) if maker is None]
    reference = max(fixed or range(len(found)), key=lambda number: found[number])
    columns = [_columns(network, reader, counts) for reader in joint.readers]
    factors = []
    for number, (maker, size) in enumerate(zip(joint.makers, found, strict=True)):
        factors.append(1.0)
        if maker is None or not size > 0 or not found[reference] > 0:
            continue
        gaps = [
            math.log2(sizes[number] / sizes[reference])
            for sizes in columns
            if sizes[number] > 0 and sizes[reference] > 0
        ]
        if gaps:  # some layer weighs it against the reference
            gaps.append(math.log2(found[reference] / size))
            agreed = max(0.0, min(gaps)) + min(0.0, max(gaps))  # bits up, or down
            if abs(agreed) > _WORTH:
                factors[-1] = 2.0 ** round(agreed)
    return factors


def _columns(network: Network, reader: str, counts: list[int]) -> list[float]:
    """Root mean square of the weights, zeros left out, that read each branch."""
    geometry = network.spec.geometries[reader]
    weight = network.weights[reader].detach().double()
    filters, inputs = (n // geometry.groups for n in (geometry.out_channels, geometry.in_channels))
    weight = weight.reshape(geometry.groups, filters, inputs, -1)
    by_channel = weight.permute(0, 2, 1, 3).reshape(sum(counts), -1)
    parts = torch.split(by_channel, counts)
    return [float(part[part != 0].square().mean().sqrt()) if part.any() else 0.0 for part in parts]


def _divide_columns(network: Network, reader: str, by_channel: np.ndarray) -> None:
    """Divide the weights that read each channel of the concat, float64 [channels]."""
    geometry = network.spec.geometries[reader]
    pixels = geometry.in_channels // len(by_channel)  # of a flattened map
    divisors = torch.from_numpy(np.repeat(by_channel, pixels))
    filters, inputs = (n // geometry.groups for n in (geometry.out_channels, geometry.in_channels))
    with torch.no_grad():
        weight = network.weights[reader]
        grouped = weight.reshape(geometry.groups, filters, inputs, -1)
        grouped = grouped / divisors.reshape(geometry.groups, 1, inputs, 1)
        weight.copy_(grouped.reshape(weight.shape))
