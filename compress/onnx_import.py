"""ONNX classifiers: `read` a file as a network with its trained weights (no torch).

What is read: Conv, Gemm, MatMul, Relu, Clip from 0, MaxPool, AveragePool, GlobalAveragePool,
ReduceMean over a map, LRN, BatchNormalization, Add, Sub, Mul, Div, Sum, Concat, Flatten, Reshape
and Squeeze to a vector, Pad with zeros before a convolution, Dropout, Identity; a Softmax at the
end is left out, since it changes no order. Nodes of constants are computed. All else is refused by
name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from compress.hostops import HostOpName, Shape
from compress.importing import Imported, Pads, Tracer, Value
from cosign import CosignError

_OLDEST_OPSET = 7  # before, Add and Mul broadcast by attributes
_MOVING = ("Identity", "Dropout", "Cast")
_ENDS = ("Softmax", "LogSoftmax")


def read(path: Path) -> Imported:
    """The network of an ONNX file with one image as input and one vector as output.

    Raises CosignError, naming the node or the file, on anything that it cannot be.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    return _imported(lambda: onnx.load(path), path.stem, str(path))


def from_bytes(blob: bytes, name: str, where: str) -> Imported:
    """The same of a model in memory; `where` begins every error's sentence."""
    return _imported(lambda: onnx.load_model_from_string(blob), name, where)


def _imported(load: Callable[[], onnx.ModelProto], name: str, where: str) -> Imported:
    return _Reader(_checked(load, where), name, where).imported()


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


class _Reader:
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
        self.batch, shape = _input_shape(inputs[0], path)
        self.trace = Tracer(name, shape, path)
        self.values: dict[str, Value] = {inputs[0].name: self.trace.input}
        self.softmax: dict[str, str] = {}  # by its output, the node that must be the last

    def imported(self) -> Imported:
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
            self.constants[node.output[0]] = np.array(self._shape(given[0]), np.int64)
        elif all(source in self.constants for source in given):
            self._compute(node)
        elif node.op_type in _MOVING + _ENDS:
            self.values[node.output[0]] = self.values[given[0]]
            if node.op_type in _ENDS:
                self.softmax[node.output[0]] = name
        elif node.op_type in _OPERATIONS:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.values[node.output[0]] = _OPERATIONS[node.op_type](self, name, node, attributes)
        else:
            read = ", ".join(sorted({*_OPERATIONS, *_MOVING, *_ENDS}))
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

    def _shape(self, source: str) -> tuple[int, ...]:
        """Shape in the foreign graph, the batch included."""
        value = self.values[source]
        return (self.batch, *self.trace.shape(value))

    def value(self, name: str, node: onnx.NodeProto, number: int = 0) -> Value:
        """An input that must be computed."""
        source = node.input[number]
        if source not in self.values:
            self.trace.refuse(name, f"is a {node.op_type} of the constant {source!r}")
        return self.values[source]

    def constant(self, name: str, node: onnx.NodeProto, number: int, default: Any = None) -> Any:
        """An input that must be constant, or `default` where it is absent."""
        if number >= len(node.input) or not node.input[number]:
            return default
        source = node.input[number]
        if source not in self.constants:
            self.trace.refuse(
                name, f"is a {node.op_type} whose {source!r} is computed, not constant"
            )
        return self.constants[source]


_Attributes = dict[str, Any]
_Operation = Callable[[_Reader, str, onnx.NodeProto, _Attributes], Value]


