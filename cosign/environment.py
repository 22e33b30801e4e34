"""What programs find around them: a search path, a home, and output that takes any character."""

import codecs
import io
import os
import sys
import tempfile
import unicodedata
from pathlib import Path

from cosign.errors import CosignError
from cosign.files import reason

_PLAIN = {"×": "x", "−": "-", "–": "-", "±": "+-", "≥": ">=", "µ": "u", "‖": "||", "∞": "inf"}
_PLAIN |= {"→": "->", "✓": "*"}


def prepare() -> None:
    """Make up for what the environment lacks, for us and for the tools that we start.

    Where PATH is unset programs are where shells look for them. A user without a home, or with one
    that cannot be written, has a folder among the temporary files for what tools keep (matplotlib,
    wasmtime); our own cache stays where it is, if it is there.
    """
    for name in ("PATH", "HOME"):
        if not os.environ.get(name):  # empty means the working directory, which nobody means
            os.environ.pop(name, None)
    os.environ.setdefault("PATH", os.defpath)
    home = Path.home() if _has_home() else private()
    os.environ.setdefault("HOME", str(home))
    caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    if not _is_writable(caches):
        if (caches / "cosign").is_dir():
            os.environ.setdefault("COSIGN_CACHE", str(caches / "cosign"))
        os.environ["XDG_CACHE_HOME"] = str(private())
        os.environ.setdefault("MPLCONFIGDIR", str(private() / "matplotlib"))


def print_anything() -> None:
    """Let standard output and error take any text, in any encoding."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:  # neither HOME nor a line of /etc/passwd
        return False
    return True


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def private() -> Path:
    """A folder among the temporary files that is the user's alone.

    Raises CosignError when somebody else can write there: code is loaded from it.
    """
    folder = Path(tempfile.gettempdir()) / f"cosign-of-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise CosignError(
            f"cannot make the folder {folder}: {reason(error)}; set HOME to one that is yours."
        ) from error
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise CosignError(f"{folder} is open to others; set HOME to a folder of yours.")
    return folder


def _plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_ascii, text)), error.end


def _ascii(character: str) -> str:
    apart = unicodedata.normalize("NFKD", character)  # ² is 2, ö is o and its dots
    return _PLAIN.get(character) or apart.encode("ascii", "ignore").decode() or "?"
