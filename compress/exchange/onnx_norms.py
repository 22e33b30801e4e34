"""Normalisations of ONNX by what an image itself holds, made of means, functions and products."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from compress.exchange.onnx_operands import Attributes, Operands
from compress.exchange.views import Value

_Operation = Callable[[Operands, str, onnx.NodeProto, Attributes], Value]


def softmax(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    """exp(x - max) / sum; what is at an output is better left out."""
    x, axes = at.value(name, node), [a.get("axis", -1)]
    largest = at.trace.reduce(f"{name}.max", "maxpool", x, axes, keep=True)
    less = at.trace.combine(f"{name}.less", "sub", x, largest)
    power = at.trace.function(f"{name}.exp", less, ("x", "exp"))
    mean = at.trace.reduce(f"{name}.mean", "avgpool", power, axes, keep=True)
    count = x.shape[axes[0]]
    share = at.trace.function(f"{name}.share", mean, (1.0, "x", float(count), "mul", "div"))
    return at.trace.combine(name, "mul", power, share)


def _normal(at: Operands, name: str, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon), both over `axes`."""
    mean = at.trace.reduce(f"{name}.mean", "avgpool", x, axes, keep=True)
    less = at.trace.combine(f"{name}.less", "sub", x, mean)
    square = at.trace.function(f"{name}.square", less, ("x", "x", "mul"))
    variance = at.trace.reduce(f"{name}.variance", "avgpool", square, axes, keep=True)
    by = at.trace.function(f"{name}.by", variance, (1.0, "x", epsilon, "add", "sqrt", "div"))
    return at.trace.combine(name, "mul", less, by)


def _scaled(at: Operands, name: str, x: Value, scale: Any, shift: Any) -> Value:
    return at.trace.affine(f"{name}.scale", x, 1.0 if scale is None else scale, shift)


def _layer_norm(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    if any(output for output in node.output[1:]):
        at.trace.refuse(name, "gives its mean or deviation; read is the normalised value alone")
    axes = range(a.get("axis", -1) % len(x.shape), len(x.shape))
    y = _normal(at, name, x, axes, a.get("epsilon", 1e-5))
    return _scaled(at, name, y, at.constant(name, node, 1), at.constant(name, node, 2, 0.0))


def _instance_norm(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    y = _normal(at, name, x, range(2, len(x.shape)), a.get("epsilon", 1e-5))
    shape = (-1, *[1] * (len(x.shape) - 2))
    scale, shift = (np.reshape(at.constant(name, node, number), shape) for number in (1, 2))
    return _scaled(at, name, y, scale, shift)


NORMS: dict[str, _Operation] = {
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
}
