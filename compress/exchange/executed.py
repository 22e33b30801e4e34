"""What is exported is executed before it is kept: by onnx.checker, onnxruntime and safetensors."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import parser
from safetensors.numpy import load as from_safetensors_bytes

from compress.exchange.onnx_writer import scales_of
from compress.model.graph import CompressedModel, InputSpec
from cosign import CosignError

Trace = Callable[[CompressedModel, np.ndarray], dict[str, np.ndarray]]
"""The integer model: int8 inputs [N, C, H, W] to the int8 output [N, ...] of every node."""

_SILENT = 4  # what fails is told here, warnings are of no use to whoever exports
_QUANT = """
<domain: "qonnx.custom_op.general", opset_import: ["" : 13]>
Quant <signed, narrow, rounding_mode> (x, scale, zero, bits) => (y) {
    one = Constant <value_float: float = 1.0> ()
    two = Constant <value_float: float = 2.0> ()
    half = Constant <value_float: float = 0.5> ()
    whole_signed = Constant <value_int: int = @signed> ()
    whole_narrow = Constant <value_int: int = @narrow> ()
    signs = Cast <to: int = 1> (whole_signed)
    narrows = Cast <to: int = 1> (whole_narrow)
    magnitude_bits = Sub (bits, signs)
    levels = Pow (two, magnitude_bits)
    lowest = Sub (narrows, levels)
    low = Mul (lowest, signs)
    unsigned = Sub (one, signs)
    less = Mul (unsigned, narrows)
    last = Sub (levels, one)
    high = Sub (last, less)
    units = Div (x, scale)
    moved = Add (units, zero)
    upper = Add (moved, half)
    rounded = Floor (upper)
    clipped = Clip (rounded, low, high)
    back = Sub (clipped, zero)
    y = Mul (back, scale)
}
"""
"""QONNX's Quant with rounding half up, in ONNX's own operations."""


def check_qdq(blob: bytes, model: CompressedModel, trace: Trace | None) -> None:
    """Raises CosignError unless onnxruntime computes what `trace` does, if given, on pixels."""
    pixels = _pixels(model.input)
    outputs = _outputs(onnx.load_model_from_string(blob), pixels)
    if trace is None:
        return
    units, scales = trace(model, model.input.quantize(pixels)), scales_of(model)
    for name, got in zip(model.outputs, outputs, strict=True):
        wanted = units[name].reshape(got.shape) * np.float32(scales[name])
        if not np.array_equal(got, wanted):
            raise CosignError(
                f"{np.count_nonzero(got != wanted):,} of {got.size:,} values of {name!r} are not "
                "the integer model's"
            )


def check_qonnx(blob: bytes, model: CompressedModel, trace: Trace | None) -> None:
    """Raises CosignError unless onnxruntime executes it, each Quant node as ONNX's operations.

    Its sums are float32, so that single units may differ from `trace`, which is not asked.
    """
    proto = onnx.load_model_from_string(blob)
    proto.functions.append(parser.parse_function(_QUANT))
    source = model.input
    mean, std = (np.array(part)[:, None, None] for part in (source.mean, source.std))
    _outputs(proto, ((_pixels(source)[:1] / 255 - mean) / std).astype(np.float32))


def check_safetensors(blob: bytes, model: CompressedModel, trace: Trace | None) -> None:
    """Raises CosignError unless the weights that are read are the model's."""
    read = from_safetensors_bytes(blob)
    for layer in model.layers:
        weight = layer.dense_weights()
        if not np.array_equal(read[f"{layer.name}.weight"].reshape(weight.shape), weight):
            raise CosignError(f"the weights of {layer.name!r} are read as others")


def _pixels(source: InputSpec) -> np.ndarray:
    """uint8 [2, C, H, W]: noise, and noise of black and white."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, source.shape, np.uint8)
    return np.stack([noise, rng.choice(np.array([0, 255], np.uint8), source.shape)])


def _outputs(proto: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    """What onnxruntime computes of a model that onnx.checker takes, types and shapes included."""
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs: list[np.ndarray] = session.run(None, {"input": x})
    if not all(np.isfinite(output).all() for output in outputs):
        raise CosignError("onnxruntime computes outputs that are not finite")
    return outputs
