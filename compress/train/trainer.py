"""Trains a network through the phases of one stage, from wherever its checkpoint is.

Everything random (order of the images, crops, dropout) is a function of (seed, stage, step).
So the step number is the state of the random generators, and a run that was killed and
resumed from its last checkpoint ends in the same weights as an uninterrupted one.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.admm.constraints import quantize_projection, staged
from compress.data.batches import Batch, Batches, in_order
from compress.data.datasets import Dataset
from compress.data.pixels import to_input
from compress.model.levels import Levels
from compress.nn.checkpoint import Checkpoint
from compress.nn.network import Network, channels_last, fold, scale_to_data
from compress.train import bitwidths, constrain, distributed, pruners
from compress.train.distill import Loss
from compress.train.evaluation import evaluate
from compress.train.phases import Part, parts
from compress.train.recipes import keep_of
from compress.train.regimes import AdmmRegime, FineTuneRegime, Regime, SettleRegime
from compress.train.results import StageResult
from compress.zoo.recipe import Phase, Recipe
from cosign import CosignError

Report = Callable[[str, int, int, dict[str, Any]], None]
"""(stage, step, steps, metrics), as `stages.run_stage` says."""
_FINAL_LR = 0.02
_INITIAL_IMAGES = 48


class Trainer:
    """One stage, or one trial of it, at work.

    Parameters
    ----------
    stage : its name
    random : key of all random numbers; the seed comes first
    network : what to go on from, changed in place; None for a new one
    masks : bool tensors by layer, the weights that stay; empty for all
    loss : what is minimised
    """

    def __init__(
        self,
        stage: str,
        recipe: Recipe,
        dataset: Dataset,
        random: tuple[int, ...],
        network: Network | None,
        masks: dict[str, Tensor],
        loss: Loss,
        checkpoint: Checkpoint,
    ) -> None:
        self.stage, self.recipe, self.dataset, self.loss = stage, recipe, dataset, loss
        self.checkpoint = checkpoint
        self.device = distributed.device()
        share = distributed.rank(), distributed.world()
        self.batches = Batches(dataset.train, recipe.batch, random, share)
        self.masks = {name: mask.to(self.device) for name, mask in masks.items()}
        self.network = _new(recipe, dataset, random[0]) if network is None else network
        self.keep: dict[str, int] = {}  # weights that stay, in the prune stage
        if stage == "prune":
            dense = {n: w.detach().numpy() for n, w in self.network.weights.items()}
            self.keep = keep_of(recipe, dense)
        self.bits = recipe.bits or {}  # of levels; else chosen before they are
        channels_last(self.network.to(self.device))
        self.parts = parts(stage, recipe)
        self.total = sum(recipe.steps(part.phase) for part in self.parts)
        self.step = 0  # of the stage
        self.history: list[dict[str, Any]] = []
        self.losses: list[float] = []  # since the last history point
        self.seconds = 0.0

    def run(self, report: Report) -> StageResult:
        """Go through the phases; `report` is called after every step."""
        resumed = self._resume()
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
        for part in self.parts:
            last = first + self.recipe.steps(part.phase)
            if self.step < last:  # else it was over before the checkpoint
                regime = self._regime(part, resumed, report)
                optimizer = self._optimizer(part, regime, resumed)
                resumed = None
                left = range(self.step, last)
                for batch in in_order(self.batches, left, self.dataset.workers):
                    step = self.step - first
                    self._train_step(batch, part.phase, step, regime, optimizer, report)
                    if self.step < last:
                        self._save(regime, optimizer)
                if part.work == "prune" and not self.masks:
                    self.masks = constrain.prune(
                        self.network,
                        self.keep,
                        constrain.calibration(self.recipe, self.dataset),
                        lambda done, of: report("prune, cut", done, of, {}),
                        self.recipe.patterns,
                    )
                levels = regime.levels if isinstance(regime, SettleRegime) else {}
            first = last
        seconds = self._elapsed()
        network = fold(self.network) if self.network.norms else self.network
        accuracy = evaluate(network.to(self.device), self.dataset, self.dataset.val)
        network = network.cpu().eval()
        masks = {name: mask.cpu() for name, mask in self.masks.items()}
        return StageResult(self.stage, network, accuracy, self.history, masks, levels, seconds)

    def _regime(self, part: Part, state: dict[str, Any] | None, report: Report) -> Regime:
        """That of a phase, as new or as the checkpoint has it."""
        regime = self._settling(state, report) if part.work == "settle" else self._new_regime(part)
        if state is not None:
            regime.load_state_dict(state["regime"])
        return regime

    def _settling(self, state: dict[str, Any] | None, report: Report) -> SettleRegime:
        if state is None:
            levels = constrain.quantize(
                self.network,
                self.masks,
                self.bits,
                constrain.calibration(self.recipe, self.dataset),
                lambda done, of: report("quantize, levels", done, of, {}),
            )
        else:
            levels = SettleRegime.levels_of(state["regime"])
        return SettleRegime(self.network, self.masks, levels)

    def _new_regime(self, part: Part) -> Regime:
        network, recipe, phase = self.network, self.recipe, part.phase
        if part.work == "train":
            if self.stage == "dense" and recipe.fine_tune != 1:
                return FineTuneRegime(network, self.masks, recipe.fine_tune)
            return Regime(network, self.masks)
        if part.work == "quantize":
            targets = [quantize_projection(self.bits, self.masks)]
        elif recipe.pruner == "admm":
            weights = {name: weight.numel() for name, weight in network.weights.items()}
            targets = staged(weights, self.keep, recipe.targets, recipe.patterns)
        else:
            return pruners.regime(
                recipe.pruner, network, self.masks, self.keep, phase.points, phase.rhos[0]
            )
        projections = [phase.turn(targets, done) for done in range(phase.points + 1)]
        return AdmmRegime(network, self.masks, projections, phase.rhos[0])

    def _optimizer(
        self, part: Part, regime: Regime, state: dict[str, Any] | None
    ) -> torch.optim.Optimizer:
        """That of a phase, as new or as the checkpoint has it."""
        recipe = self.recipe
        rate = recipe.rate * part.phase.lr
        decay = recipe.weight_decay if self.stage == "dense" else 0.0
        parameters = regime.parameters()
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adam" or part.work == "settle":
            optimizer = torch.optim.Adam(
                parameters, rate, (0.9, recipe.beta2), weight_decay=decay, fused=True
            )
        else:
            optimizer = torch.optim.SGD(
                parameters, rate, momentum=0.9, weight_decay=decay, fused=True
            )
        if state is not None:
            try:
                optimizer.load_state_dict(state["optimizer"])
            except ValueError:
                raise CosignError(
                    f"{self.checkpoint.path} was made by an earlier version of this program; "
                    f"delete it, and stage {self.stage} begins anew."
                ) from None
        return optimizer

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
            group["lr"] = self._learning_rate(phase, step) * group.get("factor", 1.0)
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

    def _save(self, regime: Regime, optimizer: torch.optim.Optimizer) -> None:
        """The checkpoint, when it is due."""
        if distributed.rank() != 0:
            return
        self.checkpoint.save(
            lambda: {
                "step": self.step,
                "network": self.network.state_dict(),
                "bits": self.bits,
                "regime": regime.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": self.history,
                "losses": self.losses,
                "seconds": self._elapsed(),
            }
        )

    def _resume(self) -> dict[str, Any] | None:
        """Go back to the checkpoint, if there is one; regime and optimiser are left in it."""
        state = self.checkpoint.load()
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.step, self.seconds, self.bits = state["step"], state["seconds"], state["bits"]
            self.history, self.losses = state["history"], state["losses"]
        return state


def _new(recipe: Recipe, dataset: Dataset, seed: int) -> Network:
    """The network to train from nothing."""
    torch.manual_seed(seed)
    network = Network(recipe.architecture)
    if not network.norms:
        some = np.arange(min(_INITIAL_IMAGES, len(dataset.train.labels)))
        scale_to_data(network, to_input(dataset, dataset.train.images(some)))
    return network
