"""What the ONNX exports share: a graph under construction, attributes of pooling, and scales."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compress.model.graph import CompressedModel, Layer
from compress.model.hostops import HostOp, Layout, Shape, pooling_window

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
        outputs: Sequence[tuple[str, Sequence[int]]],
        batch: int | str = "N",
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """The model from `input` to outputs of these names and shapes, without the batch."""
        shape = self.source.input.shape
        graph = helper.make_graph(
            self._nodes,
            self.source.name or "network",
            [helper.make_tensor_value_info("input", input_type, [batch, *shape])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape])
                for name, shape in outputs
            ],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="cosign"
        )

    def taken(self, x: str, layout: Layout, shape: Shape, zero: str, name: str) -> str:
        """A take node on [N, C, H, W]; `zero` is the constant that fills."""
        steps = [
            (axis, places)
            for axis, (places, size) in enumerate(zip(layout, shape, strict=True), start=1)
            if places != tuple(range(size))
        ]
        if any(-1 in places for _, places in steps):
            ends = [0] * 5 + [1] * 3  # place -1 is one beyond the end
            x = self.node("Pad", x, self.constant(ends, np.int64), zero)
            shape = (shape[0] + 1, shape[1] + 1, shape[2] + 1)
            steps = [
                (axis, tuple(place % shape[axis - 1] for place in places))
                for axis, places in enumerate(layout, start=1)
            ]
        for axis, places in steps[:-1]:
            x = self.node("Gather", x, self.constant(places, np.int64), axis=axis)
        if not steps:
            return self.node("Identity", x, name=name)
        axis, places = steps[-1]
        return self.node("Gather", x, self.constant(places, np.int64), axis=axis, name=name)

    def permuted(self, x: str, layout: Layout, name: str) -> str:
        """A permute node on [N, C, H, W]; 0 is the batch, as it is."""
        sizes, order, shape = layout
        x = self.node("Reshape", x, self.constant([0, *sizes], np.int64))
        x = self.node("Transpose", x, perm=[0, *(axis + 1 for axis in order)])
        return self.node("Reshape", x, self.constant([0, *shape], np.int64), name=name)


def per_filter(values: np.ndarray, behind: int) -> np.ndarray:
    """Numbers [filters] as they meet an array with so many axes behind its filters; one number
    where all are equal."""
    return values[0] if (values == values[0]).all() else values.reshape(-1, *[1] * behind)


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


def pixels_inside(op: HostOp, shape: Shape) -> np.ndarray:
    """int64 [1, 1, Ho, Wo]: of each window of a pooling, the pixels that are no padding."""
    window = pooling_window(op.attrs, shape)
    _, *sizes = op.output_shape([shape])
    inside = [
        [
            sum(0 <= start + spread * tap < length for tap in range(size))
            for start in range(-padding, step * count - padding, step)
        ]
        for length, count, size, step, padding, spread in zip(
            shape[1:],
            sizes,
            window.kernel,
            window.stride,
            window.padding,
            window.dilation,
            strict=True,
        )
    ]
    return np.outer(np.array(inside[0]), np.array(inside[1]))[None, None]


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
        factors, units = [op.attrs["mul0"]], [scales[op.inputs[0]] * scales[op.inputs[1]]]
    else:
        factors = [op.attrs[f"mul{number}"] for number in range(len(op.inputs))]
        units = [scales[name] for name in op.inputs]
    largest = int(np.argmax(factors))
    return units[largest] * 2 ** op.attrs["shift"] / (factors[largest] or 1)
