"""C and C++ of ours, compiled on first use for the processor at hand and kept in the cache."""

import ctypes
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cosign import cache, processes
from cosign.errors import CosignError
from cosign.files import scratch
from cosign.processes import Command

_FLAGS = ("-O3", "-march=native", "-fPIC")
_LIBRARY = "library.so"
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
    target = processes.run(asked).stdout
    kept = cache.entry("native", source.name, source.read_text(), target, options)
    if cache.intact(kept, [_LIBRARY]):
        return ctypes.CDLL(str(kept / _LIBRARY))
    with scratch("native") as folder:
        built = folder / _LIBRARY
        _run([compiler, *options, "-c", source.resolve(), "-o", "compiled.o"], folder)
        _run([compiler, "-shared", "compiled.o", "-o", _LIBRARY], folder)
        cache.keep(kept, {_LIBRARY: built.read_bytes()})
        return ctypes.CDLL(str(built))


def _run(command: Command, folder: Path) -> None:
    done = processes.run(command, cwd=folder, env={**os.environ, "TMPDIR": "."})
    if done.returncode:
        said = done.stderr.strip()[:300]
        raise CosignError(f"{command[0]} failed to compile: {said}; install a newer one.")
