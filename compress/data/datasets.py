"""Data sets: `load_dataset` and the splits it is made of.

A split yields uint8 pixels [n, C, H, W] for any list of indices, so that small sets live in
memory, generated ones are computed and image folders are decoded as needed.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from compress.data import cifar10, classes, imagefolder, mnist, synthetic
from compress.model.graph import check_pixels
from compress.model.hostops import Shape
from compress.zoo.networks import entry_of
from cosign import CosignError

# Images of the generated set, a multiple of its twelve classes each.
SYNTHETIC_SIZES = {"train": 3000, "val": 240, "test": 480}
_MNIST_VALIDATION = 5_000
_MNIST_SHIFT = 1  # pixels
_CIFAR_VALIDATION = 5_000
_CIFAR_SHIFT = 4

_SMALL = ("mnist", "cifar10")  # sets of one size, for networks that read it
NAMED = (*_SMALL, "imagenette")  # sets that are fetched, not folders
ALL = slice(None)
Progress = Callable[[str], None]
# Mean and standard deviation by channel, of pixels scaled to 0..1
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MNIST: Normalisation = ((0.1307,), (0.3081,))
CIFAR10: Normalisation = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


class Split(Protocol):
    """Part of a data set. `labels` is int64 [N]."""

    labels: np.ndarray

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [n, C, H, W] as evaluated: no randomness."""
        ...

    def augmented(
        self, indices: np.ndarray, rng: np.random.Generator, part: slice = ALL
    ) -> np.ndarray:
        """uint8 [n, C, H, W] as trained on: random crop and flip where they make sense.

        Of the batch `indices` only `part`, with the random numbers that it has in the whole.
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits. Selection uses `val`; `test` is for reporting only.

    Parameters
    ----------
    name, note : what it is, and what must stand beside every accuracy measured on it
    shape : (channels, height, width) of an image
    classes : class names; a label is an index into it
    mean, std : per channel, on pixels scaled to 0..1
    workers : processes that read images ahead for training and evaluation, on the same results
    reordered : whether the classes of an image folder are in another order than sorted as text
    """

    name: str
    note: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Split
    val: Split
    test: Split
    workers: int = 0
    reordered: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Images by split."""
        return {name: len(getattr(self, name).labels) for name in ("train", "val", "test")}


class ArraySplit:
    """Images held in memory, uint8 [N, C, H, W]; training shifts them by up to `shift` pixels.

    What a shift uncovers is black, like the border of a digit. With `flip` half of them are
    mirrored too.
    """

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray, shift: int = 0, flip: bool = False
    ) -> None:
        self._pixels = pixels
        self._shift = shift
        self._flip = flip
        self.labels = labels.astype(np.int64)

    def images(self, indices: np.ndarray) -> np.ndarray:
        return self._pixels[indices]

    def augmented(
        self, indices: np.ndarray, rng: np.random.Generator, part: slice = ALL
    ) -> np.ndarray:
        images = self._pixels[indices[part]]
        if self._flip:
            images = imagefolder.flipped(images, (rng.random(len(indices)) < 0.5)[part])
        margin = self._shift
        if not margin:
            return images
        height, width = images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        top, left = rng.integers(0, 2 * margin + 1, (2, len(indices)))[:, part]
        return windows[np.arange(len(images)), :, top, left]


class SyntheticSplit:
    """Generated images, kept in memory once asked for; training flips them at random."""

    def __init__(self, seed: int, split: int, count: int) -> None:
        self.labels = np.arange(count, dtype=np.int64) % len(synthetic.CLASSES)
        self._seed, self._split = seed, split
        self._pixels = np.empty((count, 3, synthetic.SIZE, synthetic.SIZE), np.uint8)
        self._known = np.zeros(count, bool)

    def images(self, indices: np.ndarray) -> np.ndarray:
        for index in np.asarray(indices)[~self._known[indices]]:
            self._pixels[index] = synthetic.generate(self._seed, self._split, int(index))
            self._known[index] = True
        return self._pixels[indices]

    def augmented(
        self, indices: np.ndarray, rng: np.random.Generator, part: slice = ALL
    ) -> np.ndarray:
        flip = rng.random(len(indices)) < 0.5
        return imagefolder.flipped(self.images(indices[part]), flip[part])


def load(
    data: str, seed: int, progress: Progress | None = None, order: classes.Order = None
) -> Dataset:
    """A data set in its own size, of an ImageNet folder 227 x 227 pixels.

    data : "mnist", "cifar10", "synthetic", "imagenette" or the path of an ImageNet folder
    seed : decides the validation split and the generated images
    progress : receives one line per slow step, and which class of a folder is which output
    order : of an image folder's classes, as `classes.ordered` takes it

    Raises CosignError when the data are missing or corrupt, or an order is given for others.
    """
    check_order(data, order)
    if data == "mnist":
        return _mnist(seed, progress)
    if data == "cifar10":
        return split_cifar10(*cifar10.load(progress), seed)
    if data == "synthetic":
        return _synthetic(seed)
    return _folder(data, seed, imagefolder.SHAPE, IMAGENET, progress, order)


def is_folder(data: str | None) -> bool:
    """Whether --data names an image folder rather than a set that we know."""
    return data not in (None, "synthetic", *NAMED)


def check_order(data: str | None, order: classes.Order) -> None:
    """Raises CosignError when an order of classes is given for what is no image folder."""
    if order is not None and not is_folder(data):
        raise CosignError("--classes is for an image folder; give one by --data, or leave it out.")


def load_dataset(
    network: str,
    data: str | None,
    seed: int,
    progress: Progress | None = None,
    order: classes.Order = None,
) -> Dataset:
    """The data that a built-in network is trained on from nothing, as `load` has them.

    data : None for the network's own, or any other large colour photographs if it reads those

    Raises CosignError as `load` does, and when the data are not meant for the network.
    """
    entry = entry_of(network)
    own = entry.data
    if own is None or entry.needs_weights:
        raise CosignError(f"{network} is not trained from nothing; give its weights by --weights.")
    if own in _SMALL and data not in (None, own):
        raise CosignError(f"{network} reads {own}, not {data!r}; leave --data out.")
    if own not in _SMALL and data in _SMALL:
        raise CosignError(f"{network} reads large colour photographs, not {data}; give a folder.")
    return load(own if data is None else data, seed, progress, order)


def load_for(
    shape: Shape,
    data: str | None,
    seed: int,
    normalisation: Normalisation | None = None,
    progress: Progress | None = None,
    order: classes.Order = None,
) -> Dataset:
    """Data for a network of one's own that reads images of `shape`.

    `data` is "mnist", the default for 1 x 28 x 28, "cifar10", that for 3 x 32 x 32, "imagenette" or
    an ImageNet folder, whose images are scaled and cropped. `normalisation` is the data's or
    ImageNet's where it is None, `order` that of a folder's classes, as `classes.ordered` takes it.
    Raises CosignError when there are no such data, or they do not fit.
    """
    check_order(data, order)
    pixels = " x ".join(map(str, shape))
    if data == "cifar10" or (data is None and shape == cifar10.SHAPE):
        if shape != cifar10.SHAPE:
            raise CosignError(
                f"the network reads {pixels} images, CIFAR-10's are 3 x 32 x 32; give an ImageNet "
                "folder by --data."
            )
        dataset = split_cifar10(*cifar10.load(progress), seed)
    elif data in (None, "mnist"):
        if shape != (1, 28, 28):
            raise CosignError(
                f"the network reads {pixels} images, MNIST's are 1 x 28 x 28; give an ImageNet "
                "folder by --data."
            )
        dataset = _mnist(seed, progress)
    elif data == "synthetic":
        raise CosignError(
            "the generated set is for networks that are trained from nothing; give an ImageNet "
            "folder by --data."
        )
    else:
        if shape[0] not in (1, 3):
            raise CosignError(
                f"the network reads {pixels} images, photographs have 1 or 3 channels."
            )
        # An untold normalisation of grey photographs is the mean of ImageNet's colours.
        mean, std = (part if shape[0] == 3 else (sum(part) / len(part),) for part in IMAGENET)
        dataset = _folder(str(data), seed, shape, (mean, std), progress, order)
    if normalisation is None:
        return dataset
    mean, std = normalisation
    check_pixels(mean, std, shape[0])
    return dataclasses.replace(dataset, mean=mean, std=std)


def _folder(
    data: str,
    seed: int,
    shape: Shape,
    normalisation: Normalisation,
    progress: Progress | None,
    order: classes.Order,
) -> Dataset:
    if data == "imagenette":
        root, name = imagefolder.fetch_imagenette(progress), "imagenette2-320"
    else:
        root, name = Path(data), Path(data).resolve().name
    names, train, val, test = imagefolder.load(root, seed, shape, order=order, progress=progress)
    if progress is not None:
        progress(classes.outputs(names))
    return Dataset(
        name=name,
        note=f"{len(names)} classes of photographs, not the ImageNet-1000 task"
        if len(names) != 1000
        else "image folder with 1,000 classes",
        shape=shape,
        classes=names,
        reordered=list(names) != sorted(names),
        mean=normalisation[0],
        std=normalisation[1],
        train=train,
        val=val,
        test=test,
    )


def _mnist(seed: int, progress: Progress | None) -> Dataset:
    files = mnist.load(progress)
    pixels = files["train-images-idx3-ubyte"][:, None]
    labels = files["train-labels-idx1-ubyte"]
    order = np.random.default_rng([seed, 0]).permutation(len(labels))
    val, train = np.split(order, [_MNIST_VALIDATION])
    return Dataset(
        name="mnist",
        note="MNIST handwritten digits",
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        mean=MNIST[0],
        std=MNIST[1],
        train=ArraySplit(pixels[train], labels[train], _MNIST_SHIFT),
        val=ArraySplit(pixels[val], labels[val]),
        test=ArraySplit(files["t10k-images-idx3-ubyte"][:, None], files["t10k-labels-idx1-ubyte"]),
    )


def split_cifar10(known: cifar10.Images, test: cifar10.Images, seed: int) -> Dataset:
    """5,000 of the images that are known are for validation, the others for training."""
    pixels, labels = known
    order = np.random.default_rng([seed, 0]).permutation(len(labels))
    val, train = np.split(order, [_CIFAR_VALIDATION])
    return Dataset(
        name="cifar10",
        note="CIFAR-10 photographs",
        shape=cifar10.SHAPE,
        classes=cifar10.CLASSES,
        mean=CIFAR10[0],
        std=CIFAR10[1],
        train=ArraySplit(pixels[train], labels[train], _CIFAR_SHIFT, flip=True),
        val=ArraySplit(pixels[val], labels[val]),
        test=ArraySplit(*test),
    )


def _synthetic(seed: int) -> Dataset:
    splits = {
        name: SyntheticSplit(seed, number, count)
        for number, (name, count) in enumerate(SYNTHETIC_SIZES.items())
    }
    return Dataset(
        name="synthetic",
        note="procedurally generated, not ImageNet",
        shape=(3, synthetic.SIZE, synthetic.SIZE),
        classes=synthetic.CLASSES,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
    )
