"""Which channels of a map can differ from zero, as the entropy coder of the next layer asks."""

import numpy as np

from compress.file.entropy import Grid
from compress.model.graph import Geometry, InputSpec, Layer, Node
from compress.model.hostops import Shape


class Feeding:
    """Follows the nodes in order; a flattened map keeps its channels, each of so many pixels."""

    def __init__(self, source: InputSpec) -> None:
        self._shapes: dict[str, Shape] = {"input": source.shape}
        self._alive = {"input": np.ones(source.shape[0], bool)}
        self._pixels: dict[str, tuple[int, int]] = {}

    def add(self, node: Node) -> None:
        """Raises CosignError when the node does not fit what it reads."""
        first = node.inputs[0]
        shapes = [self._shapes[name] for name in node.inputs]
        self._shapes[node.name] = node.output_shape(shapes)
        if isinstance(node, Layer):
            alive = (np.diff(node.row_ptr) > 0) | (node.bias != 0)
        elif node.op == "flatten":
            alive = self._alive[first]
            self._pixels[node.name] = self._pixels.get(first, shapes[0][1:])
        elif node.op == "add":
            parts = np.broadcast_arrays(*map(self._channels, node.inputs))
            alive = np.any(parts, axis=0)
        elif node.op == "concat":
            alive = np.concatenate([self._channels(name) for name in node.inputs])
        elif node.op == "take":
            alive = np.append(self._channels(first), False)[list(node.layout[0])]
        elif node.op in ("function", "permute", "mul"):
            alive = np.ones(self._shapes[node.name][0], bool)
        else:
            alive = self._channels(first)
        self._alive[node.name] = alive

    def _channels(self, name: str) -> np.ndarray:
        height, width = self._pixels.get(name, (1, 1))
        return np.repeat(self._alive[name], height * width)

    def grid(self, geometry: Geometry, source: str) -> tuple[Grid, np.ndarray]:
        """A layer's weights as the entropy coder sees them, and which channels feed it (bool)."""
        rows = geometry.out_channels
        if geometry.kind == "linear" and geometry.columns == len(self._channels(source)):
            alive = self._alive[source]
            return Grid(rows, len(alive), *self._pixels.get(source, (1, 1))), alive
        channels = geometry.in_channels // geometry.groups
        groups = self._channels(source).reshape(geometry.groups, channels)
        return Grid(rows, channels, *geometry.kernel), np.any(groups, axis=0)
