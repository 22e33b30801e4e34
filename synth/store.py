"""Results kept by content: a folder of files under cosign.cache_dir(), whole or not there."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cosign import CosignError, cache_dir


def entry(room: str, *what: Any) -> Path:
    """The folder for a result of `what` (anything JSON can hold) under cache_dir()/`room`."""
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return cache_dir() / room / digest[:24]


def whole(folder: Path, kept: Sequence[str]) -> bool:
    """Whether all `kept` files are there."""
    return all((folder / name).is_file() for name in kept)


def store(folder: Path, entry: Path, kept: Sequence[str], damaged: bool) -> None:
    """Put a finished run into the cache: whole or not at all, whoever comes first.

    An entry that is there already is replaced only when it is `damaged`.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".new-") as temporary:
        fresh = Path(temporary) / "entry"
        fresh.mkdir()
        for name in kept:
            shutil.copyfile(folder / name, fresh / name)
        if damaged and entry.exists():
            shutil.rmtree(entry)
        fresh.rename(entry)


def copy_kept(source: Path, out: Path, kept: Sequence[str]) -> None:
    """Copy the kept files, the last one last, so that it stands for a whole folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in kept:
            partial = out / f".{name}.part"
            shutil.copyfile(source / name, partial)
            partial.replace(out / name)
    except OSError as error:
        raise CosignError(
            f"cannot write {out}: {error.strerror}; free some space or choose another folder."
        ) from error
