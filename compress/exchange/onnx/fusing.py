"""Fewer nodes for the same function: what an imported graph goes through before it is a network."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from compress.model.hostops import Shape
from compress.model.nodes import NodeSpec

_TRANSPARENT = ("maxpool", "flatten")  # a ReLU before is a ReLU after


@dataclass
class Graph:
    """A network in the making.

    Parameters
    ----------
    nodes : by name, in topological order
    weights, biases : of the layers by name, float64 [out, ...] and [out]
    affine : depthwise layers that scale and shift, and may go into the layers around
    outputs : nodes that are read from outside
    shapes : (C, H, W) of all nodes, and of others
    became : of a node that is gone, the one whose output its readers read since
    changed : nodes that give other numbers than the foreign graph's
    """

    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    affine: set[str] = field(default_factory=set)
    outputs: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    became: dict[str, str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)


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
    for name in reversed(list(graph.nodes)):
        if (given := _scale_and_shift(graph, graph.nodes[name])) is not None:
            _fold_forwards(graph, graph.nodes[name], *given)
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
    graph.affine.discard(node.name)


_Change = Callable[[], None]


def _scale_and_shift(graph: Graph, node: NodeSpec) -> tuple[np.ndarray, np.ndarray] | None:
    """By channel, of a node that does nothing else."""
    if node.name in graph.affine:
        return graph.weights[node.name].reshape(-1), graph.biases[node.name]
    if node.op == "function":
        match node.program:
            case ("x", float(scale), "mul", float(shift), "add"):
                channels = graph.shapes[node.name][0]
                return np.full(channels, scale), np.full(channels, shift)
    return None


def _fold_forwards(graph: Graph, node: NodeSpec, scale: np.ndarray, shift: np.ndarray) -> None:
    """Put a scale and shift into all layers that read it, if it reaches nothing else."""
    changes = _forwards(graph, node.name, scale, shift)
    if changes:
        for change in changes:
            change()
        _remove(graph, node)
        del graph.became[node.name]  # whose output nobody computes any more


def _forwards(
    graph: Graph, name: str, scale: np.ndarray, shift: np.ndarray
) -> list[_Change] | None:
    """What makes the readers of a node do its scale and shift; None where one of them cannot."""
    if name in graph.outputs:
        return None
    changes: list[_Change] = []
    for reader in [node for node in graph.nodes.values() if name in node.inputs]:
        if reader.geometry is not None:
            if shift.any() and any(reader.geometry.padding):
                return None
            changes.append(partial(_absorb, graph, reader, scale, shift))
            continue
        passed = _passed(graph, reader, name, scale, shift)
        further = None if passed is None else _forwards(graph, reader.name, *passed)
        if further is None:
            return None
        changes += [partial(graph.changed.add, reader.name), *further]
    return changes


def _absorb(graph: Graph, reader: NodeSpec, scale: np.ndarray, shift: np.ndarray) -> None:
    """Let a layer scale and shift what it reads."""
    weight = graph.weights[reader.name]
    assert reader.geometry is not None
    groups = reader.geometry.groups
    by_filter = np.repeat(np.arange(groups), len(weight) // groups)
    scales, shifts = (part.reshape(groups, -1)[by_filter] for part in (scale, shift))
    sums = weight.reshape(*weight.shape[:2], -1).sum(axis=2)
    graph.biases[reader.name] = graph.biases[reader.name] + (sums * shifts).sum(axis=1)
    graph.weights[reader.name] = weight * scales.reshape(*scales.shape, *[1] * (weight.ndim - 2))


def _passed(
    graph: Graph, reader: NodeSpec, name: str, scale: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The scale and shift of what a node without weights gives; None where they are not such."""
    if reader.op == "flatten":
        _, height, width = graph.shapes[name]
        return np.repeat(scale, height * width), np.repeat(shift, height * width)
    if reader.op == "maxpool" and scale.min() > 0:
        return scale, shift
    if reader.op == "avgpool" and not shift.any():
        return scale, shift
    if reader.op == "avgpool" and (reader.attrs.get("exclude") or not _pads(reader)):
        return scale, shift
    if reader.op == "take" and not (shift.any() and any(min(axis) < 0 for axis in reader.layout)):
        channels_taken = np.array(reader.layout[0])
        zeros = channels_taken < 0
        return np.where(zeros, 1, scale[channels_taken]), np.where(zeros, 0, shift[channels_taken])
    if reader.op == "concat":
        parts = [
            (scale, shift) if part == name else (np.ones(channels), np.zeros(channels))
            for part in reader.inputs
            for channels in graph.shapes[part][:1]
        ]
        joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return joined[0], joined[1]
    return None


def _pads(node: NodeSpec) -> bool:
    return any(node.attrs.get(key) for key in ("padding", "padding1", "end", "end1"))


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
