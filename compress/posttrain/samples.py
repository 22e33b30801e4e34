"""What a network is calibrated on, and what its integers are measured on: pixels, uint8.

Images of a folder, arrays of a NumPy file, or generated ones. A network that reads no images reads
pixels here, too: 8 bits of each number, brought to its range by a mean and a deviation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from compress.data import imagefiles, synthetic
from compress.data.datasets import Normalisation
from compress.model.hostops import Shape
from cosign import CosignError

_ARRAYS = (".npy", ".npz")
_COLOURS = 3  # channels of a generated image
_PATTERN = 4  # pixels of the shorter side, below which a picture is a grey spot
_SMALL = 28  # the same, below which it is too coarse for a whole pattern
_COARSE = 4  # pixels of a pattern in one of a small image
_HALF = 0.501  # of a pixel: what rounding to whole ones may change, in float32


@dataclass(frozen=True)
class Pool:
    """Images without labels.

    total : how many
    images : uint8 [n, C, H, W] of some of them, by indices
    """

    total: int
    images: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of(cls, pixels: np.ndarray) -> "Pool":
        """Those of an array, uint8 [N, C, H, W]."""
        return cls(len(pixels), lambda some: pixels[some])


@dataclass(frozen=True)
class Samples:
    """Pixels that a network reads.

    Parameters
    ----------
    calibration : to find scales on, uint8 [N, C, H, W]
    held : none of those, to measure on; uint8 [M, C, H, W]
    pool : all that are not held, those to calibrate on among them
    words, held_words : what they are, "16 generated images"
    pixels : mean and standard deviation by channel of pixels of 0..1 that bring them to the range
        of a file's floats; None where nothing had to be found
    """

    calibration: np.ndarray
    held: np.ndarray
    pool: Pool
    words: str
    held_words: str
    pixels: Normalisation | None = None


@dataclass(frozen=True)
class _Source:
    """`take` gives the pixels of some of `total` images, uint8 [n, C, H, W]."""

    total: int
    take: Callable[[np.ndarray], np.ndarray]
    pixels: Normalisation | None = None


def collect(
    shape: Shape,
    images: Path | None,
    seed: int,
    count: int,
    held: int = 0,
    pixels: Normalisation | None = None,
    layout: np.ndarray | None = None,
    option: str = "--images",
) -> Samples:
    """`count` samples of `shape` to calibrate on, and `held` others, as far as there are so many.

    images : a folder, whose images are scaled and cropped; a .npy or .npz file, [N, C, H, W] or in
        the axes of `layout`, of uint8 pixels or of floats as the network reads them; None for
        generated images
    pixels : what brings pixels to such floats; None for what covers the file's
    layout : as in compress.model.pretrained
    option : that names `images`, for what is wrong with them

    Both are spread over what there is. Of few images a quarter is held, of a single one none; then
    generated ones are. Raises CosignError when there is no image, or one does not fit.
    """
    if images is None:
        words = f"{_images(count)} (generated)"
        calibration, others = _generated(shape, seed, 0, count), np.zeros((0, *shape), np.uint8)
        pool, own = Pool.of(calibration), None
    else:
        if images.suffix.lower() in _ARRAYS and not images.is_dir():
            source = _file(images, shape, pixels, layout)
        else:
            source = _folder(images, shape, option)
        first, rest = split(source.total, count, held)
        calibration, others, own = source.take(first), source.take(rest), source.pixels
        known = np.setdiff1d(np.arange(source.total), rest)
        pool = Pool(len(known), lambda some: source.take(known[some]))
        words = f"{_images(len(first))} of {images}"
    held_words = f"{_images(len(others))} of {images}"
    if not len(others):
        others, held_words = _generated(shape, seed, 1, held), f"{_images(held)} (generated)"
    return Samples(calibration, others, pool, words, held_words, own)


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"


def spread(available: int, count: int) -> np.ndarray:
    """Indices of at most `count` of `available` things, evenly spread."""
    return np.unique(np.linspace(0, available - 1, min(count, available)).astype(np.int64))


def split(available: int, count: int, held: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of at most `count` things and at most `held` others, each evenly spread."""
    spare = max(available - count, available // 4, int(available > 1))
    rest = spread(available, min(held, spare))
    first = np.setdiff1d(np.arange(available), rest)
    return first[spread(len(first), count)], rest


def _generated(shape: Shape, seed: int, part: int, count: int) -> np.ndarray:
    """Patterns, the colours of several on each other; noise where they would be invisible."""
    channels, height, width = shape
    if min(height, width) < _PATTERN:
        return np.random.default_rng([seed, part]).integers(0, 256, (count, *shape), np.uint8)
    each = -(-channels // _COLOURS)
    made = np.zeros((count, *shape), np.uint8)
    for index in range(count):
        patterns = (
            _visible(synthetic.generate(seed, part, index * each + n), height, width)
            for n in range(each)
        )
        if channels == 1:
            made[index] = _fit(next(patterns), shape)
        else:
            colours = [_fit(pattern, (_COLOURS, height, width)) for pattern in patterns]
            made[index] = np.concatenate(colours)[:channels]
    return made


def _visible(pattern: np.ndarray, height: int, width: int) -> Image.Image:
    """A pattern, of a small image only as much as does not become grey in it."""
    image = Image.fromarray(pattern.transpose(1, 2, 0))
    if min(height, width) >= _SMALL:
        return image
    sides = (min(_COARSE * width, image.width), min(_COARSE * height, image.height))
    left, above = (image.width - sides[0]) // 2, (image.height - sides[1]) // 2
    return image.crop((left, above, left + sides[0], above + sides[1]))


def _folder(folder: Path, shape: Shape, option: str) -> _Source:
    if not folder.is_dir():
        raise CosignError(f"{folder} does not exist; {option} needs a folder of images.")
    if shape[0] not in (1, _COLOURS):
        raise CosignError(
            f"the network reads {shape[0]} channels, the images of {folder} have 1 or 3; give "
            f"{option} a .npy or .npz file, or leave it out."
        )
    paths = imagefiles.listed(folder)
    if not paths:
        held = imagefiles.other_suffixes(folder)
        raise CosignError(f"{folder} holds no image{held}; {option} needs a folder of images.")

    def take(some: np.ndarray) -> np.ndarray:
        found = [_fit(imagefiles.opened(paths[index], "RGB"), shape) for index in some]
        return np.reshape(np.array(found, np.uint8), (len(some), *shape))

    return _Source(len(paths), take)


def _fit(image: Image.Image, shape: Shape) -> np.ndarray:
    """Scaled to cover height and width, centre cropped: uint8 [C, H, W]."""
    channels, height, width = shape
    fitted = ImageOps.fit(
        image.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.BILINEAR
    )
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def _file(
    file: Path, shape: Shape, pixels: Normalisation | None, layout: np.ndarray | None
) -> _Source:
    array = _array(file)
    if array.shape[1:] == shape:
        places = np.arange(np.prod(shape))
    elif layout is not None and array.shape[1:] == layout.shape:
        places = np.argsort(layout, axis=None)
    else:
        own = "" if layout is None or layout.shape == shape else f", or [{_axes(layout.shape)}]"
        raise CosignError(
            f"{file} holds an array of [{', '.join(map(str, array.shape))}], the network reads "
            f"[{_axes(shape)}]{own}."
        )

    def rows(some: np.ndarray | slice) -> np.ndarray:
        chosen = np.array(array[some])
        return chosen.reshape(len(chosen), places.size)[:, places].reshape(len(chosen), *shape)

    if array.dtype == np.uint8:
        return _Source(len(array), rows)
    lowest, highest = (_by_channel(rows(slice(None)), least) for least in (np.min, np.max))
    if not (np.isfinite(lowest) & np.isfinite(highest)).all():
        raise CosignError(f"{file} holds numbers that are not finite; leave those images out.")
    told = pixels or _covering(lowest, highest)
    mean, std = (np.array(part)[:, None, None] for part in told)
    least, most = ((end[:, None, None] * std + mean) * 255 for end in (lowest, highest))
    if least.min() < -_HALF or most.max() > 255 + _HALF:
        raise CosignError(
            f"{file} holds {lowest.min():g} to {highest.max():g}, which by mean and standard "
            f"deviation are pixels of {least.min():.4g} to {most.max():.4g}, not of 0 to 255; give "
            "those that the network was trained with, or none for the range of the file."
        )

    def take(some: np.ndarray) -> np.ndarray:
        scaled = (rows(some) * std + mean) * 255
        return np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)

    return _Source(len(array), take, None if pixels else told)


def _array(file: Path) -> np.ndarray:
    """The only array of a file, of uint8 or floats. Raises CosignError when it has no such."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found as several:
                names = list(several)
                if len(names) != 1:
                    raise CosignError(
                        f"{file} holds {len(names)} arrays ({', '.join(names)}), must hold one."
                    )
                found = several[names[0]]
    except OSError as error:
        raise CosignError(f"cannot read {file}: {error.strerror or error}.") from error
    except CosignError:
        raise
    except Exception as error:  # whatever zip files and NumPy's header can be
        raise CosignError(f"{file} is not a NumPy array ({error}); write it again.") from error
    if found.dtype != np.uint8 and found.dtype.kind != "f":
        raise CosignError(f"{file} holds {found.dtype}, must hold uint8 pixels or float32.")
    if found.ndim < 2 or not len(found):
        raise CosignError(f"{file} holds no images: its array is {found.shape}.")
    return found


def _axes(shape: tuple[int, ...]) -> str:
    return ", ".join(["N", *map(str, shape)])


def _by_channel(values: np.ndarray, least: Callable[..., np.ndarray]) -> np.ndarray:
    return np.asarray(least(values, axis=(0, 2, 3)), np.float64)


def _covering(lowest: np.ndarray, highest: np.ndarray) -> Normalisation:
    """Mean and deviation with which pixels of 0..255 are numbers of lowest to highest."""
    width = np.where(highest > lowest, highest - lowest, 1.0)
    return tuple((-lowest / width).tolist()), tuple((1 / width).tolist())
