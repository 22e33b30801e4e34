"""Tensors in a file of somebody's own, and the checkpoint of long work, written now and then."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cosign import CosignError, atomic_write


class Checkpoint:
    """One file, written now and then; who has it goes on from there.

    Parameters
    ----------
    path : of the file, which is removed when the work is done
    owner : digest of what is worked on
    least_s : seconds between two savings, at least
    """

    def __init__(self, path: Path, owner: str, least_s: float) -> None:
        self.path = path
        self._owner, self._least_s = owner, least_s
        self._saved_at, self._saving = time.monotonic(), 0.0

    def load(self) -> dict[str, Any] | None:
        """What was saved last, if anything was. Raises CosignError as `load` does."""
        return load(self.path, self._owner) if self.path.exists() else None

    def save(self, content: Callable[[], dict[str, Any]]) -> None:
        """Save when it is due; saving takes a twentieth of the time at most."""
        now = time.monotonic()
        if now - self._saved_at < max(self._least_s, 20 * self._saving):
            return
        save(self.path, content(), self._owner)
        self._saved_at = time.monotonic()
        self._saving = self._saved_at - now


def save(path: Path, content: dict[str, Any], owner: str) -> None:
    """Write tensors and plain values atomically, marked with their owner."""
    with atomic_write(path) as file:
        torch.save({"identity": owner, **content}, file)


def load(path: Path, owner: str) -> dict[str, Any]:
    """Inverse of `save`. Raises CosignError on a damaged file or one of another owner."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CosignError(
            f"{path} is damaged or not a file of this program; delete it and run again."
        ) from error
    if not isinstance(content, dict) or content.get("identity") != owner:
        raise CosignError(
            f"{path} was made with another recipe, data set or seed, or by another version of this "
            "program; choose another folder or delete it."
        )
    return content
