"""Packages of a registry, fetched by its own client."""

from pathlib import Path

from cosign import processes

_TIMEOUT_S = 300


def client(*command: str, cwd: Path) -> None:
    """Run a registry client. Raises OSError with its last line when it fails."""
    done = processes.run(command, cwd=cwd, timeout=_TIMEOUT_S)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise OSError(f"{Path(command[0]).name} failed: {lines[-1]}")


def only(folder: Path, pattern: str) -> Path:
    """The first file of that pattern. Raises OSError when the client left none."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise OSError(f"the client left no {pattern}")
    return found[0]
