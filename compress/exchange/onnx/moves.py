"""Operations of ONNX that compute nothing: they only say where numbers go.

`onnx.reference` runs them on the places of a value in place of its numbers.
"""

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from compress.exchange.onnx.operands import Attributes, Operands
from compress.exchange.onnx.views import Value

_EVALUATED = (
    *("DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Reshape"),
    *("Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"),
)
_OPSET = 18
_LARGEST_PAD = 1e4  # in magnitude; more is meant as infinity


def _moved(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> list[Value]:
    x = at.values[node.input[0]]
    constants = {
        source: at.constant(name, node, number)
        for number, source in enumerate(node.input)
        if number and source
    }
    results = _evaluated(at, name, node, {node.input[0]: x.places, **constants})
    return [Value(x.node, result, x.head) for result in results]


def _evaluated(
    at: Operands, name: str, node: onnx.NodeProto, inputs: dict[str, np.ndarray]
) -> list[np.ndarray]:
    given = [
        helper.make_tensor_value_info(
            source, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for source, array in inputs.items()
    ]
    outputs = [onnx.ValueInfoProto(name=output) for output in node.output]
    graph = helper.make_graph([node], "moves", given, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    try:
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, inputs)]
    except Exception as error:  # the evaluator raises what numpy does on impossible arguments
        at.trace.refuse(name, f"is a {node.op_type} that does not fit what it reads ({error})")


def _same(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> list[Value]:
    return [at.values[node.input[0]]]


def _pad(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> list[Value]:
    x, number = at.values[node.input[0]], 0.0
    if a.get("mode", b"constant") == b"constant":
        number = float(np.ravel(at.constant(name, node, 2, 0.0))[0])
    if abs(number) > _LARGEST_PAD:
        at.trace.refuse(name, f"pads with {number:g}", "pad with zeros or the edge")
    if number:  # around what is less by it
        x = at.trace.affine(f"{name}.less", at.value(name, node), 1.0, -number)
    axes = np.ravel(at.constant(name, node, 3, range(len(x.shape)))).tolist()
    pads = np.ravel(at.constant(name, node, 1))
    places = x.places
    for axis, before, after in zip(axes, *np.split(pads, 2), strict=True):  # below 0 it crops
        kept = range(max(0, -before), places.shape[axis] - max(0, -after))
        places = places.take(kept, axis)
    single = helper.make_node("Pad", ["x", "pads", "", "axes"], node.output, **a)
    inputs = {"x": places, "pads": np.maximum(pads, 0), "axes": np.array(axes)}
    (padded,) = _evaluated(at, name, single, inputs)
    y = Value(x.node, padded, x.head)
    return [at.trace.affine(name, y, 1.0, number) if number else y]


def _resize(at: Operands, name: str, node: onnx.NodeProto, a: Attributes) -> list[Value]:
    """Axis by axis: the evaluator works pixel by pixel."""
    x = at.value(name, node)
    nearest = a.get("mode", b"nearest") == b"nearest"
    rank = len(x.shape)
    axes = [axis % rank for axis in a.pop("axes", range(rank))]
    scales, sizes = (at.constant(name, node, number) for number in (2, 3))
    by_scale = scales is not None and np.size(scales)
    given = np.ravel(scales if by_scale else sizes)
    a.pop("keep_aspect_ratio_policy", None)
    for axis, amount in zip(axes, given, strict=True):
        length = x.shape[axis]
        if amount == (1 if by_scale else length):
            continue
        kind = "scales" if by_scale else "sizes"
        names = ["x", "", "scales"] if by_scale else ["x", "", "", "sizes"]
        single = helper.make_node("Resize", names, ["y"], **a)
        sought = {kind: np.array([amount], np.float32 if by_scale else np.int64)}
        if nearest:
            inputs = {"x": np.arange(length, dtype=np.float32), **sought}
            (chosen,) = _evaluated(at, name, single, inputs)
            x = Value(x.node, x.places.take(chosen.astype(np.int64), axis))
        else:  # what becomes of each pixel alone
            parts = [
                _evaluated(at, name, single, {"x": pixel, **sought})[0]
                for pixel in np.eye(length, dtype=np.float32)
            ]
            lines = Value(x.node, np.moveaxis(x.places, axis, -1))
            y = at.trace.linear(f"{name}.axis{axis}", lines, np.stack(parts, axis=1), None)
            x = Value(y.node, np.moveaxis(y.places, -1, axis))
    return [x]


MOVES = {
    **dict.fromkeys(_EVALUATED, _moved),
    **dict.fromkeys(("Cast", "Identity", "Dropout"), _same),
    "Pad": _pad,
    "Resize": _resize,
}
