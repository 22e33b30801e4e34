"""Damaged images of a folder, found before training and not in its third hour."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from compress.data import imagefiles
from cosign import CosignError, cache_dir, read_json, write_json

Progress = Callable[[str], None]
_TELL_S = 5.0
# From so many files on, that they are whole is remembered on disk.
_MANY = 1000
_NAMED = 3
_TAIL = 4096  # bytes


def check(folder: Path, groups: Mapping[str, Sequence[Path]], progress: Progress | None) -> None:
    """Find damaged images before training does.

    folder : that they are told of, and remembered by: a group that has not changed since it was
        whole is not looked at again
    groups : images by name
    progress : receives a line every few seconds

    Headers and ends of JPEG and PNG files are looked at, others are decoded. Raises CosignError
    with their number and the first names.
    """
    known = _Known(folder)
    marks = {name: _mark(paths) for name, paths in groups.items()}
    unknown = [name for name in groups if known.marks.get(name) != marks[name]]
    paths = [path for name in unknown for path in groups[name]]
    damaged = list(_damaged(folder, paths, progress or (lambda _: None)))
    if damaged:
        first = ", ".join(
            f"{path.relative_to(folder)} ({reason})" for path, reason in damaged[:_NAMED]
        )
        raise CosignError(
            f"{len(damaged):,} of {len(paths):,} images in {folder} cannot be read: {first}"
            f"{', ...' if len(damaged) > _NAMED else ''}; repair or remove "
            f"{'them' if len(damaged) > 1 else 'it'}."
        )
    if paths:
        known.keep(marks, sum(map(len, groups.values())))


def _damaged(folder: Path, paths: Sequence[Path], progress: Progress) -> Iterable[tuple[Path, str]]:
    told = time.monotonic()
    with ThreadPoolExecutor() as pool:  # Pillow and the file system wait without Python's lock
        for number, (path, reason) in enumerate(zip(paths, pool.map(_damage, paths), strict=True)):
            if reason is not None:
                yield path, reason
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                progress(f"checking images of {folder}: {number + 1:,} of {len(paths):,}")


def _damage(path: Path) -> str | None:
    """Why an image cannot be read, or None."""
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()  # checksums, up to the end
                return None
            if image.format in ("JPEG", "MPO") and _ends(path):
                return None
    except Exception:
        pass  # decoding decides, as it will in training
    try:
        imagefiles.upright(path, "RGB")
    except Exception as error:
        return imagefiles.reason(path, error)
    return None


def _ends(path: Path) -> bool:
    """Whether a JPEG has its end marker, zeros behind it or not."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().rstrip(b"\0").endswith(b"\xff\xd9")


def _mark(paths: Sequence[Path]) -> str:
    """A digest of the names, sizes and times of files."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # a link that leads nowhere is damaged, and never remembered
            digest.update(os.urandom(16))
            continue
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


_WHOLE: dict[str, dict[str, str]] = {}
"""Marks by folder, of this process."""


class _Known:
    """Marks of a folder's groups when they were whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        name = hashlib.sha256(self._folder.encode(errors="replace")).hexdigest()[:32]
        self._file = cache_dir() / "whole-images" / f"{name}.json"
        self.marks = _WHOLE.get(self._folder) or self._read()

    def _read(self) -> dict[str, str]:
        try:
            content = read_json(self._file)
        except CosignError:
            return {}
        return content if isinstance(content, dict) else {}

    def keep(self, marks: dict[str, str], files: int) -> None:
        self.marks = _WHOLE[self._folder] = marks
        if files >= _MANY:
            with contextlib.suppress(CosignError):  # without a cache it takes time again
                write_json(self._file, marks)
