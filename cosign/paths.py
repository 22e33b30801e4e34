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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cosign.errors import CosignError
from cosign.kinds import refusal

STANDARD_OUTPUT = "-"
_SHOWN = 250  # characters
_LONGEST_NAME = 240  # bytes, of 255 that file systems hold: `atomic_write` adds some while it works


class Kind:
    """A kind of path: a type for argparse, which takes any that could be one, and `look`.

    Parameters
    ----------
    look : raises argparse.ArgumentTypeError unless the disk has, or takes, what is asked for
    writes : "file" or "folder", None of what is read
    text : whether the value is a str, which may be something else than a path
    """

    def __init__(
        self, look: Callable[[Path], None], writes: str | None = None, text: bool = False
    ) -> None:
        self.look = look
        self.writes = writes
        self._text = text

    def __call__(self, text: str) -> Any:
        if self.is_standard_output(text):
            return text
        if not text.strip():
            raise refusal(text, "is nothing; give a value or leave the option out")
        if "\0" in text:
            raise argparse.ArgumentTypeError("a path has no zero byte; give another")
        path = Path(text)
        if self.writes and path.name == STANDARD_OUTPUT:
            raise argparse.ArgumentTypeError(
                f"there is no {self.writes} called -; give a name. Only --json knows - as output"
            )
        if self.writes == "file" and text.endswith("/"):
            raise _cannot("write", path, "it is a folder", "give the name of a file")
        return text if self._text else path

    def is_standard_output(self, value: Any) -> bool:
        """Whether `value` is the -, where it is taken for standard output."""
        return self._text and self.writes is not None and value == STANDARD_OUTPUT


def check(given: Iterable[tuple[str, Kind, Any]]) -> None:
    """Look at the disk for all options that are paths.

    given : of each its name, its kind and its value, None or a list too

    Raises CosignError, which names the option, also where a file to be written is another option's
    file, or folder, too.
    """
    written = []
    for option, kind, value in given:
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is None or kind.is_standard_output(each):
                continue
            try:
                kind.look(Path(each))
            except argparse.ArgumentTypeError as error:
                raise CosignError(f"argument {option}: {error}.") from error
            if kind.writes:
                written.append((option, kind.writes, Path(each).resolve()))
    for (option, what, file), (other, _, path) in itertools.permutations(written, 2):
        if what == "file" and file in (path, *path.parents):
            raise CosignError(f"{option} and {other} both write {file}; give different paths.")


def _old_file(path: Path) -> None:
    if stat.S_ISDIR(_readable(path)):
        raise _cannot("read", path, "it is a folder", "give a file")


def _old_folder(path: Path) -> None:
    if not stat.S_ISDIR(_readable(path)):
        raise _cannot("read", path, "it is no folder", "give a folder")


def _name_or_path(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES):
            raise _cannot("read", path, error.strerror or str(error)) from error


def _new_file(path: Path) -> None:
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise _cannot("write", path, "it is a folder", "give the name of a file")
    if mode is None or stat.S_ISREG(mode):
        _try_to_write(path.parent, path)
        _name_fits(path)
    elif not os.access(path, os.W_OK):  # a pipe, a device: it is written to as it is
        raise _cannot("write", path, os.strerror(errno.EACCES), "choose another file")


def _new_folder(path: Path) -> None:
    mode = _mode(path)
    if mode is not None and not stat.S_ISDIR(mode):
        raise _cannot("write", path, "it is a file", "give a folder")
    _try_to_write(path, path)


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


def _readable_at_all(path: Path) -> None:
    _readable(path)


old_file = Kind(_old_file)
"""A file to be read, or a pipe."""
old_folder = Kind(_old_folder)
"""A folder to be read."""
old = Kind(_readable_at_all)
"""A file or a folder to be read."""
name_or_path = Kind(_name_or_path, text=True)
"""A name that we know, or a path; which of them shows where it is used."""
new_file = Kind(_new_file, writes="file")
"""A file to be written, whole or not at all."""
new_folder = Kind(_new_folder, writes="folder")
"""A folder to be written into; it may be there already."""
json_target = Kind(_new_file, writes="file", text=True)
"""A file to be written, or - for standard output, as `cosign.options.publish` takes it."""
