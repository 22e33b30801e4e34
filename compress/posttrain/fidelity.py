"""How far the integers of a compressed network are from the float network that it came from."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from compress.data.pixels import normalised
from compress.exchange.onnx_writer import scales_of
from compress.model.graph import CompressedModel, InputSpec
from compress.nn.network import Network

_BATCH = 4
Trace = Callable[[CompressedModel, np.ndarray], Mapping[str, np.ndarray]]
"""`sim.golden.trace`: every node's integers for int8 [N, C, H, W]."""


def outputs(network: Network, source: InputSpec, pixels: np.ndarray) -> list[np.ndarray]:
    """What the float network makes of uint8 pixels [N, C, H, W], by output float32 [N, ...]."""
    parts: list[list[np.ndarray]] = []
    for some in _batches(pixels):
        seen: dict[str, np.ndarray] = {}
        with torch.no_grad():
            network(
                normalised(source, some),
                observe=lambda name, value, seen=seen: seen.setdefault(name, value.numpy()),
            )
        parts.append([seen[name] for name in network.spec.outputs])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def errors(
    model: CompressedModel, expected: Sequence[np.ndarray], pixels: np.ndarray, trace: Trace
) -> list[float]:
    """By output sqrt(sum((y - y_int)^2) / sum(y^2)), y the float one and y_int the integers' value.

    expected : of `outputs`, for the same pixels

    1 is what an output of zeros has. Where y itself is zero it is 0, or infinite.
    """
    units = scales_of(model)
    wrong, right = np.zeros(len(expected)), np.zeros(len(expected))
    done = 0
    for some in _batches(pixels):
        values = trace(model, model.input.quantize(some))
        for number, (name, floats) in enumerate(zip(model.outputs, expected, strict=True)):
            y = floats[done : done + len(some)].astype(np.float64)
            found = values[name].reshape(y.shape) * units[name]
            wrong[number] += np.square(y - found).sum()
            right[number] += np.square(y).sum()
        done += len(some)
    return [
        float(np.sqrt(part / whole)) if whole else float(part and np.inf)
        for part, whole in zip(wrong, right, strict=True)
    ]


def _batches(pixels: np.ndarray) -> list[np.ndarray]:
    return [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
