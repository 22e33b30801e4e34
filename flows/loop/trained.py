"""The loop that trains: ADMM prunes, hardware tells from where it pays, ADMM quantises."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.datasets import Dataset, is_folder
from compress.file import container
from compress.model.nodes import NetworkSpec
from compress.model.pretrained import Pretrained
from compress.model.tidy import tidy
from compress.nn.network import Network
from compress.train import evaluation, export, stages
from compress.train.results import StageResult
from compress.zoo import patterns
from compress.zoo.recipe import Recipe
from cosign import CosignError
from flows.loop import assemble, feedback, hardware, inputs, logs
from flows.loop.rundir import RunConfig
from flows.measure import breakeven
from flows.report.results import Results
from flows.report.rounds import Feedback
from sim import golden
from sim.workload import random_layers

_CLASSES = 10  # until the data tell how many


def preflight(
    config: RunConfig, network: Pretrained | None, note: Callable[[str], None] | None
) -> tuple[NetworkSpec, int]:
    """Refuse what does not fit; returns the network and the most bits that a level may have."""
    if is_folder(config.data) and not Path(str(config.data)).is_dir():
        raise CosignError(f"--data {config.data} is no folder; give an ImageNet folder.")
    inputs.recipe(config, network, _CLASSES)  # in no time, and data may take a minute
    dataset = inputs.dataset(config, network, note)
    inputs.check_images(config, network, dataset.name, len(dataset.test.labels))
    recipe = inputs.recipe(config, network, len(dataset.classes))
    if recipe.patterns and note is not None:
        note(patterns.told(recipe.spec, recipe.patterns))
    return recipe.spec, max(recipe.bits.values()) if recipe.bits else 8


class Trained(hardware.Loop):
    """A run that trains."""

    @property
    def spec(self) -> NetworkSpec:
        return self.recipe.spec

    def pixels(self, count: int) -> np.ndarray:
        split = self.dataset.test
        return split.images(np.resize(np.arange(len(split.labels)), count))

    @functools.cached_property
    def dataset(self) -> Dataset:
        # What is to be said of a folder the preflight has said.
        note = None if is_folder(self.config.data) else self.reporter.note
        return inputs.dataset(self.config, self.pretrained, note)

    @functools.cached_property
    def recipe(self) -> Recipe:
        return inputs.recipe(self.config, self.pretrained, len(self.dataset.classes))

    @functools.cached_property
    def start(self) -> Network | None:
        """What the dense stage begins with, if the network comes with weights."""
        if self.pretrained is None:
            return inputs.begun(self.config, self.recipe, self.dataset)
        return inputs.start(self.pretrained, self.dataset, self.reporter.note)

    def trained(self, stage: str) -> StageResult:
        """Run, resume or load a training stage; from `allocate` on they know the profile.

        Where a pattern says what stays, they need not.
        """
        recipe = self.recipe
        if stage in ("allocate", "quantize") and not recipe.patterns:
            ratios = {layer.name: layer.break_even for layer in self.profile.layers}
            recipe = dataclasses.replace(recipe, break_even=ratios)
        return stages.run_stage(
            stage,
            recipe,
            self.dataset,
            self.path / "checkpoints",
            self.config.seed,
            self._trained_a_step,
            self.start,
        )

    def _trained_a_step(self, stage: str, step: int, steps: int, metrics: dict[str, Any]) -> None:
        self.reporter.show(stage, step, steps, metrics)
        if "accuracy" in metrics:  # a history point
            self.log.write(stage, step, logs.scalars(metrics))

    def results(self, found: dict[str, Any]) -> Results:
        notes = self.pretrained.notes if self.pretrained is not None else ()
        return assemble.trained(
            self.run, self.dataset, self.model, self.machines, self.profile, found, notes
        )

    @property
    def names(self) -> tuple[str, ...]:
        return self.dataset.classes if is_folder(self.config.data) else ()


def _train(stage: str, loop: Trained) -> dict[str, Any]:
    result = loop.trained(stage)
    return {
        "val_accuracy": result.accuracy,
        "history": result.history,
        "seconds": round(result.seconds, 1),
    }


def _export(loop: Trained) -> dict[str, Any]:
    model = export.export(
        loop.trained("quantize"), loop.dataset, loop.reporter.note, loop.config.act_bits
    )
    model = tidy(model, in_order=bool(loop.recipe.patterns))
    container.save(model, loop.path / "model.cosign")
    sizes = container.inspect(loop.path / "model.cosign")[1]
    return {name: dataclasses.asdict(size) for name, size in sizes.items()}


def _evaluate(loop: Trained) -> dict[str, Any]:
    """The one look at the test split."""
    split = loop.dataset.test
    images = len(split.labels)
    float_accuracy = {}
    for name, stage in (("dense", "dense"), ("pruned", "allocate")):
        float_accuracy[name] = evaluation.evaluate(loop.trained(stage).network, loop.dataset, split)
        loop.reporter.show("evaluate", len(float_accuracy) * images, 3 * images)
    right = golden.correct(
        loop.model,
        split.images,
        split.labels,
        lambda done: loop.reporter.show("evaluate", 2 * images + done, 3 * images),
    )
    return {**float_accuracy, "integer": right / images}


def _breakeven(loop: Trained) -> dict[str, Any]:
    """profile.json, with memories for the densities that were asked for."""
    kept = loop.trained("retrain").kept
    layers = random_layers(loop.spec.geometries, kept, loop.config.seed)
    profile = breakeven.measure(
        loop.config.network,
        layers,
        loop.reports,
        loop.config.batch,
        loop.config.seed,
        loop.reporter.show,
    )
    profile.write(loop.path / "profile.json")
    return {layer.name: layer.break_even for layer in profile.layers}


def _allocate(loop: Trained) -> Feedback | None:
    """None where a pattern leaves nothing to allocate."""
    found = _train("allocate", loop)
    if loop.recipe.patterns:
        return None
    dense, start = (loop.found(stage)["val_accuracy"] for stage in ("dense", "retrain"))
    return feedback.record(
        loop.recipe.spec.geometries,
        loop.profile,
        loop.trained("retrain").kept,
        start,
        found["history"],
        dense,
        lambda keep: breakeven.image_time(
            random_layers(loop.spec.geometries, keep, loop.config.seed),
            loop.reports,
            loop.config.batch,
        ),
    )


STAGES: dict[str, Callable[[Trained], Any]] = {
    **{stage: functools.partial(_train, stage) for stage in ("dense", "prune", "retrain")},
    "synthesize": hardware.synthesize,
    "breakeven": _breakeven,
    "allocate": _allocate,
    "quantize": functools.partial(_train, "quantize"),
    "export": _export,
    "evaluate": _evaluate,
    "rtl": hardware.rtl,
    "simulate": hardware.simulate,
    "speedup": hardware.speedup,
}
