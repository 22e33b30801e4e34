"""What each operation of ONNX becomes that reads whole maps: calls of a Tracer."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from compress.exchange.onnx.maps import Pads
from compress.exchange.onnx.operands import Attributes, Operands
from compress.exchange.onnx.views import Value, map_shape
from compress.model.functions import Program
from compress.model.hostops import HostOpName

_Operation = Callable[[Operands, str, onnx.NodeProto, Attributes], Value]
Pair = tuple[int, int]
_FLAT = "use one for pictures or for rows"


def _kernel(at: Operands, name: str, node: onnx.NodeProto) -> np.ndarray:
    """The weights of a convolution, those of rows as of pictures one pixel high: [., ., kh, kw]."""
    weight: np.ndarray = at.constant(name, node, 1)
    if weight.ndim not in (3, 4):
        dimensions = weight.ndim - 2
        at.trace.refuse(
            name, f"is a convolution in {dimensions} dimensions, read are 1 and 2", _FLAT
        )
    return weight if weight.ndim == 4 else weight[:, :, None]


def _pair(given: Sequence[int]) -> Pair:
    """(vertical, horizontal) of an attribute for one axis or two."""
    first, second = given if len(given) == 2 else (1, *given)
    return first, second


def _conv(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x, weight = at.value(name, node), _kernel(at, name, node)
    strides, dilations = (_pair(a.get(key, (1, 1))) for key in ("strides", "dilations"))
    pads = _pads(map_shape(x.shape)[1:], a, weight.shape[2:], strides, dilations)
    bias = at.constant(name, node, 2)
    return at.trace.conv(name, x, weight, bias, strides, pads, dilations, a.get("group", 1))


def _pads(size: Pair, a: Attributes, kernel: Pair, strides: Pair, dilations: Pair = (1, 1)) -> Pads:
    """(above, left, below, right) for maps of `size`, `auto_pad` worked out."""
    automatic = a.get("auto_pad", b"NOTSET").decode()
    if automatic in ("NOTSET", "VALID"):
        given = tuple(a.get("pads", (0, 0, 0, 0)))
        above, left, below, right = given if len(given) == 4 else (0, given[0], 0, given[1])
        return above, left, below, right
    first, last = [], []
    for length, reach, step, spread in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (-(-length // step) - 1) * step + spread * (reach - 1) + 1 - length)
        less, more = total // 2, total - total // 2
        first.append(less if automatic == "SAME_UPPER" else more)
        last.append(more if automatic == "SAME_UPPER" else less)
    return first[0], first[1], last[0], last[1]


def _conv_transpose(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    """The convolution with the turned kernel of a map with zeros between its pixels."""
    x, weight = at.value(name, node), _kernel(at, name, node)
    groups = a.get("group", 1)
    strides, dilations = (_pair(a.get(key, (1, 1))) for key in ("strides", "dilations"))
    extra = (
        _pair(a.get("output_padding", (0, 0)))
        if len(x.shape) == 4
        else (0, a.get("output_padding", (0,))[0])
    )
    if "output_shape" in a or a.get("auto_pad", b"NOTSET") != b"NOTSET":
        at.trace.refuse(name, "pads by the size of its output", "export it with explicit pads")
    given = tuple(a.get("pads", (0, 0, 0, 0)))
    pads = given if len(given) == 4 else (0, given[0], 0, given[1])
    inputs, outputs = weight.shape[:2]
    turned = weight.reshape(groups, inputs // groups, outputs, *weight.shape[2:])
    turned = turned.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
    turned = np.ascontiguousarray(turned).reshape(
        groups * outputs, inputs // groups, *weight.shape[2:]
    )
    places = x.places.reshape(1, *map_shape(x.shape))
    for axis, (step, spread, taps, more) in enumerate(
        zip(strides, dilations, weight.shape[2:], extra, strict=True)
    ):
        length = places.shape[axis + 2]
        stretched = np.zeros_like(
            places, shape=_with(places.shape, axis + 2, (length - 1) * step + 1)
        )
        np.moveaxis(stretched, axis + 2, 0)[::step] = np.moveaxis(places, axis + 2, 0)
        reach = spread * (taps - 1)
        ends = reach - pads[axis], reach - pads[axis + 2] + more
        margin = [(0, 0)] * 4
        margin[axis + 2] = max(0, ends[0]), max(0, ends[1])
        places = np.pad(stretched, margin)
        first, last = max(0, -ends[0]), places.shape[axis + 2] - max(0, -ends[1])
        places = places.take(range(first, last), axis + 2)
    bias = at.constant(name, node, 2)
    y = at.trace.conv(name, Value(x.node, places), turned, bias, dilation=dilations, groups=groups)
    return y if len(x.shape) == 4 else Value(y.node, y.places[:, :, 0])


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _gemm(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    if at.is_constant(node, 0):
        at.trace.refuse(name, "is a Gemm of constant rows", "export it as MatMul")
    x, weight = at.value(name, node), at.constant(name, node, 1)
    if a.get("transA", 0):
        x = Value(x.node, x.places.T)
    weight = weight if a.get("transB", 0) else weight.T
    bias = at.constant(name, node, 2)
    if bias is not None:
        if np.ndim(bias) == 2 and np.shape(bias)[0] > 1:
            at.trace.refuse(name, "adds a different bias to each row")
        bias = np.broadcast_to(np.reshape(bias, -1), len(weight)) * a.get("beta", 1.0)
    return at.trace.linear(name, x, weight * a.get("alpha", 1.0), bias)


def _matmul(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    left = at.is_constant(node, 0)
    x = at.value(name, node, int(left))
    weight = np.asarray(at.constant(name, node, int(not left)))
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    outer = "abcdefgh"[: max(0, len(x.shape) - 2)]
    if weight.ndim - 2 > len(outer):
        at.trace.refuse(name, f"multiplies {len(x.shape)} dimensions by {weight.ndim}")
    shared = outer[len(outer) + 2 - weight.ndim :] if weight.ndim > 2 else ""
    # i is summed over; n are the lines of the value, o those of the constant
    of_x = f"{outer}in"[: len(x.shape)] if left else f"{outer}ni"[-len(x.shape) :]
    of_weight = f"{shared}oi"[-weight.ndim :] if left else f"{shared}io"[: weight.ndim]
    first, second = (of_weight, of_x) if left else (of_x, of_weight)
    result = [letter for letter in first + second if letter != "i" and letter not in outer]
    return _product(at, name, x, of_x, weight, of_weight, outer + "".join(result))


def _einsum(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    equation = a["equation"].decode().replace(" ", "")
    terms, _, result = equation.partition("->")
    letters = terms.split(",")
    if len(letters) != 2 or not result or "." in equation:
        at.trace.refuse(name, f"is the Einsum {equation}; read are those of two, with a result")
    left = at.is_constant(node, 0)
    x, weight = at.value(name, node, int(left)), at.constant(name, node, int(not left))
    return _product(at, name, x, letters[int(left)], weight, letters[int(not left)], result)


def _product(
    at: Operands, name: str, x: Value, of_x: str, weight: np.ndarray, of_weight: str, result: str
) -> Value:
    """Einstein's sum over letters of the axes of a value and of a constant."""
    lines = [letter for letter in of_x if letter not in of_weight]
    groups = [letter for letter in of_x if letter in of_weight and letter in result]
    summed = [letter for letter in of_x if letter in of_weight and letter not in result]
    columns = [letter for letter in of_weight if letter not in of_x]
    if (
        any(len(set(term)) < len(term) for term in (of_x, of_weight, result))
        or sorted(result) != sorted([*lines, *groups, *columns])
        or len(of_x) != len(x.shape)
        or len(of_weight) != weight.ndim
    ):
        at.trace.refuse(name, f"is the product {of_x},{of_weight}->{result}, which is not read")
    sizes = dict(zip(of_x, x.shape, strict=True))
    outer, shared = ([sizes[letter] for letter in part] for part in (lines, groups))
    terms = math.prod(sizes[letter] for letter in summed)
    places = x.places.transpose([of_x.index(letter) for letter in (*lines, *groups, *summed)])
    vectors = Value(x.node, places.reshape(*outer, math.prod(shared), terms))
    turned = weight.transpose([of_weight.index(letter) for letter in (*groups, *columns, *summed)])
    y = at.trace.grouped(name, vectors, turned.reshape(math.prod(shared), -1, terms))
    made = y.places.reshape(*outer, *shared, *turned.shape[len(groups) : turned.ndim - len(summed)])
    letters = [*lines, *groups, *columns]
    return Value(y.node, made.transpose([letters.index(letter) for letter in result]))


