"""A small ONNX network under construction, and what must become of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_models import Graph

Made = str | list[str]
SIDE, MAP, CLASSES = 12, 54, 5  # pixels; numbers that `body` leaves; outputs
GREY, COLOUR = ("N", 1, SIDE, SIDE), ("N", 3, SIDE, SIDE)


class Net(Graph):
    """A graph whose nodes and constants are named as they come."""

    def __call__(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A node; its output's name, or a list of them. Inputs that are no names are constants."""
        names = [each if isinstance(each, str) else self.put(each) for each in inputs]
        made = [f"y{len(self.nodes)}_{number}" for number in range(outputs)]
        name = attributes.pop("name", f"{op}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(op, names, made, name=name, **attributes))
        return made if outputs > 1 else made[0]

    def put(self, values: Any, dtype: Any = None) -> str:
        """A constant: int64 of whole numbers, else float32."""
        array = np.asarray(values)
        kind = dtype or (np.int64 if array.dtype.kind == "i" else np.float32)
        return self.constant(
            f"c{len(self.constants)}", array, array.dtype if array.dtype == bool else kind
        )

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)

    def fold(self, x: str, inputs: int, outputs: int, kernel: Any = 3, **a: Any) -> str:
        """A convolution with a bias, padded to keep the size unless `pads` say otherwise."""
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        weight = a.pop("weight", None)
        if weight is None:
            weight = self.weights(outputs, inputs // a.get("group", 1), *sides)
        bias = a.pop("bias", self.rng.normal(0, 0.1, outputs))
        if "auto_pad" not in a:
            a.setdefault("pads", [side // 2 for side in sides] * 2)
        return str(self("Conv", x, weight, bias, **a))

    def norm(self, x: str, channels: int, gamma: Any = None, variance: Any = None) -> str:
        gamma = self.rng.uniform(0.5, 1.5, channels) if gamma is None else np.asarray(gamma)
        variance = self.rng.uniform(0.5, 2, channels) if variance is None else np.asarray(variance)
        shift, mean = self.rng.normal(0, 0.1, (2, channels))
        return str(self("BatchNormalization", x, gamma, shift, mean, variance))

    def relu(self, x: str) -> str:
        return str(self("Relu", x))

    def pool(self, x: str, **a: Any) -> str:
        return str(self("MaxPool", x, **{"kernel_shape": [2, 2], "strides": [2, 2]} | a))

    def body(self, x: str = "x", channels: int = 1, act: str = "Relu") -> str:
        """6 x 3 x 3 of an image of 12 x 12."""
        for inputs, outputs in ((channels, 4), (4, 6)):
            x = self.pool(self(act, self.fold(x, inputs, outputs)))
        return x

    def flat(self, x: str) -> str:
        return str(self("Flatten", x))

    def dense(self, x: str, inputs: int, outputs: int = CLASSES) -> str:
        bias = self.rng.normal(0, 0.1, outputs)
        return str(self("Gemm", x, self.weights(outputs, inputs), bias, transB=1))

    def head(self, x: str, inputs: int = MAP) -> str:
        return self.dense(self.flat(x), inputs)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind.

    Parameters
    ----------
    build : makes the nodes, returns the output or several
    shape, element : of the input
    change : of the finished model
    refused : what the sentence says that refuses it; "" when it is read
    difference : most from onnxruntime, of the largest output
    error : most of the integers' outputs, of the float network's
    """

    build: Callable[[Net], Made]
    shape: Sequence[int | str] | None = GREY
    opset: int = 17
    element: int = TensorProto.FLOAT
    change: Callable[[onnx.ModelProto], None] = lambda model: None
    refused: str = ""
    difference: float = 1e-5
    error: float = 0.07

    def model(self) -> onnx.ModelProto:
        net = Net()
        made = self.build(net)
        outputs = [made] if isinstance(made, str) else made
        graph = helper.make_graph(
            net.nodes,
            "graph",
            [helper.make_tensor_value_info("x", self.element, self.shape)],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            net.constants,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        if self.opset > 6:
            model = onnx.shape_inference.infer_shapes(model)
        self.change(model)
        return model


def of_map(build: Callable[[Net, str], Any], count: int = MAP) -> Callable[[Net], Made]:
    """`body`, what `build` makes of it, and a linear layer of so many numbers."""
    return lambda g: g.head(build(g, g.body()), count)
