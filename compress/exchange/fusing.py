"""Fewer nodes for the same function: what an imported graph goes through before it is a network."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from compress.model.nodes import NodeSpec

_TRANSPARENT = ("maxpool", "flatten")  # a ReLU before is a ReLU after


@dataclass
class Graph:
    """A network in the making.

    Parameters
    ----------
    nodes : by name, in topological order
    weights, biases : of the layers by name, float64 [out, ...] and [out]
    affine : depthwise layers that scale and shift, and may go into the layer before
    outputs : nodes that are read from outside
    became : of a node that is gone, the one whose output its readers read since
    """

    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    affine: set[str] = field(default_factory=set)
    outputs: list[str] = field(default_factory=list)
    became: dict[str, str] = field(default_factory=dict)


def fuse(graph: Graph) -> Graph:
    """Drop what no output needs, fold scales and shifts, fuse ReLUs; changes `graph`."""
    read = set(graph.outputs)
    for node in reversed(list(graph.nodes.values())):
        if node.name in read:
            read.update(node.inputs)
        else:
            del graph.nodes[node.name]
    for name in [name for name in graph.nodes if name in graph.affine]:
        _fold(graph, graph.nodes[name])
    for name in [node.name for node in graph.nodes.values() if node.op == "relu"]:
        _fuse_relu(graph, graph.nodes[name])
    for name in [node.name for node in graph.nodes.values() if node.op == "avgpool"]:
        _fuse_means(graph, graph.nodes[name])
    return graph


def _fold(graph: Graph, node: NodeSpec) -> None:
    """Put a scale and shift into the layer before, if nothing else reads that."""
    before = graph.nodes.get(node.input)
    if before is None or before.geometry is None or _readers(graph)[before.name] > 1:
        return
    scale, weight = graph.weights[node.name].reshape(-1), graph.weights[before.name]
    graph.weights[before.name] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    graph.biases[before.name] = graph.biases[before.name] * scale + graph.biases[node.name]
    _remove(graph, node)


def _fuse_relu(graph: Graph, node: NodeSpec) -> None:
    """Put a ReLU into the layer or addition that it reads, directly or through a pooling."""
    readers = _readers(graph)
    source = graph.nodes.get(node.input)
    while source is not None and source.op in _TRANSPARENT and readers[source.name] == 1:
        source = graph.nodes.get(source.input)
    if source is None or readers[source.name] > 1:
        return
    if source.relu or source.op == "relu":
        tops = [top for top in (source.top, node.top) if top is not None]
        graph.nodes[source.name] = replace(source, top=min(tops, default=None))
    elif source.geometry is not None or source.op == "add":
        graph.nodes[source.name] = replace(source, relu=True, top=node.top)
    else:
        return
    _remove(graph, node)


def _fuse_means(graph: Graph, node: NodeSpec) -> None:
    """Make a mean over rows and a mean over columns one, which is rounded once."""
    before = graph.nodes.get(node.input)
    if before is None or before.op != "avgpool" or _readers(graph)[before.name] > 1:
        return
    if {_mean_over(before), _mean_over(node)} == {"rows", "columns"}:
        attrs: dict[str, float] = {"kernel": 0, "stride": 1, "padding": 0}
        graph.nodes[before.name] = replace(before, attrs=attrs)
        _remove(graph, node)


def _mean_over(node: NodeSpec) -> str | None:
    rows = int(node.attrs["kernel"])
    kernel = rows, int(node.attrs.get("kernel1", rows))
    return {(0, 1): "rows", (1, 0): "columns"}.get(kernel)


def _readers(graph: Graph) -> Counter[str]:
    inner = Counter(name for node in graph.nodes.values() for name in node.inputs)
    return inner + Counter(graph.outputs)


def _remove(graph: Graph, node: NodeSpec) -> None:
    """Let the readers of a node read its input."""
    del graph.nodes[node.name]
    graph.became[node.name] = node.input
    graph.outputs = [node.input if name == node.name else name for name in graph.outputs]
    for name, other in graph.nodes.items():
        if node.name in other.inputs:
            inputs = tuple(node.input if i == node.name else i for i in other.inputs)
            graph.nodes[name] = replace(other, inputs=inputs)
