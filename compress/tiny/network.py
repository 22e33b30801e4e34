"""LeNet-5 as the list of its non-zeros, trained in place."""

import ctypes
from dataclasses import dataclass, field

import numpy as np

from compress.tiny.kernels import Problem, library, pointer
from compress.tiny.samples import Samples

LAYERS = ("conv1", "conv2", "fc1", "fc2")
CELLS = 16  # pixels of a conv2 map after pooling, columns of fc1 for each filter of conv2
_IN_SIZES = (28, 12)
_ADAM = (0.9, 0.99)


@dataclass
class SparseNetwork:
    """The weights that are left, of the filters and neurons that are left.

    Parameters
    ----------
    masks : bool by layer: [c1, 1, 5, 5], [c2, c1, 5, 5], [f, c2 * 16], [10, f]
    theta : float32 [weights + biases]: the four layers' weights where the mask holds, then the
        four layers' biases
    filters : numbers of the live filters in the whole network, by layer but the last
    moment1, moment2 : Adam's, like theta; moment2 is also the diagonal of the Fisher information
    steps : of Adam so far
    levels : int8 [nnz], of the weights that are settled, q times their level: training leaves them
        as they are; zero for those that are free. Empty for none
    """

    masks: list[np.ndarray]
    theta: np.ndarray
    filters: list[np.ndarray]
    moment1: np.ndarray
    moment2: np.ndarray
    steps: int = 0
    levels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    index: list[np.ndarray] = field(init=False)  # of each layer's non-zeros, flattened
    sizes: list[int] = field(init=False)  # lengths of theta's eight parts

    def __post_init__(self) -> None:
        self.index = [np.flatnonzero(mask) for mask in self.masks]
        widths = [len(mask) for mask in self.masks]
        self.sizes = [len(index) for index in self.index] + widths
        if not len(self.levels):
            self.levels = np.zeros(self.nnz, np.int8)
        self._widths = np.array(widths, np.int32)
        self._ptr, self._off = [], []
        for number, (mask, index) in enumerate(zip(self.masks, self.index, strict=True)):
            counts = mask.reshape(len(mask), -1).sum(axis=1)
            self._ptr.append(np.concatenate([[0], counts.cumsum()]).astype(np.int32))
            column = index % (mask.size // len(mask))
            if number < len(_IN_SIZES):
                channel, tap = np.divmod(column, 25)
                size = _IN_SIZES[number]
                column = channel * size * size + tap // 5 * size + tap % 5
            self._off.append(column.astype(np.int32))
        self._tables = [
            (ctypes.c_void_p * len(LAYERS))(*[array.ctypes.data for array in arrays])
            for arrays in (self._ptr, self._off)
        ]

    @classmethod
    def of_dense(
        cls, weights: list[np.ndarray], biases: list[np.ndarray], filters: list[np.ndarray]
    ) -> "SparseNetwork":
        """All weights of the given arrays, shaped like `masks`, none of them masked."""
        theta = np.concatenate([part.reshape(-1) for part in (*weights, *biases)])
        theta = theta.astype(np.float32)
        masks = [np.ones(weight.shape, bool) for weight in weights]
        return cls(masks, theta, filters, np.zeros_like(theta), np.zeros_like(theta))

    @property
    def nnz(self) -> int:
        return sum(self.sizes[: len(LAYERS)])

    @property
    def settled(self) -> np.ndarray:
        """Which weights are levels, bool [nnz]."""
        return self.levels != 0

    @property
    def layer_of(self) -> np.ndarray:
        """The layer's number of each weight, int64 [nnz]."""
        return np.repeat(np.arange(len(LAYERS)), self.sizes[: len(LAYERS)])

    def copy(self) -> "SparseNetwork":
        """One that can be trained without changing this one."""
        state = [array.copy() for array in (self.theta, self.moment1, self.moment2, self.levels)]
        theta, moment1, moment2, levels = state
        return SparseNetwork(self.masks, theta, self.filters, moment1, moment2, self.steps, levels)

    def dense(self, values: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Anything like theta as arrays by layer: shaped like the masks, and like the biases.

        Of `values` [nnz], weights alone, the latter are empty.
        """
        parts = np.split(values, np.cumsum(self.sizes)[:-1])
        weights = []
        for mask, index, part in zip(self.masks, self.index, parts, strict=False):
            full = np.zeros(mask.size, values.dtype)
            full[index] = part
            weights.append(full.reshape(mask.shape))
        return weights, parts[len(LAYERS) :]

    def train(self, samples: Samples, batches: np.ndarray, rates: np.ndarray) -> float:
        """A step of Adam for each row of `batches` [steps, images]; returns the mean loss.

        rates : float32 [steps]
        """
        mask = np.ones_like(self.theta)
        mask[: self.nnz] = ~self.settled
        problem = self._problem(samples)
        loss = library().train(
            ctypes.byref(problem),
            pointer(self.theta),
            pointer(batches),
            batches.shape[1],
            len(batches),
            pointer(rates),
            pointer(self.moment1),
            pointer(self.moment2),
            *map(ctypes.c_float, _ADAM),
            ctypes.c_int64(self.steps),
            pointer(mask),
        )
        self.steps += len(batches)
        return float(loss)

    def gradients(self, samples: Samples, batches: np.ndarray) -> np.ndarray:
        """The mean gradient over each row of `batches` [n, images]: float32 [n, len(theta)]."""
        problem = self._problem(samples)
        result = np.empty((len(batches), len(self.theta)), np.float32)
        for row, batch in zip(result, batches, strict=True):
            library().gradient(
                ctypes.byref(problem), pointer(self.theta), pointer(batch), len(batch), pointer(row)
            )
        return result

    def logits(self, samples: Samples) -> np.ndarray:
        """float32 [N, 10] of all images."""
        result = np.empty((len(samples.labels), 10), np.float32)
        problem = self._problem(samples)
        library().logits(ctypes.byref(problem), pointer(self.theta), len(result), pointer(result))
        return result

    def accuracy(self, samples: Samples) -> float:
        """Top-1, 0..1."""
        return float(np.mean(self.logits(samples).argmax(axis=1) == samples.labels))

    def cut(self, keep: np.ndarray) -> "SparseNetwork":
        """What is left when only the weights of `keep`, bool [nnz], stay.

        Filters and neurons that nothing reads, or that read nothing, go too, with all their
        weights; Adam's state goes along. A neuron that reads nothing is a constant: the next
        layer's biases, which are trained on, take its place.
        """
        masks, _ = self.dense(keep)
        _drop_dead(masks)
        live = [np.any(mask.reshape(len(mask), -1), axis=1) for mask in masks[:3]]
        outputs = [*live, np.ones(len(masks[3]), bool)]
        inputs = [np.ones(1, bool), live[0], np.repeat(live[1], CELLS), live[2]]
        shrunk = [
            mask[out][:, into] for mask, out, into in zip(masks, outputs, inputs, strict=True)
        ]

        def left(values: np.ndarray) -> np.ndarray:
            """Of anything like theta."""
            weights, biases = self.dense(values)
            kept = [weight[mask] for weight, mask in zip(weights, masks, strict=True)]
            kept += [bias[out] for bias, out in zip(biases, outputs, strict=True)]
            return np.concatenate(kept)

        return SparseNetwork(
            shrunk,
            left(self.theta),
            [numbers[alive] for numbers, alive in zip(self.filters, live, strict=True)],
            left(self.moment1),
            left(self.moment2),
            self.steps,
        )

    def grown(self, masks: list[np.ndarray]) -> "SparseNetwork":
        """The same function with more weights, zeros as yet: `masks` include this network's."""
        biases = sum(self.sizes[len(LAYERS) :])
        old = np.concatenate([mask.reshape(-1) for mask in self.masks])
        new = np.concatenate([mask.reshape(-1) for mask in masks])
        place = np.concatenate([old[new], np.ones(biases, bool)])

        def moved(values: np.ndarray) -> np.ndarray:
            result = np.zeros(len(place), values.dtype)
            result[place] = values
            return result

        state = [moved(values) for values in (self.theta, self.moment1, self.moment2)]
        return SparseNetwork(masks, state[0], self.filters, state[1], state[2], self.steps)

    def _problem(self, samples: Samples) -> Problem:
        scale, shift = samples.scale_shift
        return Problem(
            pointer(self._widths),
            ctypes.cast(self._tables[0], ctypes.c_void_p),
            ctypes.cast(self._tables[1], ctypes.c_void_p),
            pointer(samples.images),
            pointer(samples.labels),
            pointer(samples.soft),
            scale,
            shift,
            samples.share,
            samples.temperature,
        )


def _drop_dead(masks: list[np.ndarray]) -> None:
    """Clear the weights of filters and neurons that nothing reads or that read nothing, in place.

    Each that goes may leave another without reader or source; so until no mask changes.
    """
    conv1, conv2, fc1, fc2 = masks
    by_map = fc1.reshape(len(fc1), -1, CELLS)  # a view: columns by the filter of conv2 they read
    before = -1
    while before != (before := sum(int(mask.sum()) for mask in masks)):
        conv1[~np.any(conv2, axis=(0, 2, 3))] = False
        conv2[:, ~np.any(conv1, axis=(1, 2, 3))] = False
        conv2[~np.any(by_map, axis=(0, 2))] = False
        by_map[:, ~np.any(conv2, axis=(1, 2, 3))] = False
        fc1[~np.any(fc2, axis=0)] = False
        fc2[:, ~np.any(fc1, axis=1)] = False
