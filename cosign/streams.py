"""Standard output and standard error: a result alone, and streams that cannot be written."""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO

from cosign.errors import CosignError

_RESULT: ContextVar["int | TextIO | None"] = ContextVar("_RESULT", default=None)


@contextlib.contextmanager
def alone(file: str | None) -> Iterator[None]:
    """With `--json -`, standard output has what `result` prints and nothing else.

    file : of --json; nothing happens unless it is "-"

    What is printed beside, also by libraries in C and by children, goes to standard error.
    """
    if file != "-":
        yield
        return
    own: int | TextIO = sys.stdout
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        if _has_descriptors():
            kept = os.dup(1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            os.dup2(2, 1)
            own = kept if _plain(sys.stdout) is sys.__stdout__ else own
        token = _RESULT.set(own)
        stack.callback(_RESULT.reset, token)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


def result(text: str) -> None:
    """Print a line of the result, inside `alone` or without it.

    Raises CosignError when it cannot be written, BrokenPipeError when nobody reads it.
    """
    stream = _RESULT.get()
    if isinstance(stream, int):
        left = memoryview(f"{text}\n".encode(errors="backslashreplace"))
        try:
            while left:
                left = left[os.write(stream, left) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(error) from error
        return
    print(text, file=stream or sys.stdout, flush=True)


def unwritable(error: OSError) -> CosignError:
    """To raise: standard output takes no more."""
    reason = error.strerror or str(error)
    return CosignError(f"cannot write standard output: {reason}; send it elsewhere.")


def _plain(stream: Any) -> Any:
    return stream.stream if isinstance(stream, Watched) else stream


def _has_descriptors() -> bool:
    """Whether there are a standard output and error of the process."""
    try:
        os.fstat(1)
        os.fstat(2)
    except OSError:
        return False
    return True


class Watched:
    """A stream that remembers the error by which it could not be written.

    needed : whether that is an error to the writer too; where nobody reads any more it always is
    """

    def __init__(self, stream: TextIO, needed: bool) -> None:
        self.stream = stream
        self.error: OSError | None = None
        self._needed = needed

    def write(self, text: str) -> int:
        with self._remembered():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._remembered():
            self.stream.flush()

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            if self._needed or isinstance(error, BrokenPipeError):
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def watched() -> Iterator[tuple[Watched, Watched]]:
    """Standard output and error, while they are watched; a sink for one that is closed."""
    with contextlib.ExitStack() as stack:
        found = []
        for name in ("stdout", "stderr"):
            old = getattr(sys, name)
            stack.callback(setattr, sys, name, old)
            stream = open(os.devnull, "w") if old is None else old  # noqa: SIM115  # to the end
            found.append(Watched(stream, needed=name == "stdout"))
            setattr(sys, name, found[-1])
        yield found[0], found[1]


def give_up(stream: TextIO) -> None:
    """What Python would flush into `stream` at its end goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def tell(line: str) -> None:
    """A line on standard error, if it can be written."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