def _pool(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    size = map_shape(x.shape)[1:]
    kernel = _pair(a["kernel_shape"])
    strides, dilations = (_pair(a.get(key, (1, 1))) for key in ("strides", "dilations"))
    if len(a["kernel_shape"]) > 2 or any(output for output in node.output[1:]):
        at.trace.refuse(name, "is a pooling in three dimensions, or one that gives indices", _FLAT)
    pads = list(_pads(size, a, kernel, strides, dilations))
    average = node.op_type == "AveragePool"
    exclude = average and not a.get("count_include_pad", 0)
    if average and not exclude and a.get("ceil_mode", 0) and any(pads):
        # padding counts, what hangs over it does not: so that it can be told, it becomes zeros
        above, left, below, right = pads
        margins = ((0, 0),) * (len(x.shape) - 2) + ((above, below), (left, right))
        x = Value(x.node, np.pad(x.places, margins))
        size, last = map_shape(x.shape)[1:], (below, right)
        pads = [0] * 4
    else:
        last = (0, 0)
    if a.get("ceil_mode", 0):
        for axis, length in enumerate(size):
            # a last window that hangs over, unless it would start in the padding
            reach = dilations[axis] * (kernel[axis] - 1) + 1
            rest = (length + pads[axis] + pads[axis + 2] - reach) % strides[axis]
            over = (strides[axis] - rest) % strides[axis]
            starts = length + pads[axis + 2] + over - reach
            if over and starts < length - last[axis]:
                exclude = average
                pads[axis + 2] += over
    where: Pads = (pads[0], pads[1], pads[2], pads[3])
    op: HostOpName = "avgpool" if average else "maxpool"
    return at.trace.pool(name, op, x, kernel, strides, where, dilations, exclude)


def _global_pool(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    op: HostOpName = "avgpool" if node.op_type == "GlobalAveragePool" else "maxpool"
    return at.trace.reduce(name, op, x, range(2, len(x.shape)), keep=True)


def _reduce(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    given = at.constant(name, node, 1, a.get("axes", ()))
    axes = [int(axis) for axis in np.ravel(given)]
    if not axes and a.get("noop_with_empty_axes", 0):
        return x
    return _reduced(at, name, node.op_type, x, axes, bool(a.get("keepdims", 1)))


def _reduced(
    at: Operands, name: str, kind: str, x: Value, axes: Sequence[int], keep: bool
) -> Value:
    before, op, after = _REDUCTIONS[kind]
    if before:
        x = at.trace.function(f"{name}.each", x, before)
    y = at.trace.reduce(name, op, x, axes, keep)
    if op == "avgpool" and kind != "ReduceMean":
        count = x.places.size // max(1, y.places.size)
        y = at.trace.affine(f"{name}.sum", y, float(count), 0.0)
    return at.trace.function(f"{name}.result", y, after) if after else y


def _unit_length(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    length = _reduced(at, name, f"ReduceL{a.get('p', 2)}", x, [a.get("axis", -1)], keep=True)
    return at.trace.combine(name, "div", x, length)


def _lrn(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    if x.shape[0] > 1:
        at.trace.refuse(name, "normalises several images at once, read is one")
    turn = -1 if a["size"] % 2 == 0 else 1  # even windows reach one channel further behind
    y = at.trace.host(
        name,
        "lrn",
        Value(x.node, x.places[:, ::turn]),
        size=a["size"],
        alpha=a.get("alpha", 1e-4),
        beta=a.get("beta", 0.75),
        k=a.get("bias", 1.0),
    )
    return Value(y.node, y.places[:, ::turn])


def _concat(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    parts = []
    for number in range(len(node.input)):
        if at.is_constant(node, number):
            constant = at.constant(name, node, number)
            if np.any(constant):
                at.trace.refuse(name, f"joins the constant {node.input[number]!r}, read are zeros")
            parts.append(at.trace.zeros(np.shape(constant)))
        else:
            parts.append(at.value(name, node, number))
    return at.trace.concat(name, parts, a["axis"])


_NEGATIVE: Program = ("x", "neg")
_SQUARE: Program = ("x", "x", "mul")
# what is done to each number, the largest or the mean of them, and what is done to that
_REDUCTIONS: dict[str, tuple[Program, HostOpName, Program]] = {
    "ReduceL1": (("x", "abs"), "avgpool", ()),
    "ReduceL2": (_SQUARE, "avgpool", ("x", "sqrt")),
    "ReduceMax": ((), "maxpool", ()),
    "ReduceMean": ((), "avgpool", ()),
    "ReduceMin": (_NEGATIVE, "maxpool", _NEGATIVE),
    "ReduceSum": ((), "avgpool", ()),
    "ReduceSumSquare": (_SQUARE, "avgpool", ()),
}
OPERATIONS: dict[str, _Operation] = {
    "AveragePool": _pool,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "LRN": _lrn,
    "MatMul": _matmul,
    "MaxPool": _pool,
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    "LpNormalization": _unit_length,
    **dict.fromkeys(_REDUCTIONS, _reduce),
}
