"""From a dense LeNet-5 to a thousand weights, step by step, each resumable.

1. `teacher`: the dense LeNet-5 (20-50-500-10), trained on moved images.
2. `samples`: copies of the training images with the teacher's answers.
3. The filters and neurons of the teacher with the largest weights, as a small dense network,
   learn from them.
4. Rounds: some weights go, the rest is trained at a falling rate. While there are many, those with
   the least w^2 x Fisher information go (its diagonal is Adam's second moment); then `surgeon`
   chooses. At each target, cycles: absent weights that the loss asks for grow, the same number
   goes again.
5. An anneal, then rounds in which more and more weights become levels and the others, with the
   biases, make up for it. The next target goes on from before the anneal.

Every step is a function of the one before, the schedule and (seed, number of the step), and is
kept: a run that was killed repeats the step it was in, to the same result.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.admm.projections import weighted_interval
from compress.data.datasets import Dataset, Split
from compress.posttrain.calibration import shortened
from compress.tiny import samples, stored, surgeon
from compress.tiny.network import CELLS, SparseNetwork
from compress.tiny.samples import Samples
from compress.tiny.schedule import Schedule
from compress.tiny.surgeon import Surgeon
from cosign import CosignError

Report = Callable[[str, dict[str, Any]], None]
SCALE_BITS = 7
"""Significant bits of the file's scales, those of levels and those of activations."""
_TEACHER_SEED = 0  # one teacher for all seeds
_TEACHING = ("teacher_epochs", "teacher_lr", "copies", "temperature")  # what it depends on
_WARMUP = 300
_FINAL_LR = 0.02


@dataclass(frozen=True)
class Sparse:
    """A target reached: every weight of the network is its layer's q times its level.

    Parameters
    ----------
    target : non-zeros asked for; the network may have fewer
    network : none of whose weights is free
    q : float64 by layer
    bits : n by layer
    """

    target: int
    network: SparseNetwork
    q: np.ndarray
    bits: tuple[int, ...]


