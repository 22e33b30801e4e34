"""What is kept between runs: folders of files below cache_dir(), believed as far as digests go.

An entry is a folder, whole or not there. It lies with the SHA-256 of each of its files and its own
name, so that one that was edited, cut short, mixed up or half deleted is found out before it is
used. It is then said once, and whoever needs the entry makes it anew.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from cosign.environment import private
from cosign.errors import CosignError
from cosign.files import read_json, reason, sha256, write_json

_DIGESTS = "digests.json"
_SEEN: dict[Path, tuple[Any, ...]] = {}
"""Of this process: the sizes and times of an entry's files when their digests were right."""
_TOLD: set[Path] = set()


def cache_dir() -> Path:
    """`$COSIGN_CACHE`, else the platform's user cache directory for cosign. Not created here.

    A user without a home has a folder among the temporary files. Raises CosignError where that
    belongs to somebody else.
    """
    configured = os.environ.get("COSIGN_CACHE")
    if configured:
        return Path(configured).absolute()
    try:
        return Path(platformdirs.user_cache_dir("cosign"))
    except RuntimeError:  # neither HOME nor a line of /etc/passwd
        return private() / "cosign"


def entry(room: str, *what: Any) -> Path:
    """The entry for a result of `what` (anything JSON can hold) under cache_dir()/`room`."""
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return cache_dir() / room / digest[:24]


def intact(entry: Path, names: Collection[str] = ()) -> bool:
    """Whether an entry is there, with the files `names`, all as they were kept.

    Says once on standard error when it is there and is not as it was kept.
    """
    if not os.path.lexists(entry):
        return False
    try:
        stamp = _stamp(entry)
        if _SEEN.get(entry) != stamp:
            if _sealed(entry) != _contents(entry):
                raise CosignError("other digests")
            _SEEN[entry] = stamp
    except (OSError, CosignError):
        distrust(entry)
        return False
    return all((entry / name).is_file() for name in names)


@contextlib.contextmanager
def fresh(entry: Path) -> Iterator[Path]:
    """A folder to fill, which becomes the entry when the block ends without an error.

    Whoever comes first keeps it; one that is not intact is replaced. Raises CosignError when the
    cache cannot be written.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=entry.parent, prefix=".new-", ignore_cleanup_errors=True
        ) as temporary:
            folder = Path(temporary) / entry.name
            folder.mkdir()
            yield folder
            write_json(folder / _DIGESTS, {"entry": entry.name, "sha256": _contents(folder)})
            if intact(entry):
                return
            with contextlib.suppress(FileNotFoundError):
                entry.rename(Path(temporary) / "before")
            folder.rename(entry)
    except OSError as error:
        raise CosignError(
            f"cannot write {entry.parent}: {reason(error)}; free some space or set COSIGN_CACHE to "
            "another folder."
        ) from error


def keep(entry: Path, files: Mapping[str, bytes]) -> None:
    """Make an entry of `files` by name; where that cannot be written it is said once."""
    try:
        with fresh(entry) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
    except CosignError as error:
        _say(entry.parent, f"nothing is kept for the next time: {error}")


def distrust(path: Path, instead: str = "it is made anew") -> None:
    """Say once on standard error that something in the cache is not as it was kept.

    instead : what happens now
    """
    _say(path, f"{path} is not as it was kept; {instead}.")


def _say(path: Path, sentence: str) -> None:
    if path not in _TOLD:
        _TOLD.add(path)
        print(f"cosign: {sentence}", file=sys.stderr, flush=True)


def _sealed(entry: Path) -> Any:
    """Digests by file, as they were when the entry was kept."""
    content = read_json(entry / _DIGESTS)
    if not isinstance(content, dict) or content.get("entry") != entry.name:
        raise CosignError("no digests of this entry")
    return content.get("sha256")


def _files(folder: Path) -> list[Path]:
    """All but the digests. Raises OSError where something is neither file nor folder."""
    if not folder.is_dir():
        raise NotADirectoryError(folder)
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in found:
        if not path.is_file():
            raise OSError(f"{path} is no file")
    return [path for path in found if path.name != _DIGESTS]


def _contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in _files(folder)}


def _stamp(entry: Path) -> tuple[Any, ...]:
    """What changes with the files."""
    stats = [(path, path.stat()) for path in [*_files(entry), entry / _DIGESTS]]
    return tuple((path, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in stats)
