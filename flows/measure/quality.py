"""How good integers are: right answers where images have labels, and the change of the outputs."""

from collections.abc import Callable, Mapping

import numpy as np

from compress.model.graph import CompressedModel, InputSpec
from compress.nn.network import Network
from compress.posttrain import fidelity
from cosign.values import Amount, Share, Value
from flows.measure import integer
from sim import golden


class Quality(Value, frozen=True, kw_only=True):
    """Of a model on a judge's images.

    Parameters
    ----------
    accuracy : top-1; null without labels
    errors : by output, root mean square change over root mean square; null where that is infinite
    """

    accuracy: Share | None
    errors: tuple[Amount | None, ...]

    @property
    def error(self) -> float | None:
        """The mean over outputs."""
        finite = [error for error in self.errors if error is not None]
        return sum(finite) / len(finite) if finite else None


class Judge:
    """Images, and what the float network makes of them.

    labels : int64 [N], or None where the images have none
    pixels : uint8 [N, C, H, W]
    """

    def __init__(
        self, network: Network, source: InputSpec, pixels: np.ndarray, labels: np.ndarray | None
    ) -> None:
        self.images = len(pixels)
        self._pixels, self._labels = pixels, labels
        self._expected = fidelity.outputs(network, source, pixels)

    @property
    def dense_accuracy(self) -> float | None:
        """Of the float network; None without labels."""
        return self._share(self._expected[0].reshape(self.images, -1).argmax(1))

    def of(
        self, model: CompressedModel, report: Callable[[int], None] = lambda done: None
    ) -> Quality:
        """The quality of a model's integers; `report` gets the images done so far."""
        answers: list[np.ndarray] = []

        def trace(model: CompressedModel, x: np.ndarray) -> Mapping[str, np.ndarray]:
            values = golden.trace(model, x, integer.accumulate)
            answers.append(values[model.outputs[0]].reshape(len(x), -1).argmax(1))
            report(sum(map(len, answers)))
            return values

        errors = fidelity.errors(model, self._expected, self._pixels, trace)
        return Quality(
            accuracy=self._share(np.concatenate(answers)),
            errors=tuple(error if np.isfinite(error) else None for error in errors),
        )

    def _share(self, answers: np.ndarray) -> float | None:
        return None if self._labels is None else float((answers == self._labels).mean())
