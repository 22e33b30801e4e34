"""A network that comes with its weights, or with all but the last, as values."""

import hashlib
import json
from collections.abc import Mapping
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
        return _digest(asdict(self.spec), self.weights, self.biases)


@dataclass(frozen=True)
class Features:
    """All trained layers of a network but its last, the classifier.

    Parameters
    ----------
    weights : by layer, float32 [out, in / groups, kh, kw] or [out, in]
    biases : by layer, float32 [out]
    """

    weights: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]

    def digest(self) -> str:
        """SHA-256 over names and weights, hex."""
        return _digest(list(self.weights), self.weights, self.biases)


def _digest(
    structure: object, weights: Mapping[str, np.ndarray], biases: Mapping[str, np.ndarray]
) -> str:
    content = hashlib.sha256(json.dumps(structure, sort_keys=True).encode())
    for name, weight in weights.items():
        content.update(weight.tobytes())
        content.update(biases[name].tobytes())
    return content.hexdigest()
