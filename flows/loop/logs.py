"""Training curves for those who watch them elsewhere: TensorBoard, MLflow or Weights & Biases.

A log gets every history point of the training stages while they train: mean loss, accuracy on
the validation split, and in an ADMM iteration rho, ||W-Z|| and the change of Z by layer.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from cosign import CosignError
from cosign.files import reason
from flows.loop.rundir import RunDir

_GROUPS = {"primal": "W-Z", "dual": "Z-Zprev"}  # the residuals' names in Eqns. 5 to 7


class Log(Protocol):
    """Where the points of a run go."""

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Add `values` at `step` of `stage`; steps of a stage come in order."""

    def close(self) -> None:
        """All is written."""


def scalars(point: Mapping[str, Any]) -> dict[str, float]:
    """A history point as flat names: loss, accuracy, rho, W-Z/<layer>, Z-Zprev/<layer>."""
    flat: dict[str, float] = {}
    for name, value in point.items():
        if isinstance(value, Mapping):
            group = _GROUPS.get(name, name)
            flat |= {f"{group}/{layer}": float(part) for layer, part in value.items()}
        elif name != "step":
            flat[name] = float(value)
    return flat


class TensorBoard:
    """Event files in the run directory, a folder for each stage.

    A stage that goes on after a crash repeats the points after its checkpoint; TensorBoard is told
    to forget the older ones. Its own writer works in a thread, where a full disk is a traceback;
    here a point is written whole, or the file is as before.
    """

    def __init__(self, run: RunDir) -> None:
        self._proto = _client("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._records = _client("tensorboard.summary.writer.record_writer", "tensorboard")
        self._folder = run.path / "tensorboard"
        self._stage: tuple[str, Path] | None = None

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        event = self._proto.Event
        events = []
        if self._stage is None or self._stage[0] != stage:
            name = f"events.out.tfevents.{time.time():020.9f}.{socket.gethostname()}.{os.getpid()}"
            self._stage = stage, self._folder / stage / name
            start = self._proto.SessionLog(status=self._proto.SessionLog.START)
            events.append(event(step=step, file_version="brain.Event:2"))
            events.append(event(step=step, session_log=start))
        events.append(event(step=step))
        for name, value in values.items():
            events[-1].summary.value.add(tag=name, simple_value=value)
        records = io.BytesIO()
        writer = self._records.RecordWriter(records)
        for each in events:
            each.wall_time = time.time()
            writer.write(each.SerializeToString())
        _append(self._stage[1], records.getvalue())

    def close(self) -> None:
        pass


def _append(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:  # or what did not fit would be tried again at close
        before, left = file.tell(), memoryview(content)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            file.truncate(before)
            raise


class MlFlow:
    """A run of MLflow, wherever its own settings say (MLFLOW_TRACKING_URI)."""

    def __init__(self, run: RunDir) -> None:
        self._client = _client("mlflow")
        self._client.start_run(run_name=run.path.name)
        self._client.log_params(_settings(run))

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        named = {f"{stage}/{name}": value for name, value in values.items()}
        self._client.log_metrics(named, step=step)

    def close(self) -> None:
        self._client.end_run()


class WeightsAndBiases:
    """A run of Weights & Biases, wherever its own settings say (WANDB_MODE=offline, ...)."""

    def __init__(self, run: RunDir) -> None:
        self._run = _client("wandb").init(
            project="cosign", name=run.path.name, config=_settings(run), dir=str(run.path)
        )
        self._run.define_metric("*", step_metric="step")

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({f"{stage}/{name}": value for name, value in values.items()} | {"step": step})

    def close(self) -> None:
        self._run.finish()


LOGS: dict[str, Callable[[RunDir], Log]] = {
    "tensorboard": TensorBoard,
    "mlflow": MlFlow,
    "wandb": WeightsAndBiases,
}


USUAL = "tensorboard"


class _Told:
    """A log whose failures to write are a sentence."""

    def __init__(self, log: Log, kind: str) -> None:
        self._log = log
        self._kind = kind

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        try:
            self._log.write(stage, step, values)
        except OSError as error:
            raise CosignError(
                f"cannot write what --log {self._kind} shows: {reason(error)}; free some space."
            ) from error

    def close(self) -> None:
        self._log.close()


def check(kind: str) -> None:
    """Raises CosignError when the client of that log is not installed."""
    _client(kind)


@contextlib.contextmanager
def opened(kind: str, run: RunDir) -> Iterator[Log]:
    """The log of `run`, closed at the end whatever happens.

    Raises CosignError when its client is not installed or does not accept the run; so does writing
    to it when nothing can be written.
    """
    try:
        log = _Told(LOGS[kind](run), kind)
    except CosignError:
        raise
    except Exception as error:  # each client has errors of its own
        told = " ".join(str(error).split())
        raise CosignError(f"--log {kind} did not start: {told}") from error
    with contextlib.closing(log):
        yield log


def _settings(run: RunDir) -> dict[str, Any]:
    """What was asked; of the cores, which are many fields each, their hash."""
    return {**dataclasses.asdict(run.config), "cores": run.config.cores.hash}


def _client(module: str, name: str = "") -> ModuleType:
    """Import a client, or a part of the package `name`. Raises CosignError when it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = name or module
        raise CosignError(
            f"--log {name} needs a package that is not installed ({error}); run "
            f"`pip install {name}`."
        ) from error
