"""Photographs in ImageNet's folder layout: train/<class>/*, val/<class>/*; and imagenette.

For crops of 227 x 227 the short side is resized to 256 pixels when it is larger and to 227 when it
is smaller than that, for others in proportion; training takes a random crop and flips it,
evaluation takes the centre.
`val/` is the test split; the validation split is carved out of `train/`, class by class.
"""

import multiprocessing
import shutil
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from compress.data import classes, imagecheck, imagefiles
from compress.model.hostops import Shape
from cosign import CosignError, cache, cache_dir
from cosign import sha256 as file_sha256

SIZE = 227
SHAPE = (3, SIZE, SIZE)
_RESIZE = 256  # for SIZE
_VALIDATION_SHARE = 0.06
CACHE_BYTES = 3 << 30

IMAGENETTE_URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz"
IMAGENETTE_SHA256 = "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c"


def flipped(images: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """uint8 [n, C, H, W], mirrored left to right where bool [n] `flip` is set."""
    return np.where(flip[:, None, None, None], images[..., ::-1], images)


class FolderSplit:
    """Images named by path, decoded when asked for, and kept while `room` bytes hold them."""

    def __init__(
        self,
        paths: list[Path],
        labels: np.ndarray,
        shape: Shape = SHAPE,
        room: int = CACHE_BYTES,
    ) -> None:
        self.labels = labels.astype(np.int64)
        self._shape = shape
        self._paths = paths
        self._decoded: dict[int, np.ndarray] = {}
        self._room = room

    def _image(self, index: int) -> np.ndarray:
        """uint8 [C, H, W], at least as large as a crop."""
        image = self._decoded.get(index)
        if image is None:
            image = decode(self._paths[index], self._shape)
            # Workers are many, and each would keep the same images.
            if image.nbytes <= self._room and multiprocessing.parent_process() is None:
                self._room -= image.nbytes
                self._decoded[index] = image
        return image

    def images(self, indices: np.ndarray) -> np.ndarray:
        return self._crops(indices)

    def augmented(
        self, indices: np.ndarray, rng: np.random.Generator, part: slice = slice(None)
    ) -> np.ndarray:
        places = rng.random((len(indices), 2))[part]
        flip = rng.random(len(indices))[part] < 0.5
        return flipped(self._crops(indices[part], places), flip)

    def _crops(self, indices: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """uint8 [n, C, H, W]: the centre, or [n, 2] shares in 0..1 of the rows and columns left."""
        crops = np.empty((len(indices), *self._shape), np.uint8)
        for number, (crop, index) in enumerate(zip(crops, indices, strict=True)):
            image = self._image(int(index))
            spare = np.array(image.shape[1:]) - self._shape[1:]
            top, left = spare // 2 if places is None else (places[number] * (spare + 1)).astype(int)
            crop[:] = image[:, top : top + crop.shape[1], left : left + crop.shape[2]]
        return crops


def decode(path: Path, shape: Shape = SHAPE) -> np.ndarray:
    """Read and resize one image for crops of `shape`: uint8 [C, H, W].

    Raises CosignError when it is unreadable.
    """
    channels, height, width = shape
    larger = max(height, width) * _RESIZE // SIZE
    pixels = imagefiles.opened(path, "L" if channels == 1 else "RGB", larger)
    # what the image measures in crops, along the axis that it fills the least
    short, crop = min(zip(pixels.size, (width, height), strict=True), key=lambda a: a[0] / a[1])
    resize = crop * _RESIZE // SIZE
    target = resize if short > resize else max(short, crop)
    if short != target:
        size = [
            max(target if side == short else wanted, round(side * target / short))
            for side, wanted in zip(pixels.size, (width, height), strict=True)
        ]
        pixels = pixels.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    rows = np.asarray(pixels).reshape(pixels.height, pixels.width, channels)
    return np.ascontiguousarray(rows.transpose(2, 0, 1))


def _listing(root: Path) -> dict[str, list[Path]]:
    """Image paths by class of one split folder, sorted."""
    listing = {}
    for name in classes.folders(root):
        images = imagefiles.listed(root / name)
        if not images:
            held = imagefiles.other_suffixes(root / name)
            raise CosignError(
                f"the class folder {root / name} holds no image{held}; fill or remove it."
            )
        listing[name] = images
    if len(listing) < 2:
        raise CosignError(f"{root} holds {len(listing)} class folders, at least 2 are needed.")
    return listing


def load(
    root: Path,
    seed: int,
    shape: Shape = SHAPE,
    cache_bytes: int = CACHE_BYTES,
    order: classes.Order = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[tuple[str, ...], FolderSplit, FolderSplit, FolderSplit]:
    """Class names and the train, validation and test splits of an ImageNet folder.

    cache_bytes : of decoded images that each split keeps at most; others are decoded every time
    order : of the classes, as `classes.ordered` takes it
    progress : receives a line now and then while files are looked at

    Raises CosignError, with the path, on a missing or empty folder, on damaged images, and where
    the order of classes is not known.
    """
    listing, held_out = _listing(root / "train"), _listing(root / "val")
    names = classes.ordered(root, order)
    strange = sorted(set(held_out) - set(names))
    if strange:
        raise CosignError(f"{root / 'val' / strange[0]} has no counterpart in {root / 'train'}.")
    train: list[tuple[Path, int]] = []
    val: list[tuple[Path, int]] = []
    for label, name in enumerate(names):
        paths = listing[name]
        if len(paths) < 2:
            raise CosignError(
                f"{root / 'train' / name} holds one image; at least 2 are needed to set one "
                "aside for validation."
            )
        shuffled = np.random.default_rng([seed, 1, label]).permutation(len(paths))
        cut = max(1, round(len(paths) * _VALIDATION_SHARE))
        val += [(paths[index], label) for index in sorted(shuffled[:cut])]
        train += [(paths[index], label) for index in sorted(shuffled[cut:])]
    imagecheck.check(
        root,
        {
            f"{split}/{name}": paths
            for split, found in (("train", listing), ("val", held_out))
            for name, paths in found.items()
        },
        progress,
    )
    # The order of images is that of the folders' names, so that it does not hang on the labels.
    test = [(path, names.index(name)) for name, paths in held_out.items() for path in paths]

    def split(images: list[tuple[Path, int]]) -> FolderSplit:
        paths, labels = zip(*images, strict=True)
        return FolderSplit(list(paths), np.array(labels), shape, cache_bytes)

    return names, split(train), split(val), split(test)


def fetch_imagenette(
    progress: Callable[[str], None] | None = None,
    url: str = IMAGENETTE_URL,
    sha256: str = IMAGENETTE_SHA256,
) -> Path:
    """The folder of imagenette2-320 in the cache, downloaded (342 MB) when it is not there.

    Raises CosignError when the download fails or its SHA-256 differs.
    """
    folder = cache_dir() / "imagenette2-320"
    if cache.intact(folder):
        return folder
    tell = progress or (lambda _: None)
    with cache.fresh(folder) as new:
        archive = new.parent / "imagenette2-320.tgz"
        try:
            tell(f"downloading {url} (342 MB)")
            with (
                urllib.request.urlopen(url, timeout=30) as response,
                archive.open("wb") as file,
            ):
                shutil.copyfileobj(response, file, 1 << 20)
            if file_sha256(archive) != sha256:
                raise CosignError(
                    f"the download of {url} is damaged (its SHA-256 differs); run again."
                )
            tell("unpacking imagenette2-320.tgz")
            with tarfile.open(archive) as tar:
                tar.extractall(new.parent, filter="data")  # refuses paths that leave the folder
        except (OSError, tarfile.TarError) as error:
            raise CosignError(
                f"imagenette could not be fetched from {url} ({error}); download and "
                "unpack it elsewhere and give the folder by --data."
            ) from error
    return folder
