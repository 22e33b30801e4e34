"""ONNX classifiers: `read` a file as a network with its trained weights (no torch).

What is read: Conv, Gemm, MatMul, Relu, Clip from 0, MaxPool, AveragePool, GlobalAveragePool,
ReduceMean over a map, LRN, BatchNormalization, Add, Sub, Mul, Div, Sum, Concat, Flatten, Reshape
and Squeeze to a vector, Pad with zeros before a convolution, Dropout, Identity; a Softmax at the
end is left out, since it changes no order. Nodes of constants are computed. All else is refused by
name.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from compress.exchange.onnx_operands import Operands
from compress.exchange.onnx_ops import OPERATIONS
from compress.exchange.tracer import Tracer
from compress.model.hostops import Shape
from compress.model.pretrained import Pretrained
from cosign import CosignError

_OLDEST_OPSET = 7  # before, Add and Mul broadcast by attributes
_MOVING = ("Identity", "Dropout", "Cast")
_ENDS = ("Softmax", "LogSoftmax")


def read(path: Path) -> Pretrained:
    """The network of an ONNX file with one image as input and one vector as output.

    Raises CosignError, naming the node or the file, on anything that it cannot be.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    return _imported(lambda: onnx.load(path), path.stem, str(path))


def from_bytes(blob: bytes, name: str, where: str) -> Pretrained:
    """The same of a model in memory; `where` begins every error's sentence."""
    return _imported(lambda: onnx.load_model_from_string(blob), name, where)


def _imported(load: Callable[[], onnx.ModelProto], name: str, where: str) -> Pretrained:
    return Reader(_checked(load, where), name, where).imported()


def _checked(load: Callable[[], onnx.ModelProto], path: str) -> onnx.ModelProto:
    try:
        model = load()
        known = onnx.defs.onnx_opset_version()
        version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
        if version is not None and not _OLDEST_OPSET <= version <= known:
            raise CosignError(
                f"{path} uses opset {version} of ONNX, read are {_OLDEST_OPSET} to {known}; "
                "convert it with onnx.version_converter."
            )
        for node in model.graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise CosignError(
                    f"{path}: node {_name(node)!r} is a {node.op_type} of {node.domain}, which is "
                    "no operation of ONNX itself."
                )
        onnx.checker.check_model(model)
    except CosignError:
        raise
    except Exception as error:  # protobuf, checker and external data raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise CosignError(f"{path} is not a whole ONNX model ({reason}).") from error
    return model


def _name(node: onnx.NodeProto) -> str:
    """A layer's name is that of its weights, if these have one as PyTorch gives them."""
    for source in node.input[1:2]:
        if source.endswith(".weight"):
            return str(source.removesuffix(".weight"))
    return str(node.name or node.output[0])


class Reader:
    """Goes through the nodes, each of them a constant or a call of the tracer."""

    def __init__(self, model: onnx.ModelProto, name: str, path: str) -> None:
        self.model, self.path = model, path
        graph = model.graph
        self.constants = {tensor.name: _array(tensor, path) for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            kinds = [[value.name for value in part] for part in (inputs, graph.output)]
            raise CosignError(
                f"{path} has the inputs {', '.join(kinds[0]) or 'none'} and the outputs "
                f"{', '.join(kinds[1])}; read are networks with one of each."
            )
        batch, shape = _input_shape(inputs[0], path)
        self.trace = Tracer(name, shape, path)
        self.values = {inputs[0].name: self.trace.input}
        self.operands = Operands(self.trace, batch, self.constants, self.values)
        self.softmax: dict[str, str] = {}  # by its output, the node that must be the last

    def imported(self) -> Pretrained:
        for node in self.model.graph.node:
            self._node(node)
        output = self.model.graph.output[0].name
        if output not in self.values:
            raise CosignError(f"{self.path}: the output {output!r} does not depend on the input.")
        return self.trace.finish(self.values[output])

    def _node(self, node: onnx.NodeProto) -> None:
        name = _name(node)
        given = [source for source in node.input if source]
        for source in given:
            if source in self.softmax:
                self.trace.refuse(self.softmax[source], "is a softmax that is not the last node")
        if node.op_type == "Shape" and given[0] in self.values:
            self.constants[node.output[0]] = np.array(self.operands.shape(given[0]), np.int64)
        elif all(source in self.constants for source in given):
            self._compute(node)
        elif node.op_type in _MOVING + _ENDS:
            self.values[node.output[0]] = self.values[given[0]]
            if node.op_type in _ENDS:
                self.softmax[node.output[0]] = name
        elif node.op_type in OPERATIONS:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            operation = OPERATIONS[node.op_type]
            self.values[node.output[0]] = operation(self.operands, name, node, attributes)
        else:
            read = ", ".join(sorted({*OPERATIONS, *_MOVING, *_ENDS}))
            self.trace.refuse(
                name, f"is a {node.op_type}, which the machine has not; it has {read}"
            )

    def _compute(self, node: onnx.NodeProto) -> None:
        """A node of constants."""
        inputs = [
            onnx.helper.make_tensor_value_info(
                source, onnx.helper.np_dtype_to_tensor_dtype(self.constants[source].dtype), None
            )
            for source in dict.fromkeys(node.input)
            if source
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
        model = onnx.helper.make_model(graph, opset_imports=self.model.opset_import)
        try:
            results = ReferenceEvaluator(model).run(
                None, {value.name: self.constants[value.name] for value in inputs}
            )
        except Exception as error:  # the evaluator raises what numpy does on impossible constants
            raise CosignError(
                f"{self.path}: node {_name(node)!r}, a {node.op_type} of constants, cannot be "
                f"computed ({error})."
            ) from error
        for value, result in zip(outputs, results, strict=True):
            self.constants[value.name] = np.asarray(result)


def _array(tensor: onnx.TensorProto, path: str) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # a length that does not fit the shape
        raise CosignError(f"{path}: the weights {tensor.name!r} are damaged ({error}).") from error


def _input_shape(value: onnx.ValueInfoProto, path: str) -> tuple[int, Shape]:
    """Batch (1 where it is free) and (C, H, W) of the input."""
    kind = value.type.tensor_type
    axes = list(kind.shape.dim)
    if kind.elem_type != onnx.TensorProto.FLOAT or len(axes) != 4:
        raise CosignError(
            f"{path}: the input {value.name!r} is not float32 [batch, channels, height, width]."
        )
    for axis, what in zip(axes[1:], ("channels", "height", "width"), strict=True):
        if axis.dim_value < 1:
            raise CosignError(
                f"{path}: the {what} of the input {value.name!r} is dynamic; fix it, e.g. with "
                "python -m onnxruntime.tools.make_dynamic_shape_fixed."
            )
    batch, channels, height, width = (axis.dim_value for axis in axes)
    return max(1, batch), (channels, height, width)
