"""Test images of a network, for rooms that read no data set and for the integer model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from compress.data import classes
from compress.data.datasets import Dataset, Progress, is_folder, load, load_for
from compress.model.hostops import Shape
from compress.zoo.networks import spec_of
from cosign import CosignError, atomic_write


def test_split(
    network: str,
    shape: Shape,
    data: str,
    order: classes.Order,
    progress: Progress | None,
) -> tuple[Dataset, Callable[[np.ndarray], np.ndarray]]:
    """The data set, and a function from indices of its test split to uint8 pixels [N, *shape].

    data : "mnist", "cifar10", "imagenette", "synthetic" or an ImageNet folder; photographs are
        scaled and cropped as they are for training, generated images cropped
    order, progress : as `load` takes them

    Raises CosignError when the data are missing or of another shape.
    """
    channels, height, width = shape
    if data == "imagenette" or is_folder(data):
        dataset = load_for(shape, data, 0, None, progress, order)
    else:
        dataset = load(data, 0, progress, order)
    if dataset.shape[0] != channels:
        raise CosignError(
            f"{network} reads images of {channels} channels, {dataset.name} has {dataset.shape[0]}."
        )
    top, left = (dataset.shape[1] - height) // 2, (dataset.shape[2] - width) // 2
    if top < 0 or left < 0:
        raise CosignError(
            f"{network} reads {height} x {width} pixels, {dataset.name} has {dataset.shape[1]} x "
            f"{dataset.shape[2]}."
        )

    def pixels(indices: np.ndarray) -> np.ndarray:
        return dataset.test.images(indices)[:, :, top : top + height, left : left + width]

    return dataset, pixels


def write(network: str, data: str, count: int, out: Path) -> None:
    """The first `count` images of the test split of `data`, uint8 [count, C, H, W].

    Raises CosignError as `test_split` does, and when there are fewer images.
    """
    order = "text" if is_folder(data) else None  # labels are not asked for
    dataset, pixels = test_split(network, spec_of(network).shape, data, order, None)
    available = len(dataset.test.labels)
    if not 0 < count <= available:
        raise CosignError(f"{dataset.name} has {available} test images, --count is {count}.")
    with atomic_write(out) as file:
        np.save(file, pixels(np.arange(count)))
