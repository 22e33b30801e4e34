"""Operations that are not ONNX's own: replaced where we know how, refused where we don't."""

from collections.abc import Collection
from typing import NoReturn

import onnx
import onnx_ir as ir

from compress.exchange.onnx.fold import fold
from compress.exchange.onnx.fused import FUSED
from compress.exchange.onnx.qlinear import QLINEAR
from compress.exchange.onnx.qonnx import QONNX
from compress.exchange.onnx.quantised import QUANTISED, Dequantiser
from compress.exchange.onnx.remedies import remedy
from cosign import CosignError

UNKNOWN = "unknown"  # stands for ONNX's domain where ONNX does not know the operation (any more)
_RULES = {**QUANTISED, **QLINEAR, **QONNX, **FUSED}
_OF_LABELS = {"LabelEncoder", "ArrayFeatureExtractor", "CategoryMapper", "StringNormalizer"}
_QUANTISING = {*QUANTISED, *QLINEAR, *QONNX} - {"Clip"}

# by the operation, or how its domain begins: what to do instead
_REMEDIES = (
    (("RequantShift",), "export it fake-quantised, before NEMO makes integers of it"),
    (("MultiThreshold", "finn", "qonnx.custom_op.fpga"), "export it as QONNX, before FINN's steps"),
    (("Trunc",), "export it without truncation"),
    (("com.microsoft.nchwc", "com.ms"), "save it from onnxruntime with basic optimisations alone"),
    (("com.microsoft",), "save it from onnxruntime without optimisations"),
    (("aten", "org.pytorch"), "export it with dynamo=True"),
    (("trt", "TRT"), "export it without TensorRT's plugins"),
)


def mark_unknown(node: onnx.NodeProto) -> None:
    """Moves an operation that ONNX does not know out of its domain, for its tools to pass by."""
    if not node.domain and not onnx.defs.has(node.op_type):
        node.domain = UNKNOWN


def without_labels(model: ir.Model, notes: list[str]) -> None:
    """Leaves out names of classes: outputs of them, where others are numbers, and dictionaries."""
    outputs = model.graph.outputs
    for node in model.graph:
        if node.op_type == "ZipMap":
            notes.append(f"the labels that node {node.name!r} gives numbers are left out")
            node.domain, node.op_type = "", "Identity"
            node.attributes.clear()
    labels = [value for value in outputs if _is_label(value)]
    if len(labels) < len(outputs):
        for value in labels:
            notes.append(f"the output {value.name!r} is left out, since it is a label")
            outputs.remove(value)


def _is_label(value: ir.Value) -> bool:
    node = value.producer()
    if node is None:
        return False
    if node.op_type in ("Cast", "Reshape", "Squeeze", "Identity") and node.inputs[0] is not None:
        return _is_label(node.inputs[0])
    return node.op_type in _OF_LABELS


def expand(model: ir.Model, notes: list[str]) -> dict[ir.Value, float]:
    """Puts ONNX's own float operations in the place of quantised, fused and old ones.

    Returns the steps of signed 8 bits that the file gives to values.
    """
    steps: dict[ir.Value, float] = {}
    graph = model.graph
    while any(node.op_type in _RULES and node.op_type != "Clip" for node in graph):
        before = [node.op_type for node in graph]
        for number, value in enumerate(graph.outputs):  # names that no rule may take away
            kept = ir.node("Identity", [value], name=f"{value.name}.output")
            kept.outputs[0].name, value.name = value.name, f"{value.name}.inner"
            kept.outputs[0].type = value.type
            graph.append(kept)
            graph.outputs[number] = kept.outputs[0]
        dequantiser = Dequantiser(model, _RULES)
        dequantiser.run()
        steps.update(dequantiser.steps)
        notes += [note for note in dequantiser.notes if note not in notes]
        fold(model)
        if before == [node.op_type for node in graph]:
            break
    if steps:
        notes.append("activations are not rounded to the file's own steps, which are a start alone")
    return steps


def refuse_foreign(model: ir.Model, where: str, names: Collection[str]) -> None:
    """Raises CosignError on the first node that is not one of ONNX's own on floats.

    names : values that can be asked for as outputs
    """
    for node in model.graph:
        if node.op_type in _QUANTISING:
            raise CosignError(
                f"{where}: node {node.name!r} is a {node.op_type} whose scale, zero point or bits "
                "are computed or of a kind that is not read; export it with constant ones of "
                "integers."
            )
        if node.domain:
            _refuse(node, where, names)


def _refuse(node: ir.Node, where: str, names: Collection[str]) -> NoReturn:
    own = next(
        (
            text
            for starts, text in _REMEDIES
            if node.domain.startswith(starts) or node.op_type.startswith(starts)
        ),
        "export it with ONNX's own operations",
    )
    assert node.graph is not None
    sources = {str(made.name): _read(other) for other in node.graph for made in other.outputs}
    origin = "" if node.domain == UNKNOWN else f" of {node.domain}"
    raise CosignError(
        f"{where}: node {node.name!r} is a {node.op_type}{origin}, which is no operation of ONNX "
        f"itself{remedy(_read(node), sources, names, own)}."
    )


def _read(node: ir.Node) -> list[str]:
    return [str(value.name) for value in node.inputs if value is not None]
