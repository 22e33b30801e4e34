"""Nodes of an ONNX model replaced by others, in place."""

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.optimizer import FOLDED_FROM_KEY


class Rewriting:
    """What comes instead of one node: first `op` and `constant`, then `give`."""

    def __init__(self, node: ir.Node) -> None:
        assert isinstance(node.graph, ir.Graph)
        self.node, self.graph = node, node.graph
        self._names = str(node.name), str(node.outputs[0].name)
        self._made: dict[ir.Value, str] = {}

    def op(self, kind: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """The float32 output of a new node in front."""
        made = ir.node(kind, inputs, attributes, name=self._name(0, kind))
        value = made.outputs[0]
        value.name = self._name(1, kind)
        value.dtype = ir.DataType.FLOAT
        self._made[value] = kind
        self.graph.insert_before(self.node, made)
        return value

    def constant(self, array: Any, *sources: ir.Value | None, dtype: Any = np.float32) -> ir.Value:
        """A new initialiser; it remembers the constants that it was computed of."""
        array = np.asarray(array, dtype)
        name = self._name(1, "constant")
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        names = {name for source in sources if source is not None for name in _origins(source)}
        value.meta[FOLDED_FROM_KEY] = names  # where the fold itself looks
        value.metadata_props[FOLDED_FROM_KEY] = repr(sorted(names))
        self._made[value] = "constant"
        self.graph.register_initializer(value)
        return value

    def give(self, *values: ir.Value) -> None:
        """Ends the node: who read its outputs reads `values`; what is new of them takes its names.

        An output that nobody reads needs no value.
        """
        replaced = list(zip(self.node.outputs, values, strict=False))
        for old, new in replaced:
            old.replace_all_uses_with(new)
        for new in values[:1]:
            self.call(new)
        self.graph.remove(self.node, safe=True)

    def copy(self, *inputs: ir.Value | None) -> Sequence[ir.Value]:
        """The float32 outputs of another such node of other inputs."""
        node = self.node
        made = ir.node(
            node.op_type,
            inputs,
            {name: found.value for name, found in node.attributes.items()},
            num_outputs=len(node.outputs),
            name=self._name(0, "copy"),
        )
        for number, value in enumerate(made.outputs):
            value.name = self._name(1, f"copy{number}")
            value.dtype, value.shape = ir.DataType.FLOAT, node.outputs[number].shape
            self._made[value] = "copy"
        self.graph.insert_before(node, made)
        return made.outputs

    def call(self, value: ir.Value) -> None:
        """Gives a new value, and its node, the names of the node's first output and of the node."""
        producer, old = value.producer(), self.node.outputs[0]
        if self._made.get(value, "constant") != "constant" and producer is not None:
            old.name, self.node.name = (f"{name}.replaced" for name in reversed(self._names))
            producer.name, value.name = self._names

    def _name(self, which: int, kind: str) -> str:
        return f"{self._names[which]}.{kind}.{len(self._made)}"


def array(value: ir.Value | None) -> np.ndarray | None:
    """A constant's numbers; None of what is computed or not there."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """What `node` gives for `name`, text as str."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def given(node: ir.Node, *names: str) -> dict[str, Any]:
    """Those of the attributes that `node` gives."""
    return {name: node.attributes[name].value for name in names if name in node.attributes}


def _origins(value: ir.Value) -> set[str]:
    known = value.metadata_props.get(FOLDED_FROM_KEY, "[]")
    return {str(value.name), *ast.literal_eval(known)}
