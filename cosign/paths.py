"""Kinds of paths of options: types for argparse that look at the disk before work begins.

What is read must be there; what is written must be a file, or a folder, that can be made. Nothing
is left behind by looking.
"""

import argparse
import errno
import itertools
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cosign.errors import CosignError
from cosign.kinds import refusal

STANDARD_OUTPUT = "-"
_SHOWN = 250  # characters
_LONGEST_NAME = 240  # bytes, of 255 that file systems hold: `atomic_write` adds some while it works


def old_file(text: str) -> Path:
    """A file to be read, or a pipe."""
    path = _path(text)
    if stat.S_ISDIR(_readable(path)):
        raise _cannot("read", path, "it is a folder", "give a file")
    return path


def old_folder(text: str) -> Path:
    """A folder to be read."""
    path = _path(text)
    if not stat.S_ISDIR(_readable(path)):
        raise _cannot("read", path, "it is no folder", "give a folder")
    return path


def old(text: str) -> Path:
    """A file or a folder to be read."""
    path = _path(text)
    _readable(path)
    return path


def name_or_path(text: str) -> str:
    """A name that we know, or a path; which of them shows where it is used."""
    path = _path(text)
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES):
            raise _cannot("read", path, error.strerror or str(error)) from error
    return text


def new_file(text: str) -> Path:
    """A file to be written, whole or not at all."""
    path = _path(text)
    _not_standard_output(path, "file")
    mode = _mode(path)
    if (mode is not None and stat.S_ISDIR(mode)) or text.endswith("/"):
        raise _cannot("write", path, "it is a folder", "give the name of a file")
    if mode is None or stat.S_ISREG(mode):
        _try_to_write(path.parent, path)
        _name_fits(path)
    elif not os.access(path, os.W_OK):  # a pipe, a device: it is written to as it is
        raise _cannot("write", path, os.strerror(errno.EACCES), "choose another file")
    return path


def new_folder(text: str) -> Path:
    """A folder to be written into; it may be there already."""
    path = _path(text)
    _not_standard_output(path, "folder")
    mode = _mode(path)
    if mode is not None and not stat.S_ISDIR(mode):
        raise _cannot("write", path, "it is a file", "give a folder")
    _try_to_write(path, path)
    return path


def json_target(text: str) -> str:
    """A file to be written, or - for standard output, as `cosign.options.publish` takes it."""
    return text if text == STANDARD_OUTPUT else str(new_file(text))


WRITTEN = (new_file, new_folder, json_target)
"""The kinds of what is written."""


def check_apart(given: Iterable[tuple[str, Any, Path | str | None]]) -> None:
    """Raises CosignError where a file to be written is another option's file, or folder, too.

    given : of each option of WRITTEN its name, its kind and what was given
    """
    there = [
        (option, kind, Path(path).resolve())
        for option, kind, path in given
        if path is not None and path != STANDARD_OUTPUT
    ]
    for (option, kind, file), (other, _, path) in itertools.permutations(there, 2):
        if kind is not new_folder and file in (path, *path.parents):
            raise CosignError(f"{option} and {other} both write {file}; give different paths.")


def _path(text: str) -> Path:
    if not text.strip():
        raise refusal(text, "is nothing; give a value or leave the option out")
    if "\0" in text:
        raise argparse.ArgumentTypeError("a path has no zero byte; give another")
    return Path(text)


def _not_standard_output(path: Path, what: str) -> None:
    if path.name == STANDARD_OUTPUT:
        raise argparse.ArgumentTypeError(
            f"there is no {what} called -; give a name. Only --json knows - as output"
        )


def _readable(path: Path) -> int:
    """What `path` is; not opened, since that would be the one time for a pipe."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _cannot("read", path, error.strerror or str(error)) from error
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # some of which have no end
        raise _cannot("read", path, "it is a device")
    if not os.access(path, os.R_OK):
        raise _cannot("read", path, os.strerror(errno.EACCES))
    return mode


def _mode(path: Path) -> int | None:
    """What `path` is, None where nothing is there."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None  # the folder tells which
    except OSError as error:
        raise _cannot("write", path, error.strerror or str(error)) from error


def _try_to_write(folder: Path, path: Path) -> None:
    """Raises ArgumentTypeError, which names `path`, unless `folder` is or can be made, to write."""
    folder = folder.absolute()
    try:
        place = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        if not place.is_dir():
            raise _cannot("write", path, f"{place} is a file")
        longest = os.pathconf(place, "PC_NAME_MAX")
        if any(len(os.fsencode(part)) > longest for part in folder.relative_to(place).parts):
            raise _cannot("write", path, os.strerror(errno.ENAMETOOLONG))
        tempfile.TemporaryFile(dir=place, prefix=".cosign-").close()
    except OSError as error:
        raise _cannot("write", path, error.strerror or str(error)) from error


def _name_fits(path: Path) -> None:
    """Raises ArgumentTypeError on a name beside which no temporary one is possible."""
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise _cannot("write", path, os.strerror(errno.ENAMETOOLONG))


def _cannot(do: str, path: Path, why: str, instead: str = "") -> argparse.ArgumentTypeError:
    instead = instead or {"read": "give another", "write": "choose another folder"}[do]
    return argparse.ArgumentTypeError(f"cannot {do} {_named(path)}: {why}; {instead}")


def _named(path: Path) -> str:
    """The end of a path that is too long to show."""
    text = str(path)
    return text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}"
