"""Image files: which they are, and their pixels in 8 bits.

Pixels are those that torchvision's folders give: the first frame, upright as EXIF says, without
transparency. Greys of 16 bits and floats of 0 to 1 are scaled to 0..255; Pillow alone would cut
them off. What has no known range is refused.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image

from cosign import CosignError

Mode = Literal["L", "RGB"]
# Suffixes that Pillow knows without reading pixels of them.
_NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"}
# Folders that systems leave behind, beside those whose name begins with a dot.
_NOT_OURS = {"__MACOSX", "@eaDir"}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def listed(folder: Path) -> list[Path]:
    """Paths of the images in a folder and those below it, sorted; symbolic links are followed.

    A file is an image by its suffix, in any case. Hidden files and folders are passed over.
    """
    suffixes = _suffixes()
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        here = Path(root).stat()
        if (here.st_dev, here.st_ino) in seen:  # a link to a folder that it is in
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        found += [
            Path(root, name)
            for name in files
            if not is_hidden(name) and Path(name).suffix.lower() in suffixes
        ]
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not the user's own."""
    return name.startswith(".") or name in _NOT_OURS


def other_suffixes(folder: Path) -> str:
    """What a folder without images holds instead: " (but 3 of .heic)", or nothing."""
    names = [path.suffix for path in folder.rglob("*") if path.is_file()]
    kinds = Counter(suffix.lower() for suffix in names if suffix)
    if not kinds:
        return ""
    return f" (but {', '.join(f'{count:,} {suffix}' for suffix, count in kinds.most_common(2))})"


def _suffixes() -> set[str]:
    known = Image.registered_extensions()
    return {suffix for suffix, format in known.items() if format not in _NO_PIXELS}


def opened(path: Path, mode: Mode, coarse: int | None = None) -> Image.Image:
    """The image of a file, upright, in 8 bits.

    coarse : pixels of both sides that are enough; a JPEG is decoded faster at a coarser scale

    Raises CosignError when it is unreadable.
    """
    try:
        return upright(path, mode, coarse)
    except Exception as error:
        raise CosignError(
            f"cannot read the image {path} ({reason(path, error)}); repair or remove it."
        ) from error


def upright(path: Path, mode: Mode, coarse: int | None = None) -> Image.Image:
    """The same; raises whatever Pillow's parsers raise, and `reason` says it."""
    with Image.open(path) as image:
        if coarse is not None:
            image.draft(mode, (coarse, coarse))
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        flat = _flat(image, mode)
        return flat if turn is None else flat.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """1 to 8 by EXIF; after loading, since formats that turn it themselves say 1 then."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF tells nothing, and the pixels are whole
        return 1


def _flat(image: Image.Image, mode: Mode) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _eight_bits(image)
        return grey if mode == "L" else grey.convert(mode)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """One channel of wider values as "L"; raises ValueError when their range is not known."""
    values = np.asarray(image)
    if image.mode == "F":
        if not (values.min() >= 0 and values.max() <= 1):  # nor NaN
            raise ValueError(
                f"it holds numbers of {values.min():g} to {values.max():g}, and only of 0 to 1 is "
                "it known what is white"
            )
        shares = values.astype(np.float64)
    else:
        shares = values / _white(image)
    tags = getattr(image, "tag_v2", {})
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # white is zero
        shares = 1 - shares
    return Image.fromarray(np.floor(255 * shares + 0.5).astype(np.uint8))


def _white(image: Image.Image) -> int:
    """The largest value that a format's whole numbers can have."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if image.mode.startswith("I;16"):
            return int((1 << tags[ExifTags.Base.BitsPerSample][0]) - 1)
    elif image.format in ("PNG", "JPEG2000", "PPM"):
        return 65535
    raise ValueError(
        f"what is white in a {image.format} of its whole numbers is not known; store 8 or 16 bits"
    )


def reason(path: Path, error: Exception) -> str:
    """Why a file could not be read."""
    try:
        if path.stat().st_size == 0:
            return "it is empty"
    except OSError as missing:
        return missing.strerror or str(missing)
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no image"
    return str(error) or type(error).__name__
