"""The loop, stage by stage, from weights to silicon numbers.

Each stage reads what the ones before it left in the run directory, does its work through one
room's door and returns a small JSON value; `flows.loop.assemble` puts the values together.
"""

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compress.data import classes
from compress.data.datasets import Dataset, is_folder
from compress.file import container
from compress.model.graph import CompressedModel, Geometry, Layer
from compress.model.nodes import NetworkSpec
from compress.model.pretrained import Pretrained
from compress.model.tidy import tidy
from compress.nn.network import Network
from compress.posttrain.rehearsal import rehearse
from compress.train import evaluation, export, results, stages
from compress.zoo.recipe import Recipe
from cosign import CosignError, write_json
from flows.loop import assemble, feedback, inputs, logs
from flows.loop.progress import Reporter
from flows.loop.rundir import RunConfig, RunDir
from flows.measure import breakeven
from flows.measure.machines import CoreReports, Machines, machines_for
from flows.report import html, plots
from flows.report.results import Results
from flows.report.rounds import Feedback
from rtl import verilog
from rtl.program.fit import batch_of, fit
from rtl.program.pack import pack_layer
from sim import build, golden, verify
from sim.run import simulators_dir
from sim.workload import random_layers
from synth import pdk
from synth.profile import HardwareProfile
from synth.report import CoreReport, synthesize_many

_BYTES_PER_WEIGHT = 64
"""Of checkpoints: weights, Z, U, optimiser state, twice while one replaces another."""


