"""Operations of ONNX that compute number by number: functions, and arithmetic."""

import math
from collections.abc import Callable

import numpy as np
import onnx

from compress.exchange.onnx.operands import Attributes, Operands
from compress.exchange.onnx.views import Value
from compress.model.functions import Program

_Operation = Callable[[Operands, str, onnx.NodeProto, Attributes], Value]

# Gamma and alpha of Selu, and everything else that ONNX's operator schemas give as defaults
_SELU = 1.67326319217681884765625, 1.05070102214813232421875


def _programs(a: Attributes) -> dict[str, Program]:
    """By operation, its function with the attributes `a`."""
    alpha, gamma = a.get("alpha"), a.get("gamma", _SELU[1])

    def below(factor: Program, scale: float = 1.0) -> Program:
        """max(x, 0) + min(factor, 0), times scale."""
        return (*("x", 0.0, "max"), *factor, 0.0, "min", "add", scale, "mul")

    def exponential(slope: float, width: float = 1.0) -> Program:
        return ("x", 0.0, "min", width, "div", "exp", 1.0, "sub", slope, "mul")

    leak = 0.01 if alpha is None else alpha
    slope = 1.0 if alpha is None else alpha
    unit: Program = (0.0, "max", 1.0, "min")
    steep = (0.2 if alpha is None else alpha), a.get("beta", 0.5)
    tanh_of = (math.sqrt(2 / math.pi), 0.044715)
    return {
        "Sigmoid": ("x", "sigmoid"),
        "Tanh": ("x", "tanh"),
        "Softplus": ("x", "softplus"),
        "Softsign": ("x", "x", "abs", 1.0, "add", "div"),
        "Erf": ("x", "erf"),
        "Exp": ("x", "exp"),
        "Log": ("x", "log"),
        "Sqrt": ("x", "sqrt"),
        "Abs": ("x", "abs"),
        "Sign": ("x", "sign"),
        "Floor": ("x", "floor"),
        "Ceil": ("x", "ceil"),
        "Round": ("x", "round"),
        "Sin": ("x", "sin"),
        "Cos": ("x", "cos"),
        "Atan": ("x", "atan"),
        "Reciprocal": (1.0, "x", "div"),
        "LeakyRelu": ("x", 0.0, "max", "x", 0.0, "min", leak, "mul", "add"),
        "Elu": below(exponential(slope)),
        "Celu": below(exponential(slope, slope)),
        "Selu": below(exponential(_SELU[0] if alpha is None else alpha), gamma),
        "HardSigmoid": ("x", steep[0], "mul", steep[1], "add", *unit),
        "HardSwish": ("x", "x", 6.0, "div", 0.5, "add", *unit, "mul"),
        "Mish": ("x", "x", "softplus", "tanh", "mul"),
        "Swish": ("x", "x", slope, "mul", "sigmoid", "mul"),
        "Gelu": (
            ("x", 0.5, "mul", "x", math.sqrt(0.5), "mul", "erf", 1.0, "add", "mul")
            if a.get("approximate", b"none") == b"none"
            else (
                *("x", 0.5, "mul", "x", "x", "x", "mul", "x", "mul", tanh_of[1], "mul", "add"),
                *(tanh_of[0], "mul", "tanh", 1.0, "add", "mul"),
            )
        ),
        "ThresholdedRelu": ("x", "x", slope, "sub", "sign", 0.0, "max", "mul"),
    }


FUNCTIONS = tuple(_programs({}))