def _conv(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x, weight = reader.value(name, node), reader.constant(name, node, 1)
    if weight.ndim != 4:
        reader.trace.refuse(name, f"is a convolution in {weight.ndim - 2} dimensions, read are 2")
    strides, dilations = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    pads = _pads(reader, x, a, weight.shape[2:], strides, dilations)
    bias = reader.constant(name, node, 2)
    return reader.trace.conv(name, x, weight, bias, strides, pads, dilations, a.get("group", 1))


def _pads(
    reader: _Reader,
    x: Value,
    a: _Attributes,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int] = (1, 1),
) -> Pads:
    """(above, left, below, right), `auto_pad` worked out."""
    automatic = a.get("auto_pad", b"NOTSET").decode()
    if automatic in ("NOTSET", "VALID"):
        above, left, below, right = a.get("pads", (0, 0, 0, 0))
        return above, left, below, right
    first, last = [], []
    for length, reach, step, spread in zip(
        reader.trace.shape(x)[1:], kernel, strides, dilations, strict=True
    ):
        total = max(0, (-(-length // step) - 1) * step + spread * (reach - 1) + 1 - length)
        less, more = total // 2, total - total // 2
        first.append(less if automatic == "SAME_UPPER" else more)
        last.append(more if automatic == "SAME_UPPER" else less)
    return first[0], first[1], last[0], last[1]


def _gemm(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x, weight = reader.value(name, node), reader.constant(name, node, 1)
    if a.get("transA", 0) or weight.ndim != 2:
        reader.trace.refuse(name, "is a Gemm of a transposed input or of no matrix")
    weight = weight if a.get("transB", 0) else weight.T
    bias = reader.constant(name, node, 2)
    if bias is not None:
        bias = np.broadcast_to(np.reshape(bias, -1), len(weight)) * a.get("beta", 1.0)
    return reader.trace.linear(name, x, weight * a.get("alpha", 1.0), bias)


def _matmul(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    weight = reader.constant(name, node, 1)
    if weight.ndim != 2:
        reader.trace.refuse(name, f"multiplies by {weight.ndim} dimensions, read are 2")
    return reader.trace.linear(name, reader.value(name, node), weight.T, None)


def _relu(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    return reader.trace.relu(name, reader.value(name, node))


def _clip(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    low, high = (
        float(np.reshape(reader.constant(name, node, number, a.get(key, default)), ()))
        for number, key, default in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    if low != 0 or not high > 0:
        reader.trace.refuse(name, f"cuts at {low:g} and {high:g}; read is a cut below at 0")
    return reader.trace.relu(name, reader.value(name, node), high if np.isfinite(high) else None)


def _pool(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    kernel, strides = tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1)))
    if len(kernel) != 2 or len(node.output) > 1 or set(a.get("dilations", (1,))) != {1}:
        reader.trace.refuse(name, "is no plain 2-D pooling")
    pads = list(_pads(reader, x, a, kernel, strides))
    average = node.op_type == "AveragePool"
    exclude = average and not a.get("count_include_pad", 0)
    if a.get("ceil_mode", 0):
        for axis, length in enumerate(reader.trace.shape(x)[1:]):
            # a last window that hangs over, unless it would start in the padding
            rest = (length + pads[axis] + pads[axis + 2] - kernel[axis]) % strides[axis]
            over = (strides[axis] - rest) % strides[axis]
            starts = length + pads[axis + 2] + over - kernel[axis]
            if over and starts < length:
                if average and not exclude and any(pads):
                    reader.trace.refuse(name, "averages padding, in windows that hang over")
                exclude = average
                pads[axis + 2] += over
    where: Pads = (pads[0], pads[1], pads[2], pads[3])
    op: HostOpName = "avgpool" if average else "maxpool"
    return reader.trace.pool(name, op, x, kernel, strides, where, exclude)


def _global_average(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    return reader.trace.host(name, "avgpool", x, kernel=0, stride=1, padding=0)


def _mean(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    axes = reader.constant(name, node, 1, a.get("axes", ()))
    x = reader.value(name, node)
    if x.rank != 4 or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
        reader.trace.refuse(name, "is a mean over other axes than a map's height and width")
    y = _global_average(reader, name, node, a)
    return y if a.get("keepdims", 1) else reader.trace.flatten(f"{name}.flatten", y)


def _lrn(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    if a["size"] % 2 == 0:
        reader.trace.refuse(name, f"normalises over {a['size']} channels, read are odd numbers")
    return reader.trace.host(
        name,
        "lrn",
        reader.value(name, node),
        size=a["size"],
        alpha=a.get("alpha", 1e-4),
        beta=a.get("beta", 0.75),
        k=a.get("bias", 1.0),
    )


def _batch_norm(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    if a.get("training_mode", 0):
        reader.trace.refuse(name, "is a BatchNormalization in training; export with training=False")
    gamma, beta, mean, var = (
        np.asarray(reader.constant(name, node, number), np.float64) for number in (1, 2, 3, 4)
    )
    scale = gamma / np.sqrt(var + a.get("epsilon", 1e-5))
    return reader.trace.affine(name, reader.value(name, node), scale, beta - mean * scale)


def _arithmetic(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    """Add of two maps, or Add, Sub, Mul, Div with a constant by channel."""
    computed = [source in reader.values for source in node.input]
    if all(computed):
        if node.op_type != "Add":
            reader.trace.refuse(name, f"is a {node.op_type} of two maps, which the machine has not")
        first, second = (reader.value(name, node, number) for number in (0, 1))
        return reader.trace.host(name, "add", first, second)
    x = reader.value(name, node, computed.index(True))
    constant = _by_channel(reader, name, x, reader.constant(name, node, computed.index(False)))
    one, zero = np.ones_like(constant), np.zeros_like(constant)
    if node.op_type == "Add":
        return reader.trace.affine(name, x, one, constant)
    if node.op_type == "Mul":
        return reader.trace.affine(name, x, constant, zero)
    if node.op_type == "Sub":
        if computed[0]:
            return reader.trace.affine(name, x, one, -constant)
        return reader.trace.affine(name, x, -one, constant)
    if not computed[0]:
        reader.trace.refuse(name, "divides by a map")
    with np.errstate(divide="ignore"):
        return reader.trace.affine(name, x, 1 / constant, zero)


def _by_channel(reader: _Reader, name: str, x: Value, constant: np.ndarray) -> np.ndarray:
    """float64 [C] or [1] of a constant that differs by channel at most."""
    padded = constant.reshape((1,) * (x.rank - constant.ndim) + constant.shape)
    wanted = (1, reader.trace.shape(x)[0], *(1,) * (x.rank - 2))
    if padded.shape not in (wanted, (1,) * x.rank):
        reader.trace.refuse(
            name, f"combines a map with a constant of {constant.shape}, read is one per channel"
        )
    return padded.reshape(-1).astype(np.float64)


def _sum(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    total = reader.value(name, node)
    for number in range(1, len(node.input)):
        total = reader.trace.host(name, "add", total, reader.value(name, node, number))
    return total


def _concat(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    parts = [reader.value(name, node, number) for number in range(len(node.input))]
    if a["axis"] % parts[0].rank != 1:
        reader.trace.refuse(name, f"joins along axis {a['axis']}, read is the channels'")
    return reader.trace.host(name, "concat", *parts)


def _flatten(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    if a.get("axis", 1) % x.rank != 1:
        reader.trace.refuse(name, f"flattens from axis {a['axis']}, read is 1")
    return reader.trace.flatten(name, x)


def _reshape(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    shape = reader._shape(node.input[0])
    size = int(np.prod(shape))
    wanted = [int(length) for length in reader.constant(name, node, 1)]
    if not a.get("allowzero", 0):
        wanted = [
            shape[axis] if length == 0 and axis < len(shape) else length
            for axis, length in enumerate(wanted)
        ]
    rest = int(np.prod([length for length in wanted if length != -1]))
    wanted = [size // rest if length == -1 and rest else length for length in wanted]
    if tuple(wanted) == shape:
        return x
    if wanted[:2] != [reader.batch, size // reader.batch] or not set(wanted[2:]) <= {1}:
        reader.trace.refuse(name, f"makes {wanted} of {list(shape)}, read is a vector by image")
    return reader.trace.flatten(name, x)


def _squeeze(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    axes = sorted(int(axis) % 4 for axis in reader.constant(name, node, 1, a.get("axes", ())))
    if x.rank != 4 or axes != [2, 3] or reader.trace.shape(x)[1:] != (1, 1):
        reader.trace.refuse(name, "squeezes other axes than a height and width of one pixel")
    return reader.trace.flatten(name, x)


def _pad(reader: _Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    pads = [int(pad) for pad in reader.constant(name, node, 1, a.get("pads", ()))]
    value = reader.constant(name, node, 2, a.get("value", 0.0))
    zeros = a.get("mode", b"constant") == b"constant" and not np.any(value)
    if x.rank != 4 or not zeros or len(pads) != 8 or any(pads[:2] + pads[4:6]):
        reader.trace.refuse(name, "is a Pad other than by zeros around a map")
    return reader.trace.pad(x, (pads[2], pads[3], pads[6], pads[7]))


_OPERATIONS: dict[str, _Operation] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Relu": _relu,
    "Clip": _clip,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _mean,
    "LRN": _lrn,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    "Sum": _sum,
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Pad": _pad,
}


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
