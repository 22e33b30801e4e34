"""From which pruning ratio sparse cores beat both dense ones, layer by layer (Fig. 4)."""

import argparse
import dataclasses
import itertools
from pathlib import Path

from compress.file.container import load
from compress.model.graph import Geometry
from compress.zoo.networks import spec_of
from cosign import CosignError
from cosign.names import file_name
from cosign.options import add_json, add_liberty, count, output, positive, pruning_ratio, publish
from flows.measure.workload import RandomMasks
from flows.report import paper
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.options import add_cores, cores_of
from rtl.program.fit import batch_of, fit
from synth.breakeven import ACCOUNTINGS, PORTIONS, Curve, Workload, measure
from synth.report import CoreReport, synthesize_many
from synth.sram import MODELS

KINDS = ("sparse", "sparse-rows")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", default="alexnet", help="a built-in network (alexnet)")
    parser.add_argument("--model", type=Path, help="a model.cosign instead, for its shapes")
    parser.add_argument(
        "--layers", default="conv4", help="names with commas between, or conv: all convolutions"
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=KINDS,
        help="what is sized to the dense core's area (both)",
    )
    add_cores(parser)
    parser.add_argument(
        "--bits",
        type=int,
        help="weight bits of the sparse cores (those of --cores, 8); the dense ones keep theirs",
    )
    parser.add_argument(
        "--ratios",
        type=pruning_ratio,
        nargs="+",
        default=[],
        metavar="R",
        help="pruning ratios of which the speedup is printed as well",
    )
    parser.add_argument(
        "--batch", type=positive(int), default=1, help="images of a linear layer (1)"
    )
    parser.add_argument("--seed", type=count, default=0, help="of the random masks (0)")
    add_liberty(parser)
    parser.add_argument("--out", type=Path, help="folder for the curve's picture and the netlists")
    add_json(parser, "the curves")


def run(options: argparse.Namespace) -> int:
    """Measure and print; raises CosignError."""
    network, geometries = _geometries(options)
    for ratio in options.ratios:
        if not 1 <= ratio < 1000:
            raise CosignError(f"--ratios: {ratio:g} is no pruning ratio; give 1 to 1000.")
    portions = [*PORTIONS, *(1 - 1 / ratio for ratio in options.ratios)]
    cores = cores_of(options)
    dense, sized = (cores.dense, cores.dense_scalar), _sized(cores, options)
    wanted = [*dense, *itertools.chain.from_iterable(sized.values())]
    reports = synthesize_many(wanted, options.out and options.out / "synth", options.liberty)
    report_of = dict(zip(wanted, reports, strict=True))
    curves: list[Curve] = []
    for (name, geometry), several in itertools.product(geometries.items(), sized.values()):
        masks = RandomMasks(geometry, batch_of(geometry, options.batch), options.seed)
        work = Workload(network, name, masks.cycles, masks.stored)
        against, rivals = (
            [_fitted(report_of[core], masks) for core in group] for group in (dense, several)
        )
        for rival, sram_model, weights in itertools.product(against, MODELS, ACCOUNTINGS):
            curves.append(measure(work, rival, rivals, sram_model, weights, portions))
            print(_line(curves[-1], options.ratios), file=output(options.json), flush=True)
    content = {
        "schema": 1,
        "network": network,
        "seed": options.seed,
        "cores": [report.to_json() for report in reports],
        "curves": curves,
        "provenance": reports[0].provenance,
    }
    text = f"the paper: {paper.BREAK_EVEN_RATIO}x on CONV4, weights on chip, SMIC 40 nm"
    publish(content, options.json, text)
    if options.out is not None:
        _draw(curves, cores.dense.name, options.out)
    return 0


def _geometries(options: argparse.Namespace) -> tuple[str, dict[str, Geometry]]:
    if options.model is not None:
        model = load(options.model)
        network, known = model.name, {layer.name: layer.geometry for layer in model.layers}
    else:
        network, known = options.network, spec_of(options.network).geometries
    if options.layers == "conv":
        return network, {name: g for name, g in known.items() if g.kind == "conv"}
    chosen = options.layers.split(",")
    for name in chosen:
        if name not in known:
            raise CosignError(f"{network} has no layer {name!r}; it has {', '.join(known)}.")
    return network, {name: known[name] for name in chosen}


def _sized(cores: CoreSet, options: argparse.Namespace) -> dict[str, list[CoreConfig]]:
    """The cores that are sized to a dense core's area, by the kinds that are asked for.

    Raises CosignError when there are none of a kind.
    """
    known = {"sparse": cores.sized, "sparse-rows": cores.rows}
    bits = {} if options.bits is None else {"weight_bits": options.bits}
    found = {
        kind: [dataclasses.replace(core, **bits) for core in known[kind]] for kind in options.kinds
    }
    for kind, several in found.items():
        if not several:
            raise CosignError(f"{options.cores} has no {kind} core; leave {kind} out of --kinds.")
    return found


def _fitted(report: CoreReport, masks: RandomMasks) -> CoreReport:
    """The report with memories for this layer alone; the weights' are sized at every portion."""
    return report.with_memories(fit(report.config, [masks.layer(0.0)], masks.batch))


def _line(curve: Curve, ratios: list[float]) -> str:
    ratio = curve.break_even_ratio
    crossing = "never" if ratio is None else f"{ratio:.2f}x"
    if curve.bracket_ratio is not None:
        crossing += f" ({curve.bracket_ratio[0]:.2f}..{curve.bracket_ratio[1]:.2f})"
    speedups = {point.portion: point.speedup for point in curve.points}
    faster = "".join(f", {r:g}x pruned {speedups[1 - 1 / r]:.2f}x faster" for r in ratios)
    return (
        f"{curve.layer} {curve.core} against {curve.against}, SRAM {curve.sram_model}, weights "
        f"{curve.weights}: {crossing}{faster}; {curve.note}"
    )


def _draw(curves: list[Curve], against: str, out: Path) -> None:
    """The curves against the core of that name, by layer and all layers in one."""
    from flows.report import plots

    strongest = [curve for curve in curves if curve.against == against]
    by_layer: dict[str, list[Curve]] = {}
    for curve in strongest:
        by_layer.setdefault(curve.layer, []).append(curve)
    for layer, found in by_layer.items():
        plots.write_png(plots.fig4(found, layer), out / f"{file_name(layer)}.png")
    if len(by_layer) > 1:
        first = strongest[0].core, strongest[0].sram_model
        alike = [curve for curve in strongest if (curve.core, curve.sram_model) == first]
        plots.write_png(plots.fig4_by_layer(alike), out / "layers.png")
