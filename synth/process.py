"""Outside tools, each in a process of its own, ended with us and explained when they fail."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from cosign import CosignError

Command = Sequence[str | Path]


class Cancelled(Exception):
    """Another core failed or the user pressed Ctrl-C: this tool was stopped half way."""


def run_tool(
    command: Command, log: Path, cwd: Path, package: str, cancel: threading.Event | None = None
) -> str:
    """Run `command` in `cwd`, its output into `log`; returns that text.

    Raises CosignError when the program is missing (naming the `package` to install) or when it
    fails (naming the log), Cancelled when `cancel` is set meanwhile.
    """
    try:
        with (
            open(log, "wb") as output,
            subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
            ) as process,
        ):
            try:
                status = _wait(process, cancel)
            except BaseException:
                process.kill()
                raise
    except FileNotFoundError as error:
        raise CosignError(
            f"cannot find the program {command[0]}; install the package {package}."
        ) from error
    text = log.read_text(errors="replace")
    if status != 0:
        reason = next((line for line in text.splitlines() if "error" in line.lower()), "")
        told = f": {reason.strip()}" if reason else f" with status {status}"
        raise CosignError(f"{Path(command[0]).name} failed{told.rstrip('.')}; its log is {log}.")
    return text


def _wait(process: "subprocess.Popen[bytes]", cancel: threading.Event | None) -> int:
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            if cancel is not None and cancel.is_set():
                raise Cancelled from None

