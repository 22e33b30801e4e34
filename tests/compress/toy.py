"""A small data set and recipe for LeNet-5, and a script that trains on them to be killed.

python toy.py FOLDER: runs all stages, saving a checkpoint after every step, and prints every
step taken.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.datasets import ArraySplit, Dataset
from compress.train import stages
from compress.zoo import networks
from compress.zoo.recipe import Phase, Recipe


def dataset(seed: int = 0) -> Dataset:
    """Ten smooth random templates, shifted and noisy: 480 + 100 + 200 images of 28 x 28."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((10, 7, 7))
    templates = np.kron(coarse, np.ones((4, 4))) * 200

    def split(count: int, shift: int) -> ArraySplit:
        labels = np.arange(count) % 10
        noise = rng.normal(0, 25, (count, 28, 28))
        pixels = np.clip(templates[labels] + noise, 0, 255).astype(np.uint8)
        return ArraySplit(pixels[:, None], labels, shift)

    return Dataset(
        name="toy",
        note="random templates",
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        mean=(0.4,),
        std=(0.3,),
        train=split(480, 1),
        val=split(100, 0),
        test=split(200, 0),
    )


def shrunk(full: Recipe, batch: int, steps: int) -> Recipe:
    """A handful of steps of the same stages; keeps the compression, not the accuracy."""

    def shrink(phase: Phase) -> Phase:
        return dataclasses.replace(phase, steps=steps, points=min(phase.points, 2))

    phases = ("dense", "prune", "retrain", "allocate", "quantize", "settle")
    return dataclasses.replace(
        full,
        batch=batch,
        calibration=min(batch, full.calibration),
        threads=1,
        **{name: shrink(getattr(full, name)) for name in phases},
    )


def recipe(**changes: Any) -> Recipe:
    """A short recipe of LeNet-5, with enough retraining to recover from the cut."""
    tiny = shrunk(networks.recipe("lenet5"), batch=16, steps=24)
    retrain = dataclasses.replace(tiny.retrain, steps=120, lr=3e-3)
    fields = {"calibration": 0, "retrain": retrain, **changes}
    return dataclasses.replace(tiny, **fields)


def main(folder: Path) -> None:
    def report(stage: str, step: int, steps: int, metrics: dict[str, Any]) -> None:
        print(stage, step, steps, flush=True)

    for stage in stages.STAGES:
        stages.run_stage(stage, recipe(checkpoint_s=0.0), dataset(), folder, 0, report)
        print(stage, "done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
