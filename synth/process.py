"""Outside tools, each in a process of its own, ended with us and explained when they fail."""

import contextlib
import os
import selectors
import subprocess
import threading
from pathlib import Path

from cosign import CosignError, processes
from cosign.processes import Cancelled, Command


def run_tool(
    command: Command, log: Path, cwd: Path, package: str, cancel: threading.Event | None = None
) -> str:
    """Run `command` in `cwd`, its output into `log`; returns that text.

    Raises CosignError when the program is missing (naming the `package` to install) or when it
    fails (with what it said), Cancelled when `cancel` is set meanwhile.
    """
    try:
        with (
            open(log, "wb") as output,
            processes.started(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, "TMPDIR": str(cwd)},  # what it leaves there goes with `cwd`
            ) as process,
        ):
            status = _wait(process, cancel)
    except FileNotFoundError as error:
        raise CosignError(
            f"cannot find the program {command[0]}; install the package {package}."
        ) from error
    text = log.read_text(errors="replace")
    if status != 0:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
        told = f"; it said: {said.rstrip('.')}" if said else ""
        raise CosignError(f"{Path(command[0]).name} ended with status {status}{told}.")
    return text


def _wait(process: "subprocess.Popen[bytes]", cancel: threading.Event | None) -> int:
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            if cancel is not None and cancel.is_set():
                raise Cancelled from None


class Conversation:
    """A program that reads commands and answers until a mark, kept alive between them."""

    def __init__(
        self, command: Command, cwd: Path, package: str, cancel: threading.Event | None = None
    ) -> None:
        self._cancel = cancel
        self._name = Path(command[0]).name
        try:
            self._process = processes.start(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise CosignError(
                f"cannot find the program {command[0]}; install the package {package}."
            ) from error

    def ask(self, command: str, end: str) -> str:
        """Send `command`; returns what comes before the line `end`. Raises as `run_tool` does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(command.encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise CosignError(f"{self._name} ended before its answer; run again.") from error
        answer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while end.encode() not in answer:
                if selector.select(timeout=0.2):
                    part = os.read(self._process.stdout.fileno(), 1 << 16)
                    if not part:
                        text = answer.decode(errors="replace").strip().splitlines()
                        said = f"; it said: {text[-1].rstrip('.')}" if text else ""
                        raise CosignError(f"{self._name} ended before its answer{said}.")
                    answer += part
                if self._cancel is not None and self._cancel.is_set():
                    raise Cancelled
        return answer.decode(errors="replace").partition(end)[0]

    def close(self) -> None:
        processes.end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what it did not read
                    pipe.close()
