"""An ONNX model as a plain one: float32, one image, known shapes, nothing left to work out.

Constants are folded by onnxscript: of it, onnxslim and onnxsim it alone took every file tried and
kept the weights' names.
"""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, inliner, numpy_helper, shape_inference, version_converter
from onnx_ir.passes import common

from compress.exchange.onnx.fold import fold
from compress.exchange.onnx.foreign import expand, mark_unknown, refuse_foreign, without_labels
from compress.exchange.onnx.load import damaged, load, reason
from compress.exchange.onnx.remedies import remedy
from compress.exchange.onnx.shapes import fixed_inputs, one_image, written_batch
from compress.exchange.onnx.types import in_float32, nodes
from cosign import CosignError

__all__ = ["OPSET", "Cleaned", "cleaned", "load"]

OPSET = 22  # of ONNX, of every cleaned model; what came later, images do not need
_IR = 10  # of ONNX's format: what knows integers of 4 bits
_ORDINARY = ("", "ai.onnx")
_BROADCASTING = 7  # the opset from which shapes alone say how to broadcast
_COORDINATES = 11  # the opset from which a Resize says how it finds its pixels
_BY_CONTENT = ("Compress", "NonMaxSuppression", "NonZero", "Unique")  # whatever its input's shape
_TOLD = 40  # names of values in one sentence


@dataclass(frozen=True)
class Cleaned:
    """What `cleaned` makes of a foreign model.

    Parameters
    ----------
    model : of operations of ONNX's own, opset `OPSET`, float32, with a batch of one image; every
        value's shape is known; what can be known without an image is an initialiser
    notes : what a user should be told once
    scales : by value, the real value of one step of signed 8 bits that the file itself gives it
    names : values of the file that can be asked for as outputs
    """

    model: onnx.ModelProto
    notes: tuple[str, ...]
    scales: dict[str, float]
    names: frozenset[str]


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
    notes: list[str] = []
    graph = _needed(ir.from_proto(plain), where, outputs, notes)
    names = frozenset(str(value.name) for node in graph.graph for value in node.outputs)
    plain = ir.to_proto(graph)
    notes += in_float32(plain, where)
    fixed_inputs(plain, where)
    plain = _converted(plain, where, upwards=True)
    working = ir.from_proto(plain)
    fold(working)
    steps = expand(working, notes)
    refuse_foreign(working, where, names)
    one_image(working, where)
    _prune(working)
    scales = {str(value.name): step for value, step in steps.items() if value.graph is not None}
    plain = _converted(ir.to_proto(working), where, upwards=False)
    return Cleaned(_inferred(plain, where, names), tuple(notes), scales, names)


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
    if model.functions:
        model.CopyFrom(inliner.inline_local_functions(model))
    graph = model.graph
    graph.name = graph.name or "graph"
    for node in nodes(graph):
        if node.domain in _ORDINARY:
            node.domain = ""
        mark_unknown(node)
        versions.setdefault(node.domain, 1)
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                full = _dense(attribute.sparse_tensor)
                attribute.CopyFrom(onnx.helper.make_attribute("value", full))
    del model.opset_import[:]
    model.opset_import.extend(
        onnx.helper.make_opsetid(domain, version) for domain, version in versions.items()
    )
    model.ir_version = max(model.ir_version, _IR)
    graph.initializer.extend(_dense(sparse) for sparse in graph.sparse_initializer)
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


def _needed(model: ir.Model, where: str, outputs: Sequence[str], notes: list[str]) -> ir.Model:
    """`model` with the outputs asked for, and of all else only what these need."""
    graph = model.graph
    if outputs:
        outputs = list(dict.fromkeys(outputs))
        made = {value.name: value for node in graph for value in node.outputs if value.name}
        unknown = [name for name in outputs if name not in made]
        if unknown:
            own = ", ".join(str(value.name) for value in graph.outputs)
            inside = [name for name in map(str, made) if not made[name].is_graph_output()]
            more = f" and {len(inside) - _TOLD} more" if len(inside) > _TOLD else ""
            raise CosignError(
                f"{where} has no output {unknown[0]!r}; its outputs are {own}, and inside it are "
                f"{', '.join(inside[:_TOLD]) or 'none'}{more}."
            )
        graph.outputs[:] = [made[name] for name in outputs]
    else:
        without_labels(model, notes)
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
        if version < _BROADCASTING:
            model = version_converter.convert_version(model, _BROADCASTING - 1)
            _slopes_by_channel(model)
        converted = version_converter.convert_version(model, OPSET)
        if version < _COORDINATES:
            _coordinates(converted)
    except Exception as error:
        raise CosignError(
            f"{where} cannot be brought from opset {version} of ONNX to {OPSET} "
            f"({reason(error)}); export it with opset {OPSET}."
        ) from error
    for node in converted.graph.node if not upwards else ():
        known = onnx.defs.get_schema(node.op_type, OPSET).attributes
        for attribute in node.attribute:
            if attribute.name not in known:  # the converter lets it stand, and runtimes pass it by
                raise CosignError(
                    f"{where}: node {node.name!r} ({node.op_type}) has {attribute.name!r}, which "
                    f"ONNX knows only after opset {OPSET}; export it with opset {OPSET}."
                )
    return converted


def _coordinates(model: onnx.ModelProto) -> None:
    """How old Resize and Upsample find their pixels, which the converter does not say."""
    for node in model.graph.node:
        if node.op_type == "Resize":
            for key, way in (
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ):
                node.attribute.append(onnx.helper.make_attribute(key, way))


def _slopes_by_channel(model: onnx.ModelProto) -> None:
    """PRelu's slopes by channel, which the converter leaves to be those of a map's last axis."""
    model.CopyFrom(shape_inference.infer_shapes(model))
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info)
    }
    slopes = {
        node.input[1]: ranks.get(node.input[0], 4)
        for node in model.graph.node
        if node.op_type == "PRelu"
    }
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1 and tensor.name in slopes:
            tensor.dims.extend([1] * (slopes[tensor.name] - 2))


def _inferred(model: onnx.ModelProto, where: str, names: Collection[str]) -> onnx.ModelProto:
    """`model` with the type and shape of every value.

    names : values that can be asked for as outputs

    Raises CosignError where a type or shape is not known.
    """
    for opset in list(model.opset_import):
        if opset.domain:
            model.opset_import.remove(opset)
    model.ir_version = _IR
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.ClearField("type")
    try:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        why = written_batch(model) or (
            f"the shapes do not fit each other ({reason(error)}); check the file with "
            "onnx.shape_inference, and export it again"
        )
        raise CosignError(f"{where}: {why}.") from error
    known = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type != TensorProto.UNDEFINED
        and value.type.tensor_type.HasField("shape")
        and all(axis.HasField("dim_value") for axis in value.type.tensor_type.shape.dim)
    }
    sources = {name: node.input for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                fixed = "" if node.op_type in _BY_CONTENT else "export it with fixed shapes"
                ways = remedy(node.input, sources, names, fixed)
                raise CosignError(
                    f"{where}: {name!r}, which node {node.name!r} ({node.op_type}) gives, is no "
                    f"tensor of a shape that is known without an image{ways}."
                )
    return model
