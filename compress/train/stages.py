"""The training stages of joint pruning and quantisation (Fig. 2), resumable at any moment.

- dense: ordinary training; batch normalisation, where the network has it, is folded at the end;
- prune: ADMM towards alpha_i weights per layer, then the cut; or what it is compared with
  (compress.train.pruners);
- retrain: the kept weights only;
- allocate: weights kept anew as break-even ratios of the hardware say (Fig. 5), if there are any;
- quantize: ADMM towards n-bit levels of the kept weights, then levels fixed while biases and q
  are trained.

`run_stage` runs a stage, resumes it or loads what it left behind (`results`); `trainer` has the
training itself.
"""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.data.datasets import Dataset
from compress.nn.checkpoint import Checkpoint
from compress.nn.network import Network, channels_last
from compress.train import constrain, distributed, results, trials
from compress.train.allocate import Keep
from compress.train.distill import Loss
from compress.train.results import StageResult
from compress.train.trainer import Report, Trainer
from compress.zoo.recipe import Recipe
from cosign import CosignError

STAGES = ("dense", "prune", "retrain", "allocate", "quantize")
_SCHEMA = 3
_COMMON = (
    "architecture",
    "digest",
    "batch",
    "optimizer",
    "beta2",
    "weight_decay",
    "warmup",
    "budget",
    "rate",
    "threads",
)
# Recipe fields that a stage adds to those its predecessors depend on.
_FIELDS = {
    "dense": (*_COMMON, "dense"),
    "prune": ("densities", "prune", "pruner", "targets", "distill", "temperature", "calibration"),
    "retrain": ("retrain",),
    "allocate": ("allocate", "break_even", "accuracy_loss", "rounds"),
    "quantize": ("bits", "bits_loss", "quantize", "settle"),
}
_STREAMS = {"dense": 0, "prune": 1, "retrain": 2, "quantize": 3, "allocate": 4}  # of random numbers


def run_stage(
    stage: str,
    recipe: Recipe,
    dataset: Dataset,
    folder: Path,
    seed: int,
    report: Report | None = None,
    start: Network | None = None,
) -> StageResult:
    """Run, resume or just load one stage.

    `start` has the weights of a network that comes with some, where the dense stage begins.

    `folder` holds the results `<stage>.pt` of this and the stages before, and the checkpoint of
    the stage at work. `report(stage, step, steps, metrics)` is called after every step; metrics
    holds "loss", or at a history point the point's whole record (`StageResult.history`). Raises
    CosignError when the stage before is missing, a file is of another recipe, or training diverges.
    """
    if stage not in STAGES:
        raise CosignError(f"unknown stage {stage!r}; choose {', '.join(STAGES)}.")
    if len(dataset.classes) != recipe.classes or dataset.shape != recipe.spec.shape:
        raise CosignError(
            f"{dataset.name} has {len(dataset.classes)} classes of {dataset.shape} images, the "
            f"recipe of {recipe.network} expects {recipe.classes} of {recipe.spec.shape}."
        )
    show = report or (lambda *_: None)
    return _Stage(stage, recipe, dataset, Path(folder), seed, show, start).result()


