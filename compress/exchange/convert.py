"""A compressed network in other formats: QDQ ONNX, QONNX, safetensors, and scipy's CSR matrices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save as to_safetensors_bytes
from scipy.sparse import csr_array

from compress.exchange.to_qdq import to_qdq
from compress.exchange.to_qonnx import to_qonnx
from compress.model.graph import CompressedModel
from cosign import atomic_write


def csr(model: CompressedModel) -> dict[str, csr_array]:
    """Every layer's weights, float32 [out_channels, columns]; a row is a filter."""
    return {
        layer.name: csr_array(
            (layer.levels * np.float32(layer.q), layer.col_idx, layer.row_ptr),
            shape=(layer.geometry.out_channels, layer.geometry.columns),
        )
        for layer in model.layers
    }


def to_safetensors(model: CompressedModel) -> bytes:
    """`<layer>.weight` and `.bias`, float32 as PyTorch shapes them, and `.mask`, bool.

    Weights are q * level. The metadata have q and the bits of every layer, as text.
    """
    tensors: dict[str, np.ndarray] = {}
    metadata = {"network": model.name}
    for layer in model.layers:
        g, name = layer.geometry, layer.name
        kernel = () if g.kind == "linear" else g.kernel
        levels = layer.dense_levels().reshape(g.out_channels, g.in_channels // g.groups, *kernel)
        tensors[f"{name}.weight"] = levels * np.float32(layer.q)
        tensors[f"{name}.mask"] = levels != 0
        tensors[f"{name}.bias"] = (layer.bias * (layer.in_scale * layer.q)).astype(np.float32)
        metadata |= {f"{name}.q": repr(layer.q), f"{name}.bits": str(layer.bits)}
    return to_safetensors_bytes(tensors, metadata)


FORMATS: dict[str, Callable[[CompressedModel], bytes]] = {
    "qdq": lambda model: to_qdq(model).SerializeToString(),
    "qonnx": lambda model: to_qonnx(model).SerializeToString(),
    "safetensors": to_safetensors,
}


def write(model: CompressedModel, form: str, path: Path) -> None:
    """Write the model in one of FORMATS, atomically."""
    content = FORMATS[form](model)
    with atomic_write(path) as file:
        file.write(content)