def preflight(
    config: RunConfig,
    path: Path,
    network: Pretrained | None,
    note: Callable[[str], None] | None = None,
) -> None:
    """Refuse in seconds what would fail after an hour: tools, library, preset, file, cores, disk,
    images.

    network : with the weights that it comes with, if it does
    note : receives what is to be said of an image folder
    """
    build.tools()
    pdk.find_pdk(config.liberty_files)
    if shutil.which("sta") is None:
        raise CosignError("OpenSTA (`sta`) is not installed; run `apt install opensta`.")
    if is_folder(config.data) and not Path(str(config.data)).is_dir():
        raise CosignError(f"--data {config.data} is no folder; give an ImageNet folder.")
    if network is not None or is_folder(config.data) or config.learns_classifier:
        inputs.dataset(config, network, note)  # as likely to be wrong as the rest of what is asked
    outputs = network.spec.classes if network is not None else 10
    recipe = inputs.recipe(config, network, outputs)
    widest = max(recipe.bits.values()) if recipe.bits else 8
    for core in (config.cores.sparse, config.cores.dense):  # which execute the network
        if core.weight_bits < widest:
            raise CosignError(
                f"the core {core.name} takes levels of {core.weight_bits} bits, the run may make "
                f"them of {widest}; raise its weight_bits or give --bits."
            )
    _rehearse(config, recipe.spec)
    weights = sum(geometry.weights for geometry in recipe.spec.geometries.values())
    needed = weights * _BYTES_PER_WEIGHT + (500 << 20)
    folders = (path.absolute(), *path.absolute().parents)
    place = next(folder for folder in folders if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise CosignError(
            f"the run needs about {needed / 1e9:.1f} GB in {place}, where {free / 1e9:.1f} GB are "
            "free; choose another --out."
        )


def _rehearse(config: RunConfig, spec: NetworkSpec) -> None:
    """Write the network with next to no weights, read it, and pack its layers for the cores."""
    names = inputs.accelerated(spec)
    layers = [layer for layer in rehearse(spec).layers if layer.name in names]
    cores = config.cores
    fitted = {core: fit(core, layers, config.images) for core in CoreReports.needed(cores)}
    for core in (cores.sparse, cores.dense):  # which execute the network
        for layer in layers:
            pack_layer(layer, fitted[core], batch_of(layer.geometry, config.images))


def restart(run: RunDir, first: str) -> None:
    """Forget stage `first` and all after it, with the files that they would find and reuse.

    first : a stage's name or the beginning of one. Raises CosignError when it is neither.
    """
    found = [name for name in STAGES if name == first] or [n for n in STAGES if n.startswith(first)]
    if len(found) != 1:
        raise CosignError(f"--from {first} is no stage; choose one of: {', '.join(STAGES)}.")
    names = list(STAGES)
    # The last one first: whenever this is interrupted, what is left is a run that can go on.
    for name in reversed(names[names.index(found[0]) :]):
        run.forget(name, _REUSED.get(name, f"checkpoints/{name}.*"))


def run(run: RunDir, reporter: Reporter, log: logs.Log, network: Pretrained | None) -> Results:
    """Go through all stages, skipping those that are done; returns the results.

    network : with the weights that it comes with, if it does
    """
    loop = Loop(run, reporter, log, network)
    found: dict[str, Any] = {}
    for name, stage in STAGES.items():
        found[name] = run.result(name)
        if found[name] is None:
            with reporter.stage(name):
                found[name] = run.run(name, functools.partial(stage, loop))
    notes = network.notes if network is not None else ()
    measured = assemble.build(
        run, loop.dataset, loop.model, loop.machines, loop.profile, found, notes
    )
    write_json(run.path / "results.json", measured.to_json())
    run.config.cores.write(run.path / assemble.CORES)
    if is_folder(run.config.data):
        classes.write(loop.dataset.classes, run.path / classes.FILE)
    html.write(measured, loop.model.layers, run.path / "report.html")
    plots.write_png(plots.break_even(measured), run.path / "break-even.png")
    return measured


class Loop:
    """One run's values, each made when a stage first asks for it."""

    def __init__(
        self, run: RunDir, reporter: Reporter, log: logs.Log, pretrained: Pretrained | None
    ) -> None:
        self.run = run
        self.config = run.config
        self.reporter = reporter
        self.log = log
        self.path = run.path
        self.pretrained = pretrained

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

    @functools.cached_property
    def profile(self) -> HardwareProfile:
        return HardwareProfile.read(self.path / "profile.json")

    @functools.cached_property
    def reports(self) -> CoreReports:
        found = self.found("synthesize")["reports"]
        return CoreReports.of(self.config.cores, map(CoreReport.from_json, found))

    def found(self, stage: str) -> Any:
        """What an earlier stage returned."""
        result = self.run.result(stage)
        assert result is not None  # stages run in order
        return result

    @functools.cached_property
    def model(self) -> CompressedModel:
        return container.load(self.path / "model.cosign")

    @functools.cached_property
    def accelerated(self) -> dict[str, Geometry]:
        """Layers that the machine executes: all of a small network, else the convolutions."""
        return inputs.accelerated(self.recipe.spec)

    @functools.cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The same layers, compressed."""
        return tuple(layer for layer in self.model.layers if layer.name in self.accelerated)

    @functools.cached_property
    def machines(self) -> Machines:
        return machines_for(self.config.cores, self.layers, self.config.images)

    @functools.cached_property
    def simulators(self) -> Path:
        """Compiled simulators outlive the run, where the cache can be written."""
        shared = simulators_dir()
        try:
            shared.mkdir(parents=True, exist_ok=True)
        except OSError:
            return self.path / "sim" / "simulators"
        return shared if os.access(shared, os.W_OK) else self.path / "sim" / "simulators"

    def trained(self, stage: str) -> results.StageResult:
        """Run, resume or load a training stage; from `allocate` on they know the profile."""
        recipe = self.recipe
        if stage in ("allocate", "quantize"):
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


def _train(stage: str, loop: Loop) -> dict[str, Any]:
    result = loop.trained(stage)
    return {
        "val_accuracy": result.accuracy,
        "history": result.history,
        "seconds": round(result.seconds, 1),
    }


def _export(loop: Loop) -> dict[str, Any]:
    model = tidy(export.export(loop.trained("quantize"), loop.dataset, loop.reporter.note))
    container.save(model, loop.path / "model.cosign")
    sizes = container.inspect(loop.path / "model.cosign")[1]
    return {name: dataclasses.asdict(size) for name, size in sizes.items()}


def _evaluate(loop: Loop) -> dict[str, Any]:
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


def _rtl(loop: Loop) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, config in loop.machines._asdict().items():
        paths = verilog.write(config, loop.path / "rtl" / name.replace("_", "-"))
        written[name] = [path.name for path in paths]
        loop.reporter.show("rtl", len(written), len(loop.machines))
    return written


def _simulate(loop: Loop) -> dict[str, Any]:
    """Every accelerated layer on the sparse and the strongest dense core, bit for bit."""
    pixels = loop.dataset.test.images(np.arange(loop.config.images))
    images = loop.model.input.quantize(pixels)
    names = [layer.name for layer in loop.layers]
    cores = {"sparse": loop.machines.sparse, "dense": loop.machines.dense}
    done: list[str] = []

    def show(layer: verify.LayerVerification) -> None:
        done.append(layer.name)
        loop.reporter.show("simulate", len(done), len(names) * len(cores))

    return {
        name: verify.verify(
            loop.model, images, config, loop.path / "sim", names, show, loop.simulators
        ).to_json()
        for name, config in cores.items()
    }


def _synthesize(loop: Loop) -> dict[str, Any]:
    """The cores with default memories; the macros of other depths are added afterwards."""
    wanted = CoreReports.needed(loop.config.cores)
    done: list[str] = []

    def show(_: object, what: str) -> None:
        if what == "done":
            done.append(what)
        loop.reporter.show("synthesize", len(done), len(wanted))

    reports = synthesize_many(wanted, loop.path / "synth", loop.config.liberty_files, progress=show)
    return {"reports": [report.to_json() for report in reports]}


def _breakeven(loop: Loop) -> dict[str, Any]:
    """profile.json, with memories for the densities that were asked for."""
    kept = loop.trained("retrain").kept
    layers = random_layers(loop.accelerated, kept, loop.config.seed)
    profile = breakeven.measure(
        loop.config.network,
        layers,
        loop.reports,
        loop.config.images,
        loop.config.seed,
        loop.reporter.show,
    )
    profile.write(loop.path / "profile.json")
    return {layer.name: layer.break_even for layer in profile.layers}


def _allocate(loop: Loop) -> Feedback:
    found = _train("allocate", loop)
    dense, start = (loop.found(stage)["val_accuracy"] for stage in ("dense", "retrain"))
    return feedback.record(
        loop.recipe.spec.geometries,
        loop.profile,
        loop.trained("retrain").kept,
        start,
        found["history"],
        dense,
        lambda keep: feedback.image_time(
            random_layers(loop.accelerated, keep, loop.config.seed),
            loop.reports,
            loop.config.images,
        ),
    )


def _speedup(loop: Loop) -> dict[str, Any]:
    return breakeven.speedups(loop.profile, loop.layers, loop.reports, loop.config.images)


STAGES: dict[str, Callable[[Loop], Any]] = {
    **{stage: functools.partial(_train, stage) for stage in ("dense", "prune", "retrain")},
    "synthesize": _synthesize,
    "breakeven": _breakeven,
    "allocate": _allocate,
    "quantize": functools.partial(_train, "quantize"),
    "export": _export,
    "evaluate": _evaluate,
    "rtl": _rtl,
    "simulate": _simulate,
    "speedup": _speedup,
}

_REUSED = {"simulate": "sim/*.json", "synthesize": "synth/*"}
"""What a stage would not make again where it lies; of a training stage, its checkpoints."""
