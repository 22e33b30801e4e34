"""C and C++ of ours, compiled on first use for the processor at hand and kept in the cache."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cosign.errors import CosignError
from cosign.files import atomic_write, cache_dir

_FLAGS = ("-O3", "-march=native", "-fPIC")
_LANGUAGES = {
    ".c": (("cc", "gcc", "g++"), ("-x", "c"), "gcc"),
    ".cpp": (("g++", "c++"), ("-x", "c++", "-std=c++17"), "g++"),
}
"""By a file's suffix: compilers, their options, and the system package that has one."""


def library(source: Path, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """The library made of one file.

    flags : of the compiler, beside the usual ones; the linker does not see them

    Raises CosignError when the compiler is missing or fails.
    """
    names, language, package = _LANGUAGES[source.suffix]
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise CosignError(
            f"no compiler for {source.name} is installed; install the system package {package} "
            f"(apt install {package})."
        )
    options = [*language, *_FLAGS, *flags]
    asked = [compiler, "-march=native", "-Q", "--help=target", "--version"]
    target = subprocess.run(asked, capture_output=True, check=False).stdout
    key = hashlib.sha256(b"\0".join([source.read_bytes(), target, *map(str.encode, options)]))
    path = cache_dir() / f"{source.stem}-{key.hexdigest()[:16]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="cosign-native-") as folder:
            compiled, built = str(Path(folder) / "compiled.o"), Path(folder) / "built.so"
            _run([compiler, *options, "-c", str(source), "-o", compiled], source)
            _run([compiler, "-shared", compiled, "-o", str(built)], source)
            with atomic_write(path) as file:
                file.write(built.read_bytes())
    return ctypes.CDLL(str(path))


def _run(command: Sequence[str], source: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()[:300]
        raise CosignError(f"{command[0]} could not compile {source}: {said}; install a newer one.")
