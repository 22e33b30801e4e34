"""How a plain network is stored: types, names, weights, formats."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_net import CLASSES, MAP, Kind, Made, Net


def _plain(g: Net) -> Made:
    return g.head(g.body())


def _stored(change: Callable[[onnx.ModelProto], None], **more: Any) -> Kind:
    """The plain network, whose model is changed."""
    return Kind(_plain, change=change, **more)


def _listed(model: onnx.ModelProto) -> None:
    """Weights among the inputs, before the image, as up to format 3."""
    image = model.graph.input.pop()
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    model.graph.input.append(image)


def _unlisted(model: onnx.ModelProto) -> None:
    model.ir_version = 3


def _one_more_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("keep_prob", TensorProto.FLOAT, []))


def _shapeless(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]
    model.graph.value_info.append(onnx.ValueInfoProto(name=model.graph.node[0].output[0]))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _called(name: Callable[[int], str]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for number, node in enumerate(model.graph.node):
            node.name = name(number)

    return change


def _free_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1


def _named_by_no_one(model: onnx.ModelProto) -> None:
    model.graph.name = ""
    model.opset_import[0].domain = "ai.onnx"


def _of_type(kind: int) -> Callable[[onnx.ModelProto], None]:
    """All numbers in another type."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def change(model: onnx.ModelProto) -> None:
        del model.graph.value_info[:]
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(
                helper.make_tensor(tensor.name, kind, values.shape, values.tobytes(), raw=True)
            )
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind

    return change


def _cast_weights(kind: int) -> Callable[[onnx.ModelProto], None]:
    """Weights of another type, cast where they are read."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def change(model: onnx.ModelProto) -> None:
        casts = []
        for tensor in model.graph.initializer:
            values, name = numpy_helper.to_array(tensor).astype(dtype), tensor.name
            tensor.CopyFrom(
                helper.make_tensor(f"{name}.short", kind, values.shape, values.tobytes(), raw=True)
            )
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
        nodes = [*casts, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return change


def _sparse_tensor(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if list(t.dims) == [CLASSES, MAP])
    values = numpy_helper.to_array(tensor)
    where = np.flatnonzero(np.abs(values) > 0.1)
    kept = numpy_helper.from_array(values.reshape(-1)[where], tensor.name)
    places = numpy_helper.from_array(where, "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(kept, places, tensor.dims))
    model.graph.initializer.remove(tensor)


def _local_function(model: onnx.ModelProto) -> None:
    """The last layer as a function of the file's own, as dynamo writes modules."""
    inside = [helper.make_node("Gemm", ["a", "w", "b"], ["o"], transB=1)]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function("pkg.torch.nn", "Linear", ["a", "w", "b"], ["o"], inside, opsets)
    )
    last = model.graph.node[-1]
    last.CopyFrom(
        helper.make_node("Linear", last.input, last.output, "linear", domain="pkg.torch.nn")
    )
    model.opset_import.append(helper.make_opsetid("pkg.torch.nn", 1))


def _condition(g: Net) -> Made:
    y = g.body()
    branches = {
        f"{word}_branch": helper.make_graph(
            [helper.make_node("Identity", [y], [word])],
            word,
            [],
            [helper.make_tensor_value_info(word, TensorProto.FLOAT, None)],
        )
        for word in ("then", "else")
    }
    return g.head(g("If", np.array(True), **branches))


def _quantised(g: Net, activations: bool, kind: Any = np.int8) -> Made:
    """QuantizeLinear and DequantizeLinear around everything, weights by channel."""
    zero = 0 if kind is np.int8 else 128

    def rounded(x: str, step: float) -> str:
        if not activations:
            return x
        parts = (g.put(np.float32(step)), g.put(zero, kind))
        return str(g("DequantizeLinear", g("QuantizeLinear", x, *parts), *parts))

    y = rounded("x", 4 / 127)
    for inputs, outputs in ((1, 4), (4, 6)):
        weight = g.weights(outputs, inputs, 3, 3)
        steps = np.abs(weight).max((1, 2, 3)) / 127
        levels = np.rint(weight / steps[:, None, None, None])
        real = g(
            "DequantizeLinear",
            *(g.put(levels, np.int8), steps, g.put(np.zeros(outputs), np.int8)),
            axis=0,
        )
        y = g.pool(rounded(g.relu(g("Conv", y, real, pads=[1] * 4)), 6 / 127))
    return g.head(y)


_ODD = ("/features/0/Conv", "/0/../1", "input", "卷积 №1 (β)", "CON", "a:b*c?", "..", "-rf")


STORED = {
    "weights among the inputs": _stored(_listed),
    "format 3, weights not listed": _stored(_unlisted, opset=8),
    "an input more": _stored(_one_more_input),
    "no shapes": _stored(_shapeless),
    "no names": _stored(_called(lambda _: "")),
    "one name for all": _stored(_called(lambda _: "layer")),
    "odd names": _stored(_called(lambda number: _ODD[number])),
    "names of 300 characters": _stored(
        _called(lambda number: f"call/{'functional_1/time_distributed/' * 9}conv2d_{number}/Conv2D")
    ),
    "names that exports make up": _stored(
        _called(lambda number: ("Conv_1", "logits", "Relu_0", "constant_1", "input")[number % 5])
    ),
    "a batch of -1": _stored(_free_batch),
    "a graph without a name": _stored(_named_by_no_one),
    "float16": _stored(_of_type(TensorProto.FLOAT16), difference=2e-3),
    "bfloat16": _stored(_of_type(TensorProto.BFLOAT16), opset=22),
    "float64": _stored(_of_type(TensorProto.DOUBLE)),
    "float16 weights": _stored(_cast_weights(TensorProto.FLOAT16)),
    "bfloat16 weights": _stored(_cast_weights(TensorProto.BFLOAT16)),
    "sparse weights": _stored(_sparse_tensor),
    "a local function": _stored(_local_function),
    "a condition that is constant": Kind(_condition),
    "opset 6": Kind(_plain, opset=6),
    "opset 9": Kind(_plain, opset=9),
    "opset 21": Kind(_plain, opset=21),
    "quantised weights": Kind(lambda g: _quantised(g, False)),
    "quantised": Kind(lambda g: _quantised(g, True)),
    "quantised to bytes": Kind(lambda g: _quantised(g, True, np.uint8)),
}
