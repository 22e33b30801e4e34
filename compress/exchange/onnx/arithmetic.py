"""What a foreign graph computes number by number: scales, shifts and functions.

- A scale and shift by channel (BatchNorm, Mul, Add, Sub, Div by constants) becomes a depthwise
  1 x 1 convolution, which `fusing` folds into a layer beside it where it can.
- A ReLU is a node, until it goes into the layer or addition before it.
- Whatever else is computed from one number alone becomes a function node, however many nodes it
  was: x times the sigmoid of x is one.
"""

import math
from dataclasses import replace

import numpy as np

from compress.exchange.onnx.canvas import Canvas
from compress.exchange.onnx.views import Value, in_order
from compress.model.functions import Program, composed, evaluate

_MOST_SCALES = 1 << 16  # of numbers that are scaled each by its own


class Arithmetic(Canvas):
    """Operations on values, number by number."""

    def affine(
        self, name: str, x: Value, scale: np.ndarray | float, shift: np.ndarray | float
    ) -> Value:
        """scale * x + shift; both of a shape that broadcasts to that of x, or x to theirs."""
        scale, shift = np.asarray(scale), np.asarray(shift)
        x = self._spread(x, np.broadcast_shapes(scale.shape, shift.shape))
        if not (x.places > 0).all() and shift.any():
            x = self._settled(name, x)
        whole = self._by_number(x, scale, 1.0), self._by_number(x, shift, 0.0)
        if whole[0] is None or whole[1] is None:
            x = self._settled(name, x)
            whole = self._by_number(x, scale, 1.0), self._by_number(x, shift, 0.0)
        scales, shifts = (np.asarray(part) for part in whole)
        if np.all(scales == 1) and not shifts.any():
            return x
        single = np.ptp(scales) == 0 and np.ptp(shifts) == 0
        if single and not self._is_layer(x.node):  # into which it would go
            program: Program = ("x", float(scales.flat[0]), "mul", float(shifts.flat[0]), "add")
            return self.function(name, x, program)
        channels = self.source(x)[0]
        flat = [part.reshape(channels, -1) for part in (scales, shifts)]
        node = x.node
        if all(np.all(part == part[:, :1]) for part in flat):
            scales, shifts = (part[:, 0] for part in flat)
        elif scales.size <= _MOST_SCALES:
            node = self._node(name, node, in_order((scales.size, 1, 1)))
            channels = scales.size
        else:
            self.refuse(name, "scales or shifts pixels of one channel differently")
        made = self._make(
            name, self._build.conv, channels, 1, groups=channels, relu=False, source=node
        )
        self._graph.affine.add(made)
        self._weigh(made, scales.reshape(channels, 1, 1, 1), shifts.reshape(-1))
        if node == x.node:
            numbers = [
                float(part[0]) if np.ptp(part) == 0 else tuple(part.tolist())
                for part in (scales, shifts.reshape(-1))
            ]
            self._derived[made] = node, ("x", numbers[0], "mul", numbers[1], "add")
        return replace(x, node=made)

    def relu(self, name: str, x: Value, top: float | None = None) -> Value:
        """Rectified, and cut at `top`."""
        program: Program = ("x", 0.0, "max") + (() if top is None else (top, "min"))
        if self._is_function(x.node):
            return self.function(name, x, program)
        made = self._make(name, self._build.host, "relu", x.node, top=top)
        self._derived[made] = x.node, program
        return replace(x, node=made)

    def function(self, name: str, x: Value, program: Program) -> Value:
        """A function of each number."""
        if not (x.places > 0).all() and np.any(evaluate(program, np.zeros(1)) != 0):
            x = self._settled(name, x)
        node = x.node
        if self._is_function(node):
            node, inner = self._derived[node]
            program = composed(program, inner)
        made = self._make(name, self._build.host, "function", node, program=program)
        self._derived[made] = node, program
        return replace(x, node=made)

    def by_channel(self, name: str, x: Value, numbers: np.ndarray) -> tuple[float, ...] | float:
        """Constants that broadcast to `x` as an operand of a program for its node."""
        whole = self._by_number(self._spread(x, np.shape(numbers)), numbers, 0.0)
        flat = np.reshape([] if whole is None else whole, (self.source(x)[0], -1))
        if not flat.size or np.any(flat != flat[:, :1]):
            self.refuse(name, "has constants that differ within a channel")
        return float(flat[0, 0]) if np.ptp(flat) == 0 else tuple(flat[:, 0].tolist())

    def negative(self, name: str, x: Value) -> Value:
        return self.affine(f"{name}.negative", x, -1.0, 0.0)

    def _is_function(self, node: str) -> bool:
        return node != "input" and self._graph.nodes[node].op == "function"

    def _is_layer(self, node: str) -> bool:
        return node in self._graph.weights

    def _by_number(self, x: Value, numbers: np.ndarray, rest: float) -> np.ndarray | None:
        """`numbers`, which broadcast to x, for each number of its node; `rest` where x has none.

        None where x repeats a number and these differ.
        """
        wanted = np.broadcast_to(np.asarray(numbers, np.float64), x.shape)
        filled = x.places > 0
        whole = np.full(math.prod(self.source(x)), rest)
        whole[x.places[filled] - 1] = wanted[filled]
        return whole if np.array_equal(whole[x.places[filled] - 1], wanted[filled]) else None
