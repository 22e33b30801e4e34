"""The loop without training: curves of loss, hardware's costs, and the best that a budget allows.

What Fig. 5 finds round by round is found at once here, since costs and expected losses of all
densities are known: layers below break-even stay dense, the others share what is left.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from compress.data.datasets import is_folder
from compress.data.pixels import normalised
from compress.exchange import state_dicts
from compress.file import container
from compress.model.graph import InputSpec
from compress.model.nodes import NetworkSpec
from compress.model.pattern import NO_PATTERNS, Patterns
from compress.model.pretrained import Pretrained
from compress.nn.network import pretrained_network
from compress.posttrain import curves
from compress.posttrain.expected import Curves
from compress.posttrain.integers import blank, input_spec
from compress.posttrain.samples import spread
from compress.zoo import patterns
from compress.zoo.density import kept_weights, uniform
from cosign import CosignError, atomic_write, values
from flows.loop import assemble, budgets, hardware, inputs
from flows.loop.candidates import Candidates
from flows.loop.images import Images, read
from flows.loop.rundir import RunConfig
from flows.measure import breakeven, integer, options
from flows.measure.options import LayerCycles
from flows.measure.plan import Plan, Planner
from flows.measure.quality import Judge
from flows.report import results
from flows.report.allocation import Allocation, Alternative
from flows.report.results import Results
from sim import golden
from sim.workload import random_layers

BITS = 8  # where nothing is said
_BATCH = 16
_FAITHFUL = 32  # images of the report that outputs are compared on
_AROUND = (0.4, 0.5, 0.6, 0.7, 0.85, 1.2, 1.5, 2.0, 2.8)
"""Times of the chosen network's, of the points around it."""
_MEASURED = {False: (0.5, 0.7, 1.5, 2.0), True: (0.7, 1.5)}
"""Those that are compressed and judged, by whether the network is large."""
_LARGE = 1e9  # MACs of an image


def preflight(
    config: RunConfig, network: Pretrained | None, note: Callable[[str], None] | None
) -> tuple[NetworkSpec, int]:
    """Refuse what does not fit; returns the network and the most bits that a level may have."""
    if network is None and config.weights is not None:
        raise CosignError(
            f"{config.weights} are convolutions alone, whose classifier is learnt; --method "
            "oneshot learns nothing: leave it out, or give all weights."
        )
    if network is None:
        raise CosignError(
            f"--method oneshot begins with trained weights; give those of {config.network} by "
            "--weights, or leave --method out to train it."
        )
    if config.alpha is not None:
        budgets.check(config)
    spec = network.spec
    patterns_of(config, spec)
    if not any(np.count_nonzero(weight) > 1 for weight in network.weights.values()):
        raise CosignError(f"{config.network} has no layer with weights that could be pruned.")
    images = read(config, network, note)
    if config.loss is not None and not images.labelled:
        raise CosignError(
            f"--loss is judged by accuracy, and {images.data.name} has no labels for this "
            "network; give one folder of images for each class, or another budget."
        )
    if not len(images.val.labels) or not len(images.test.labels):
        raise CosignError(
            f"{images.data.name} leaves no images to measure on beside the {images.data.train} "
            "that are calibrated on; give more."
        )
    inputs.check_images(config, network, images.data.name, len(images.test.labels))
    return spec, bits_of(config)


def bits_of(config: RunConfig) -> int:
    """Of every level."""
    return BITS if config.bits is None else int(config.bits)


def patterns_of(config: RunConfig, spec: NetworkSpec) -> Patterns:
    """Of the layers that are to have one. Raises CosignError as `patterns.asked` does."""
    return NO_PATTERNS if config.pattern is None else patterns.asked(spec, config.pattern)


