"""What a run keeps in its folder, so that a killed run goes on where it was."""

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.tiny.network import LAYERS, SparseNetwork
from cosign import CosignError, atomic_write, read_json, write_json


def claim(path: Path, facts: dict[str, Any]) -> None:
    """Write what a folder's content depends on, or make sure that it is the same."""
    if not path.exists():
        write_json(path, facts)
    elif read_json(path) != facts:
        raise CosignError(
            f"{path.parent} holds a run with another schedule, data set or seed; choose another "
            "folder or delete it."
        )


def _damaged(path: Path) -> CosignError:
    return CosignError(f"{path} is damaged; delete it and run again.")


def write(path: Path, **arrays: Any) -> None:
    """Write named arrays, whole or not at all."""
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read(path: Path) -> dict[str, np.ndarray]:
    """Inverse of `write`. Raises CosignError on a damaged file."""
    try:
        with np.load(path) as content:
            return dict(content)
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise _damaged(path) from error


def save(path: Path, network: SparseNetwork) -> None:
    """Write a network with all its state."""
    arrays = {f"mask{number}": mask for number, mask in enumerate(network.masks)}
    arrays |= {f"filters{number}": numbers for number, numbers in enumerate(network.filters)}
    for name in ("theta", "moment1", "moment2", "steps", "levels"):
        arrays[name] = getattr(network, name)
    write(path, **arrays)


def load(path: Path) -> SparseNetwork:
    """Inverse of `save`. Raises CosignError on a damaged file."""
    content = read(path)
    try:
        return SparseNetwork(
            [content[f"mask{number}"] for number in range(len(LAYERS))],
            content["theta"],
            [content[f"filters{number}"] for number in range(len(LAYERS) - 1)],
            content["moment1"],
            content["moment2"],
            int(content["steps"]),
            content["levels"],
        )
    except KeyError as error:
        raise _damaged(path) from error


def save_training(
    path: Path,
    epochs: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> None:
    """Write the teacher after so many epochs, with all that the next one depends on."""
    content = {
        "epochs": epochs,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": rng.bit_generator.state,
        "torch_rng": torch.get_rng_state(),
    }
    with atomic_write(path) as file:
        torch.save(content, file)


def load_training(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, rng: np.random.Generator
) -> int:
    """Restore what `save_training` wrote, if there is a file; returns the epochs done."""
    if not path.exists():
        return 0
    try:
        content = torch.load(path, weights_only=True)
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        rng.bit_generator.state = content["rng"]
        torch.set_rng_state(content["torch_rng"])
        return int(content["epochs"])
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise _damaged(path) from error
