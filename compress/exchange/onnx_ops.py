"""What each operation of ONNX becomes: calls of a Tracer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from compress.exchange.onnx_operands import Operands
from compress.exchange.tracer import Pads, Value
from compress.model.hostops import HostOpName

_Attributes = dict[str, Any]
_Operation = Callable[[Operands, str, onnx.NodeProto, _Attributes], Value]


def _conv(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x, weight = at.value(name, node), at.constant(name, node, 1)
    if weight.ndim != 4:
        at.trace.refuse(name, f"is a convolution in {weight.ndim - 2} dimensions, read are 2")
    strides, dilations = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    pads = _pads(at, x, a, weight.shape[2:], strides, dilations)
    bias = at.constant(name, node, 2)
    return at.trace.conv(name, x, weight, bias, strides, pads, dilations, a.get("group", 1))


def _pads(
    at: Operands,
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
        at.trace.shape(x)[1:], kernel, strides, dilations, strict=True
    ):
        total = max(0, (-(-length // step) - 1) * step + spread * (reach - 1) + 1 - length)
        less, more = total // 2, total - total // 2
        first.append(less if automatic == "SAME_UPPER" else more)
        last.append(more if automatic == "SAME_UPPER" else less)
    return first[0], first[1], last[0], last[1]


def _gemm(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x, weight = at.value(name, node), at.constant(name, node, 1)
    if a.get("transA", 0) or weight.ndim != 2:
        at.trace.refuse(name, "is a Gemm of a transposed input or of no matrix")
    weight = weight if a.get("transB", 0) else weight.T
    bias = at.constant(name, node, 2)
    if bias is not None:
        bias = np.broadcast_to(np.reshape(bias, -1), len(weight)) * a.get("beta", 1.0)
    return at.trace.linear(name, x, weight * a.get("alpha", 1.0), bias)


def _matmul(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    weight = at.constant(name, node, 1)
    if weight.ndim != 2:
        at.trace.refuse(name, f"multiplies by {weight.ndim} dimensions, read are 2")
    return at.trace.linear(name, at.value(name, node), weight.T, None)


def _relu(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    return at.trace.relu(name, at.value(name, node))


def _clip(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    low, high = (
        float(np.reshape(at.constant(name, node, number, a.get(key, default)), ()))
        for number, key, default in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    if low != 0 or not high > 0:
        at.trace.refuse(name, f"cuts at {low:g} and {high:g}; read is a cut below at 0")
    return at.trace.relu(name, at.value(name, node), high if np.isfinite(high) else None)


def _pool(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = at.value(name, node)
    kernel, strides = tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1)))
    if len(kernel) != 2 or len(node.output) > 1 or set(a.get("dilations", (1,))) != {1}:
        at.trace.refuse(name, "is no plain 2-D pooling")
    pads = list(_pads(at, x, a, kernel, strides))
    average = node.op_type == "AveragePool"
    exclude = average and not a.get("count_include_pad", 0)
    if a.get("ceil_mode", 0):
        for axis, length in enumerate(at.trace.shape(x)[1:]):
            # a last window that hangs over, unless it would start in the padding
            rest = (length + pads[axis] + pads[axis + 2] - kernel[axis]) % strides[axis]
            over = (strides[axis] - rest) % strides[axis]
            starts = length + pads[axis + 2] + over - kernel[axis]
            if over and starts < length:
                if average and not exclude and any(pads):
                    at.trace.refuse(name, "averages padding, in windows that hang over")
                exclude = average
                pads[axis + 2] += over
    where: Pads = (pads[0], pads[1], pads[2], pads[3])
    op: HostOpName = "avgpool" if average else "maxpool"
    return at.trace.pool(name, op, x, kernel, strides, where, exclude)


def _global_average(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = at.value(name, node)
    return at.trace.host(name, "avgpool", x, kernel=0, stride=1, padding=0)


def _mean(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    axes = at.constant(name, node, 1, a.get("axes", ()))
    x = at.value(name, node)
    if x.rank != 4 or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
        at.trace.refuse(name, "is a mean over other axes than a map's height and width")
    y = _global_average(at, name, node, a)
    return y if a.get("keepdims", 1) else at.trace.flatten(f"{name}.flatten", y)


def _lrn(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    if a["size"] % 2 == 0:
        at.trace.refuse(name, f"normalises over {a['size']} channels, read are odd numbers")
    return at.trace.host(
        name,
        "lrn",
        at.value(name, node),
        size=a["size"],
        alpha=a.get("alpha", 1e-4),
        beta=a.get("beta", 0.75),
        k=a.get("bias", 1.0),
    )


def _batch_norm(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    if a.get("training_mode", 0):
        at.trace.refuse(name, "is a BatchNormalization in training; export with training=False")
    gamma, beta, mean, var = (
        np.asarray(at.constant(name, node, number), np.float64) for number in (1, 2, 3, 4)
    )
    scale = gamma / np.sqrt(var + a.get("epsilon", 1e-5))
    return at.trace.affine(name, at.value(name, node), scale, beta - mean * scale)


def _arithmetic(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    """Add of two maps, or Add, Sub, Mul, Div with a constant by channel."""
    computed = [source in at.values for source in node.input]
    if all(computed):
        if node.op_type != "Add":
            at.trace.refuse(name, f"is a {node.op_type} of two maps, which the machine has not")
        first, second = (at.value(name, node, number) for number in (0, 1))
        return at.trace.host(name, "add", first, second)
    x = at.value(name, node, computed.index(True))
    constant = _by_channel(at, name, x, at.constant(name, node, computed.index(False)))
    one, zero = np.ones_like(constant), np.zeros_like(constant)
    if node.op_type == "Add":
        return at.trace.affine(name, x, one, constant)
    if node.op_type == "Mul":
        return at.trace.affine(name, x, constant, zero)
    if node.op_type == "Sub":
        if computed[0]:
            return at.trace.affine(name, x, one, -constant)
        return at.trace.affine(name, x, -one, constant)
    if not computed[0]:
        at.trace.refuse(name, "divides by a map")
    with np.errstate(divide="ignore"):
        return at.trace.affine(name, x, 1 / constant, zero)


def _by_channel(at: Operands, name: str, x: Value, constant: np.ndarray) -> np.ndarray:
    """float64 [C] or [1] of a constant that differs by channel at most."""
    padded = constant.reshape((1,) * (x.rank - constant.ndim) + constant.shape)
    wanted = (1, at.trace.shape(x)[0], *(1,) * (x.rank - 2))
    if padded.shape not in (wanted, (1,) * x.rank):
        at.trace.refuse(
            name, f"combines a map with a constant of {constant.shape}, read is one per channel"
        )
    return padded.reshape(-1).astype(np.float64)


def _sum(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    total = at.value(name, node)
    for number in range(1, len(node.input)):
        total = at.trace.host(name, "add", total, at.value(name, node, number))
    return total


def _concat(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    parts = [at.value(name, node, number) for number in range(len(node.input))]
    if a["axis"] % parts[0].rank != 1:
        at.trace.refuse(name, f"joins along axis {a['axis']}, read is the channels'")
    return at.trace.host(name, "concat", *parts)


def _flatten(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = at.value(name, node)
    if a.get("axis", 1) % x.rank != 1:
        at.trace.refuse(name, f"flattens from axis {a['axis']}, read is 1")
    return at.trace.flatten(name, x)


def _reshape(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = at.value(name, node)
    shape = at.shape(node.input[0])
    size = int(np.prod(shape))
    wanted = [int(length) for length in at.constant(name, node, 1)]
    if not a.get("allowzero", 0):
        wanted = [
            shape[axis] if length == 0 and axis < len(shape) else length
            for axis, length in enumerate(wanted)
        ]
    rest = int(np.prod([length for length in wanted if length != -1]))
    wanted = [size // rest if length == -1 and rest else length for length in wanted]
    if tuple(wanted) == shape:
        return x
    if wanted[:2] != [at.batch, size // at.batch] or not set(wanted[2:]) <= {1}:
        at.trace.refuse(name, f"makes {wanted} of {list(shape)}, read is a vector by image")
    return at.trace.flatten(name, x)


def _squeeze(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = at.value(name, node)
    axes = sorted(int(axis) % 4 for axis in at.constant(name, node, 1, a.get("axes", ())))
    if x.rank != 4 or axes != [2, 3] or at.trace.shape(x)[1:] != (1, 1):
        at.trace.refuse(name, "squeezes other axes than a height and width of one pixel")
    return at.trace.flatten(name, x)


def _pad(at: Operands, name: str, node: onnx.NodeProto, a: _Attributes) -> Value:
    x = at.value(name, node)
    pads = [int(pad) for pad in at.constant(name, node, 1, a.get("pads", ()))]
    value = at.constant(name, node, 2, a.get("value", 0.0))
    zeros = a.get("mode", b"constant") == b"constant" and not np.any(value)
    if x.rank != 4 or not zeros or len(pads) != 8 or any(pads[:2] + pads[4:6]):
        at.trace.refuse(name, "is a Pad other than by zeros around a map")
    return at.trace.pad(x, (pads[2], pads[3], pads[6], pads[7]))


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