class OneShot(hardware.Loop):
    """A run on calibration images alone."""

    @property
    def own(self) -> Pretrained:
        assert self.pretrained is not None  # the preflight has seen to it
        return self.pretrained

    @property
    def spec(self) -> NetworkSpec:
        return self.own.spec

    @functools.cached_property
    def images(self) -> Images:
        note = None if is_folder(self.config.data) else self.reporter.note
        return read(self.config, self.own, note)

    @property
    def names(self) -> tuple[str, ...]:
        return self.images.names if is_folder(self.config.data) else ()

    @functools.cached_property
    def source(self) -> InputSpec:
        pixels = self.own.pixels
        if self.config.mean is not None and self.config.std is not None:
            pixels = tuple(self.config.mean), tuple(self.config.std)
        pixels = pixels or self.images.pixels or state_dicts.pixels_of(self.spec)
        return input_spec(self.spec.shape, *pixels, self.config.act_bits)

    def pixels(self, count: int) -> np.ndarray:
        split = self.images.test
        return split.images(np.resize(np.arange(len(split.labels)), count))

    @functools.cached_property
    def curves(self) -> Curves:
        return values.parse(self.found("curves"), Curves, "the stage curves", "repeat it by --from")

    def planner(self, scales: dict[str, float] | None = None) -> Planner:
        cycles = values.parse(
            self.found("breakeven")["cycles"],
            dict[str, LayerCycles],
            "the stage breakeven",
            "repeat it by --from",
        )
        return Planner(
            self.curves,
            self.spec.geometries,
            cycles,
            self.found("breakeven")["break_even"],
            self.reports,
            self.config.batch,
            self.config.seed,
            scales or {},
        )

    @functools.cached_property
    def patterns(self) -> Patterns:
        return patterns_of(self.config, self.spec)

    @functools.cached_property
    def patterned(self) -> dict[str, int]:
        """Weights by layer that the patterns leave; of other layers all that are not zero."""
        whole = {name: curve.nonzeros for name, curve in self.curves.layers.items()}
        counts = kept_weights(self.spec, uniform(self.spec, 1), self.patterns)
        return {name: min(count, whole[name]) for name, count in counts.items()}

    @functools.cached_property
    def candidates(self) -> Candidates:
        return Candidates(
            self.path / "checkpoints",
            self.own,
            self.source,
            self.images,
            bits_of(self.config),
            self.config.finetune,
            self.config.seed,
            self.reporter.note,
            self.patterns,
        )

    @functools.cached_property
    def beside(self) -> int:
        """Bytes of the file that are not of layers, about."""
        return len(container.to_bytes(blank(self.spec, self.config.act_bits)))

    def results(self, found: dict[str, Any]) -> Results:
        return assemble.oneshot(
            self.run,
            self.images.data,
            self.model,
            self.machines,
            self.profile,
            found,
            self.own.notes,
        )


def _curves(loop: OneShot) -> Curves:
    pixels = loop.images.calibration[spread(len(loop.images.calibration), curves.IMAGES)]
    held = np.arange(len(pixels)) % curves.HELD == 0

    def batches(some: np.ndarray) -> list[torch.Tensor]:
        return [
            normalised(loop.source, some[start : start + _BATCH])
            for start in range(0, len(some), _BATCH)
        ]

    return curves.measure(
        pretrained_network(loop.own),
        dict.fromkeys(loop.spec.geometries, bits_of(loop.config)),
        batches(pixels[~held]),
        batches(pixels[held]),
        lambda done, of: loop.reporter.show("curves", done, of),
    )


def _breakeven(loop: OneShot) -> dict[str, Any]:
    """profile.json, with memories for layers that are all pruned as the whole is to be; and what
    every layer costs at the densities that are offered."""
    density = budgets.density(loop.config, loop.curves, loop.beside)
    kept = {
        name: loop.patterned[name] if loop.patterns else max(1, round(density * geometry.weights))
        for name, geometry in loop.spec.geometries.items()
    }
    profile = breakeven.measure(
        loop.spec.name,
        random_layers(loop.spec.geometries, kept, loop.config.seed),
        loop.reports,
        loop.config.batch,
        loop.config.seed,
        lambda stage, done, of: loop.reporter.show(stage, done, 2 * of),
    )
    profile.write(loop.path / "profile.json")
    cycles = options.measure(
        loop.spec.geometries,
        loop.reports,
        loop.config.batch,
        loop.config.seed,
        lambda done, of: loop.reporter.show("breakeven", of + done, 2 * of),
    )
    ratios = {layer.name: layer.break_even for layer in profile.layers}
    return {"break_even": ratios, "cycles": cycles}


def _allocate(loop: OneShot) -> budgets.Chosen:
    if loop.patterns:
        why = (
            f"{patterns.told(loop.spec, loop.patterns)}.",
            "What is expected of it is that of as many weights at any place, as its time is; other "
            "networks here obey no pattern.",
        )
        return budgets.Chosen(plan=loop.planner().of(loop.patterned), why=why)
    return budgets.choose(
        loop.config,
        loop.planner(),
        loop.beside,
        loop.candidates,
        lambda done, of: loop.reporter.show("allocate", done, of),
    )


def _compress(loop: OneShot) -> budgets.Chosen:
    """The network that was chosen; where its file is too large, or much too small, another."""
    chosen = values.parse(
        loop.found("allocate"), budgets.Chosen, "the stage allocate", "repeat it by --from"
    )
    if loop.config.size is not None:
        loop.candidates.model(chosen.plan.keep)
        chosen = budgets.settle(
            loop.config.size, chosen, loop.planner, loop.beside, loop.candidates
        )
    loop.candidates.model(chosen.plan.keep, final=True)
    return chosen


def _kept(loop: OneShot) -> budgets.Chosen:
    return values.parse(
        loop.found("compress"), budgets.Chosen, "the stage compress", "repeat it by --from"
    )


