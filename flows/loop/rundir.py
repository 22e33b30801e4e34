"""A run directory: what was asked, which stages are finished, what each one found.

`config.json` is written once and never changes. Every finished stage leaves
`stages/<name>.json` with its result and wall time; a stage without that file is run again,
and picks up its own checkpoints. A run that was killed at any moment therefore continues
to the same result.
"""

import dataclasses
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.zoo.recipe import ACCURACY_LOSS, ROUNDS
from cosign import CosignError, locked, read_json, write_json

SCHEMA = 2


@dataclass(frozen=True)
class RunConfig:
    """Everything a run's result depends on.

    Parameters
    ----------
    network : name of a built-in network, an ONNX file, or package.module:factory
    weights : file that a built-in network has its weights from, or "imagenet"; None trains it here
    data : None (the network's own default), a folder, or a named set
    alpha : preset of layer-wise densities, a JSON file or a ratio; None for the recipe's default
    targets : pruning ratios that the prune stage goes through
    distill : share of the dense network's answers in the loss, 0..1
    bits : of every level, 1..8; "auto" chooses by layer; None for the recipe's
    budget : factor on the number of training steps (dimensionless)
    rate : factor on the learning rates
    seed : of data order, initialisation and masks
    images : images that the RTL executes
    liberty : cell library, None for NanGate 45 nm
    digest : of a network that comes with weights, SHA-256 over structure and weights
    mean, std : by channel, of pixels scaled to 0..1, what such a network reads; None for the data's
    accuracy_loss : validation accuracy that the feedback may cost, 0..1
    rounds : rounds of the feedback that may take weights away
    """

    network: str
    weights: str | None = None
    data: str | None = None
    alpha: str | None = None
    targets: int = 1
    distill: float = 0.0
    bits: int | str | None = None
    budget: float = 1.0
    rate: float = 1.0
    seed: int = 0
    images: int = 16
    liberty: str | None = None
    digest: str = ""
    mean: list[float] | None = None
    std: list[float] | None = None
    accuracy_loss: float = ACCURACY_LOSS
    rounds: int = ROUNDS


class RunDir:
    """One run's folder. Open it with `create` or `resume`."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunDir":
        """Start a run. Raises CosignError when `path` already holds something."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise CosignError(
                f"{path} is not empty; continue it with --resume {path} or choose another --out."
            )
        write_json(path / "config.json", {"schema": SCHEMA, **dataclasses.asdict(config)})
        return cls(path, config)

    @classmethod
    def resume(cls, path: Path) -> "RunDir":
        """Open a run. Raises CosignError when it is none, or one of another schema."""
        if not (path / "config.json").is_file():
            raise CosignError(f"{path} is not a run directory: it has no config.json.")
        fields = read_json(path / "config.json")
        schema = fields.pop("schema", None) if isinstance(fields, dict) else None
        if schema != SCHEMA:
            raise CosignError(
                f"{path} is a run of schema {schema}, this version continues schema {SCHEMA}; "
                "start a new run."
            )
        try:
            return cls(path, RunConfig(**fields))
        except TypeError as error:
            raise CosignError(
                f"{path}/config.json has unknown or missing fields: {error}."
            ) from error

    def locked(self) -> AbstractContextManager[None]:
        """Hold the run; raises CosignError while another process does."""
        return locked(self.path)

    def result(self, stage: str) -> Any | None:
        """What a finished stage returned, or None."""
        file = self.path / "stages" / f"{stage}.json"
        return read_json(file)["result"] if file.exists() else None

    def forget(self, stage: str, reused: str) -> None:
        """Make `stage` unfinished, and delete what matches the pattern `reused` in the run."""
        (self.path / "stages" / f"{stage}.json").unlink(missing_ok=True)
        for path in self.path.glob(reused):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def wall_s(self) -> dict[str, float]:
        """Seconds of each finished stage, in the process that finished it."""
        files = (self.path / "stages").glob("*.json")
        return {file.stem: read_json(file)["wall_s"] for file in files}

    def run(self, stage: str, work: Callable[[], Any]) -> Any:
        """Return the stage's result, doing `work` (which returns JSON) only if it has none."""
        done = self.result(stage)
        if done is not None:
            return done
        start = time.monotonic()
        result = work()
        wall_s = round(time.monotonic() - start, 3)
        write_json(self.path / "stages" / f"{stage}.json", {"result": result, "wall_s": wall_s})
        return self.result(stage)
