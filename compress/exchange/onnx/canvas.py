"""A network under construction, and what of it a tensor of a foreign graph is.

Nodes are made here, and the takes and permutes that bring numbers where a node wants them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from compress.exchange.onnx import views
from compress.exchange.onnx.fusing import Graph
from compress.exchange.onnx.views import Value, in_order, map_shape
from compress.model.functions import Program
from compress.model.hostops import Layout, Shape
from compress.model.nodes import Builder
from cosign import CosignError


class Refusal(CosignError):
    """What a node computes is not read; `instead` is what to do about it, if that is known."""

    def __init__(self, sentence: str, instead: str) -> None:
        super().__init__(f"{sentence}; {instead}." if instead else f"{sentence}.")
        self.sentence, self.instead = sentence, instead


class Canvas:
    """Collects nodes. `where` begins every error's sentence."""

    def __init__(self, name: str, shape: Shape, where: str) -> None:
        self.where = where
        self._build = Builder(name, shape)
        self._graph = Graph(shapes=self._build.shapes)
        self._derived: dict[str, tuple[str, Program]] = {}  # computed number by number from another
        self._moved: dict[tuple[str, Shape, bytes], str] = {}

    def source(self, x: Value) -> Shape:
        """(C, H, W) of the node that a value comes from."""
        return self._build.shapes[x.node]

    def zeros(self, shape: Sequence[int]) -> Value:
        """Zeros, which are places of nothing."""
        return Value("input", np.zeros(shape, np.int64))

    def value(self, node: str, shape: Sequence[int]) -> Value:
        """All of a node's output, in its order, as `shape`."""
        return Value(node, in_order(shape))

    def map(self, name: str, x: Value) -> str:
        """The node that has the value as a map, moved if it must be."""
        return self._node(name, x.node, x.places.reshape(map_shape(x.shape)))

    def _settled(self, name: str, x: Value) -> Value:
        """The same value as all of a node's output, in its order."""
        return self.value(self.map(name, x), x.shape)

    def _spread(self, x: Value, shape: Sequence[int]) -> Value:
        """Broadcast, as far as `shape` needs it."""
        wanted = np.broadcast_shapes(x.shape, tuple(shape))
        return x if wanted == x.shape else replace(x, places=np.broadcast_to(x.places, wanted))

    def _node(self, name: str, node: str, places: np.ndarray) -> str:
        """A node whose output is `places` [C, H, W] of another's."""
        shape = (places.shape[0], places.shape[1], places.shape[2])
        source = self._build.shapes[node]
        if shape == source and views.is_in_order(places):
            return node
        key = (node, shape, np.ascontiguousarray(places, np.int64).tobytes())
        if key not in self._moved:
            self._moved[key] = self._move(name, node, places, source)
        return self._moved[key]

    def _move(self, name: str, node: str, places: np.ndarray, source: Shape) -> str:
        shape = (places.shape[0], places.shape[1], places.shape[2])
        if shape == (math.prod(source), 1, 1) and views.is_in_order(places):
            return self._make(f"{name}.flatten", self._build.host, "flatten", node)
        if layout := views.taken(places, source):
            return self._take(name, node, layout)
        if layout := views.permuted(places, source):
            return self._make(f"{name}.permute", self._build.host, "permute", node, layout=layout)
        if both := views.taken_and_turned(places, source):
            node = self._take(name, node, both[0])
            return self._make(f"{name}.permute", self._build.host, "permute", node, layout=both[1])
        if shape[1:] != (1, 1):  # as a vector, and from there to a map
            flat = self._node(name, node, in_order((math.prod(source), 1, 1)))
            vector = self._node(name, flat, places.reshape(-1, 1, 1))
            sizes = ((places.size,), (0,), shape)
            return self._make(f"{name}.permute", self._build.host, "permute", vector, layout=sizes)
        if source[1:] == (1, 1):
            self.refuse(name, f"reads {product(shape)} of {product(source)} in no regular order")
        flat = self._node(name, node, in_order((math.prod(source), 1, 1)))
        return self._node(name, flat, places)

    def _take(self, name: str, node: str, layout: Layout) -> str:
        if layout == tuple(tuple(range(size)) for size in self._build.shapes[node]):
            return node
        key = (node, self._build.shapes[node], repr(layout).encode())
        if key not in self._moved:
            self._moved[key] = self._make(
                f"{name}.take", self._build.host, "take", node, layout=layout
            )
        return self._moved[key]

    def refuse(self, name: str, what: str, instead: str = "") -> NoReturn:
        """Raise the Refusal that names a node."""
        raise Refusal(f"{self.where}: node {name!r} {what}", instead)

    def _make(self, name: str, method: Callable[..., str], *args: Any, **options: Any) -> str:
        """Let the builder make a node; returns its name."""
        try:
            node = method(self._name(name), *args, **options)
        except CosignError as error:
            raise CosignError(f"{self.where}: {error}") from error
        self._graph.nodes[node] = self._build.nodes[-1]
        return node

    def _weigh(self, node: str, weight: np.ndarray, bias: np.ndarray | None) -> None:
        """Note the weights of a node."""
        if bias is None:
            bias = np.zeros(len(weight))
        for what, values in (("weight", weight), ("bias", bias)):
            if not np.isfinite(values).all():
                raise CosignError(
                    f"{self.where}: node {node!r} has a {what} that is not finite; train it again."
                )
        self._graph.weights[node] = np.asarray(weight, np.float64)
        self._graph.biases[node] = np.asarray(bias, np.float64).reshape(len(weight))

    def _name(self, name: str) -> str:
        """A node's name that is new, and fit for files and modules."""
        plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in name.replace("/", "."))
        plain = plain.strip(".") or "node"
        number, result = 1, plain
        while result in self._build.shapes:
            number += 1
            result = f"{plain}-{number}"
        return result


def product(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
