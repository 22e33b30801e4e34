"""An ONNX model as a plain one: float32, one image, known shapes, nothing left to work out.

Constants are folded by onnxscript: of it, onnxslim and onnxsim it alone took every file tried and
kept the weights' names.
"""

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, inliner, numpy_helper, shape_inference, version_converter
from onnx_ir.passes import common
from onnxscript.optimizer import FOLDED_FROM_KEY, fold_constants_ir

from compress.exchange.onnx_load import damaged, load, reason
from compress.exchange.onnx_qlinear import QLINEAR
from compress.exchange.onnx_qonnx import QONNX
from compress.exchange.onnx_quantised import QUANTISED, Dequantiser
from compress.exchange.onnx_shapes import fixed_inputs, one_image
from compress.exchange.onnx_types import in_float32, nodes
from cosign import CosignError

__all__ = ["OPSET", "Cleaned", "cleaned", "load"]

OPSET = 18  # of ONNX, of every cleaned model
_ORDINARY = ("", "ai.onnx")
_WEIGHTS = (".weight", ".bias")  # how PyTorch's parameters end


@dataclass(frozen=True)
class Cleaned:
    """What `cleaned` makes of a foreign model.

    Parameters
    ----------
    model : of operations of ONNX's own, opset `OPSET`, float32, with a batch of one image; every
        value's shape is known; what can be known without an image is an initialiser
    notes : what a user should be told once
    scales : by value, the real value of one step of signed 8 bits that the file itself gives it
    """

    model: onnx.ModelProto
    notes: tuple[str, ...]
    scales: dict[str, float]


def cleaned(model: onnx.ModelProto, where: str, outputs: Sequence[str] = ()) -> Cleaned:
    """The plain form of `model`, which is left as it is; `where` begins every error's sentence.

    `outputs` are the values to compute, of the graph's or inside it; none are all of the graph's.
    Raises CosignError on a damaged model, on unknown outputs, on shapes that are not known, and on
    operations that are not ONNX's own.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _cleaned(model, where, outputs)
    except CosignError:
        raise
    except Exception as error:  # the passes raise many kinds on what no exporter writes
        raise damaged(where, error) from error


def _cleaned(model: onnx.ModelProto, where: str, outputs: Sequence[str]) -> Cleaned:
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    _tidy(plain, where)
    graph = _needed(ir.from_proto(plain), where, outputs)
    plain = ir.to_proto(graph)
    notes = in_float32(plain, where)
    fixed_inputs(plain, where)
    plain = _converted(plain, where, upwards=True)
    working = ir.from_proto(plain)
    _fold(working)
    steps = _expanded(working, notes)
    _ordinary(working, where)
    one_image(working, where)
    _prune(working)
    scales = {str(value.name): step for value, step in steps.items() if value.graph is not None}
    plain = _converted(ir.to_proto(working), where, upwards=False)
    return Cleaned(_inferred(plain, where), tuple(notes), scales)


def _tidy(model: onnx.ModelProto, where: str) -> None:
    """What other runtimes overlook: domains by their old name, no names, sparse weights."""
    known = onnx.defs.onnx_opset_version()
    versions: dict[str, int] = {}
    for opset in model.opset_import:
        domain = "" if opset.domain in _ORDINARY else opset.domain
        versions[domain] = max(versions.get(domain, 0), opset.version)
    if not model.HasField("graph") or (not model.graph.node and not model.graph.output):
        raise CosignError(f"{where} is not a whole ONNX model (it has no graph).")
    if versions.setdefault("", 1) > known:
        raise CosignError(
            f"{where} uses opset {versions['']} of ONNX, read are those to {known}; "
            "export it with an older one."
        )
    for node in nodes(model.graph):
        if node.domain in _ORDINARY:
            node.domain = ""
        versions.setdefault(node.domain, 1)
    del model.opset_import[:]
    model.opset_import.extend(
        onnx.helper.make_opsetid(domain, version) for domain, version in versions.items()
    )
    model.ir_version = min(max(model.ir_version, 10), onnx.IR_VERSION)
    graph = model.graph
    graph.name = graph.name or "graph"
    if model.functions:
        model.CopyFrom(inliner.inline_local_functions(model))
        graph = model.graph
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse))
    del graph.sparse_initializer[:]
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    for value in graph.output:
        value.ClearField("type")  # the shapes there are often those of another batch
    del graph.value_info[:]


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    values, where = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    shape = tuple(sparse.dims)
    full = np.zeros(shape, values.dtype)
    if where.ndim == 1:
        full.reshape(-1)[where] = values
    else:
        full[tuple(where.T)] = values
    return numpy_helper.from_array(full, sparse.values.name)


def _needed(model: ir.Model, where: str, outputs: Sequence[str]) -> ir.Model:
    """`model` with the outputs asked for, and of all else only what these need."""
    graph = model.graph
    if outputs:
        made = {value.name: value for node in graph for value in node.outputs if value.name}
        unknown = [name for name in outputs if name not in made]
        if unknown:
            raise CosignError(
                f"{where} has no output {unknown[0]!r}; its outputs are "
                f"{', '.join(str(value.name) for value in graph.outputs)}; inside it are "
                f"{', '.join(made)}."
            )
        graph.outputs[:] = [made[name] for name in outputs]
    for value in graph.outputs:
        if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
            raise CosignError(f"{where}: nothing computes the output {value.name!r}.")
    common.TopologicalSortPass()(model)
    _prune(model)
    known = {*graph.inputs, *graph.initializers.values()}
    for node in graph:
        for source in node.inputs:
            if source is not None and source.producer() is None and source not in known:
                raise CosignError(
                    f"{where}: node {node.name or node.op_type!r} reads {source.name!r}, "
                    "which nothing computes."
                )
    return model


def _prune(model: ir.Model) -> None:
    """Nodes, weights and inputs that no output needs go, and every node gets a name."""
    common.RemoveUnusedNodesPass()(model)
    graph = model.graph
    for value in list(graph.inputs):
        if not value.uses() and not value.is_graph_output():
            graph.inputs.remove(value)
    for node in graph:
        if not node.name:
            node.name = node.outputs[0].name
    common.NameFixPass()(model)


def _converted(model: onnx.ModelProto, where: str, upwards: bool) -> onnx.ModelProto:
    """`model` in opset `OPSET`, if that is above or below its own as asked."""
    version = next(opset.version for opset in model.opset_import if not opset.domain)
    if version == OPSET or (version < OPSET) != upwards:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:
        raise CosignError(
            f"{where} cannot be brought from opset {version} of ONNX to {OPSET} "
            f"({reason(error)}); export it with opset {OPSET}."
        ) from error


def _fold(model: ir.Model) -> None:
    """What is known without an image becomes an initialiser; nodes that do nothing go."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    fold_constants_ir(
        model, onnx_shape_inference=True, output_size_limit=2**62, should_fold=lambda node: True
    )
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.IdentityEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    _keep_names(model.graph)


