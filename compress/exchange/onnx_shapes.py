"""The shapes of an ONNX model's inputs, made known, and its batch, made one image."""

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

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

    The first axis of the inputs is a batch if the outputs have it too.
    """
    graph = model.graph
    batch = {_first(value) for value in (*graph.inputs, *graph.outputs)}
    if len(batch) != 1 or batch <= {None, 1}:
        return
    size = batch.pop()
    assert size is not None
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
        now = value.shape
        if shape is None or now is None:
            continue
        if [1, *list(shape)[1:]] != list(now):
            producer = value.producer()
            assert producer is not None
            raise CosignError(
                f"{where}: node {producer.name!r} ({producer.op_type}) is written for {size} "
                "images at once; export with a batch of 1."
            )


def _first(value: ir.Value) -> int | None:
    if value.shape is None or not len(value.shape):
        return None
    first = value.shape[0]
    return first if isinstance(first, int) else None


def _one_image(node: ir.Node, size: int) -> None:
    """The constants of a node that speak of a batch of `size`, written for 1."""
    result = node.outputs[0].shape
    if result is None or _first(node.outputs[0]) != size:
        return
    if node.op_type in ("Reshape", "Expand"):
        wanted = [1, *list(result)[1:]]
        _replace(node, 1, np.array(wanted, np.int64))
    elif node.op_type in _ELEMENTWISE or node.op_type == "Concat":
        for number, value in enumerate(node.inputs):
            if value is None or value.const_value is None:
                continue
            array = value.const_value.numpy()
            if array.ndim == len(result) and array.shape[0] == size and (array == array[:1]).all():
                _replace(node, number, array[:1])


def _replace(node: ir.Node, number: int, array: np.ndarray) -> None:
    """Another constant in the place of one that other nodes may read too."""
    assert node.graph is not None
    name = f"{node.outputs[0].name}.input{number}"
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    node.graph.register_initializer(value)  # type: ignore[union-attr]
    node.replace_input_with(number, value)
