"""Training curves for those who watch them elsewhere: TensorBoard, MLflow or Weights & Biases.

A log gets every history point of the training stages while they train: mean loss, accuracy on
the validation split, and in an ADMM iteration rho, ||W-Z|| and the change of Z by layer.
"""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Protocol

from cosign import CosignError
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
    to forget the older ones.
    """

    def __init__(self, run: RunDir) -> None:
        self._writer = _client(_CLIENTS["tensorboard"]).SummaryWriter
        self._folder = run.path / "tensorboard"
        self._open: dict[str, Any] = {}

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        if stage not in self._open:
            self.close()
            self._open = {stage: self._writer(str(self._folder / stage), purge_step=step)}
        for name, value in values.items():
            self._open[stage].add_scalar(name, value, step)
        self._open[stage].flush()

    def close(self) -> None:
        for writer in self._open.values():
            writer.close()
        self._open = {}


class MlFlow:
    """A run of MLflow, wherever its own settings say (MLFLOW_TRACKING_URI)."""

    def __init__(self, run: RunDir) -> None:
        self._client = _client(_CLIENTS["mlflow"])
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
        self._run = _client(_CLIENTS["wandb"]).init(
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
_CLIENTS = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


def check(kind: str) -> None:
    """Raises CosignError when the client of that log is not installed."""
    _client(_CLIENTS[kind])


@contextlib.contextmanager
def opened(kind: str, run: RunDir) -> Iterator[Log]:
    """The log of `run`, closed at the end whatever happens.

    Raises CosignError when its client is not installed or does not accept the run.
    """
    try:
        log = LOGS[kind](run)
    except CosignError:
        raise
    except Exception as error:  # each client has errors of its own
        reason = " ".join(str(error).split())
        raise CosignError(f"--log {kind} did not start: {reason}") from error
    with contextlib.closing(log):
        yield log


def _settings(run: RunDir) -> dict[str, Any]:
    """What was asked; of the cores, which are many fields each, their hash."""
    return {**dataclasses.asdict(run.config), "cores": run.config.cores.hash}


def _client(module: str) -> ModuleType:
    """Import a client. Raises CosignError when it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.rpartition(".")[2]
        raise CosignError(
            f"--log {name} needs a package that is not installed ({error}); run "
            f"`pip install {name}`."
        ) from error
