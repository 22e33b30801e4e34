"""Imported networks against onnxruntime."""

import numpy as np
import onnx
import torch
from onnx_models import compute, session

from compress.exchange.onnx import reader
from compress.model.pretrained import Pretrained
from compress.nn.network import pretrained_network


def read(model: onnx.ModelProto) -> Pretrained:
    return reader.from_bytes(model.SerializeToString(), "net", "net.onnx")


def assert_same(model: onnx.ModelProto, tolerance: float = 1e-4) -> Pretrained:
    """The imported network computes what onnxruntime does."""
    imported = read(model)
    batch = session(model).get_inputs()[0].shape[0]
    count = batch if isinstance(batch, int) else 2
    x = np.random.default_rng(1).normal(size=(count, *imported.spec.shape)).astype(np.float32)
    wanted = compute(model, x)
    with torch.no_grad():
        got = pretrained_network(imported)(torch.from_numpy(x)).numpy()
    scale = np.abs(wanted).max() + 1e-3
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=tolerance * scale)
    return imported
