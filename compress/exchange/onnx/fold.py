"""What an ONNX graph can know without an image is worked out, in place."""

import ast

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.optimizer import FOLDED_FROM_KEY, fold_constants_ir

_WEIGHTS = (".weight", ".bias")  # how PyTorch's parameters end
_SAME_SHAPE_SAME_VALUE = {"Reshape", "Flatten", "Expand", "Squeeze", "Unsqueeze", "Dropout"}
_QUANTISING = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}  # read on their own
_BROADCASTING = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Where", "Sum", "Mean"}
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
_OF_ONE = {"Concat", "Sum", "Mean", "Max", "Min"}


def fold(model: ir.Model) -> None:
    """Constants become initialisers, and nodes that change nothing go."""
    for _ in range(2):  # what is no node any more may have kept something from being known
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        fold_constants_ir(
            model, onnx_shape_inference=True, output_size_limit=2**62, should_fold=_is_folded
        )
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        changed = [_simpler(node) for node in list(model.graph)]
        common.IdentityEliminationPass()(model)
        common.RemoveUnusedNodesPass()(model)
        if not any(changed):
            break
    _keep_names(model.graph)


def _is_folded(node: ir.Node) -> bool:
    return node.op_type not in _QUANTISING


def _simpler(node: ir.Node) -> bool:
    """Turns a node that gives what it gets into an Identity; computes a Split of a constant."""
    if node.domain or any(attr.type == ir.AttributeType.GRAPH for attr in node.attributes.values()):
        return False
    x, y = node.inputs[0] if node.inputs else None, node.outputs[0]
    if x is None:
        return False
    if node.op_type == "Split" and x.const_value is not None:
        return _split(node)
    if node.op_type in _BROADCASTING and _unexpanded(node):
        return True
    known = x.shape is not None and y.shape is not None and x.shape.is_static()
    same = known and x.shape == y.shape
    permutation = node.attributes.get("perm")
    if (
        (node.op_type in _SAME_SHAPE_SAME_VALUE and same)
        or (node.op_type in _OF_ONE and len(node.inputs) == 1)
        or (
            node.op_type == "Transpose"
            and permutation is not None
            and list(permutation.as_ints()) == sorted(permutation.as_ints())
        )
        or (node.op_type == "Slice" and same and _forwards(node))
        or (node.op_type == "Pad" and same and not _numbers(node, 1).any())
        or (node.op_type in _NEUTRAL and same and _is_neutral(node, 1))
    ):
        _identity(node, x)
        return True
    if node.op_type in ("Add", "Mul") and _is_neutral(node, 0):
        other = node.inputs[1]
        if other is not None and other.shape is not None and other.shape == y.shape:
            _identity(node, other)
            return True
    return False


def _unexpanded(node: ir.Node) -> bool:
    """Reads what an Expand reads, where broadcasting does the same; whether that was so."""
    changed = False
    for number, value in enumerate(node.inputs):
        producer = None if value is None else value.producer()
        if producer is None or producer.op_type != "Expand":
            continue
        small = [*node.inputs]
        small[number] = producer.inputs[0]
        shapes = [part.shape for part in small if part is not None]
        result = node.outputs[0].shape
        if result is None or not all(shape is not None and shape.is_static() for shape in shapes):
            continue
        if np.broadcast_shapes(*(shape.numpy() for shape in shapes if shape)) == result.numpy():
            node.replace_input_with(number, small[number])
            changed = True
    return changed


def _identity(node: ir.Node, x: ir.Value) -> None:
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return
    assert node.graph is not None
    new = ir.node("Identity", [x], name=node.name)
    new.outputs[0].type, new.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    ir.convenience.replace_nodes_and_values(
        node.graph, node, [node], [new], node.outputs[:1], new.outputs
    )


def _is_neutral(node: ir.Node, number: int) -> bool:
    """Whether an operand is a constant that leaves the other one as it is."""
    value = node.inputs[number]
    if value is None or value.const_value is None:
        return False
    return bool((value.const_value.numpy() == _NEUTRAL[node.op_type]).all())


def _forwards(node: ir.Node) -> bool:
    """Whether a Slice goes by steps of 1, so that one of the same shape is the same."""
    return len(node.inputs) < 5 or node.inputs[4] is None or bool((_numbers(node, 4) == 1).all())


def _numbers(node: ir.Node, number: int) -> np.ndarray:
    """A constant input; one that is computed is [1]."""
    value = node.inputs[number] if number < len(node.inputs) else None
    if value is None or value.const_value is None:
        return np.ones(1)
    return value.const_value.numpy()


def _split(node: ir.Node) -> bool:
    """The fold takes nodes of one output only."""
    assert node.graph is not None
    whole = _numbers(node, 0)
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        parts = np.split(whole, np.cumsum(_numbers(node, 1))[:-1].astype(int), axis)
    else:
        size = -(-whole.shape[axis] // len(node.outputs))
        parts = np.split(whole, range(size, whole.shape[axis], size), axis)
    for old, part in zip(node.outputs, parts, strict=True):
        if old.is_graph_output():
            return False
        name = f"{old.name}.part"
        value = ir.Value(name=name, const_value=ir.tensor(part, name=name))
        value.shape, value.dtype = ir.Shape(part.shape), ir.DataType.from_numpy(part.dtype)
        node.graph.register_initializer(value)  # type: ignore[union-attr]
        old.replace_all_uses_with(value)
    return True


def _keep_names(graph: ir.Graph) -> None:
    """What was computed of one parameter alone is called as it, since layers are named by it."""
    taken = {value.name for node in graph for value in node.outputs}
    taken.update(value.name for value in graph.inputs)
    for old, value in list(graph.initializers.items()):
        if old.endswith(_WEIGHTS):
            continue
        sources = ast.literal_eval(value.metadata_props.get(FOLDED_FROM_KEY, "[]"))
        plain = {source.removesuffix("_quantized") for source in sources}
        names = [name for name in plain if name.endswith(_WEIGHTS)] or [*plain]
        if len(names) == 1 and names[0] not in taken | {*graph.initializers}:
            del graph.initializers[old]
            value.name = names[0]
            graph.register_initializer(value)
