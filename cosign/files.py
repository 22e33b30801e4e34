"""Files that are either whole or not there: write beside, fsync, rename. Folders held by one."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import platformdirs

from cosign.errors import CosignError

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
    temporary = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with open(path, "wb") as file:  # nothing else may take its place
                yield file
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # mkstemp makes 0600
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise CosignError(
                f"cannot write {path}: {reason}; free some space or choose another folder."
            ) from error
        raise


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
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
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
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
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
            file = stack.enter_context(open(folder / ".lock", "w"))
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


def cache_dir() -> Path:
    """`$COSIGN_CACHE`, else the platform's user cache directory for cosign. Not created here."""
    configured = os.environ.get("COSIGN_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("cosign"))
