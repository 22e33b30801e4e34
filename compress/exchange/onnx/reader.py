"""ONNX files as networks: `read` one with its trained weights (no torch).

What is read is in `ops`, `functions`, `softmax` and `moves`; all else is
refused by name. A softmax or the like at an output is left out, since it changes no order.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from compress.exchange.onnx import views
from compress.exchange.onnx.canvas import Refusal
from compress.exchange.onnx.clean import Cleaned, cleaned, load
from compress.exchange.onnx.functions import ELEMENTWISE
from compress.exchange.onnx.load import damaged
from compress.exchange.onnx.moves import MOVES
from compress.exchange.onnx.operands import Operands
from compress.exchange.onnx.ops import OPERATIONS
from compress.exchange.onnx.remedies import REMEDIES, remedy
from compress.exchange.onnx.softmax import softmax
from compress.exchange.onnx.tracer import Tracer
from compress.exchange.onnx.views import Value
from compress.model.hostops import Shape
from compress.model.pretrained import Pretrained
from cosign import CosignError

_ENDS = ("Softmax", "LogSoftmax", "ArgMax", "Hardmax")
_COMPUTED = OPERATIONS | ELEMENTWISE
_COLOURS = (1, 3, 4)


def read(path: Path, outputs: Sequence[str] = ()) -> Pretrained:
    """The network of an ONNX file, up to `outputs`, of the graph's or inside it; () is all.

    Raises CosignError, naming the node or the file, on anything that it cannot be.
    """
    return _imported(load(path), path.stem, str(path), outputs)


def from_bytes(blob: bytes, name: str, where: str, outputs: Sequence[str] = ()) -> Pretrained:
    """The same of a model in memory; `where` begins every error's sentence."""
    try:
        model = onnx.load_model_from_string(blob)
    except Exception as error:  # protobuf raises many kinds
        raise damaged(where, error) from error
    return _imported(model, name, where, outputs)


def _imported(model: onnx.ModelProto, name: str, where: str, outputs: Sequence[str]) -> Pretrained:
    plain = cleaned(model, where, outputs)
    bytes_in = (
        any(
            value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
            for value in model.graph.input
            if value.name == plain.model.graph.input[0].name
        )
        if plain.model.graph.input
        else False
    )
    return _Reader(plain, name, where, bytes_in).imported()


class _Reader:
    """Goes through the nodes, each of them a call of the tracer.

    bytes_in : whether the file reads pixels of 0..255
    """

    def __init__(self, plain: Cleaned, name: str, where: str, bytes_in: bool) -> None:
        self.graph, self.where = plain.model.graph, where
        self.notes, self.scales, self.names = list(plain.notes), plain.scales, plain.names
        constants = {tensor.name: _array(tensor, where) for tensor in self.graph.initializer}
        if len(self.graph.input) != 1:
            names = ", ".join(value.name for value in self.graph.input)
            raise CosignError(
                f"{where} has the inputs {names or 'none'}; read are networks with one. With "
                "several outputs, choose those that need one input only (--output)."
            )
        shape, value = _input(self.graph)
        self.layout = value.places[0] if len(value.places) == 1 else value.places
        self.pixels = ((0.0,) * shape[0], (1 / 255,) * shape[0]) if bytes_in else None
        self.trace = Tracer(name, shape, where)
        self.operands = Operands(self.trace, constants, {self.graph.input[0].name: value})
        self.sigmoids: dict[str, Value] = {}  # by the output of a sigmoid, what it reads
        self.ends = _ends(self.graph)

    def imported(self) -> Pretrained:
        sources = {name: node.input for node in self.graph.node for name in node.output}
        for node in self.graph.node:
            try:
                self._node(node)
            except Refusal as error:
                instead = error.instead or REMEDIES.get(node.op_type, "")
                ways = remedy(node.input, sources, self.names, instead)
                raise CosignError(f"{error.sentence}{ways}.") from error
        values = self.operands.values
        outputs: dict[str, Value] = {}
        for output in self.graph.output:
            if output.name not in values:
                raise CosignError(
                    f"{self.where}: the output {output.name!r} does not depend on the input."
                )
            value = values[output.name]
            if (
                len(self.graph.output) == 1
                and output.name in self.sigmoids
                and value.places.size > 1
            ):
                value = self.sigmoids[output.name]
                self.notes.append(f"{output.name}: the sigmoid at its end is left out")
            elif value.head is not None:
                self.notes.append(f"{output.name}: {value.head} at its end is left out")
            outputs[output.name] = value
        scales = [
            (value, self.scales[name]) for name, value in values.items() if name in self.scales
        ]
        made = self.trace.finish(outputs, self.pixels, tuple(self.notes), scales)
        return dataclasses.replace(made, layout=self.layout)

    def _node(self, node: onnx.NodeProto) -> None:
        name, values = _name(node), self.operands.values
        first = values.get(node.input[0]) if node.input else None
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if first is None and not any(source in values for source in node.input):
            self.trace.refuse(name, f"is a {node.op_type} of constants that cannot be computed")
        if first is not None and first.head is not None and "ArgMax" in first.head:
            values[node.output[0]] = first
        elif node.op_type == "Softmax" and node.output[0] not in self.ends:
            values[node.output[0]] = softmax(self.operands, name, node, attributes)
        elif node.op_type in _ENDS and first is not None:
            head = f"the {node.op_type} {name!r}"
            values[node.output[0]] = Value(first.node, first.places, first.head or head)
        elif node.op_type in MOVES and first is not None:
            results = MOVES[node.op_type](self.operands, name, node, attributes)
            values.update(zip(node.output, results, strict=False))
        elif node.op_type in _COMPUTED:
            operation = _COMPUTED[node.op_type]
            values[node.output[0]] = operation(self.operands, name, node, attributes)
            if node.op_type == "Sigmoid" and first is not None and len(first.shape) == 2:
                self.sigmoids[node.output[0]] = first
        else:
            self.trace.refuse(name, f"is of the kind {node.op_type}, which the machine has not")


