"""The training stages of joint pruning and quantisation (Fig. 2), resumable at any moment.

- dense: ordinary training; batch normalisation, where the network has it, is folded at the end;
- prune: ADMM towards alpha_i weights per layer, then the cut; or what it is compared with
  (compress.train.pruners);
- retrain: the kept weights only;
- allocate: weights kept anew as break-even ratios of the hardware say (Fig. 5), if there are any;
- quantize: ADMM towards n-bit levels of the kept weights, then levels fixed while biases and q
  are trained.

Everything random (order of the images, crops, dropout) is a function of (seed, stage, step).
So the step number is the state of the random generators, and a run that was killed and
resumed from its last checkpoint ends in the same weights as an uninterrupted one.
"""

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.admm.constraints import quantize_projection, staged
from compress.data.batches import Batch, Batches, in_order
from compress.data.datasets import Dataset
from compress.data.pixels import some_images, to_input
from compress.model.levels import Levels
from compress.nn.network import Network, fold, scale_to_data
from compress.train import bitwidths, constrain, distributed, pruners, stages, trials
from compress.train.allocate import Keep
from compress.train.distill import Loss
from compress.train.evaluation import channels_last, evaluate
from compress.train.recipes import keep_of
from compress.train.regimes import AdmmRegime, Regime, SettleRegime
from compress.train.stages import STAGES, StageResult
from compress.zoo.recipe import Phase, Recipe
from cosign import CosignError

