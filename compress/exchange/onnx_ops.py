"""What each operation of ONNX becomes: calls of a Tracer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from compress.exchange.importing import Pads, Value
from compress.model.hostops import HostOpName

if TYPE_CHECKING:
    from compress.exchange.onnx_import import Reader

_Attributes = dict[str, Any]
_Operation = Callable[["Reader", str, onnx.NodeProto, _Attributes], Value]


def _conv(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x, weight = reader.value(name, node), reader.constant(name, node, 1)
    if weight.ndim != 4:
        reader.trace.refuse(name, f"is a convolution in {weight.ndim - 2} dimensions, read are 2")
    strides, dilations = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    pads = _pads(reader, x, a, weight.shape[2:], strides, dilations)
    bias = reader.constant(name, node, 2)
    return reader.trace.conv(name, x, weight, bias, strides, pads, dilations, a.get("group", 1))


def _pads(
    reader: Reader,
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


def _gemm(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x, weight = reader.value(name, node), reader.constant(name, node, 1)
    if a.get("transA", 0) or weight.ndim != 2:
        reader.trace.refuse(name, "is a Gemm of a transposed input or of no matrix")
    weight = weight if a.get("transB", 0) else weight.T
    bias = reader.constant(name, node, 2)
    if bias is not None:
        bias = np.broadcast_to(np.reshape(bias, -1), len(weight)) * a.get("beta", 1.0)
    return reader.trace.linear(name, x, weight * a.get("alpha", 1.0), bias)


def _matmul(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    weight = reader.constant(name, node, 1)
    if weight.ndim != 2:
        reader.trace.refuse(name, f"multiplies by {weight.ndim} dimensions, read are 2")
    return reader.trace.linear(name, reader.value(name, node), weight.T, None)


def _relu(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    return reader.trace.relu(name, reader.value(name, node))


def _clip(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    low, high = (
        float(np.reshape(reader.constant(name, node, number, a.get(key, default)), ()))
        for number, key, default in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    if low != 0 or not high > 0:
        reader.trace.refuse(name, f"cuts at {low:g} and {high:g}; read is a cut below at 0")
    return reader.trace.relu(name, reader.value(name, node), high if np.isfinite(high) else None)


def _pool(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
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


def _global_average(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    return reader.trace.host(name, "avgpool", x, kernel=0, stride=1, padding=0)


def _mean(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    axes = reader.constant(name, node, 1, a.get("axes", ()))
    x = reader.value(name, node)
    if x.rank != 4 or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
        reader.trace.refuse(name, "is a mean over other axes than a map's height and width")
    y = _global_average(reader, name, node, a)
    return y if a.get("keepdims", 1) else reader.trace.flatten(f"{name}.flatten", y)


def _lrn(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
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


def _batch_norm(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    if a.get("training_mode", 0):
        reader.trace.refuse(name, "is a BatchNormalization in training; export with training=False")
    gamma, beta, mean, var = (
        np.asarray(reader.constant(name, node, number), np.float64) for number in (1, 2, 3, 4)
    )
    scale = gamma / np.sqrt(var + a.get("epsilon", 1e-5))
    return reader.trace.affine(name, reader.value(name, node), scale, beta - mean * scale)


def _arithmetic(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
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


def _by_channel(reader: Reader, name: str, x: Value, constant: np.ndarray) -> np.ndarray:
    """float64 [C] or [1] of a constant that differs by channel at most."""
    padded = constant.reshape((1,) * (x.rank - constant.ndim) + constant.shape)
    wanted = (1, reader.trace.shape(x)[0], *(1,) * (x.rank - 2))
    if padded.shape not in (wanted, (1,) * x.rank):
        reader.trace.refuse(
            name, f"combines a map with a constant of {constant.shape}, read is one per channel"
        )
    return padded.reshape(-1).astype(np.float64)


def _sum(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    total = reader.value(name, node)
    for number in range(1, len(node.input)):
        total = reader.trace.host(name, "add", total, reader.value(name, node, number))
    return total


def _concat(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    parts = [reader.value(name, node, number) for number in range(len(node.input))]
    if a["axis"] % parts[0].rank != 1:
        reader.trace.refuse(name, f"joins along axis {a['axis']}, read is the channels'")
    return reader.trace.host(name, "concat", *parts)


def _flatten(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    if a.get("axis", 1) % x.rank != 1:
        reader.trace.refuse(name, f"flattens from axis {a['axis']}, read is 1")
    return reader.trace.flatten(name, x)


def _reshape(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    shape = reader.shape(node.input[0])
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


def _squeeze(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    axes = sorted(int(axis) % 4 for axis in reader.constant(name, node, 1, a.get("axes", ())))
    if x.rank != 4 or axes != [2, 3] or reader.trace.shape(x)[1:] != (1, 1):
        reader.trace.refuse(name, "squeezes other axes than a height and width of one pixel")
    return reader.trace.flatten(name, x)


def _pad(reader: Reader, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = reader.value(name, node)
    pads = [int(pad) for pad in reader.constant(name, node, 1, a.get("pads", ()))]
    value = reader.constant(name, node, 2, a.get("value", 0.0))
    zeros = a.get("mode", b"constant") == b"constant" and not np.any(value)
    if x.rank != 4 or not zeros or len(pads) != 8 or any(pads[:2] + pads[4:6]):
        reader.trace.refuse(name, "is a Pad other than by zeros around a map")
    return reader.trace.pad(x, (pads[2], pads[3], pads[6], pads[7]))


OPERATIONS: dict[str, _Operation] = {
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