def _ends(graph: onnx.GraphProto) -> set[str]:
    """Values that only move on their way to the outputs."""
    ends = {name for node in graph.node for name in node.output}
    for node in reversed(graph.node):
        if node.op_type not in {*MOVES, *_ENDS} or not ends.issuperset(filter(None, node.output)):
            ends.difference_update(node.input)
    return ends


def _name(node: onnx.NodeProto) -> str:
    """A layer's name is that of its weights, if these have one as PyTorch gives them."""
    for source in node.input[1:2]:
        if source.endswith(".weight"):
            return str(source.removesuffix(".weight"))
    return str(node.name or node.output[0])


def _array(tensor: onnx.TensorProto, where: str) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # a length that does not fit the shape
        raise CosignError(f"{where}: the weights {tensor.name!r} are damaged ({error}).") from error


def _input(graph: onnx.GraphProto) -> tuple[Shape, Value]:
    """(C, H, W) of the images, and what the graph reads of them.

    Graphs of Keras read rows of pixels with their channels, [1, H, W, C].
    """
    value = graph.input[0]
    shape = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    if len(shape) == 4 and _channels_last(graph, shape):
        _, height, width, channels = shape
        image = channels, height, width
        places = views.in_order(image).transpose(1, 2, 0)
        return image, Value("input", places.reshape(shape))
    image = _unflattened(graph, shape) or _image(shape)
    return image, Value("input", views.in_order(shape))


def _image(shape: tuple[int, ...]) -> Shape:
    """(C, H, W) for an input without a map: a vector as the square that it may be."""
    if len(shape) > 2:
        return views.map_shape(shape)
    size = math.prod(shape)
    for channels in _COLOURS[:2]:
        side = math.isqrt(size // channels)
        if channels * side * side == size and side > 1:
            return channels, side, side
    return 1, 1, size


def _unflattened(graph: onnx.GraphProto, shape: tuple[int, ...]) -> Shape | None:
    """(C, H, W) of the map that all readers of a vector or of a single channel make of it."""
    known = {
        made.name: tuple(axis.dim_value for axis in made.type.tensor_type.shape.dim)
        for made in (*graph.value_info, *graph.output)
    }
    maps = {
        known[node.output[0]] if node.op_type in ("Reshape", "Unsqueeze") else shape
        for node in graph.node
        if graph.input[0].name in node.input
    }
    if len(maps) == 1 and len(shape) < 4:
        (made,) = maps
        if len(made) == 4:
            return made[1], made[2], made[3]
    return None


def _channels_last(graph: onnx.GraphProto, shape: tuple[int, ...]) -> bool:
    """Whether the first thing that happens to the input, number by number apart, says so."""
    names = {graph.input[0].name}
    for node in graph.node:
        if names.isdisjoint(node.input):
            continue
        if node.op_type in ELEMENTWISE:
            names.update(node.output)
        elif node.op_type == "Transpose":
            order = next(list(a.ints) for a in node.attribute if a.name == "perm")
            return order == [0, 3, 1, 2]
        elif node.op_type in OPERATIONS:
            return False
    _, first, second, last = shape
    return last in _COLOURS and first not in _COLOURS and min(first, second) > last
