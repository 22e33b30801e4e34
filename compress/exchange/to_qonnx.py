"""A compressed model as QONNX, which FINN, hls4ml and Brevitas read: float nodes with Quant nodes.

The network computes real numbers; a Quant node behind every node rounds them to the scale that the
machine has there, half up. Sums are float32 here and exact in the machine, whose factors have 16
bits: where that decides a rounding, values differ by one unit. The batch is 1, as FINN wants it.
"""

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
from compress.model.activations import lowest
from compress.model.graph import CompressedModel, Layer
from compress.model.hostops import HostOp, Shape

_DOMAIN = "qonnx.custom_op.general"


def to_qonnx(model: CompressedModel) -> onnx.ModelProto:
    """The model; its input `input` is the normalised image, its output `logits`, both float32.

    Further outputs, and one where a node of the network is called logits, are logits-2, logits-3...

    A weight of n bits is in -2^(n-1)..2^(n-1): it takes n + 1 bits there, since zero is one of its
    values (8 bits at n = 8).
    """
    return _Qonnx(model).convert()


class _Qonnx(Writer):
    def __init__(self, model: CompressedModel) -> None:
        super().__init__(model)
        self.shapes, self.scales = model.shapes, scales_of(model)
        self.values: dict[str, str] = {}
        self.flat: set[str] = set()  # tensors of rank 2

    def convert(self) -> onnx.ModelProto:
        self.values["input"] = self._quant(
            "input",
            self.source.input.scale,
            self.fresh("input.quantized"),
            self.source.act_bits,
        )
        for node in self.source.nodes:
            made = self._layer(node) if isinstance(node, Layer) else self._host(node)
            self.values[node.name] = made
        outputs = [self._output(name) for name in self.source.outputs]
        return self.model(TensorProto.FLOAT, outputs, batch=1, domains=(_DOMAIN,))

    def _output(self, node: str) -> tuple[str, Shape | tuple[int]]:
        """(name, shape)."""
        made, shape = self.values[node], self.shapes[node]
        if shape[1:] == (1, 1):
            made = self._flat(made, shape)
        name = self.node("Identity", made, name=self.fresh("logits"))
        return name, shape[:1] if made in self.flat else shape

    def _flat(self, x: str, shape: Shape, name: str = "") -> str:
        """[1, C * H * W] of a map."""
        if x in self.flat:
            return x
        x = self.node("Reshape", x, self.constant([1, int(np.prod(shape))], np.int64), name=name)
        self.flat.add(x)
        return x

    def _map(self, x: str, shape: Shape) -> str:
        """[1, C, H, W] of a map or vector."""
        if x not in self.flat:
            return x
        return self.node("Reshape", x, self.constant([1, *shape], np.int64))

    def _layer(self, layer: Layer) -> str:
        g, own = layer.geometry, self.names[layer.name]
        weights = layer.dense_weights()
        linear = g.kind == "linear"
        if linear:
            weights = np.ascontiguousarray(weights.T)
        else:
            weights = weights.reshape(g.out_channels, g.in_channels // g.groups, *g.kernel)
        name = f"{own}.weight"
        weight = self._quant(
            self.constant(weights, np.float32, name),
            per_filter(layer.q, 0 if linear else 3),
            self.fresh(f"{name}.quantized"),
            bits=min(layer.bits + 1, 8),
            narrow=True,
        )
        bias = self.constant(layer.bias * layer.unit, np.float32, f"{own}.bias")
        x, shape = self.values[layer.input], self.shapes[layer.input]
        if linear:
            y = self.node("Add", self.node("MatMul", self._flat(x, shape), weight), bias)
            self.flat.add(y)
            return self._activation(y, layer.out_scale, layer.relu, own)
        y = self.node(
            "Conv",
            self._map(x, shape),
            weight,
            bias,
            strides=list(g.stride),
            pads=[*g.padding, *g.padding],
            dilations=list(g.dilation),
            group=g.groups,
            kernel_shape=list(g.kernel),
        )
        return self._activation(y, layer.out_scale, layer.relu, own)

    def _host(self, op: HostOp) -> str:
        shape = self.shapes[op.inputs[0]]
        scale, own = self.scales[op.name], self.names[op.name]
        if op.op == "flatten":
            return self._flat(self.values[op.inputs[0]], shape, own)
        inputs = [self._map(self.values[source], self.shapes[source]) for source in op.inputs]
        if op.op == "maxpool":
            return self.node("MaxPool", inputs[0], name=own, **window_attributes(op, shape))
        if op.op == "take":
            return self.taken(inputs[0], op.layout, shape, self.constant(0, np.float32), own)
        if op.op == "permute":
            return self.permuted(inputs[0], op.layout, own)
        if op.op == "avgpool":
            y = self._average(op, inputs[0], shape)
        elif op.op == "function":
            y = self._function(op, inputs[0])
        elif op.op == "mul":
            y = self.node("Mul", *inputs)
        elif op.op == "lrn":
            a = op.attrs
            y = self.node(
                "LRN", inputs[0], size=int(a["size"]), alpha=a["alpha"], beta=a["beta"], bias=a["k"]
            )
        elif op.op == "concat":
            y = self.node("Concat", *inputs, axis=1)
        elif op.op == "add":
            y = self.node("Add", *inputs)
        else:
            y = inputs[0]
        relu = op.op == "relu" or bool(op.attrs.get("relu", 0))
        return self._activation(y, scale, relu, own)

    def _average(self, op: HostOp, x: str, shape: Shape) -> str:
        attributes = window_attributes(op, shape)
        if "dilations" not in attributes:
            counted = int(not op.attrs["exclude"])
            return self.node("AveragePool", x, count_include_pad=counted, **attributes)
        # a depthwise convolution by ones, over how many of them meet no padding
        kernel = attributes["kernel_shape"]
        ones = self.constant(np.ones((shape[0], 1, *kernel)), np.float32)
        total = self.node("Conv", x, ones, group=shape[0], **attributes)
        pixels = np.full((1, 1, 1, 1), np.prod(kernel))
        if op.attrs["exclude"]:
            pixels = pixels_inside(op, shape)
        return self.node("Div", total, self.constant(pixels, np.float32))

    def _function(self, op: HostOp, x: str) -> str:
        """A value's place in its table of real values, or in its channel's."""
        tables = np.frombuffer(op.table, np.int8)
        zero = -lowest(op.act_bits)  # its place
        first = np.arange(zero, len(tables), op.entries).reshape(1, -1, 1, 1)
        units = self.node("Div", x, self.constant(self.scales[op.inputs[0]], np.float32))
        whole = self.node("Cast", self.node("Round", units), to=TensorProto.INT64)
        where = self.node("Add", whole, self.constant(first, np.int64))
        real = tables * np.float32(self.scales[op.name])
        table = self.constant(real, np.float32, f"{self.names[op.name]}.table")
        return self.node("Gather", table, where, axis=0)

    def _activation(self, y: str, scale: float, relu: bool, name: str) -> str:
        """Of act_bits, behind a ReLU of one less without a sign."""
        if relu:
            bits = self.source.act_bits - 1
            made = self._quant(self.node("Relu", y), scale, name, bits, signed=False)
        else:
            made = self._quant(y, scale, name, self.source.act_bits)
        if y in self.flat:
            self.flat.add(made)
        return made

    def _quant(
        self,
        x: str,
        scale: float | np.ndarray,
        name: str,
        bits: int,
        signed: bool = True,
        narrow: bool = False,
    ) -> str:
        return self.node(
            "Quant",
            x,
            self.constant(scale, np.float32),
            self.constant(0, np.float32),
            self.constant(bits, np.float32),
            name=name,
            domain=_DOMAIN,
            signed=int(signed),
            narrow=int(narrow),
            rounding_mode="HALF_UP",
        )
