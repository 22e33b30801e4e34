"""Test images of a network as an array in a file, for the rooms that read no data set."""

from pathlib import Path

import numpy as np

from compress.data import load_dataset
from compress.networks import spec_of
from cosign import CosignError, atomic_write


def write(network: str, data: str, count: int, out: Path) -> None:
    """The first `count` images of the test split of `data`, uint8 [count, C, H, W].

    data : "mnist", "imagenette", "synthetic" or an ImageNet folder; photographs are cropped to
        the network's input

    Raises CosignError when the data are missing, too few or of another shape.
    """
    channels, height, width = spec_of(network).shape
    # The data sets are those of lenet5 and alexnet; other networks read alexnet's, cropped.
    dataset = load_dataset("lenet5" if data == "mnist" else "alexnet", data, seed=0)
    if dataset.shape[0] != channels:
        raise CosignError(
            f"{network} reads images of {channels} channels, {dataset.name} has {dataset.shape[0]}."
        )
    available = len(dataset.test.labels)
    if not 0 < count <= available:
        raise CosignError(f"{dataset.name} has {available} test images, --count is {count}.")
    pixels = dataset.test.images(np.arange(count))
    top, left = (pixels.shape[2] - height) // 2, (pixels.shape[3] - width) // 2
    if top < 0 or left < 0:
        raise CosignError(
            f"{network} reads {height} x {width} pixels, {dataset.name} has {pixels.shape[2]} x "
            f"{pixels.shape[3]}."
        )
    with atomic_write(out) as file:
        np.save(file, pixels[:, :, top : top + height, left : left + width])
