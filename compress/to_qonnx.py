"""A compressed model as QONNX, which FINN, hls4ml and Brevitas read: float nodes with Quant nodes.

The network computes real numbers; a Quant node behind every node rounds them to the scale that the
machine has there, half up. Sums are float32 here and exact in the machine, whose factors have 16 bits:
where the two are a rounding error apart from a half, values differ by one unit.
"""

import numpy as np
import onnx
from onnx import TensorProto

from compress.container import CompressedModel, HostOp, Layer
from compress.onnx_writer import Writer, scales_of, shapes_of, window_attributes

_DOMAIN = "qonnx.custom_op.general"


def to_qonnx(model: CompressedModel) -> onnx.ModelProto:
    """The model; its input `input` is the normalised image, its output `logits`, both float32.

    A weight of n bits is in -2^(n-1)..2^(n-1): it takes n + 1 bits there, since zero is one of its
    values (8 bits at n = 8).
    """
    return _Qonnx(model).convert()


class _Qonnx(Writer):
    def __init__(self, model: CompressedModel) -> None:
        super().__init__()
        self.source = model
        self.shapes, self.scales = shapes_of(model), scales_of(model)
        self.values: dict[str, str] = {}

    def convert(self) -> onnx.ModelProto:
        self.values["input"] = self._quant("input", self.source.input.scale, "input.quantized")
        for node in self.source.nodes:
            make = self._layer if isinstance(node, Layer) else self._host
            self.values[node.name] = make(node)  # type: ignore[operator]
        last = self.source.nodes[-1].name
        channels, height, width = self.shapes[last]
        shape: tuple[int, ...] = (channels, height, width)
        if height == width == 1:
            shape = (channels,)
            self.node("Flatten", self.values[last], name="logits", axis=1)
        else:
            self.node("Identity", self.values[last], name="logits")
        return self.model(self.source, TensorProto.FLOAT, "logits", shape, (_DOMAIN,))

    def _layer(self, layer: Layer) -> str:
        g = layer.geometry
        levels = layer.dense_levels().astype(np.float32) * np.float32(layer.q)
        shape = (g.out_channels, g.in_channels // g.groups, *g.kernel)
        name = f"{layer.name}.weight"
        weight = self._quant(
            self.constant(levels.reshape(shape), np.float32, name),
            layer.q,
            f"{name}.quantized",
            bits=min(layer.bits + 1, 8),
            narrow=True,
        )
        bias = layer.bias * (layer.in_scale * layer.q)
        y = self.node(
            "Conv",
            self.values[layer.input],
            weight,
            self.constant(bias, np.float32, f"{layer.name}.bias"),
            strides=list(g.stride),
            pads=[*g.padding, *g.padding],
            dilations=list(g.dilation),
            group=g.groups,
            kernel_shape=list(g.kernel),
        )
        return self._activation(y, layer.out_scale, layer.relu, layer.name)

    def _host(self, op: HostOp) -> str:
        inputs = [self.values[source] for source in op.inputs]
        shape = self.shapes[op.inputs[0]]
        scale = self.scales[op.name]
        if op.op == "maxpool":
            return self.node("MaxPool", inputs[0], name=op.name, **window_attributes(op, shape))
        if op.op == "flatten":
            return self.node(
                "Reshape", inputs[0], self.constant([0, -1, 1, 1], np.int64), name=op.name
            )
        if op.op == "avgpool":
            y = self.node(
                "AveragePool",
                inputs[0],
                count_include_pad=int(not op.attrs["exclude"]),
                **window_attributes(op, shape),
            )
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
        return self._activation(y, scale, relu, op.name)

    def _activation(self, y: str, scale: float, relu: bool, name: str) -> str:
        """-128..127 units, behind a ReLU 0..127."""
        if not relu:
            return self._quant(y, scale, name)
        return self._quant(self.node("Relu", y), scale, name, bits=7, signed=False)

    def _quant(
        self,
        x: str,
        scale: float,
        name: str,
        bits: int = 8,
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
