"""What the names in an ONNX graph stand for, as its operations ask."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from compress.exchange.onnx.tracer import Tracer
from compress.exchange.onnx.views import Value

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Operands:
    """What is known so far; the reader of the graph adds to it node by node.

    Parameters
    ----------
    trace : writes the network, and refuses
    constants, values : by name, what is known and what is computed
    """

    trace: Tracer
    constants: dict[str, np.ndarray]
    values: dict[str, Value]

    def value(self, name: str, node: onnx.NodeProto, number: int = 0) -> Value:
        """An input that must be computed."""
        source = node.input[number]
        if source not in self.values:
            self.trace.refuse(name, f"is a {node.op_type} of the constant {source!r}")
        value = self.values[source]
        if value.head is not None:
            self.trace.refuse(name, f"reads {value.head}, which is read at an output only")
        return value

    def constant(self, name: str, node: onnx.NodeProto, number: int, default: Any = None) -> Any:
        """An input that must be constant, or `default` where it is absent."""
        if number >= len(node.input) or not node.input[number]:
            return default
        source = node.input[number]
        if source not in self.constants:
            self.trace.refuse(
                name, f"is a {node.op_type} whose {source!r} is computed, not constant"
            )
        return self.constants[source]

    def is_constant(self, node: onnx.NodeProto, number: int) -> bool:
        return node.input[number] in self.constants
