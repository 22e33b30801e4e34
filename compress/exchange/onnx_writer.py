"""What the ONNX exports share: a graph under construction, and the attributes of pooling."""

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
    """Collects nodes and constants; methods return the name of what they make."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(
        self, op: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """One node with one output, which has the node's name."""
        output = name or f"{op}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def constant(self, values: Any, dtype: Any, name: str = "") -> str:
        """A tensor; unnamed ones of equal type and value are stored once."""
        array = np.asarray(values, dtype)
        name = name or f"{array.dtype}_{array.tobytes().hex()}_{len(array.shape)}"[:200]
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def model(
        self,
        source: CompressedModel,
        input_type: int,
        output: str,
        output_shape: Sequence[int],
        batch: int | str = "N",
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """The model; checked where all its operations are ONNX's own."""
        graph = helper.make_graph(
            self._nodes,
            source.name,
            [helper.make_tensor_value_info("input", input_type, [batch, *source.input.shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, *output_shape])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        made = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="cosign"
        )
        if not domains:
            onnx.checker.check_model(made)
        return made


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
            scale *= 2 ** node.attrs["shift"] / node.attrs["mul0"]
            if node.op == "mul":
                scale *= scales[node.inputs[1]]
            if node.op == "avgpool":
                height, width = pooling_window(node.attrs, model.shapes[node.inputs[0]]).kernel
                scale /= height * width
        scales[node.name] = scale
    return scales