def identity(stage: str, recipe: Recipe, dataset: Dataset, seed: int) -> str:
    """Hex digest of everything that the result of `stage` depends on."""
    fields = recipe.to_json()
    used = [name for part in STAGES[: STAGES.index(stage) + 1] for name in _FIELDS[part]]
    facts = {
        "schema": _SCHEMA,
        "stage": stage,
        "recipe": {name: fields[name] for name in used},
        "dataset": [dataset.name, dataset.sizes, dataset.shape, dataset.mean, dataset.std],
        "seed": seed,
    }
    if recipe.fine_tune != 1:
        facts["fine_tune"] = recipe.fine_tune
    if recipe.patterns and stage != STAGES[0]:
        facts["patterns"] = fields["patterns"]
    if dataset.reordered:  # else they are sorted, and nothing more is to be told
        facts["classes"] = dataset.classes
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Stage:
    """A stage to be run, resumed or loaded; the fields are the arguments of `run_stage`."""

    name: str
    recipe: Recipe
    dataset: Dataset
    folder: Path
    seed: int
    report: Report
    start: Network | None

    def result(self) -> StageResult:
        return self._made_once((), self._work)

    def _owner(self, stage: str) -> str:
        return identity(stage, self.recipe, self.dataset, self.seed)

    def _of(self, stage: str) -> StageResult:
        """What an earlier stage has left."""
        path = self.folder / f"{stage}.pt"
        if not path.exists():
            raise CosignError(f"stage {self.name} needs {path}; run {stage} first.")
        return results.load_result(path, self.recipe, self._owner(stage))

    def _work(self, checkpoint: Path) -> StageResult:
        """The stage itself."""
        torch.set_num_threads(max(1, self.recipe.threads // distributed.on_this_machine()[1]))
        if self.name == STAGES[0]:
            return self._train((), self.start, {}, checkpoint, self.report)
        previous = self._of(STAGES[STAGES.index(self.name) - 1])
        if self.name == "allocate":
            return trials.run(self.recipe, self._of("dense").accuracy, previous, self._trial)
        return self._train((), previous.network, previous.masks, checkpoint, self.report)

    def _trial(self, number: int, keep: Keep, previous: StageResult) -> StageResult:
        """A trial of the allocation: a copy of the network, cut and retrained."""
        shown = f"{self.name} {number}"

        def work(checkpoint: Path) -> StageResult:
            network = copy.deepcopy(previous.network)
            masks = constrain.prune(
                network,
                keep,
                constrain.calibration(self.recipe, self.dataset),
                lambda done, of: self.report(f"{shown}, cut", done, of, {}),
            )

            def report(_: str, *progress: Any) -> None:
                self.report(shown, *progress)

            return self._train((number,), network, masks, checkpoint, report)

        return self._made_once((number,), work)

    def _train(
        self,
        number: tuple[int, ...],
        network: Network | None,
        masks: dict[str, Tensor],
        checkpoint: Path,
        report: Report,
    ) -> StageResult:
        """Train once from there on; `number` is that of a trial, empty for the stage itself."""
        owner = _numbered(self._owner(self.name), number)
        trainer = Trainer(
            self.name,
            self.recipe,
            self.dataset,
            (self.seed, _STREAMS[self.name], *number),
            network,
            masks,
            self._loss(),
            Checkpoint(checkpoint, owner, self.recipe.checkpoint_s),
        )
        return trainer.run(report)

    def _loss(self) -> Loss:
        if self.name == "dense" or not self.recipe.distill:
            return Loss()
        teacher = self._of("dense").network.to(distributed.device())
        channels_last(teacher)
        return Loss(teacher, self.recipe.distill, self.recipe.temperature)

    def _made_once(
        self, number: tuple[int, ...], work: Callable[[Path], StageResult]
    ) -> StageResult:
        """Load `<name>.pt`, or save there what `work` returns; it gets the checkpoint's path.

        The name is the stage's, with a trial's number. Checkpoints, and whatever else is called
        `<name>.*.pt`, are gone afterwards.
        """
        name, owner = _numbered(self.name, number), _numbered(self._owner(self.name), number)
        path = self.folder / f"{name}.pt"
        writes = distributed.rank() == 0
        if distributed.agreed(path.exists()):
            result = results.load_result(path, self.recipe, owner)
        else:
            for torn in self.folder.glob(f".{name}.*") if writes else ():
                torn.unlink(missing_ok=True)  # half-written when a run was killed
            result = work(self.folder / f"{name}.checkpoint.pt")
            if writes:
                results.save_result(path, result, owner)
        for left in self.folder.glob(f"{name}.*.pt") if writes else ():
            left.unlink(missing_ok=True)
        distributed.agreed(True)  # the file is there for all
        return result


def _numbered(name: str, number: tuple[int, ...]) -> str:
    return ".".join([name, *map(str, number)])
