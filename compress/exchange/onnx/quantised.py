"""Quantised ONNX models as float ones: the integers of a graph are read as the numbers they mean.

Weights become the numbers that their integers stand for. An activation of 8 bits or more is left
as it is, and the step that the file gives it is told; where its range begins at 0, as after a ReLU
that an exporter took away, a Clip stays. Fewer bits are kept exactly, as Div, Round, Clip and Mul.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from compress.exchange.onnx.grids import (
    Grid,
    along,
    dequantised,
    limits,
)
from compress.exchange.onnx.rewriting import Rewriting, array, attribute

# operations that only move integers, or choose among them
_MOVING = {
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Expand", "Tile"),
    *("MaxPool", "GlobalMaxPool", "Slice", "Split", "Gather", "DepthToSpace", "SpaceToDepth"),
    *("Concat", "Pad", "ArgMax", "ReduceMax", "Resize"),
}
# operations that give nothing below zero of what is not below zero
_SIGN_KEEPING = {
    *_MOVING,
    *("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Add", "Mul", "Sum", "Max"),
    *("Round", "Floor", "Ceil", "Min", "Sqrt", "Div"),
}
_POSITIVE = {"Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs", "Exp", "Softplus"}
_INTEGERS = ("u", "i", "V")  # numpy's kinds; ml_dtypes' short integers are of kind V

Rule = Callable[["Dequantiser", ir.Node, Rewriting], None]


class Dequantiser:
    """Goes through a model's nodes once, its constants being folded.

    `steps` is the unit of every value that lost a quantisation; `notes` is what to say. A node
    whose parameters are not constant yet is left. Every graph output must come from an Identity.
    """

    def __init__(self, model: ir.Model, rules: Mapping[str, Rule]) -> None:
        self.graph, self.rules = model.graph, rules
        self.steps: dict[ir.Value, float] = {}
        self.notes: dict[str, None] = {}
        # by a value of integers: the value of what they mean, and the grid of both
        self.integers: dict[ir.Value, tuple[ir.Value, Grid]] = {}
        self.waiting: dict[ir.Value, tuple[ir.Value, Grid]] = {}  # what Clips make narrower

    def run(self) -> None:
        for node in list(self.graph):
            rule = self.rules.get(node.op_type)
            if rule is not None:
                rule(self, node, Rewriting(node))
            elif any(value in self.integers for value in node.inputs):
                self.read(node, Rewriting(node))

    # what integers mean

    def grid(
        self,
        node: ir.Node,
        number: int,
        like: ir.Value | None = None,
        axis: int = 1,
        signed: bool = False,
    ) -> Grid | None:
        """Of the scale at input `number` and the zero after it; None where these are computed."""
        scale, zero = _input(node, number), _input(node, number + 1)
        return self.grid_of(scale, zero, like, axis, signed)

    def grid_of(
        self,
        scale: ir.Value | None,
        zero: ir.Value | None,
        like: ir.Value | None = None,
        axis: int = 1,
        signed: bool = False,
    ) -> Grid | None:
        """Of a scale and a zero; those by channel along `axis` need a value of known rank."""
        scales, zeros = array(scale), array(zero)
        if scales is None or (zero is not None and zeros is None):
            return None
        dtype = np.dtype(np.int8 if signed else np.uint8) if zeros is None else zeros.dtype
        if dtype.kind not in _INTEGERS or "float" in dtype.name:
            return None
        low, high = limits(dtype)
        zeros = np.zeros(()) if zeros is None else zeros
        if scales.size > 1:
            if like is None or like.shape is None:
                return None
            shape = np.empty([1] * len(like.shape))
            scales, zeros = (along(part, shape, axis) for part in (scales, zeros))
        else:
            scales, zeros = scales.reshape(()), zeros.reshape(-1)[:1].reshape(())
        return Grid(scales.astype(np.float64), zeros.astype(np.float64), low, high)

    def real(self, at: Rewriting, value: ir.Value, grid: Grid) -> ir.Value:
        """What the integers of a value mean in a grid."""
        constant = array(value)
        if constant is not None:
            numbers = (constant.astype(np.float32) - grid.zero) * grid.scale
            return at.constant(numbers, value)
        known = self.integers.get(value)
        if known is not None:
            meant, own = known
            if own.same(grid):
                return meant
            value = self._numbers(at, meant, own)
        elif value.dtype is not None and value.dtype != ir.DataType.FLOAT:
            value = at.op("Cast", value, to=ir.DataType.FLOAT.value)
        if grid.zero.any():
            value = at.op("Sub", value, at.constant(grid.zero))
        if (grid.scale != 1).any():
            value = at.op("Mul", value, at.constant(grid.scale))
        return value

    def numbers(self, at: Rewriting, node: ir.Node, number: int) -> ir.Value:
        """Input `number` as the integers themselves."""
        value = node.inputs[number]
        assert value is not None
        return self._numbers(at, *self.integers[value]) if value in self.integers else value

    def dynamic(self) -> None:
        """Says once that a quantisation by each image's own range is left out."""
        self.notes["activations are not quantised by each image's own range, as the file does"] = (
            None
        )

    def _numbers(self, at: Rewriting, value: ir.Value, grid: Grid) -> ir.Value:
        """The integers themselves of what they mean."""
        value = at.op("Div", value, at.constant(grid.scale))
        return at.op("Add", value, at.constant(grid.zero)) if grid.zero.any() else value

    def rounded(self, at: Rewriting, x: ir.Value, grid: Grid, mode: str = "ROUND") -> ir.Value:
        """A value as its quantisation leaves it."""
        if grid.fine:
            top = float(grid.scale.max()) * grid.above
            # a bound above the grid's: an exporter left a Clip out, since the grid does the same
            if grid.below == 0 and (not _never_negative(x) or 1.001 * top < _largest(x) < np.inf):
                x = at.op("Clip", x, at.constant(0), at.constant(top))
            if grid.plain:
                self.steps[x] = max(grid.unit, self.steps.get(x, 0.0))
            return x
        x = at.op("Div", x, at.constant(grid.scale))
        if grid.zero.any():
            x = at.op("Add", x, at.constant(grid.zero))
        x = at.op("Clip", _rounding(at, x, mode), at.constant(grid.low), at.constant(grid.high))
        if grid.zero.any():
            x = at.op("Sub", x, at.constant(grid.zero))
        return at.op("Mul", x, at.constant(grid.scale))

    def quantise(self, at: Rewriting, node: ir.Node, x: ir.Value, grid: Grid) -> None:
        """Ends a node that gives `x` in integers of a grid."""
        output = node.outputs[0]
        uses = [use.node for use in output.uses()]
        if uses and all(_narrows(reader) for reader in uses):
            self.waiting[output] = (x, grid)
            return
        self.integers[output] = (self.rounded(at, x, grid), grid)

    # what reads integers

    def read(self, node: ir.Node, at: Rewriting) -> None:
        """A node of integers that are known by what they mean."""
        known = [self.integers[value] for value in node.inputs if value in self.integers]
        grid = known[0][1]
        if node.op_type not in _MOVING or not all(own.same(grid) for _, own in known):
            for number, value in enumerate(node.inputs):
                if value in self.integers:
                    node.replace_input_with(number, self._numbers(at, *self.integers[value]))
            return
        inputs = [
            self.integers[value][0] if value in self.integers else value for value in node.inputs
        ]
        if node.op_type == "Concat":
            inputs = [
                meant if value in self.integers or value is None else self.real(at, value, grid)
                for meant, value in zip(inputs, node.inputs, strict=True)
            ]
        if node.op_type == "Pad" and attribute(node, "mode", "constant") == "constant":
            filler = array(_input(node, 2))
            meant_by = ((0 if filler is None else filler) - grid.zero) * grid.scale
            inputs[2:3] = [at.constant(meant_by)]
        if node.op_type in ("ArgMax", "Identity"):  # the latter is an output of the graph
            for number, value in enumerate(inputs):
                node.replace_input_with(number, value)
        if node.op_type == "Identity":
            output = node.outputs[0]
            output.dtype = ir.DataType.FLOAT
            self.notes[f"the integers of the output {output.name!r} are read as what they mean"] = (
                None
            )
        elif node.op_type != "ArgMax":
            made = at.copy(*inputs)
            at.call(made[0])
            for old, new in zip(node.outputs, made, strict=True):
                self.integers[old] = (new, grid)


