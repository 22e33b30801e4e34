"""All numbers of an ONNX model that a network computes with become float32."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compress.exchange.onnx.load import reason
from cosign import CosignError

_FLOATS = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_PIXELS = {
    *(TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16),
    *(TensorProto.UINT32, TensorProto.INT32, TensorProto.UINT64, TensorProto.INT64),
}
# what reads an integer input as a number; others read it as an index
_READERS = {"Cast", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"}
_MOVERS = {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Pad"}
# attributes that name the type of what a node gives, by operation
_TYPED = {"Cast": "to", "DequantizeLinear": "output_dtype"}


def in_float32(model: onnx.ModelProto, where: str) -> list[str]:
    """Turns `model`'s floats of other widths, and its inputs of integers, into float32, in place.

    Types of values are left out, since whatever is inferred from the inputs is right. Returns what
    is to be said of it. Raises CosignError on weights whose data do not fit their shape.
    """
    seen: set[int] = set()
    for tensor in _tensors(model):
        try:
            values = numpy_helper.to_array(tensor)
        except Exception as error:  # a length that does not fit the shape
            raise CosignError(
                f"{where}: the weights {tensor.name!r} are damaged ({reason(error)})."
            ) from error
        if tensor.data_type in _FLOATS:
            seen.add(tensor.data_type)
            with np.errstate(over="ignore"):
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    for node in nodes(model.graph):
        for attribute in node.attribute:
            if attribute.name == _TYPED.get(node.op_type) and attribute.i in _FLOATS:
                attribute.i = TensorProto.FLOAT
    del model.graph.value_info[:]
    notes = [
        f"{', '.join(sorted(_name(kind) for kind in seen))} weights are read as float32"
    ] * bool(seen)
    for value in model.graph.input:
        kind = value.type.tensor_type
        number = kind.elem_type in _PIXELS and _is_number(model.graph, value.name)
        if kind.elem_type in _FLOATS or number:
            notes.append(
                f"the input {value.name!r} of {_name(kind.elem_type)} is read as float32 of the "
                "same values"
            )
            kind.elem_type = TensorProto.FLOAT
    return notes


def _is_number(graph: onnx.GraphProto, name: str) -> bool:
    """Whether an integer input is turned into numbers by whatever reads it."""
    readers = [node for node in graph.node if name in node.input]
    return all(
        node.op_type in _READERS
        or node.op_type.startswith("QLinear")
        or (node.op_type in _MOVERS and node.input[0] == name and _is_number(graph, node.output[0]))
        for node in readers
    )


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in nodes(model.graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer


def _name(kind: int) -> str:
    return (
        "float64"
        if kind == TensorProto.DOUBLE
        else helper.tensor_dtype_to_string(kind).split(".")[-1].lower()
    )
