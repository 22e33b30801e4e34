"""Functions of one number, as activations are: written down, evaluated, tabulated.

A `Program` is in postfix order: "x" is the argument, a number is itself, a tuple of numbers has one
for each channel, every other word takes one or two values from the stack and leaves one. x times
sigmoid(x) is ("x", "x", "sigmoid", "mul").
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from compress.model import activations

Program = tuple[str | float | tuple[float, ...], ...]

ARITIES = {
    **dict.fromkeys(("add", "sub", "mul", "div", "max", "min", "pow"), 2),
    **dict.fromkeys(
        ("neg", "abs", "sign", "exp", "log", "sqrt", "tanh", "sigmoid", "erf", "softplus"), 1
    ),
    **dict.fromkeys(("round", "floor", "ceil", "sin", "cos", "atan"), 1),
}
_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(np.multiply(x, 0.5)),
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "round": np.rint,
    "floor": np.floor,
    "ceil": np.ceil,
    "sin": np.sin,
    "cos": np.cos,
    "atan": np.arctan,
}


def evaluate(
    program: Iterable[Any],
    x: Any,
    words: Mapping[str, Callable[..., Any]] = _NUMPY,
    by_channel: Callable[[tuple[float, ...]], Any] = lambda numbers: np.reshape(
        numbers, (-1, 1, 1)
    ),
) -> Any:
    """The function's values at `x`, numpy or whatever `words` compute with.

    by_channel : makes an operand of one number for each channel; by default for [..., C, H, W]
    """
    stack: list[Any] = []
    for item in program:
        if isinstance(item, str) and item != "x":
            count = ARITIES[item]
            operands = stack[-count:]
            del stack[-count:]
            stack.append(words[item](*operands))
        elif isinstance(item, tuple):
            stack.append(by_channel(item))
        else:
            stack.append(x if item == "x" else item)
    (result,) = stack
    return result


def channels(program: Program) -> int:
    """For how many channels the program has numbers; 1 when it is the same for all."""
    return max((len(item) for item in program if isinstance(item, tuple)), default=1)


def composed(outer: Program, inner: Program) -> Program:
    """outer(inner(x))."""
    return tuple(part for item in outer for part in (inner if item == "x" else (item,)))


def table(program: Program, in_scale: float, out_scale: float, act_bits: int = 8) -> bytes:
    """int8 [2**act_bits], or [channels, 2**act_bits], as bytes: outputs of all inputs, the least
    first.

    clamp(floor(f(x * in_scale) / out_scale + 1/2)), in float64; 0 where the function has no value,
    as the square root of what its input never is.
    """
    low, high = activations.bounds(act_bits)
    x = np.arange(low, high + 1) * in_scale
    with np.errstate(all="ignore"):
        y = evaluate(program, x, by_channel=lambda numbers: np.reshape(numbers, (-1, 1)))
        y = np.floor(np.broadcast_to(y, (channels(program), len(x))) / out_scale + 0.5)
    return np.clip(np.nan_to_num(y, nan=0.0), low, high).astype(np.int8).tobytes()
