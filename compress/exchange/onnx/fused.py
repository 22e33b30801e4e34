"""Operations that runtimes fuse, and those that ONNX had once, as ONNX's own nodes.

Source: onnxruntime, docs/ContribOperators.md; onnx, docs/Operators.md of release 1.2.
"""

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from compress.exchange.onnx.quantised import Dequantiser, Rule
from compress.exchange.onnx.rewriting import Rewriting, array, attribute, given

_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _activated(at: Rewriting, x: ir.Value, kind: str, numbers: list[float]) -> ir.Value:
    """`kind` of x; `numbers` are its parameters in the order of ONNX."""
    if kind in ("", "Relu", "Tanh", "Sigmoid"):
        return at.op(kind, x) if kind else x
    if kind == "Clip":
        low, high = numbers
        return at.op("Clip", x, at.constant(low), at.constant(high))
    names = ("alpha", "beta")
    return at.op(kind, x, **dict(zip(names, numbers, strict=False)))


def _conv(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """FusedConv(X, W, B, Z): the activation of the convolution and Z."""
    x, weight, bias, other = (*node.inputs, None, None, None)[:4]
    y = at.op("Conv", x, weight, *([bias] if bias is not None else []), **given(node, *_WINDOW))
    if other is not None:
        y = at.op("Add", y, other)
    numbers = list(attribute(node, "activation_params", []))
    at.give(_activated(at, y, attribute(node, "activation", ""), numbers))


def _gemm(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    y = at.op("Gemm", *node.inputs, **given(node, "alpha", "beta", "transA", "transB"))
    kind = attribute(node, "activation", "")
    numbers = [
        node.attributes[name].value
        for name in ("activation_alpha", "activation_beta")
        if name in node.attributes
    ]
    at.give(_activated(at, y, kind, numbers))


def _matmul(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """FusedMatMul: alpha * A' B', where one of them may be transposed."""
    if attribute(node, "transBatchA", 0) or attribute(node, "transBatchB", 0):
        return
    parts = []
    for value, name in zip(node.inputs, ("transA", "transB"), strict=True):
        assert value is not None
        if attribute(node, name, 0):
            if value.shape is None:
                return
            axes = list(range(len(value.shape)))
            value = at.op("Transpose", value, perm=[*axes[:-2], axes[-1], axes[-2]])
        parts.append(value)
    y = at.op("MatMul", *parts)
    alpha = attribute(node, "alpha", 1.0)
    at.give(y if alpha == 1 else at.op("Mul", y, at.constant(alpha)))


def _gelu(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """x (1 + erf(x / sqrt 2)) / 2, or with tanh; BiasGelu and FastGelu add their second input."""
    x = node.inputs[0]
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        x = at.op("Add", x, node.inputs[1])
    if node.op_type == "FastGelu" or attribute(node, "approximate", "none") == "tanh":
        cube = at.op("Mul", at.op("Mul", x, at.op("Mul", x, x)), at.constant(0.044715))
        inner = at.op("Mul", at.op("Add", x, cube), at.constant(math.sqrt(2 / math.pi)))
        inner = at.op("Tanh", inner)
    else:
        inner = at.op("Erf", at.op("Mul", x, at.constant(math.sqrt(0.5))))
    half = at.op("Mul", x, at.constant(0.5))
    at.give(at.op("Mul", half, at.op("Add", inner, at.constant(1))))


def _swish(default: float) -> Rule:
    def rule(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
        """x sigmoid(alpha x)."""
        x, alpha = node.inputs[0], attribute(node, "alpha", default)
        inner = x if alpha == 1 else at.op("Mul", x, at.constant(alpha))
        at.give(at.op("Mul", x, at.op("Sigmoid", inner)))

    return rule


def _affine(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """Scale, Affine and ImageScaler of old opsets: scale x + bias, the bias by channel."""
    scale = attribute(node, "scale", attribute(node, "alpha", 1.0))
    bias: Any = attribute(node, "bias", attribute(node, "beta", 0.0))
    if np.ndim(bias):
        bias = np.reshape(bias, (1, -1, 1, 1))
    at.give(at.op("Add", at.op("Mul", node.inputs[0], at.constant(scale)), at.constant(bias)))


def _scaler(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """Scaler of ONNX-ML: (x - offset) scale, by the last axis."""
    shift = at.op("Sub", node.inputs[0], at.constant(attribute(node, "offset", [0.0])))
    at.give(at.op("Mul", shift, at.constant(attribute(node, "scale", [1.0]))))


def _scaled_tanh(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    inner = at.op("Mul", node.inputs[0], at.constant(attribute(node, "beta", 1.0)))
    at.give(at.op("Mul", at.op("Tanh", inner), at.constant(attribute(node, "alpha", 1.0))))


def _group_norm(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    """InstanceNormalization of the groups, for which ONNX infers a shape."""
    x, scale, shift = node.inputs
    groups, factors, terms = attribute(node, "num_groups", 1), array(scale), array(shift)
    if x is None or x.shape is None or factors is None or terms is None:
        return
    grouped = at.op("Reshape", x, at.constant([0, groups, -1], dtype=np.int64))
    parts = (at.constant(np.ones(groups)), at.constant(np.zeros(groups)))
    normal = at.op("InstanceNormalization", grouped, *parts, **given(node, "epsilon"))
    y = at.op("Reshape", normal, at.op("Shape", x))
    sizes = (-1, *[1] * (len(x.shape) - 2))
    scaled = at.op("Mul", y, at.constant(factors.reshape(sizes), scale))
    at.give(at.op("Add", scaled, at.constant(terms.reshape(sizes), shift)))


FUSED: dict[str, Rule] = {
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "TransposeMatMul": _matmul,
    "GroupNormalization": _group_norm,
    "Gelu": _gelu,
    "BiasGelu": _gelu,
    "FastGelu": _gelu,
    "QuickGelu": _swish(1.702),
    "Swish": _swish(1.0),
    "ImageScaler": _affine,
    "Affine": _affine,
    "Scale": _affine,
    "ScaledTanh": _scaled_tanh,
    "Scaler": _scaler,
}