def _function(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    program = _programs(a)[node.op_type]
    return at.trace.function(name, x, program)


def _neg(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    return at.trace.affine(name, at.value(name, node), -1.0, 0.0)


def _relu(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    return at.trace.relu(name, at.value(name, node))


def _prelu(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    x = at.value(name, node)
    slopes = at.trace.by_channel(name, x, at.constant(name, node, 1))
    return at.trace.function(name, x, ("x", 0.0, "max", "x", 0.0, "min", slopes, "mul", "add"))


def _clip(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    low, high = (
        float(np.reshape(at.constant(name, node, number, default), ()))
        for number, default in ((1, -np.inf), (2, np.inf))
    )
    return _cut(at, name, at.value(name, node), low, high)


def _cut(at: Operands, name: str, x: Value, low: float, high: float) -> Value:
    """min(max(x, low), high)."""
    if low == 0 and high > 0:
        return at.trace.relu(name, x, high if math.isfinite(high) else None)
    program: Program = ("x",)
    if math.isfinite(low):
        program += (low, "max")
    if math.isfinite(high):
        program += (high, "min")
    return x if program == ("x",) else at.trace.function(name, x, program)


def _extreme(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    """Max or Min of any number of values and constants."""
    word = node.op_type.lower()
    computed = [
        at.value(name, node, number)
        for number in range(len(node.input))
        if not at.is_constant(node, number)
    ]
    total = computed[0]
    for other in computed[1:]:
        total = at.trace.combine(name, word, total, other)
    for number in range(len(node.input)):
        if at.is_constant(node, number):
            constant = at.constant(name, node, number)
            bound = at.trace.by_channel(name, total, constant)
            if isinstance(bound, float):
                low, high = (bound, np.inf) if word == "max" else (-np.inf, bound)
                total = _cut(at, name, total, low, high)
            else:
                total = at.trace.function(name, total, ("x", bound, word))
    return total


def _arithmetic(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    """Add, Sub, Mul, Div of two values, or of one and a constant."""
    fixed = [at.is_constant(node, number) for number in (0, 1)]
    op = node.op_type.lower()
    if not any(fixed):
        x, y = at.value(name, node, 0), at.value(name, node, 1)
        return at.trace.combine(name, op, x, y)
    number = fixed.index(False)
    x = at.value(name, node, number)
    constant = np.asarray(at.constant(name, node, 1 - number), np.float64)
    if op == "add":
        return at.trace.affine(name, x, 1.0, constant)
    if op == "mul":
        return at.trace.affine(name, x, constant, 0.0)
    if op == "sub":
        scale, shift = (1.0, -constant) if number == 0 else (-1.0, constant)
        return at.trace.affine(name, x, scale, shift)
    if number == 1:
        above = at.trace.by_channel(name, x, constant)
        return at.trace.function(name, x, (above, "x", "div"))
    with np.errstate(divide="ignore"):
        return at.trace.affine(name, x, 1 / constant, 0.0)


def _pow(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    exponent = at.constant(name, node, 1)
    if np.size(exponent) != 1:
        at.trace.refuse(name, "has an exponent by pixel, read is one for all")
    power = float(np.ravel(exponent)[0])
    return at.trace.function(name, at.value(name, node), ("x", power, "pow"))


def _sum(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    total = at.value(name, node)
    for number in range(1, len(node.input)):
        total = at.trace.combine(name, "add", total, at.value(name, node, number))
    share = 1 / len(node.input) if node.op_type == "Mean" else 1.0
    return at.trace.affine(f"{name}.mean", total, share, 0.0)


# of x - y: 1 where the comparison holds, else 0
_COMPARISONS: dict[str, Program] = {
    "Greater": ("x", "sign", 0.0, "max"),
    "Less": ("x", "neg", "sign", 0.0, "max"),
    "GreaterOrEqual": (1.0, "x", "neg", "sign", 0.0, "max", "sub"),
    "LessOrEqual": (1.0, "x", "sign", 0.0, "max", "sub"),
    "Equal": (1.0, "x", "sign", "abs", "sub"),
}


def _comparison(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    return at.trace.function(name, _difference(at, name, node), _COMPARISONS[node.op_type])


def _difference(at: Operands, name: str, node: onnx.NodeProto) -> Value:
    """Of the inputs, without rounding before it is compared."""
    less = f"{name}.less"
    for number, scale in ((0, 1.0), (1, -1.0)):
        if at.is_constant(node, 1 - number):
            constant = np.asarray(at.constant(name, node, 1 - number), np.float64)
            x = at.value(name, node, number)
            bound = at.trace.by_channel(name, x, constant)
            return at.trace.function(less, x, ("x", scale, "mul", bound, scale, "mul", "sub"))
    return at.trace.combine(less, "sub", at.value(name, node, 0), at.value(name, node, 1))


def _not(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    return at.trace.function(name, at.value(name, node), (1.0, "x", "sub"))


def _both(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    word = "mul" if node.op_type == "And" else "max"
    return at.trace.combine(name, word, at.value(name, node, 0), at.value(name, node, 1))


def _where(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    """What is chosen where a comparison holds, and what is elsewhere, each times 0 or 1."""
    chosen = at.value(name, node)
    rest = at.trace.function(f"{name}.not", chosen, (1.0, "x", "sub"))
    parts = []
    for number, mask in ((1, chosen), (2, rest)):
        if at.is_constant(node, number):
            constant = np.asarray(at.constant(name, node, number), np.float64)
            if not np.isfinite(constant).all():
                at.trace.refuse(name, "chooses numbers that are not finite")
            numbers = at.trace.by_channel(name, mask, constant)
            parts.append(at.trace.function(f"{name}.{number}", mask, ("x", numbers, "mul")))
        else:
            other = at.value(name, node, number)
            parts.append(at.trace.combine(f"{name}.{number}", "mul", other, mask))
    return at.trace.combine(name, "add", *parts)


def _batch_norm(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    if a.get("training_mode", 0):
        at.trace.refuse(
            name, "is a BatchNormalization in training", "export it with training=False"
        )
    x = at.value(name, node)
    gamma, beta, mean, var = (
        np.asarray(at.constant(name, node, number), np.float64).reshape(
            -1, *[1] * (len(x.shape) - 2)
        )
        for number in (1, 2, 3, 4)
    )
    scale = gamma / np.sqrt(var + a.get("epsilon", 1e-5))
    return at.trace.affine(name, x, scale, beta - mean * scale)


def _normalised(at: Operands, name: str, x: Value, axes: list[int], epsilon: float) -> Value:
    """x less its mean over axes, divided by its deviation, computed for each image."""
    mean = at.trace.reduce(f"{name}.mean", "avgpool", x, axes, keep=True)
    centred = at.trace.combine(f"{name}.centred", "sub", x, mean)
    square = at.trace.function(f"{name}.square", centred, ("x", "x", "mul"))
    variance = at.trace.reduce(f"{name}.variance", "avgpool", square, axes, keep=True)
    inverse: Program = (1.0, "x", epsilon, "add", "sqrt", "div")
    scale = at.trace.function(f"{name}.scale", variance, inverse)
    return at.trace.combine(f"{name}.scaled", "mul", centred, scale)


def _normalisation(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> Value:
    """Of each channel, or of the last axes; then scaled and shifted."""
    x, epsilon = at.value(name, node), a.get("epsilon", 1e-5)
    scale, shift = at.constant(name, node, 1), at.constant(name, node, 2, 0.0)
    by_channel = (-1, *[1] * (len(x.shape) - 2))
    if node.op_type == "LayerNormalization":
        first = a.get("axis", -1) % len(x.shape)
        y = _normalised(at, name, x, list(range(first, len(x.shape))), epsilon)
        return at.trace.affine(name, y, scale, shift)
    y = _normalised(at, name, x, list(range(2, len(x.shape))), epsilon)
    return at.trace.affine(name, y, np.reshape(scale, by_channel), np.reshape(shift, by_channel))


ELEMENTWISE: dict[str, _Operation] = {
    **dict.fromkeys(FUNCTIONS, _function),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("Max", "Min"), _extreme),
    **dict.fromkeys(_COMPARISONS, _comparison),
    **dict.fromkeys(("And", "Or"), _both),
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization"), _normalisation),
    "Clip": _clip,
    "Neg": _neg,
    "Not": _not,
    "PRelu": _prelu,
    "Pow": _pow,
    "Relu": _relu,
    **dict.fromkeys(("Sum", "Mean"), _sum),
    "Where": _where,
}