Report = Callable[[str, int, int, dict[str, Any]], None]
_FINAL_LR = 0.02
_CALIBRATION_BATCH = 16
_INITIAL_IMAGES = 48
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
        return stages.identity(stage, self.recipe, self.dataset, self.seed)

    def _of(self, stage: str) -> StageResult:
        """What an earlier stage has left."""
        path = self.folder / f"{stage}.pt"
        if not path.exists():
            raise CosignError(f"stage {self.name} needs {path}; run {stage} first.")
        return stages.load_result(path, self.recipe, self._owner(stage))

    def _previous(self) -> StageResult | None:
        if self.name != STAGES[0]:
            return self._of(STAGES[STAGES.index(self.name) - 1])
        return StageResult("imported", self.start, 0.0, []) if self.start is not None else None

    def _work(self, checkpoint: Path) -> StageResult:
        """The stage itself."""
        torch.set_num_threads(max(1, self.recipe.threads // distributed.on_this_machine()[1]))
        previous = self._previous()
        if self.name == "allocate":
            assert previous is not None
            return trials.run(self.recipe, self._of("dense").accuracy, previous, self._trial)
        return self._train((), previous, checkpoint, self.report)

    def _trial(self, number: int, keep: Keep, previous: StageResult) -> StageResult:
        """A trial of the allocation: a copy of the network, cut and retrained."""
        shown = f"{self.name} {number}"

        def work(checkpoint: Path) -> StageResult:
            network = copy.deepcopy(previous.network)
            images = _calibration(self.recipe, self.dataset)
            through = _layers_of(f"{shown}, cut", self.report)
            masks = constrain.prune(network, keep, images, through)
            start = dataclasses.replace(previous, network=network, masks=masks)
            return self._train(
                (number,), start, checkpoint, lambda _, *progress: self.report(shown, *progress)
            )

        return self._made_once((number,), work)

    def _train(
        self,
        number: tuple[int, ...],
        previous: StageResult | None,
        checkpoint: Path,
        report: Report,
    ) -> StageResult:
        """Train once; `number` is that of a trial, empty for the stage itself."""
        random = (self.seed, _STREAMS[self.name], *number)
        owner = _numbered(self._owner(self.name), number)
        trainer = _Trainer(
            self.name, self.recipe, self.dataset, random, previous, self._loss(), checkpoint, owner
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
            result = stages.load_result(path, self.recipe, owner)
        else:
            for torn in self.folder.glob(f".{name}.*") if writes else ():
                torn.unlink(missing_ok=True)  # half-written when a run was killed
            result = work(self.folder / f"{name}.checkpoint.pt")
            if writes:
                stages.save_result(path, result, owner)
        for left in self.folder.glob(f"{name}.*.pt") if writes else ():
            left.unlink(missing_ok=True)
        distributed.agreed(True)  # the file is there for all
        return result


def _numbered(name: str, number: tuple[int, ...]) -> str:
    return ".".join([name, *map(str, number)])


def _calibration(recipe: Recipe, dataset: Dataset) -> tuple[Tensor, ...]:
    return tuple(some_images(dataset, recipe.calibration, _CALIBRATION_BATCH))


def _layers_of(name: str, report: Report) -> constrain.Progress:
    """Layers that are through, as the steps of a stage of that name."""
    return lambda done, of: report(name, done, of, {})


class _Trainer:
    """One stage at work: `run` goes through its phases and returns the result."""

    def __init__(
        self,
        stage: str,
        recipe: Recipe,
        dataset: Dataset,
        random: tuple[int, ...],
        previous: StageResult | None,
        loss: Loss,
        checkpoint: Path,
        owner: str,
    ) -> None:
        self.stage, self.recipe, self.dataset, self.loss = stage, recipe, dataset, loss
        self.checkpoint, self.owner = checkpoint, owner
        self.device = distributed.device()
        share = distributed.rank(), distributed.world()
        self.batches = Batches(dataset.train, recipe.batch, random, share)
        masks = previous.masks if previous else {}
        self.masks = {name: mask.to(self.device) for name, mask in masks.items()}
        self.keep: dict[str, int] = {}  # weights that stay, in the prune stage
        self.bits = recipe.bits or {} if stage == "quantize" else {}  # of levels
        if previous:
            self.network = previous.network
        else:
            torch.manual_seed(random[0])  # the seed
            self.network = Network(recipe.architecture)
            if not self.network.norms:
                some = np.arange(min(_INITIAL_IMAGES, len(dataset.train.labels)))
                scale_to_data(self.network, to_input(dataset, dataset.train.images(some)))
        if stage == "prune":
            dense = {n: w.detach().numpy() for n, w in self.network.weights.items()}
            self.keep = keep_of(recipe, dense)
        channels_last(self.network.to(self.device))
        self.phases: tuple[Phase, ...] = (
            (recipe.quantize, recipe.settle) if stage == "quantize" else (getattr(recipe, stage),)
        )
        self.total = sum(recipe.steps(phase) for phase in self.phases)
        self.step = 0  # of the stage
        self.history: list[dict[str, Any]] = []
        self.losses: list[float] = []  # since the last history point
        self.seconds = 0.0
        self._saved_at, self._saving = time.monotonic(), 0.0

    def run(self, report: Report) -> StageResult:
        resumed = self._load_checkpoint()
        self.model = distributed.data_parallel(self.network)
        self._clock = time.monotonic()
        if self.stage == "quantize" and not self.bits:
            self.bits = bitwidths.choose(
                self.network,
                self.masks,
                self.recipe.bits_loss,
                lambda: evaluate(self.network, self.dataset, self.dataset.val),
                lambda mean: report(self.stage, 0, self.total, {"bits per weight": mean}),
            )
        first = 0
        levels: dict[str, Levels] = {}
        for phase in self.phases:
            last = first + self.recipe.steps(phase)
            if self.step < last:  # else it was over before the checkpoint
                regime, optimizer = self._begin(phase, resumed, report)
                resumed = None
                left = range(self.step, last)
                for batch in in_order(self.batches, left, self.dataset.workers):
                    self._train_step(batch, phase, self.step - first, regime, optimizer, report)
                    if self.step < last:
                        self._save_checkpoint(regime, optimizer)
                if self.stage == "prune" and not self.masks:
                    images = _calibration(self.recipe, self.dataset)
                    through = _layers_of("prune, cut", report)
                    self.masks = constrain.prune(self.network, self.keep, images, through)
                levels = regime.levels if isinstance(regime, SettleRegime) else {}
            first = last
        seconds = self._elapsed()
        network = fold(self.network) if self.network.norms else self.network
        accuracy = evaluate(network.to(self.device), self.dataset, self.dataset.val)
        network = network.cpu().eval()
        masks = {name: mask.cpu() for name, mask in self.masks.items()}
        return StageResult(self.stage, network, accuracy, self.history, masks, levels, seconds)

    def _begin(
        self, phase: Phase, state: dict[str, Any] | None, report: Report
    ) -> tuple[Regime, torch.optim.Optimizer]:
        """The regime and optimiser of a phase, as new or as the checkpoint has them."""
        network, recipe = self.network, self.recipe
        regime: Regime
        if phase is recipe.settle and self.stage == "quantize":
            if state is None:
                images = _calibration(recipe, self.dataset)
                through = _layers_of("quantize, levels", report)
                levels = constrain.quantize(network, self.masks, self.bits, images, through)
            else:
                levels = SettleRegime.levels_of(state["regime"])
            regime = SettleRegime(network, self.masks, levels)
        elif self.stage == "prune" and recipe.pruner != "admm":
            regime = pruners.regime(
                recipe.pruner, network, self.masks, self.keep, phase.points, phase.rhos[0]
            )
        elif phase.rhos:
            if self.stage == "prune":
                weights = {name: weight.numel() for name, weight in network.weights.items()}
                targets = staged(weights, self.keep, recipe.targets)
            else:
                targets = [quantize_projection(self.bits, self.masks)]
            projections = [phase.turn(targets, done) for done in range(phase.points + 1)]
            regime = AdmmRegime(network, self.masks, projections, phase.rhos[0])
        else:
            regime = Regime(network, self.masks)
        decay = recipe.weight_decay if self.stage == "dense" else 0.0
        parameters = regime.parameters()
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adam" or isinstance(regime, SettleRegime):
            betas = (0.9, recipe.beta2)
            optimizer = torch.optim.Adam(
                parameters, self.recipe.rate * phase.lr, betas, weight_decay=decay, fused=True
            )
        else:
            optimizer = torch.optim.SGD(
                parameters,
                self.recipe.rate * phase.lr,
                momentum=0.9,
                weight_decay=decay,
                fused=True,
            )
        if state is not None:
            regime.load_state_dict(state["regime"])
            try:
                optimizer.load_state_dict(state["optimizer"])
            except ValueError:
                raise CosignError(
                    f"{self.checkpoint} was made by an earlier version of this program; delete it, "
                    f"and stage {self.stage} begins anew."
                ) from None
        return regime, optimizer

    def _train_step(
        self,
        batch: Batch,
        phase: Phase,
        step: int,
        regime: Regime,
        optimizer: torch.optim.Optimizer,
        report: Report,
    ) -> None:
        """One optimiser step; `step` counts within the phase."""
        steps = self.recipe.steps(phase)
        for group in optimizer.param_groups:
            group["lr"] = self._learning_rate(phase, step)
        torch.manual_seed(batch.seed + distributed.rank())  # each drops out neurons of its own
        x = to_input(self.dataset, batch.pixels, self.device)
        self.network.train()
        # bfloat16 has the range of float32, so that gradients need no scaling
        cuda = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=cuda):
            loss = self.loss(x, self.model(x), batch.labels.to(self.device))
        value = distributed.total(float(loss.detach())) / distributed.world()
        if not math.isfinite(value):
            raise CosignError(
                f"training diverged: the loss is {value} at step {self.step + 1} of stage "
                f"{self.stage}; lower --rate, or rho of this stage in the recipe."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        regime.after_backward(optimizer)
        optimizer.step()
        regime.after_step()
        self.step += 1
        self.losses.append(value)
        metrics: dict[str, Any] = {"loss": value}
        points_done = (step + 1) * phase.points // steps
        if points_done > step * phase.points // steps:
            metrics = self._point(phase, points_done, regime)
        report(self.stage, self.step, self.total, metrics)

    def _point(self, phase: Phase, points_done: int, regime: Regime) -> dict[str, Any]:
        """Close a history point; returns its record."""
        rho = phase.turn(phase.rhos, points_done) if phase.rhos else None
        residuals = regime.point(rho)
        accuracy = evaluate(self.network, self.dataset, self.dataset.val)
        loss = math.fsum(self.losses) / len(self.losses)
        self.history.append({"step": self.step, "loss": loss, "accuracy": accuracy, **residuals})
        self.losses = []
        return self.history[-1]

    def _learning_rate(self, phase: Phase, step: int) -> float:
        progress = step / self.recipe.steps(phase)
        cosine = (1 + math.cos(math.pi * progress)) / 2
        warm = min(1.0, (step + 1) / self.recipe.warmup) if self.recipe.warmup else 1.0
        return self.recipe.rate * phase.lr * warm * (_FINAL_LR + (1 - _FINAL_LR) * cosine)

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._clock

    def _save_checkpoint(self, regime: Regime, optimizer: torch.optim.Optimizer) -> None:
        """Rank 0 writes the checkpoint when due; saving takes a twentieth of the time at most."""
        if distributed.rank() != 0:
            return
        now = time.monotonic()
        if now - self._saved_at < max(self.recipe.checkpoint_s, 20 * self._saving):
            return
        content = {
            "step": self.step,
            "network": self.network.state_dict(),
            "bits": self.bits,
            "regime": regime.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": self.history,
            "losses": self.losses,
            "seconds": self._elapsed(),
        }
        stages.save(self.checkpoint, content, self.owner)
        self._saved_at = time.monotonic()
        self._saving = self._saved_at - now

    def _load_checkpoint(self) -> dict[str, Any] | None:
        """Restore the stage from its checkpoint, if there is one of this stage."""
        if not self.checkpoint.exists():
            return None
        state = stages.load(self.checkpoint, self.owner)
        self.network.load_state_dict(state["network"])
        self.step, self.seconds, self.bits = state["step"], state["seconds"], state["bits"]
        self.history, self.losses = state["history"], state["losses"]
        return state
