"""A network that comes with its weights, as values."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

import numpy as np

from compress.model.nodes import NetworkSpec


@dataclass(frozen=True)
class Pretrained:
    """A network with trained weights.

    Parameters
    ----------
    spec : the network, without batch normalisation
    weights : by layer, float32 [out, in / groups, kh, kw] or [out, in]
    biases : by layer, float32 [out]
    pixels : mean and standard deviation by channel of pixels of 0..1 that it was trained on, where
        that is known
    outputs : what the outputs are called in the file that they come from
    notes : what was changed or left out in reading it, a sentence each
    layout : of each number that the file reads of an image, in the file's axes, its place in the
        flattened (C, H, W); int64; None where the file's axes are these
    scales : by node, the real value of one step of signed 8 bits, where the file gives it
    """

    spec: NetworkSpec
    weights: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]
    pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    outputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layout: np.ndarray | None = None
    scales: dict[str, float] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over structure and weights, hex."""
        content = hashlib.sha256(json.dumps(asdict(self.spec), sort_keys=True).encode())
        for name, weight in self.weights.items():
            content.update(weight.tobytes())
            content.update(self.biases[name].tobytes())
        return content.hexdigest()
