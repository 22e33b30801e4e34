"""The checkpoint of a stage at work: written now and then, read when the stage goes on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compress.train import distributed, results


class Checkpoint:
    """One file, of all processes; rank 0 writes it.

    Parameters
    ----------
    path : of the file, which the stage removes when it is done
    owner : identity of what is trained, `stages.identity`
    least_s : seconds between two savings, at least
    """

    def __init__(self, path: Path, owner: str, least_s: float) -> None:
        self.path = path
        self._owner, self._least_s = owner, least_s
        self._saved_at, self._saving = time.monotonic(), 0.0

    def load(self) -> dict[str, Any] | None:
        """What was saved last, if anything was. Raises CosignError as `results.load` does."""
        return results.load(self.path, self._owner) if self.path.exists() else None

    def save(self, content: Callable[[], dict[str, Any]]) -> None:
        """Save when it is due; saving takes a twentieth of the time at most."""
        if distributed.rank() != 0:
            return
        now = time.monotonic()
        if now - self._saved_at < max(self._least_s, 20 * self._saving):
            return
        results.save(self.path, content(), self._owner)
        self._saved_at = time.monotonic()
        self._saving = self._saved_at - now
