"""What a small network learns from: moved images, their labels and a dense teacher's answers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from compress.data.datasets import Dataset, Split
from compress.tiny import kernels
from cosign import CosignError

_BATCH = 128
_ANSWER_BATCH = 500


@dataclass(frozen=True)
class Samples:
    """Images with two kinds of answers.

    Parameters
    ----------
    images : uint8 [N, 28, 28]; copies of the data set one after another, `originals` images each
    labels : int64 [N]
    soft : float32 [N, 10], the teacher's probabilities at `temperature`
    share : of the teacher in the loss, 0..1 (Hinton et al. 2015)
    scale_shift : a pixel p enters the network as p * scale - shift
    """

    images: np.ndarray
    labels: np.ndarray
    soft: np.ndarray
    originals: int
    scale_shift: tuple[float, float]
    share: float
    temperature: float

    def batches(self, rng: np.random.Generator, steps: int, size: int) -> np.ndarray:
        """int64 [steps, size]: one permutation of the originals after another, in random copies."""
        epochs = -(-steps * size // self.originals)
        order = np.concatenate([rng.permutation(self.originals) for _ in range(epochs)])
        order = order[: steps * size]
        copy = rng.integers(0, len(self.labels) // self.originals, len(order))
        return (order + self.originals * copy).reshape(steps, size)


@dataclass(frozen=True)
class Motion:
    """How far images are moved: each of these at random up to the limit, either way.

    Parameters
    ----------
    degrees, shift : rotation, and translation in pixels
    stretch, shear : of the logarithm of either axis' scale, and horizontal
    """

    degrees: float
    stretch: float
    shear: float
    shift: float

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Affine maps as `kernels.warp` reads them, float32 [count, 6]."""
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees, count))
        width = np.exp(rng.uniform(-self.stretch, self.stretch, count))
        height = np.exp(rng.uniform(-self.stretch, self.stretch, count))
        shear = rng.uniform(-self.shear, self.shear, count)
        right, down = rng.uniform(-self.shift, self.shift, (2, count))
        cos, sin = np.cos(angle), np.sin(angle)
        rows = [cos * width, (shear - sin) * width, right, sin * height, cos * height, down]
        return np.stack(rows, axis=1).astype(np.float32)


TEACHER_MOTION = Motion(10, 0.1, 0.1, 1.5)
SAMPLE_MOTION = Motion(7.5, 0.07, 0.07, 1.0)


def scale_shift(dataset: Dataset) -> tuple[float, float]:
    """Of the input: a pixel p enters as p * scale - shift."""
    return 1 / 255 / dataset.std[0], dataset.mean[0] / dataset.std[0]


def pixels_of(split: Split) -> np.ndarray:
    """uint8 [N, 28, 28]. Raises CosignError when the images are of another shape."""
    pixels = split.images(np.arange(len(split.labels)))
    if pixels.shape[1:] != (1, 28, 28):
        raise CosignError(f"LeNet-5 reads 28 x 28 grey images, not {pixels.shape[1:]}.")
    return np.ascontiguousarray(pixels[:, 0])


def teacher() -> nn.Sequential:
    """The dense LeNet-5 with dropout behind fc1."""
    network = nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(500, 10),
    )
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return network


def train_epoch(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    dataset: Dataset,
    rng: np.random.Generator,
    rates: np.ndarray,
) -> float:
    """One pass of the teacher over the training images, moved; returns the mean loss.

    rates : learning rate of each step
    """
    images, labels = pixels_of(dataset.train), torch.from_numpy(dataset.train.labels)
    order = rng.permutation(len(labels))
    network.train()
    total = 0.0
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        picked = order[step * _BATCH : (step + 1) * _BATCH]
        maps = TEACHER_MOTION.draw(rng, len(picked))
        x = torch.from_numpy(kernels.warp(images[picked], maps, *scale_shift(dataset)))
        x = x[:, None].contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(network(x), labels[torch.from_numpy(picked)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(rates)


def steps_per_epoch(dataset: Dataset) -> int:
    """Of the teacher's training."""
    return len(dataset.train.labels) // _BATCH


@torch.no_grad()
def answered(
    network: nn.Sequential,
    dataset: Dataset,
    split: Split,
    maps: list[np.ndarray],
    temperature: float,
) -> dict[str, np.ndarray]:
    """`images`, `labels` and `soft` of Samples: the split as it is, then moved by each map."""
    network.eval()
    scale, shift = scale_shift(dataset)
    originals = pixels_of(split)
    moved = [np.rint(kernels.warp(originals, each, 1.0, 0.0)) for each in maps]
    images = np.concatenate([originals, *(m.clip(0, 255).astype(np.uint8) for m in moved)])
    soft = []
    for start in range(0, len(images), _ANSWER_BATCH):
        x = torch.from_numpy(images[start : start + _ANSWER_BATCH]).to(torch.float32)
        x = x.mul_(scale).sub_(shift)[:, None].contiguous(memory_format=torch.channels_last)
        soft.append(torch.softmax(network(x) / temperature, 1).numpy())
    labels = np.tile(split.labels, len(maps) + 1)
    return {"images": images, "labels": labels, "soft": np.concatenate(soft)}