class Run:
    """One seed's way through a schedule.

    `folder` has what all seeds of the schedule share, and a folder for each; `shared`, which
    schedules may share, the teacher and its samples.
    """

    def __init__(
        self,
        schedule: Schedule,
        dataset: Dataset,
        seed: int,
        folder: Path,
        shared: Path,
        report: Report,
    ) -> None:
        self.schedule, self.dataset, self.seed = schedule, dataset, seed
        self.shared, self.folder = Path(shared), Path(folder) / f"seed{seed}"
        self.report = report
        self.number = 0  # of the step
        torch.set_num_threads(1)  # sums depend on it in the last bits
        facts = {"schedule": dataclasses.asdict(schedule), "dataset": [dataset.name, dataset.sizes]}
        facts = json.loads(json.dumps(facts))
        taught = {name: facts["schedule"][name] for name in _TEACHING}
        stored.claim(self.shared / "teaching.json", {**facts, "schedule": taught})
        stored.claim(Path(folder) / "schedule.json", facts)

    def targets(self) -> Iterator[Sparse]:
        """All targets in turn."""
        schedule = self.schedule
        dense = self._teacher()
        self.samples = self._samples("train", dense, self.dataset.train, schedule.copies)
        self.check = self._samples("val", dense, self.dataset.val, 1)
        network = self._step("dense", partial(self._dense, dense))
        for target, bits in zip(schedule.targets, schedule.bits, strict=True):
            while network.nnz > target:
                network = self._step("prune", partial(self._prune, network.copy(), target))
            for _ in range(schedule.cycles):
                network = self._step("cycle", partial(self._cycle, network.copy(), target))
            ready = self._step("anneal", partial(self._anneal, network.copy()))
            yield self._levels(target, bits, ready)

    def _teacher(self) -> torch.nn.Sequential:
        schedule, path = self.schedule, self.shared / "teacher.pt"
        torch.manual_seed(_TEACHER_SEED)
        network = samples.teacher()
        optimizer = torch.optim.AdamW(
            network.parameters(), schedule.teacher_lr, weight_decay=1e-2, fused=True
        )
        rng = np.random.default_rng(_TEACHER_SEED)
        per_epoch = samples.steps_per_epoch(self.dataset)
        total = schedule.teacher_epochs * per_epoch
        step = np.arange(total)
        falling = (1 + np.cos(np.pi * step / total)) / 2
        warm = np.minimum(1, (step + 1) / _WARMUP)
        rates = schedule.teacher_lr * warm * (_FINAL_LR + (1 - _FINAL_LR) * falling)
        first = stored.load_training(path, network, optimizer, rng)
        for epoch in range(first, schedule.teacher_epochs):
            now = rates[epoch * per_epoch : (epoch + 1) * per_epoch]
            loss = samples.train_epoch(network, optimizer, self.dataset, rng, now)
            stored.save_training(path, epoch + 1, network, optimizer, rng)
            self.report("teacher", {"epoch": epoch + 1, "loss": loss})
        return network

    def _samples(self, name: str, dense: torch.nn.Sequential, split: Split, copies: int) -> Samples:
        path = self.shared / f"{name}.npz"
        if not path.exists():
            rng = np.random.default_rng([_TEACHER_SEED, copies])
            maps = [samples.SAMPLE_MOTION.draw(rng, len(split.labels)) for _ in range(1, copies)]
            answers = samples.answered(dense, self.dataset, split, maps, self.schedule.temperature)
            stored.write(path, **answers)
        return Samples(
            **stored.read(path),
            originals=len(split.labels),
            scale_shift=samples.scale_shift(self.dataset),
            share=self.schedule.share,
            temperature=self.schedule.temperature,
        )

    def _step(
        self, name: str, make: Callable[[np.random.Generator], tuple[SparseNetwork, float]]
    ) -> SparseNetwork:
        """The next step's network: as kept, or made now and kept."""
        self.number += 1
        path = self.folder / f"{self.number:03d}.npz"
        if path.exists():
            return stored.load(path)
        started = time.process_time()
        network, loss = make(np.random.default_rng([self.seed, self.number]))
        stored.save(path, network)
        self.report(
            name,
            {
                "step": self.number,
                "nonzeros": network.nnz,
                "by_layer": network.sizes[:4],
                "live": [len(filters) for filters in network.filters],
                "loss": loss,
                "accuracy": network.accuracy(self.check),
                "cpu_s": time.process_time() - started,
            },
        )
        return network

    def _dense(
        self, teacher: torch.nn.Sequential, rng: np.random.Generator
    ) -> tuple[SparseNetwork, float]:
        """The teacher's filters and neurons with the largest weights, in and out, trained on."""
        parts = [p.detach().numpy() for p in teacher.parameters()]
        weights, biases = parts[0::2], parts[1::2]
        outward = [weights[1].swapaxes(0, 1), weights[2].reshape(500, 50, CELLS).swapaxes(0, 1)]
        outward.append(weights[3].T)
        filters = []
        for inner, outer, width in zip(weights, outward, self.schedule.widths, strict=False):
            strength = [
                np.linalg.norm(side.reshape(len(side), -1), axis=1) for side in (inner, outer)
            ]
            filters.append(np.sort(np.argsort(-strength[0] * strength[1], kind="stable")[:width]))
        conv1, conv2, fc1 = filters
        pixels = (conv2[:, None] * CELLS + np.arange(CELLS)).reshape(-1)
        network = SparseNetwork.of_dense(
            [
                weights[0][conv1],
                weights[1][conv2][:, conv1],
                weights[2][fc1][:, pixels],
                weights[3][:, fc1],
            ],
            [biases[0][conv1], biases[1][conv2], biases[2][fc1], biases[3]],
            filters,
        )
        return network, self._train(network, self.schedule.dense_epochs, self.schedule.lr, rng)

    def _prune(
        self, network: SparseNetwork, target: int, rng: np.random.Generator
    ) -> tuple[SparseNetwork, float]:
        schedule = self.schedule
        surgery = network.nnz <= schedule.surgery
        density, epochs = schedule.fine if surgery else schedule.coarse
        lr = schedule.fine_lr if surgery else schedule.lr
        keep = max(target, int(network.nnz * density))
        if keep < 1.02 * target:
            keep = target
        if surgery:
            kept = Surgeon.prepare(network, self.samples, rng).prune(keep)
        else:
            cost = (network.theta**2 * network.moment2)[: network.nnz]
            kept = np.zeros(network.nnz, bool)
            kept[np.argsort(-cost, kind="stable")[:keep]] = True
        network = network.cut(kept)
        return network, self._train(network, epochs, lr, rng)

    def _cycle(
        self, network: SparseNetwork, target: int, rng: np.random.Generator
    ) -> tuple[SparseNetwork, float]:
        schedule = self.schedule
        more = round(target * (1 + schedule.growth)) - network.nnz
        network = surgeon.regrow(network, self.samples, rng, more)
        self._train(network, schedule.cycle_epochs[0], schedule.fine_lr, rng)
        network = network.cut(Surgeon.prepare(network, self.samples, rng).prune(target))
        return network, self._train(network, schedule.cycle_epochs[1], schedule.fine_lr, rng)

    def _anneal(
        self, network: SparseNetwork, rng: np.random.Generator
    ) -> tuple[SparseNetwork, float]:
        schedule = self.schedule
        loss = self._train(network, schedule.anneal_epochs, schedule.fine_lr, rng, 0.0)
        return network, loss

    def _levels(self, target: int, bits: tuple[int, ...], network: SparseNetwork) -> Sparse:
        """Round after round, all weights become levels."""
        schedule = self.schedule
        layer = network.layer_of
        importance = network.moment2[: network.nnz]
        weights = network.theta[: network.nnz]
        best = [
            weighted_interval(weights[layer == number], importance[layer == number], n)
            for number, n in enumerate(bits)
        ]
        q = np.array([shortened(interval, SCALE_BITS) for interval in best])
        each_q, each_bits = q[layer], np.array(bits)[layer]

        for share in schedule.levels:
            make = partial(self._round, network.copy(), share, each_q, each_bits)
            network = self._step("levels", make)
        return Sparse(target, network, q, bits)

    def _round(
        self,
        network: SparseNetwork,
        share: float,
        q: np.ndarray,
        bits: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[SparseNetwork, float]:
        """`share` of the weights are levels afterwards."""
        count = round(share * network.nnz) - int(network.settled.sum())
        Surgeon.prepare(network, self.samples, rng).round(count, q, bits)
        network.moment1[:] = 0
        return network, self._train(
            network, self.schedule.rounding_epochs, self.schedule.rounding_lr, rng, 0.0
        )

    def _train(
        self,
        network: SparseNetwork,
        epochs: float,
        lr: float,
        rng: np.random.Generator,
        last: float = 0.1,
    ) -> float:
        """At rates falling from `lr` to `last` of it; returns the last epoch's mean loss."""
        per_epoch = self.samples.originals // self.schedule.batch
        steps = max(1, round(epochs * per_epoch))
        falling = (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2
        rates = (lr * (last + (1 - last) * falling)).astype(np.float32)
        loss = math.nan
        for start in range(0, steps, per_epoch):
            now = rates[start : start + per_epoch]
            batches = self.samples.batches(rng, len(now), self.schedule.batch)
            loss = network.train(self.samples, batches, now)
        if not math.isfinite(loss):
            raise CosignError(f"training diverged: the loss is {loss}; lower the schedule's lr.")
        return loss
