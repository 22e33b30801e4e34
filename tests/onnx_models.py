"""Small ONNX models written with onnx.helper, and what onnxruntime computes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """A model under construction; every node's output is called like the node."""

    def __init__(self, shape: Sequence[int | str] = ("N", 3, 8, 8), seed: int = 0) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, name: str, *shape: int, low: float = -1.0) -> str:
        return self.constant(name, self.rng.uniform(low, 1, shape))

    def node(self, op: str, *inputs: str, name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x: str, inputs: int, outputs: int, name: str, kernel: int = 3, **a: Any) -> str:
        weight = self.random(f"{name}.weight", outputs, inputs, kernel, kernel)
        return self.node("Conv", x, weight, self.random(f"{name}.bias", outputs), name=name, **a)

    def batch_norm(self, x: str, channels: int, name: str) -> str:
        parts = [
            self.random(f"{name}.{part}", channels, low=0.2 if part == "var" else -1.0)
            for part in ("scale", "shift", "mean", "var")
        ]
        return self.node("BatchNormalization", x, *parts, name=name)

    def model(self, output: str | None = None, opset: int = 17) -> onnx.ModelProto:
        output = output or self.nodes[-1].output[0]
        made = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(made, opset_imports=opsets, ir_version=8)
        if 7 <= opset <= onnx.defs.onnx_opset_version():  # the checker wants the output's shape
            model = onnx.shape_inference.infer_shapes(model)
        return model


def session(model: onnx.ModelProto | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    blob = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(blob, options)


def compute(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Of onnxruntime, float32 [N, ...]."""
    running = session(model)
    return np.asarray(running.run(None, {running.get_inputs()[0].name: x})[0])