def _never_negative(x: ir.Value, depth: int = 20) -> bool:
    """Whether a value is known to be 0 or more; an image quantised from 0 on is."""
    constant = array(x)
    if constant is not None:
        return bool((constant >= 0).all())
    node = x.producer()
    if node is None:
        return True
    if node.op_type in _POSITIVE:
        return True
    if node.op_type == "Clip":
        low = array(_input(node, 1))
        return low is not None and bool((low >= 0).all())
    if depth == 0 or node.op_type not in _SIGN_KEEPING:
        return False
    known = (_never_negative(part, depth - 1) for part in _parts(node))
    return any(known) if node.op_type == "Max" else all(known)


def _largest(x: ir.Value, depth: int = 20) -> float:
    """The bound that a Clip gave a value, perhaps moved since; infinite where there is none."""
    node = x.producer()
    if node is not None and node.op_type == "Clip":
        high = array(_input(node, 2))
        return np.inf if high is None else float(high.max())
    if node is None or depth == 0 or node.op_type not in _MOVING:
        return np.inf
    return max((_largest(part, depth - 1) for part in _parts(node)), default=np.inf)


def _parts(node: ir.Node) -> list[ir.Value]:
    """What an operation computes with: of one that moves values, not where to."""
    first = node.op_type in _MOVING and node.op_type != "Concat"
    return [part for part in (node.inputs[:1] if first else node.inputs) if part is not None]


