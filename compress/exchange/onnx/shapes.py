"""The shapes of an ONNX model's inputs, made known, and its batch, made one image."""

import math

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper, shape_inference
from onnx_ir.passes import common

from compress.exchange.onnx.rewriting import Rewriting, array
from cosign import CosignError

# operations that join their inputs place by place
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Mean", "Pow", "PRelu", "Where"}


def fixed_inputs(model: onnx.ModelProto, where: str) -> None:
    """Writes a free batch as 1, in place. Raises CosignError where another axis is free."""
    for value in model.graph.input:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise CosignError(
                f"{where}: the shape of the input {value.name!r} is not given; give it, e.g. with "
                "onnx.tools.update_model_dims."
            )
        axes = list(kind.shape.dim)
        names = ["batch", *(f"axis {axis}" for axis in range(1, len(axes)))]
        if len(axes) == 4:
            last = axes[1].dim_value < 1 <= axes[3].dim_value <= 4
            names[1:] = ["height", "width", "channels"] if last else ["channels", "height", "width"]
        for number, axis in enumerate(axes):
            if axis.dim_value < 1:
                if number:
                    raise CosignError(
                        f"{where}: the {names[number]} of the input {value.name!r} is dynamic; "
                        "fix it, e.g. with python -m onnxruntime.tools.make_dynamic_shape_fixed."
                    )
                axis.dim_value = 1


def one_image(model: ir.Model, where: str) -> None:
    """Turns a fixed batch of several images into 1, in place, in all that is written for it.

    The first axis of the inputs is a batch if they are [batch, channels, height, width], or if the
    outputs have it too. Raises CosignError on a node that does not treat images alike.
    """
    graph = model.graph
    firsts = {_first(value) for value in graph.inputs}
    size = next(iter(firsts), None)
    maps = all(value.shape is not None and len(value.shape) == 4 for value in graph.inputs)
    if len(firsts) != 1 or size is None or size == 1:
        return
    if not maps and {_first(value) for value in graph.outputs} != firsts:
        return
    before = {value: value.shape for node in graph for value in node.outputs}
    for node in graph:
        _one_image(node, size)
    for value in graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([1, *list(value.shape)[1:]])
    for value in before:
        value.shape = None
    common.ShapeInferencePass()(model)
    for value, shape in before.items():
        producer, now = value.producer(), value.shape
        if shape is None or now is None or producer is None:
            continue
        if _count(shape) != size * _count(now):
            raise CosignError(
                f"{where}: node {producer.name!r} ({producer.op_type}) is written for {size} "
                "images at once; export with a batch of 1."
            )


def written_batch(model: onnx.ModelProto) -> str | None:
    """What is to be said of a Reshape that makes several images of one, None where there is none.

    Of a model with a batch of 1 whose shapes do not fit each other: `x.view(64, -1)` of a network
    that was exported with a free batch is the likely reason.
    """
    model = shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info)
    }
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        shape = shapes.get(node.input[0]) if node.input else None
        if node.op_type != "Reshape" or not shape or node.input[1] not in constants:
            continue
        asked = numpy_helper.to_array(constants[node.input[1]]).tolist()
        if shape[0] == 1 and asked and asked[0] > 1:
            return (
                f"node {node.name!r} (Reshape) writes a batch of {asked[0]} into {asked}, and one "
                f"image is read at a time, {math.prod(shape):,} numbers there; reshape by "
                "x.flatten(1) or x.view(x.shape[0], -1), which leave the batch free, and export "
                "again"
            )
    return None


def _count(shape: ir.Shape) -> int:
    return math.prod(length for length in shape if isinstance(length, int))


def _first(value: ir.Value) -> int | None:
    if value.shape is None or not len(value.shape):
        return None
    first = value.shape[0]
    return first if isinstance(first, int) else None


def _one_image(node: ir.Node, size: int) -> None:
    """The constants of a node that speak of a batch of `size`, written for 1."""
    result, first = node.outputs[0].shape, _first(node.outputs[0])
    if result is None or first is None or first % size:
        return
    if node.op_type in ("Reshape", "Expand"):
        _replace(node, 1, np.array([first // size, *list(result)[1:]], np.int64))
    elif node.op_type == "Resize" and len(node.inputs) > 3 and node.inputs[3] is not None:
        sizes = array(node.inputs[3])
        if sizes is not None and len(sizes) == len(result):
            _replace(node, 3, np.array([first // size, *sizes[1:]], np.int64))
    elif node.op_type in _ELEMENTWISE or node.op_type == "Concat":
        for number, value in enumerate(node.inputs):
            rows = array(value)
            if (
                rows is not None
                and rows.ndim == len(result)
                and rows.shape[0] == first == size
                and (rows == rows[:1]).all()
            ):
                _replace(node, number, rows[:1])


def _replace(node: ir.Node, number: int, values: np.ndarray) -> None:
    """Another constant in the place of one that other nodes may read too."""
    node.replace_input_with(number, Rewriting(node).constant(values, dtype=values.dtype))