def _export(loop: OneShot) -> dict[str, Any]:
    file = loop.path / "model.cosign"
    keep = _kept(loop).plan.keep
    loop.candidates.model(keep, final=True)
    with atomic_write(file) as copy:
        copy.write(loop.candidates.file(keep, final=True).read_bytes())
    return {name: dataclasses.asdict(size) for name, size in container.inspect(file)[1].items()}


def _tradeoff(loop: OneShot) -> Allocation:
    """What there is around the chosen network; some of it compressed and judged."""
    chosen, planner, candidates = _kept(loop), loop.planner(), loop.candidates
    plan = chosen.plan
    large = sum(geometry.macs for geometry in loop.spec.geometries.values()) > _LARGE
    judged = [plan]
    others = [trial.plan for trial in chosen.trials]
    for factor in _AROUND:
        for other in planner.around(plan, [factor]):
            others.append(other)
            if factor in _MEASURED[large]:
                judged.append(other)
    for number, one in enumerate(judged):
        candidates.quality(one.keep, final=one is plan)
        loop.reporter.show("tradeoff", number + 1, len(judged))
    unique = {candidates.file(other.keep): other for other in others if other.keep != plan.keep}
    points = [_point(loop, other, final=False) for other in unique.values()]
    return Allocation(
        budget=budgets.words(loop.config),
        ratios={
            name: curve.weights / max(1, plan.keep[name])
            for name, curve in loop.curves.layers.items()
        },
        losses=planner.losses(plan.keep),
        break_even=dict(planner.break_even),
        images=candidates.judge.images,
        dense_accuracy=candidates.judge.dense_accuracy,
        dense_time_s=planner.dense_s,
        chosen=_point(loop, plan, final=True),
        points=tuple(sorted(points, key=lambda p: (p.time_s or 0.0, -p.pruning_ratio))),
        why=(*budgets.why(plan, planner), *chosen.why, *_learned(loop)),
    )


def _learned(loop: OneShot) -> list[str]:
    """What finetuning changed of what was asked for and chosen by."""
    if loop.config.finetune is None:
        return []
    words = ["The chosen network alone was finetuned; the others here were not."]
    size, found = loop.config.size, (loop.path / "model.cosign").stat().st_size
    if size is not None and found > size:
        words.append(f"Finetuning made its file {found - size:,} bytes larger than --size.")
    return words


def _point(loop: OneShot, plan: Plan, final: bool) -> Alternative:
    quality = loop.candidates.known(plan.keep, final)
    file = loop.candidates.file(plan.keep, final)
    estimated = loop.beside + plan.bytes
    return Alternative(
        pruning_ratio=sum(curve.weights for curve in loop.curves.layers.values())
        / sum(plan.keep.values()),
        time_s=plan.time_s,
        file_bytes=file.stat().st_size if file.exists() else round(estimated),
        expected_loss=plan.loss,
        measured=quality is not None,
        accuracy=quality.accuracy if quality else None,
        error=quality.error if quality else None,
    )


def _evaluate(loop: OneShot) -> dict[str, Any]:
    """The one look at the images that nothing was chosen by."""
    images, split = loop.images, loop.images.test
    network = pretrained_network(loop.own)
    few = spread(len(split.labels), _FAITHFUL)
    errors = Judge(network, loop.source, split.images(few), None).of(loop.model).errors
    names = loop.own.outputs or loop.spec.outputs
    faithful = results.Fidelity(
        images=len(few),
        outputs=tuple(
            results.OutputError(name=name, relative_rms_error=error)
            for name, error in zip(names, errors, strict=True)
        ),
    )
    if not images.labelled:
        return {"accuracy": None, "fidelity": faithful}
    total = len(split.labels)
    dense = 0
    for start in range(0, total, _BATCH):
        some = np.arange(start, min(start + _BATCH, total))
        with torch.no_grad():
            answers = network(normalised(loop.source, split.images(some))).argmax(1).numpy()
        dense += int((answers == split.labels[some]).sum())
        loop.reporter.show("evaluate", start + len(some), 2 * total)
    right = golden.correct(
        loop.model,
        split.images,
        split.labels,
        lambda done: loop.reporter.show("evaluate", total + done, 2 * total),
        integer.accumulate,
    )
    return {"accuracy": {"dense": dense / total, "integer": right / total}, "fidelity": faithful}


STAGES: dict[str, Callable[[OneShot], Any]] = {
    "curves": _curves,
    "synthesize": hardware.synthesize,
    "breakeven": _breakeven,
    "allocate": _allocate,
    "compress": _compress,
    "export": _export,
    "tradeoff": _tradeoff,
    "evaluate": _evaluate,
    "rtl": hardware.rtl,
    "simulate": hardware.simulate,
    "speedup": hardware.speedup,
}
