"""From the operations of a foreign graph to a `NetworkSpec` with weights.

`reader` translates its graph to calls of a `Tracer`; here the rest happens: layouts, padding,
functions (`canvas`, `arithmetic`, `maps`), and in the end `fusing`. Numpy only.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compress.exchange.onnx import views
from compress.exchange.onnx.fusing import Graph, fuse
from compress.exchange.onnx.maps import Maps
from compress.exchange.onnx.views import Value, map_shape
from compress.model.functions import Program, composed
from compress.model.hostops import HostOpName
from compress.model.nodes import NetworkSpec
from compress.model.pretrained import Pretrained
from cosign import CosignError


class Tracer(Maps):
    """Collects a network; `finish` returns it."""

    def combine(self, name: str, op: str, a: Value, b: Value) -> Value:
        """add, sub, mul, div, max or min of two values, number by number."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        same = a.shape == b.shape and np.array_equal(a.places, b.places)
        common = self._common(a.node, b.node) if same and (a.places > 0).all() else None
        if common is not None:
            node, first, second = common
            return self.function(name, Value(node, a.places), (*first, *second, op))
        if op == "sub":
            return self.combine(name, "add", a, self.negative(name, b))
        if op == "div":
            return self.combine(name, "mul", a, self.function(name, b, (1.0, "x", "div")))
        if op == "max":
            return self._largest(name, self._spread(a, shape), self._spread(b, shape))
        if op == "min":
            less = (self.negative(name, value) for value in (a, b))
            return self.negative(name, self.combine(name, "max", *less))
        a, b = self._spread(a, shape), self._spread(b, shape)
        if not views.is_whole(a.places, math.prod(self.source(a))):
            a, b = b, a
        if not views.is_whole(a.places, math.prod(self.source(a))):
            a = self._settled(name, a)
        # the other one in the order of the first, then without what is only repeated
        other = np.empty(a.places.size, np.int64)
        other[a.places.reshape(-1) - 1] = b.places.reshape(-1)
        other = other.reshape(self.source(a))
        for axis, size in enumerate(other.shape):
            if size > 1 and np.all(other == other.take([0], axis)):
                other = other.take([0], axis)
        second_node = self._node(name, b.node, other)
        host: HostOpName = "add" if op == "add" else "mul"
        return replace(a, node=self._make(name, self._build.host, host, a.node, second_node))

    def _largest(self, name: str, a: Value, b: Value) -> Value:
        """max(a, b), both of one shape: the largest of each pair of neighbours in a row."""
        joined = self.concat(name, (a, b), axis=min(1, len(a.shape) - 1))
        pairs = (
            joined.places.reshape(2, *a.shape)
            if len(a.shape) == 1
            else np.moveaxis(joined.places.reshape(a.shape[0], 2, *a.shape[1:]), 1, 0)
        )
        channels, height, width = map_shape(a.shape)
        rows = np.moveaxis(pairs, 0, -1).reshape(1, channels, height, 2 * width)
        y = self.pool(name, "maxpool", Value(joined.node, rows), (1, 2), (1, 2), (0, 0, 0, 0))
        return Value(y.node, y.places.reshape(a.shape))

    def _common(self, a: str, b: str) -> tuple[str, Program, Program] | None:
        """The nearest node that both are functions of, and these functions."""
        chains = []
        for node in (a, b):
            chain: dict[str, Program] = {node: ("x",)}
            while node in self._derived:
                source, program = self._derived[node]
                chain[source] = composed(chain[node], program)
                node = source
            chains.append(chain)
        for node, program in chains[0].items():
            if node in chains[1]:
                return node, program, chains[1][node]
        return None

    def finish(
        self,
        outputs: dict[str, Value],
        pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        notes: tuple[str, ...] = (),
        scales: Sequence[tuple[Value, float]] = (),
    ) -> Pretrained:
        """The network up to `outputs`, folded and fused.

        scales : of values, in the order in which they are computed, as `Pretrained.scales`
        """
        ends: dict[str, str] = {}
        for name, value in outputs.items():
            places = value.places
            if len(value.shape) == 4 and value.shape[2:] != (1, 1):
                node = self._node(name, value.node, places.reshape(map_shape(value.shape)))
            else:
                node = self._node(name, value.node, places.reshape(-1, 1, 1))
            ends.setdefault(node, name)
        self._graph.outputs = list(ends)
        graph = fuse(self._graph)
        if not any(node.geometry for node in graph.nodes.values()) or "input" in ends:
            raise CosignError(f"{self.where}: the network has no layer with weights.")
        spec = NetworkSpec(
            self._build.name, self._build.shape, tuple(graph.nodes.values()), tuple(graph.outputs)
        )
        return Pretrained(
            spec,
            {name: graph.weights[name].astype(np.float32) for name in spec.geometries},
            {name: graph.biases[name].astype(np.float32) for name in spec.geometries},
            pixels,
            tuple(ends.values()),
            notes,
            scales=self._scales(graph, scales),
        )

    def _scales(self, graph: Graph, of: Sequence[tuple[Value, float]]) -> dict[str, float]:
        """By node of the fused network. Of nodes that became one, the last says the scale."""
        found: dict[str, float] = {}
        for value, scale in of:
            name, whole = value.node, math.prod(self._build.shapes[value.node])
            while name in graph.became:
                name = graph.became[name]
            if name in graph.nodes and name not in graph.changed and value.places.size == whole:
                found[name] = scale
        return found
