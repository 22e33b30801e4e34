"""The input pipeline: images of a step, made where and when there is time for it.

What a step trains on is a function of its number. So worker processes may decode ahead of the
optimiser, however many there are, and of several training processes each makes its share of every
batch: together they see the images, crops and flips that one would see alone.
"""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from compress.data.datasets import Split
from cosign import CosignError

T = TypeVar("T")


class Batch(NamedTuple):
    """Parameters
    ----------
    pixels : uint8 [n, C, H, W]
    labels : int64 [n]
    seed : of what else is random in the step
    """

    pixels: Tensor
    labels: Tensor
    seed: int


class Batches:
    """The batch of every step: a permutation of the split in each epoch, images augmented.

    size : images of a batch, at most the whole split; a remainder of the epoch is left out
    random : key of all random numbers
    share : (number of this process, processes); each has as many images of a batch

    Raises CosignError when the batch cannot be shared out evenly.
    """

    def __init__(
        self, split: Split, size: int, random: tuple[int, ...], share: tuple[int, int] = (0, 1)
    ) -> None:
        self._split = split
        self._size = min(size, len(split.labels))
        self._random = random
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        number, processes = share
        each, rest = divmod(self._size, processes)
        if rest:
            raise CosignError(
                f"a batch of {self._size} images cannot be shared by {processes} processes; "
                "choose a divisor of it."
            )
        self._mine = slice(number * each, (number + 1) * each)

    def __call__(self, step: int) -> Batch:
        count = len(self._split.labels)
        epoch, position = divmod(step, count // self._size)
        if self._order[0] != epoch:
            shuffle = np.random.default_rng([*self._random, 0, epoch])
            self._order = (epoch, shuffle.permutation(count))
        indices = self._order[1][position * self._size : (position + 1) * self._size]
        rng = np.random.default_rng([*self._random, 1, step])
        seed = int(rng.integers(1 << 62))
        pixels = self._split.augmented(indices, rng, self._mine)
        labels = self._split.labels[indices[self._mine]]
        return Batch(torch.from_numpy(pixels), torch.from_numpy(labels), seed)


def in_order(make: Callable[[int], T], numbers: range, workers: int) -> Iterator[T]:
    """make(n) for n of `numbers`; processes make them ahead of time, with 0 workers nobody does.

    What is made must consist of tensors and plain values. Raises what `make` raises.
    """
    made: DataLoader[T | CosignError] = DataLoader(
        _Made(make), sampler=numbers, batch_size=None, num_workers=workers
    )
    for value in made:
        if isinstance(value, CosignError):
            raise value
        yield value


class _Made(TorchDataset[T | CosignError], Generic[T]):
    """`make` as torch's loader wants it; errors travel as values, or their sentence would not."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make

    def __getitem__(self, number: int) -> T | CosignError:
        try:
            return self._make(number)
        except CosignError as error:
            return error