def _input(node: ir.Node, number: int) -> ir.Value | None:
    return node.inputs[number] if number < len(node.inputs) else None


def _narrows(node: ir.Node) -> bool:
    """Whether it is a Clip between constants."""
    return node.op_type == "Clip" and all(
        value is None or value.const_value is not None for value in node.inputs[1:]
    )


def _rounding(at: Rewriting, x: ir.Value, mode: str) -> ir.Value:
    kinds = {"ROUND": "Round", "HALF_EVEN": "Round", "CEIL": "Ceil", "FLOOR": "Floor"}
    if mode in kinds:
        return at.op(kinds[mode], x)
    size, kind, shift = at.op("Abs", x), "Floor", 0.0
    if mode in ("UP", "HALF_DOWN"):
        kind = "Ceil"
    if mode in ("HALF_UP", "HALF_DOWN"):
        shift = 0.5 if mode == "HALF_UP" else -0.5
        size = at.op("Add", size, at.constant(shift))
    return at.op("Mul", at.op("Sign", x), at.op(kind, size))


# ONNX's own operations


def _quantize(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x = node.inputs[0]
    axis = attribute(node, "axis", 1)
    assert x is not None
    kind = attribute(node, "output_dtype", 0)
    if attribute(node, "block_size", 0):
        return
    grid = of.grid(node, 1, like=x, axis=axis, signed=kind == ir.DataType.INT8)
    if grid is None:
        return
    constant = array(x)
    if constant is None:
        of.quantise(at, node, x, grid)
        return
    q = np.clip(np.rint(constant / grid.scale) + grid.zero, grid.low, grid.high)
    zero = array(_input(node, 2))
    at.give(at.constant(q, x, dtype=np.int32 if zero is None else zero.dtype))


def _dequantize(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x, scale, zero = node.inputs[0], _input(node, 1), _input(node, 2)
    assert x is not None
    axis = attribute(node, "axis", 1)
    q, scales = array(x), array(scale)
    if scales is None or (zero is not None and array(zero) is None):
        return
    if q is not None:
        block = attribute(node, "block_size", 0)
        at.give(at.constant(dequantised(q, scales, array(zero), axis, block), x))
        return
    grid = of.grid(node, 1, like=x, axis=axis)
    if grid is not None:
        at.give(of.real(at, x, grid))


def _clip(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x = node.inputs[0]
    if x in of.waiting:
        value, grid = of.waiting[x]
        low, high = (array(_input(node, number)) for number in (1, 2))
        grid = grid.within(
            -np.inf if low is None else float(low), np.inf if high is None else float(high)
        )
        of.integers[node.outputs[0]] = (of.rounded(at, value, grid), grid)
    elif x in of.integers:
        of.read(node, at)


def _dynamic(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x = node.inputs[0]
    assert x is not None
    of.dynamic()
    at.give(x, at.constant(1), at.constant(0, dtype=np.uint8))


QUANTISED: dict[str, Rule] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Clip": _clip,
    "DynamicQuantizeLinear": _dynamic,
}
