"""The softmax inside a network, made of a maximum, functions, a mean and a product."""

import onnx

from compress.exchange.onnx.operands import Attributes, Operands
from compress.exchange.onnx.views import Value


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
