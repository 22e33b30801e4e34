"""What the ONNX exports share: a graph under construction, attributes of pooling, and scales."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compress.model.graph import CompressedModel, Layer
from compress.model.hostops import HostOp, Shape, pooling_window

_IR_VERSION = 8  # what readers of opset 13 know
_OPSET = 13


class Writer:
    """Collects nodes and constants; methods return the name of what they make.

    A tensor is called like the node of the network that computes it. All other names are made up
    here, none of them twice and none that a node of the network has.
    """

    def __init__(self, source: CompressedModel) -> None:
        self.source = source
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._taken = {"", "input", *(node.name for node in source.nodes)}
        self.names = {node.name: node.name or self.fresh("node") for node in source.nodes}
        self.output = self.fresh("logits")

    def fresh(self, hint: str) -> str:
        """`hint`, or with the first number behind it that makes it new."""
        name, number = hint, 1
        while name in self._taken:
            number += 1
            name = f"{hint}-{number}"
        self._taken.add(name)
        return name

    def node(
        self, op: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """One node with one output, which has the node's name.

        name : of `names`, or `fresh`
        """
        output = name or self.fresh(f"{op}_{len(self._nodes)}")
        self._nodes.append(
            helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def constant(self, values: Any, dtype: Any, hint: str = "") -> str:
        """A tensor, named after `hint`; ones without, of equal type and value, are stored once."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, b"" if hint else array.tobytes())
        if not hint and key in self._shared:
            return self._shared[key]
        name = self.fresh(hint or f"constant_{len(self._constants)}")
        self._constants.append(numpy_helper.from_array(array, name))
        if not hint:
            self._shared[key] = name
        return name

    def model(
        self,
        input_type: int,
        output_shape: Sequence[int],
        batch: int | str = "N",
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """The model from `input` to `output`."""
        shape = self.source.input.shape
        graph = helper.make_graph(
            self._nodes,
            self.source.name or "network",
            [helper.make_tensor_value_info("input", input_type, [batch, *shape])],
            [helper.make_tensor_value_info(self.output, TensorProto.FLOAT, [batch, *output_shape])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="cosign"
        )


def window_attributes(op: HostOp, shape: Shape) -> dict[str, Any]:
    """kernel_shape, strides, pads, and dilations if any, of a pooling over maps of `shape`."""
    window = pooling_window(op.attrs, shape)
    attributes = {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": [*window.padding, *window.end],
    }
    # the average of opset 13 has no dilations
    return attributes | ({"dilations": list(window.dilation)} if window.dilation != (1, 1) else {})


def scales_of(model: CompressedModel) -> dict[str, float]:
    """Real value of one unit of the input and of every node's output."""
    scales = {"input": model.input.scale}
    for node in model.nodes:
        scale = scales[node.inputs[0]]
        if isinstance(node, Layer):
            scale = node.out_scale
        elif "out_scale" in node.attrs:
            scale = node.attrs["out_scale"]
        elif "mul0" in node.attrs:
            scale = _scale_of(node, scales)
            if node.op == "avgpool":
                height, width = pooling_window(node.attrs, model.shapes[node.inputs[0]]).kernel
                scale /= height * width
        scales[node.name] = scale
    return scales


def _scale_of(op: HostOp, scales: dict[str, float]) -> float:
    """That of the input with the largest factor: of much smaller ones little or nothing is left.

    Where all factors are 0 so is the output, whose scale then means nothing.
    """
    if op.op == "mul":
        scale = scales[op.inputs[0]] * scales[op.inputs[1]]
        return scale * 2 ** op.attrs["shift"] / (op.attrs["mul0"] or 1)
    factors = [op.attrs[f"mul{number}"] for number in range(len(op.inputs))]
    largest = int(np.argmax(factors))
    scale = scales[op.inputs[largest]]
    return scale * 2 ** op.attrs["shift"] / factors[largest] if factors[largest] else scale
