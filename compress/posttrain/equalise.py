"""Channels of one map brought to one range, where that costs the weights nothing.

A map has one scale. Of a channel whose values are 50 times smaller than the largest channel's, int8
has two levels. Where depthwise layers alone read the map, each of its channels meets one filter,
whose weights have an interval of their own: scaling the filter that makes the channel up, and the
one that reads it down, is the same function and changes no level (Nagel 2019, §4.1, does this by
half for whole layers). A ReLU that ends at `top` stops at top / factor in the channel's own units,
which is above what calibration images reach.
"""

import math
from collections.abc import Mapping

import torch

from compress.model.nodes import NetworkSpec
from compress.nn.network import Network
from compress.posttrain.calibration import Batches

_ROOM = 1.25  # above the largest value that a channel has on calibration images
_MOST = 64.0


def equalise(network: Network, batches: Batches) -> set[str]:
    """Change the network in place; returns the nodes whose outputs have other ranges than before.

    batches : of calibration images
    """
    pairs = _pairs(network.spec)
    largest: dict[str, torch.Tensor] = {}

    def observe(name: str, value: torch.Tensor) -> None:
        if name in pairs:
            found = value.abs().amax((0, 2, 3))
            largest[name] = torch.maximum(largest[name], found) if name in largest else found

    with torch.no_grad():
        for x in batches():
            network(x, observe=observe)
        nodes = {node.name: node for node in network.spec.nodes}
        for name, readers in pairs.items():
            top = nodes[name].top or math.inf
            room = min(top, float(largest[name].max()))
            factor = (room / (_ROOM * largest[name])).clamp(1.0, _MOST)
            factor[largest[name] == 0] = 1.0
            network.weights[name].mul_(factor[:, None, None, None])
            network.biases[name].mul_(factor)
            for reader in readers:
                network.weights[reader].div_(factor[:, None, None, None])
    return set(pairs)


def _pairs(spec: NetworkSpec) -> Mapping[str, tuple[str, ...]]:
    """Convolutions whose maps depthwise layers alone read, and these."""
    readers: dict[str, list[str]] = {}
    nodes = {node.name: node for node in spec.nodes}
    for node in spec.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.name)
    found = {}
    for node in spec.nodes:
        if node.op != "conv" or node.name in spec.outputs or not readers.get(node.name):
            continue
        geometries = [nodes[name].geometry for name in readers[node.name]]
        if all(g is not None and g.kind == "conv" and g.groups == g.in_channels == g.out_channels for g in geometries):
            found[node.name] = tuple(readers[node.name])
    return found
