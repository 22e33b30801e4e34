"""What QLinearConv, ConvInteger and their like compute, in real numbers.

Source: the operators of ONNX and of onnxruntime's domain com.microsoft (docs/ContribOperators.md).
"""

from typing import Any

import numpy as np
import onnx_ir as ir

from compress.exchange.onnx.grids import along, dequantised
from compress.exchange.onnx.quantised import Dequantiser, Rule
from compress.exchange.onnx.rewriting import Rewriting, array, attribute, given

_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class _Unknown(Exception):
    """A scale or zero point is not constant (yet)."""


def _rule(compute: Any) -> Rule:
    def rule(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
        try:
            compute(of, node, at)
        except _Unknown:
            return

    return rule


def _operand(
    of: Dequantiser, at: Rewriting, node: ir.Node, number: int, axis: int | None = None
) -> ir.Value:
    """The real value of input `number`, whose scale and zero come next (or by `places`)."""
    return _quantity(of, at, node, (number, number + 1, number + 2), axis)


def _quantity(
    of: Dequantiser,
    at: Rewriting,
    node: ir.Node,
    places: tuple[int, int, int],
    axis: int | None = None,
) -> ir.Value:
    value, scale, zero = (
        node.inputs[place] if place < len(node.inputs) else None for place in places
    )
    assert value is not None
    scales = array(scale)
    if scales is None or (zero is not None and array(zero) is None):
        raise _Unknown
    q = array(value)
    if q is not None:
        return at.constant(dequantised(q, scales, array(zero), _axis(q, axis)), value)
    grid = of.grid_of(scale, zero, like=value, axis=1)
    if grid is None:
        raise _Unknown
    return of.real(at, value, grid)


def _axis(q: np.ndarray, axis: int | None) -> int:
    return q.ndim - 1 if axis is None else axis


def _bias(
    at: Rewriting, node: ir.Node, number: int, scales: tuple[int, int], factor: float = 1.0
) -> ir.Value | None:
    """Integers at input `number` times the product of two scales."""
    value = node.inputs[number] if number < len(node.inputs) else None
    if value is None:
        return None
    q, first, second = (array(part) for part in (value, *(node.inputs[n] for n in scales)))
    if q is None or first is None or second is None:
        raise _Unknown
    step = first.astype(np.float64).reshape(-1) * second.astype(np.float64).reshape(-1) * factor
    return at.constant(q.astype(np.float64) * step, value)


def _result(of: Dequantiser, at: Rewriting, node: ir.Node, value: ir.Value, number: int) -> None:
    """Ends a node whose output has the scale at input `number` and the zero after it."""
    grid = of.grid(node, number)
    if grid is None:
        raise _Unknown
    at.call(value)
    of.quantise(at, node, value, grid)


_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _maps_first(at: Rewriting, node: ir.Node, x: ir.Value) -> ir.Value:
    """Channels before height and width, for a node that may want them last."""
    if attribute(node, "channels_last", 0):
        return at.op("Transpose", x, perm=_TO_CHANNELS_FIRST)
    return x


def _maps_as_were(at: Rewriting, node: ir.Node, y: ir.Value) -> ir.Value:
    if attribute(node, "channels_last", 0):
        return at.op("Transpose", y, perm=_TO_CHANNELS_LAST)
    return y


def _conv(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x = _maps_first(at, node, _operand(of, at, node, 0))
    weight = _operand(of, at, node, 3, axis=0)
    bias = _bias(at, node, 8, (1, 4))
    y = at.op("Conv", x, weight, *([bias] if bias else []), **given(node, *_WINDOW))
    _result(of, at, node, _maps_as_were(at, node, y), 6)


def _matmul(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    y = at.op("MatMul", _operand(of, at, node, 0), _operand(of, at, node, 3))
    _result(of, at, node, y, 6)


def _binary(kind: str) -> Rule:
    def compute(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
        y = at.op(kind, _operand(of, at, node, 0), _operand(of, at, node, 3))
        _result(of, at, node, y, 6)

    return _rule(compute)


def _unary(kind: str, *attributes: str) -> Rule:
    def compute(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
        x = _maps_first(at, node, _operand(of, at, node, 0))
        y = at.op(kind, x, **given(node, *attributes))
        _result(of, at, node, _maps_as_were(at, node, y), 3)

    return _rule(compute)


def _reduce_mean(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    axes = at.constant(attribute(node, "axes", []), dtype=np.int64)
    y = at.op("ReduceMean", _operand(of, at, node, 0), axes, **given(node, "keepdims"))
    _result(of, at, node, y, 3)


def _concat(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    parts = [_operand(of, at, node, number) for number in range(2, len(node.inputs), 3)]
    _result(of, at, node, at.op("Concat", *parts, axis=attribute(node, "axis", 1)), 0)


def _gemm(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    alpha = attribute(node, "alpha", 1.0)
    weight = _operand(of, at, node, 3, axis=0 if attribute(node, "transB", 0) else 1)
    bias = _bias(at, node, 6, (1, 4), alpha)
    parts = [_operand(of, at, node, 0), weight, *([bias] if bias else [])]
    y = at.op("Gemm", *parts, alpha=alpha, **given(node, "transA", "transB"))
    if len(node.inputs) > 7 and node.inputs[7] is not None:
        _result(of, at, node, y, 7)
    else:
        at.give(y)


def _integers(
    of: Dequantiser, at: Rewriting, node: ir.Node, number: int, zero: int, axis: int
) -> ir.Value:
    """Integers of input `number` less their zero at input `zero`."""
    value = of.numbers(at, node, number)
    zeros = array(node.inputs[zero]) if zero < len(node.inputs) else None
    if zero < len(node.inputs) and node.inputs[zero] is not None and zeros is None:
        raise _Unknown
    q = array(value)
    zeros = np.zeros(()) if zeros is None else zeros.astype(np.float32)
    if q is not None:
        return at.constant(q.astype(np.float32) - along(zeros, q, axis), value)
    return at.op("Sub", value, at.constant(zeros)) if zeros.any() else value


def _conv_integer(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x, weight = _integers(of, at, node, 0, 2, 1), _integers(of, at, node, 1, 3, 0)
    at.give(at.op("Conv", x, weight, **given(node, *_WINDOW)))


def _matmul_integer(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x, weight = _integers(of, at, node, 0, 2, 0), _integers(of, at, node, 1, 3, 1)
    at.give(at.op("MatMul", x, weight))


def _matmul_to_float(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """MatMulIntegerToFloat(A, B, a_scale, b_scale, a_zero, b_zero, bias)."""
    y = at.op(
        "MatMul",
        _quantity(of, at, node, (0, 2, 4)),
        _quantity(of, at, node, (1, 3, 5)),
    )
    bias = node.inputs[6] if len(node.inputs) > 6 else None
    at.give(at.op("Add", y, bias) if bias is not None else y)


def _dynamic_matmul(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """DynamicQuantizeMatMul(A, B, b_scale, b_zero, bias)."""
    y = at.op("MatMul", node.inputs[0], _quantity(of, at, node, (1, 2, 3)))
    bias = node.inputs[4] if len(node.inputs) > 4 else None
    of.dynamic()
    at.give(at.op("Add", y, bias) if bias is not None else y)


QLINEAR: dict[str, Rule] = {
    "QLinearConv": _rule(_conv),
    "QLinearMatMul": _rule(_matmul),
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _unary("Softmax", "axis"),
    "QLinearLeakyRelu": _unary("LeakyRelu", "alpha"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearAveragePool": _unary(
        "AveragePool",
        "auto_pad",
        "ceil_mode",
        "count_include_pad",
        "kernel_shape",
        "pads",
        "strides",
    ),
    "QLinearReduceMean": _rule(_reduce_mean),
    "QLinearConcat": _rule(_concat),
    "QGemm": _rule(_gemm),
    "ConvInteger": _rule(_conv_integer),
    "MatMulInteger": _rule(_matmul_integer),
    "MatMulIntegerToFloat": _rule(_matmul_to_float),
    "DynamicQuantizeMatMul": _rule(_dynamic_matmul),
}
