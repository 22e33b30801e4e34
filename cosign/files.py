"""Files that are either whole or not there: write beside, fsync, rename. Folders held by one."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from cosign.errors import CosignError

LOCK = ".lock"
"""In a folder that is held, and was."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOTHING = 1 << 16  # bytes; tools remove what they could not finish
_ELSEWHERE = "free some space or set TMPDIR to another folder"
_BEGINNING = 60  # characters of a name; file systems hold 255 bytes
_LONGEST_TOML = 1 << 20  # bytes; what a person writes by hand is far shorter


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for binary writing; it appears only when the block ends without an error.

    A reader, and a process killed at any moment, sees the old file or the new one. Raises
    CosignError when the disk is full or the folder cannot be written, and on the name "-", which
    was meant as standard output. A pipe or a device is written to as it is.
    """
    path = Path(path)
    if path.name == "-":
        raise CosignError("there is no file called -; give a name. Only --json knows - as output.")
    beside = path.parent / f".{path.name[:_BEGINNING]}.{secrets.token_hex(4)}"
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with open(path, "wb") as file:  # nothing else may take its place
                yield file
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "xb") as file:  # not mkstemp, whose files ignore the umask
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):
            raise CosignError(
                f"cannot write {path}: {reason(error)}; free some space or choose another folder."
            ) from error
        raise


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A temporary folder, `cosign-PURPOSE-...`, that goes with the block.

    Raises CosignError when there is no place for one, and when the disk is full that it is on:
    whatever the block says of it then.
    """
    try:
        folder = tempfile.TemporaryDirectory(
            prefix=f"cosign-{purpose}-", ignore_cleanup_errors=True
        )
    except OSError as error:
        raise CosignError(
            f"cannot make a temporary folder: {reason(error)}; {_ELSEWHERE}."
        ) from error
    with folder as name:
        try:
            yield Path(name)
        except Exception as error:  # what half a file makes of a tool or a parser may be anything
            if _fills(error, name) or shutil.disk_usage(name).free < _NOTHING:
                why = os.strerror(errno.ENOSPC)
                raise CosignError(f"the disk of {name} is full: {why}; {_ELSEWHERE}.") from error
            raise


def _fills(error: Exception, folder: str) -> bool:
    """Whether the disk of `folder` is full, in the words of the system or of a tool."""
    if isinstance(error, OSError):
        return is_full(error)
    elsewhere = isinstance(error.__cause__, OSError) and folder not in str(error)
    return isinstance(error, CosignError) and says_full(str(error)) and not elsewhere


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is that nothing more can be written to a disk."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return error is not None and (says_full(str(error)) or is_full(error.__cause__))


def says_full(text: str) -> bool:
    """Whether a tool says so."""
    return any(os.strerror(number).lower() in text.lower() for number in _FULL)


def reason(error: OSError) -> str:
    """What the system says of it, without numbers and names."""
    return error.strerror or str(error)


def json_text(value: Any) -> str:
    """`value` as indented JSON; it may hold what `cosign.values` reads."""
    return json.dumps(value, indent=2, allow_nan=False, default=msgspec.to_builtins)


def write_json(path: Path, value: Any) -> None:
    """Write `json_text` of `value`, atomically."""
    with atomic_write(path) as file:
        file.write(f"{json_text(value)}\n".encode())


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises CosignError when it is missing or is not JSON, as NaN is not."""
    try:
        return msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise CosignError(f"cannot read {path}: {reason(error)}.") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CosignError(
            f"{path} is not valid JSON ({error}); delete it and run again."
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises CosignError when it is missing, is not TOML, or far too long."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST_TOML + 1)
        if len(text) > _LONGEST_TOML:
            raise CosignError(
                f"{path} has more than {_LONGEST_TOML:,} bytes, too many; give another file."
            )
        return tomllib.loads(text.decode())
    except OSError as error:
        raise CosignError(f"cannot read {path}: {reason(error)}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deeply
        raise CosignError(f"{path} is not valid TOML ({error}); correct it.") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if it is not there.

    Raises CosignError while another process does, and when it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(folder / LOCK, "w"))
        except OSError as error:
            raise CosignError(
                f"cannot write {folder}: {error.strerror}; choose another folder."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CosignError(f"another process is working in {folder}; wait for it.") from error
        yield


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