def _keep_names(graph: ir.Graph) -> None:
    """What was computed of one parameter alone is called as it, since layers are named by it."""
    taken = {value.name for node in graph for value in node.outputs}
    taken.update(value.name for value in graph.inputs)
    for old, value in list(graph.initializers.items()):
        sources = ast.literal_eval(value.metadata_props.get(FOLDED_FROM_KEY, "[]"))
        plain = {source.removesuffix("_quantized") for source in sources}
        names = [name for name in plain if name.endswith(_WEIGHTS)] or [*plain]
        if len(names) == 1 and names[0] not in taken | {*graph.initializers}:
            del graph.initializers[old]
            value.name = names[0]
            graph.register_initializer(value)


def _expanded(model: ir.Model, notes: list[str]) -> dict[ir.Value, float]:
    """Quantised operations become float ones; returns the steps that the file gives values."""
    steps: dict[ir.Value, float] = {}
    rules = {**QUANTISED, **QLINEAR, **QONNX}
    while any(node.op_type in rules and node.op_type != "Clip" for node in model.graph):
        before = [node.op_type for node in model.graph]
        for number, value in enumerate(model.graph.outputs):  # names that no rule may take away
            kept = ir.node("Identity", [value], name=f"{value.name}.output")
            kept.outputs[0].name, value.name = value.name, f"{value.name}.inner"
            kept.outputs[0].type = value.type
            model.graph.append(kept)
            model.graph.outputs[number] = kept.outputs[0]
        dequantiser = Dequantiser(model, rules)
        dequantiser.run()
        steps.update(dequantiser.steps)
        notes += [note for note in dequantiser.notes if note not in notes]
        _fold(model)
        if before == [node.op_type for node in model.graph]:
            break
    return steps


def _ordinary(model: ir.Model, where: str) -> None:
    for node in model.graph:
        if node.domain:
            refuse(node, where)


def refuse(node: ir.Node, where: str) -> NoReturn:
    raise CosignError(
        f"{where}: node {node.name!r} is a {node.op_type} of {node.domain}, which is no operation "
        "of ONNX itself."
    )


def _inferred(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`model` with the type and shape of every value. Raises CosignError where one is not known."""
    for opset in list(model.opset_import):
        if opset.domain:
            model.opset_import.remove(opset)
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.ClearField("type")
    try:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        raise CosignError(
            f"{where}: the shapes do not fit each other ({reason(error)})."
        ) from error
    known = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type != TensorProto.UNDEFINED
        and value.type.tensor_type.HasField("shape")
        and all(axis.HasField("dim_value") for axis in value.type.tensor_type.shape.dim)
    }
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                raise CosignError(
                    f"{where}: the shape of {name!r}, which node {node.name!r} ({node.op_type}) "
                    "gives, depends on the image; read are networks of known shapes."
                )
    return model
