"""From which pruning ratio sparse cores beat both dense ones, layer by layer (Fig. 4)."""

import argparse
import itertools
from pathlib import Path
from typing import Any

from compress.file.container import Geometry, load
from compress.zoo.networks import spec_of
from cosign import CosignError
from cosign.options import add_json, count, output, positive, pruning_ratio, publish
from flows.measure import breakeven, machines
from flows.measure.workload import RandomMasks
from flows.report import paper
from rtl.config import CoreConfig
from rtl.fit import batch_of, feed, fit
from synth.breakeven import ACCOUNTINGS, PORTIONS, Curve, Workload, measure
from synth.report import CoreReport, synthesize_many
from synth.sram import MODELS

ROWS = (6, 8, 12)
"""Filters of the `sparse-rows` cores, each on eight pixels like dense-2d."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", default="alexnet", help="a built-in network (alexnet)")
    parser.add_argument("--model", type=Path, help="a model.cosign instead, for its shapes")
    parser.add_argument(
        "--layers", default="conv4", help="names with commas between, or conv: all convolutions"
    )
    parser.add_argument(
        "--cores",
        nargs="+",
        choices=("sparse", "sparse-rows"),
        default=["sparse", "sparse-rows"],
        help="what is sized to the dense core's area (both)",
    )
    parser.add_argument(
        "--bits",
        type=int,
        default=8,
        help="weight bits of the sparse core (8); the dense ones have 8",
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
    parser.add_argument("--liberty", type=Path, help="cell library instead of NanGate 45")
    parser.add_argument("--out", type=Path, help="folder for the curve's picture and the netlists")
    add_json(parser, "the curves")


def run(options: argparse.Namespace) -> int:
    """Measure and print; raises CosignError."""
    network, geometries = _geometries(options)
    for ratio in options.ratios:
        if not 1 <= ratio < 1000:
            raise CosignError(f"--ratios: {ratio:g} is no pruning ratio; give 1 to 1000.")
    portions = [*PORTIONS, *(1 - 1 / ratio for ratio in options.ratios)]
    wanted = _cores(options)
    reports = synthesize_many(wanted, options.out and options.out / "synth", options.liberty)
    dense, rivals = reports[:2], reports[2:]
    curves: list[Curve] = []
    for (name, geometry), kind in itertools.product(geometries.items(), options.cores):
        masks = RandomMasks(geometry, batch_of(geometry, options.batch), options.seed)
        work = Workload(network, name, masks.cycles, masks.stored)
        against, sized = (
            [_fitted(report, masks) for report in group]
            for group in (dense, [r for r in rivals if r.config.core == kind])
        )
        for rival, sram_model, weights in itertools.product(against, MODELS, ACCOUNTINGS):
            curves.append(measure(work, rival, sized, sram_model, weights, portions))
            print(_line(curves[-1], options.ratios), file=output(options.json), flush=True)
    content = {
        "schema": 1,
        "network": network,
        "seed": options.seed,
        "cores": [report.to_json() for report in reports],
        "curves": [curve.to_json() for curve in curves],
        "provenance": reports[0].provenance,
    }
    text = f"the paper: {paper.BREAK_EVEN_RATIO}x on CONV4, weights on chip, SMIC 40 nm"
    publish(content, options.json, text)
    if options.out is not None:
        _draw(content, options.out)
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


def _cores(options: argparse.Namespace) -> list[CoreConfig]:
    """dense-2d, dense-scalar, and the sparse cores of each kind asked for."""
    dense_2d, dense_scalar, *sparse = breakeven.cores()
    rows = [
        feed(machines.DENSE_2D, core="sparse-rows", filters=filters, window_span=3)
        for filters in ROWS
    ]
    chosen = [*(sparse if "sparse" in options.cores else ())]
    chosen += rows if "sparse-rows" in options.cores else []
    return [dense_2d, dense_scalar, *(feed(c, weight_bits=options.bits) for c in chosen)]


def _fitted(report: CoreReport, masks: RandomMasks) -> CoreReport:
    """The report with memories for this layer alone; the weights' are sized at every portion."""
    return report.with_memories(fit(report.config, [masks.layer(0.0)], masks.layout.batch))


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


def _draw(content: dict[str, Any], out: Path) -> None:
    from flows.report import plots

    strongest = [c for c in content["curves"] if c["against"].startswith("dense-2d")]
    by_layer: dict[str, list[dict[str, Any]]] = {}
    for curve in strongest:
        by_layer.setdefault(curve["layer"], []).append(curve)
    for layer, curves in by_layer.items():
        plots.write_png(plots.fig4(curves, layer), out / f"{layer}.png")
    if len(by_layer) > 1:
        first = strongest[0]
        alike = [
            c for c in strongest if all(c[key] == first[key] for key in ("core", "sram_model"))
        ]
        plots.write_png(plots.fig4_by_layer(alike), out / "layers.png")
