"""Packages of a registry, fetched by its own client."""

import subprocess
from pathlib import Path

_TIMEOUT_S = 300


def client(*command: str, cwd: str) -> None:
    """Run a registry client. Raises OSError with its last line when it fails."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise OSError(f"{Path(command[0]).name} failed: {lines[-1]}")


def only(folder: str, pattern: str) -> Path:
    """The first file of that pattern. Raises OSError when the client left none."""
    found = sorted(Path(folder).glob(pattern))
    if not found:
        raise OSError(f"the client left no {pattern}")
    return found[0]
