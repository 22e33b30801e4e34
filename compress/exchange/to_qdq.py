"""A compressed model as QDQ ONNX whose every value is that of the integer model.

Weights and maps are int8 between QuantizeLinear and DequantizeLinear nodes, as runtimes expect;
where activations have fewer bits, a Clip before QuantizeLinear keeps them within those.
Their scale is 1: convolutions then add integers, which float32 does exactly below 2^24 (a layer
that could exceed it is split into sums that cannot), while with real scales it rounds. What
follows, (acc * mul + 2^(shift-1)) >> shift, is computed in float64, exact below 2^53;
QuantizeLinear on its own would round halves to even, in float32. The input is uint8 pixels, the
output float32 logits.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto

from compress.exchange.onnx_writer import (
    Writer,
    per_filter,
    pixels_inside,
    scales_of,
    window_attributes,
)
from compress.model.activations import bounds, lowest
from compress.model.graph import CompressedModel, InputSpec, Layer
from compress.model.hostops import HostOp, Shape, pooling_window

_EXACT = 1 << 24  # integers up to here are float32


def to_qdq(model: CompressedModel) -> onnx.ModelProto:
    """The model; its input `input` is uint8 [N, C, H, W], its output `logits` [N, classes, ...].

    Further outputs, and one where a node of the network is called logits, are logits-2, logits-3...
    """
    return _Qdq(model).convert()


class _Qdq(Writer):
    def __init__(self, model: CompressedModel) -> None:
        super().__init__(model)
        self.shapes, self.scales = model.shapes, scales_of(model)
        self.values: dict[str, str] = {}  # int8 map of each node

    def convert(self) -> onnx.ModelProto:
        self.values["input"] = self._input(self.source.input)
        for node in self.source.nodes:
            if isinstance(node, Layer):
                self.values[node.name] = self._layer(node)
            else:
                self.values[node.name] = self._host(node)
        outputs = [self._output(name) for name in self.source.outputs]
        return self.model(TensorProto.UINT8, outputs)

    def _output(self, node: str) -> tuple[str, tuple[int, ...]]:
        """The real values of a node: (name, shape)."""
        made, shape = self.values[node], self.shapes[node]
        flat = shape[1:] == (1, 1)
        if flat:
            made = self.node("Flatten", made, axis=1)
        scale = self.constant(self.scales[node], np.float32)
        name = self.node("DequantizeLinear", made, scale, self._zero(), name=self.fresh("logits"))
        return name, shape[:1] if flat else shape

    def _input(self, spec: InputSpec) -> str:
        """A pixel's int8 value is looked up, in a table by channel."""
        channels = spec.shape[0]
        every = np.arange(256, dtype=np.uint8).reshape(1, 1, 1, 256).repeat(channels, axis=1)
        table = self.constant(spec.quantize(every).reshape(-1), np.int8, "pixel_table")
        offsets = np.arange(channels).reshape(1, channels, 1, 1) * 256
        where = self.node(
            "Add",
            self.node("Cast", "input", to=TensorProto.INT32),
            self.constant(offsets, np.int32),
        )
        return self.node("Gather", table, where, axis=0)

    def _layer(self, layer: Layer) -> str:
        g, own = layer.geometry, self.names[layer.name]
        levels = layer.dense_levels()
        largest = int(np.abs(levels.astype(np.int64)).sum(axis=1).max()) * -lowest(layer.act_bits)
        parts = -(-largest // (_EXACT - 1)) or 1
        x = self._real(self.values[layer.input])
        sums = []
        for part in range(parts):
            # every `parts`-th column of a filter
            kept = np.zeros_like(levels)
            kept[:, part::parts] = levels[:, part::parts]
            shape = (g.out_channels, g.in_channels // g.groups, *g.kernel)
            name = f"{own}.levels" + (f".{part}" if parts > 1 else "")
            weight = self._real(self.constant(kept.reshape(shape), np.int8, name))
            acc = self.node(
                "Conv",
                x,
                weight,
                strides=list(g.stride),
                pads=[*g.padding, *g.padding],
                dilations=list(g.dilation),
                group=g.groups,
            )
            sums.append(self._double(acc))
        total = self.constant(layer.bias.reshape(1, -1, 1, 1), np.float64, f"{own}.bias")
        for acc in sums:
            total = self.node("Add", acc, total)
        mul, shift = per_filter(layer.mul, 2), per_filter(layer.shift, 2)
        return self._requantize(total, mul, shift, layer.relu, own)

    def _host(self, op: HostOp) -> str:
        a, own = op.attrs, self.names[op.name]
        inputs = [self.values[source] for source in op.inputs]
        shape = self.shapes[op.inputs[0]]
        if op.op == "maxpool":
            return self.node("MaxPool", inputs[0], name=own, **window_attributes(op, shape))
        if op.op == "flatten":
            column = self.constant([0, -1, 1, 1], np.int64)
            return self.node("Reshape", inputs[0], column, name=own)
        if op.op == "take":
            return self.taken(inputs[0], op.layout, shape, self._zero(), own)
        if op.op == "permute":
            return self.permuted(inputs[0], op.layout, own)
        if op.op == "function":
            return self._function(op, inputs[0])
        shift = int(a.get("shift", 0))
        if op.op == "avgpool":
            factors = self._factors(op, shape)
            total = self.node("Mul", self._double(self._window_sum(op, inputs[0], shape)), factors)
            return self._requantize(total, 1, shift, False, own)
        doubles = [self._double(x) for x in inputs]
        if op.op == "lrn":
            return self._lrn(op, doubles[0], shape)
        if op.op == "concat":
            scaled = [
                self._requantize(x, int(a[f"mul{number}"]), shift, False)
                for number, x in enumerate(doubles)
            ]
            return self.node("Concat", *scaled, name=own, axis=1)
        if op.op == "relu":
            return self._requantize(doubles[0], int(a["mul0"]), shift, True, own)
        if op.op == "mul":
            product = self.node("Mul", *doubles)
            return self._requantize(product, int(a["mul0"]), shift, False, own)
        terms = [
            self.node("Mul", x, self.constant(a[f"mul{number}"], np.float64))
            for number, x in enumerate(doubles)
        ]
        return self._requantize(self.node("Add", *terms), 1, shift, bool(a["relu"]), own)

    def _function(self, op: HostOp, x: str) -> str:
        """A value's place in its table, or in its channel's."""
        tables = np.frombuffer(op.table, np.int8)
        zero = -lowest(op.act_bits)  # its place
        first = np.arange(zero, len(tables), op.entries).reshape(1, -1, 1, 1)
        where = self.node(
            "Add", self.node("Cast", x, to=TensorProto.INT32), self.constant(first, np.int32)
        )
        table = self.constant(tables, np.int8, f"{self.names[op.name]}.table")
        return self.node("Gather", table, where, axis=0, name=self.names[op.name])

    def _window_sum(self, op: HostOp, x: str, shape: Shape) -> str:
        """A depthwise convolution by ones."""
        attributes = window_attributes(op, shape)
        kernel = attributes.pop("kernel_shape")
        ones = self._real(
            self.constant(np.ones((shape[0], 1, *kernel)), np.int8, f"{self.names[op.name]}.ones")
        )
        return self.node("Conv", self._real(x), ones, group=shape[0], **attributes)

    def _factors(self, op: HostOp, shape: Shape) -> str:
        """float64 [1, 1, Ho, Wo]: mul0, or with `exclude` mul0 * k / n rounded half up."""
        mul = int(op.attrs["mul0"])
        if not op.attrs["exclude"]:
            return self.constant(mul, np.float64)
        n = pixels_inside(op, shape)
        k = math.prod(pooling_window(op.attrs, shape).kernel)
        return self.constant((2 * mul * k + n) // (2 * n), np.float64)

    def _lrn(self, op: HostOp, x: str, shape: Shape) -> str:
        """x / (k + alpha / size * sum of squares over channels) ** beta, in float64."""
        a, size, channels = op.attrs, int(op.attrs["size"]), shape[0]

        def number(value: float) -> str:
            return self.constant(value, np.float64)

        def whole(value: int) -> str:
            return self.constant([value], np.int64)

        real = self.node("Mul", x, number(a["in_scale"]))
        pads = [0, size // 2, 0, 0, 0, (size - 1) // 2, 0, 0]
        squares = self.node(
            "Pad", self.node("Mul", real, real), self.constant(pads, np.int64), number(0)
        )
        slices = [
            self.node("Slice", squares, whole(first), whole(first + channels), whole(1))
            for first in range(size)
        ]
        total = slices[0]
        for part in slices[1:]:
            total = self.node("Add", total, part)
        base = self.node("Add", self.node("Mul", total, number(a["alpha"] / size)), number(a["k"]))
        norm = self.node("Div", real, self.node("Pow", base, number(a["beta"])))
        scaled = self.node("Div", norm, number(a["out_scale"]))
        return self._clamped(self.node("Add", scaled, number(0.5)), False, self.names[op.name])

    def _requantize(
        self, acc: str, mul: int | np.ndarray, shift: int | np.ndarray, relu: bool, name: str = ""
    ) -> str:
        """clamp((acc * mul + 2^(shift-1)) >> shift) of a float64 map, to int8."""
        if np.any(mul != 1):
            acc = self.node("Mul", acc, self.constant(mul, np.float64))
        exponent = np.asarray(shift, np.int64)
        acc = self.node("Add", acc, self.constant(np.ldexp(1.0, exponent - 1), np.float64))
        acc = self.node("Mul", acc, self.constant(np.ldexp(1.0, -exponent), np.float64))
        return self._clamped(acc, relu, name)

    def _clamped(self, real: str, relu: bool, name: str) -> str:
        ends = bounds(self.source.act_bits, relu)
        low, high = (self.constant(value, np.float64) for value in ends)
        whole = self.node("Clip", self.node("Floor", real), low, high)
        single = self.node("Cast", whole, to=TensorProto.FLOAT)
        return self.node("QuantizeLinear", single, self._one(), self._zero(), name=name)

    def _real(self, x: str) -> str:
        return self.node("DequantizeLinear", x, self._one(), self._zero())

    def _double(self, x: str) -> str:
        return self.node("Cast", x, to=TensorProto.DOUBLE)

    def _one(self) -> str:
        return self.constant(1.0, np.float32)

    def _zero(self) -> str:
        return self.constant(0, np.int8)
