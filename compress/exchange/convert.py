"""A compressed network in other formats: QDQ ONNX, QONNX, safetensors, and scipy's CSR matrices."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save as to_safetensors_bytes
from scipy.sparse import csr_array

from compress.exchange.executed import Trace, check_qdq, check_qonnx, check_safetensors
from compress.exchange.onnx_writer import per_filter
from compress.exchange.to_qdq import to_qdq
from compress.exchange.to_qonnx import to_qonnx
from compress.model.graph import CompressedModel
from cosign import CosignError, atomic_write


def csr(model: CompressedModel) -> dict[str, csr_array]:
    """Every layer's weights, float32 [out_channels, columns]; a row is a filter."""
    found = {}
    for layer in model.layers:
        q = np.repeat(layer.q.astype(np.float32), np.diff(layer.row_ptr))
        found[layer.name] = csr_array(
            (layer.levels * q, layer.col_idx, layer.row_ptr),
            shape=(layer.geometry.out_channels, layer.geometry.columns),
        )
    return found


def to_safetensors(model: CompressedModel) -> bytes:
    """`<layer>.weight` and `.bias`, float32 as PyTorch shapes them, and `.mask`, bool.

    Weights are q * level. The metadata have q and the bits of every layer, as JSON: q is a list
    where the layer's filters have different ones.
    """
    tensors: dict[str, np.ndarray] = {}
    metadata = {"network": model.name}
    for layer in model.layers:
        g, name = layer.geometry, layer.name
        kernel = () if g.kind == "linear" else g.kernel
        shape = (g.out_channels, g.in_channels // g.groups, *kernel)
        tensors[f"{name}.weight"] = layer.dense_weights().reshape(shape)
        tensors[f"{name}.mask"] = layer.dense_levels().reshape(shape) != 0
        tensors[f"{name}.bias"] = (layer.bias * layer.unit).astype(np.float32)
        q = per_filter(layer.q, 0).tolist()
        metadata |= {f"{name}.q": json.dumps(q), f"{name}.bits": str(layer.bits)}
    return to_safetensors_bytes(tensors, metadata)


FORMATS: dict[str, Callable[[CompressedModel], bytes]] = {
    "qdq": lambda model: to_qdq(model).SerializeToString(),
    "qonnx": lambda model: to_qonnx(model).SerializeToString(),
    "safetensors": to_safetensors,
}


_CHECKS: dict[str, Callable[[bytes, CompressedModel, Trace | None], None]] = {
    "qdq": check_qdq,
    "qonnx": check_qonnx,
    "safetensors": check_safetensors,
}


def write(model: CompressedModel, form: str, path: Path, trace: Trace | None = None) -> None:
    """Write the model in one of FORMATS, atomically, after it has been read and executed.

    trace : the integer model, which the values of "qdq" must equal

    Raises CosignError, and leaves no file, when the model does not survive that.
    """
    try:
        content = FORMATS[form](model)
        _CHECKS[form](content, model, trace)
    except Exception as error:  # onnx.checker, onnxruntime and protobuf raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise CosignError(
            f"{model.name} as {form} fails its check, so {path} is not written ({reason}); report "
            "it with the model."
        ) from error
    with atomic_write(path) as file:
        file.write(content)
