"""From which pruning ratio sparse cores beat both dense ones, layer by layer (Fig. 4)."""

import argparse
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import structs

from compress.model.graph import Geometry
from cosign import CosignError, consoles
from cosign.kinds import MOST_IMAGES, bits, names, positive, pruning_ratio, seed
from cosign.names import file_name
from cosign.options import add_act_bits, add_json, add_liberty, publish
from cosign.paths import name_or_path, new_folder, old_file
from cosign.progress import Reporter
from flows.commands.shared import Asked, add_channels, applies, channel, known_layers
from flows.measure.dram import add_dram, dram_use, provenance
from flows.measure.workload import RandomMasks
from flows.report import paper
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.options import add_cores, cores_of
from rtl.program.fit import batch_for, batch_of, fit
from synth.breakeven import ACCOUNTINGS, PORTIONS, Curve, TooDeep, Workload, measure
from synth.place import options as placing
from synth.report import CoreReport, synthesize_many
from synth.sram import MODELS

KINDS = ("sparse", "sparse-rows", "dense-packed")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network", type=name_or_path, default="alexnet", help="a built-in network (alexnet)"
    )
    parser.add_argument("--model", type=old_file, help="a model.cosign instead, for its shapes")
    parser.add_argument(
        "--layers",
        type=names,
        default=["conv4"],
        help="names with commas between; or conv, linear: all of the kind; or all (conv4)",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=("sparse", "sparse-rows"),
        help="what is sized to the dense core's area (sparse and sparse-rows)",
    )
    add_cores(parser)
    parser.add_argument(
        "--bits",
        type=bits,
        help="weight bits of the sparse cores (those of --cores, 8); the dense ones keep theirs",
    )
    add_act_bits(parser, "the activations of all cores", "those of --model, 8")
    parser.add_argument(
        "--ratios",
        type=pruning_ratio,
        nargs="+",
        default=[],
        metavar="R",
        help="pruning ratios of which the speedup is printed as well",
    )
    add_channels(parser, "that weights which stream, maps and biases share; curves for each (inf)")
    parser.add_argument(
        "--batch",
        type=positive(int, MOST_IMAGES),
        help="images of a linear layer (as many as the memory holds that convolutions need anyway, "
        "16 to 64)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the random masks (0)")
    add_dram(parser)
    add_liberty(parser)
    placing.add_options(parser, "place the cores, whose areas and clocks count then")
    parser.add_argument(
        "--out", type=new_folder, help="folder for the curve's picture and the netlists"
    )
    add_json(parser, "the curves")


def run(options: argparse.Namespace) -> int:
    """Measure and print; raises CosignError."""
    asked = known_layers(options.network, options.model, options.act_bits)
    network, geometries = asked.name, _geometries(asked, options.layers)
    batch = options.batch or batch_for(geometry for geometry, _ in asked.layers.values())
    for ratio in options.ratios:
        if not 1 <= ratio < 1000:
            raise CosignError(f"--ratios: {ratio:g} is no pruning ratio; give 1 to 1000.")
    portions = [*PORTIONS, *(1 - 1 / ratio for ratio in options.ratios)]
    cores = cores_of(options).for_activations(asked.act_bits)
    dense, sized = (cores.dense, cores.dense_scalar), _sized(cores, options)
    wanted = [*dense, *itertools.chain.from_iterable(sized.values())]
    settings = list(_settings(options.bytes_per_cycle, dense))
    curves: list[Curve] = []
    moved: list[dict[str, Any]] = []
    reporter = Reporter(consoles.standard_error())
    with reporter.running():
        reports = _synthesized(wanted, options, reporter)
        report_of = dict(zip(wanted, reports, strict=True))
        done, total = itertools.count(1), len(geometries) * len(sized) * len(settings)
        for name, geometry in geometries.items():
            masks = RandomMasks(geometry, batch_of(geometry, batch), options.seed)
            fitted = {core: _fitted(report, masks) for core, report in report_of.items()}
            for several in sized.values():
                rivals = [fitted[core] for core in several]
                for b, core, sram_model, weights in settings:
                    cycles = functools.partial(masks.cycles, bytes_per_cycle=b)
                    work = Workload(network, name, cycles, masks.stored, b)
                    try:
                        found = measure(work, fitted[core], rivals, sram_model, weights, portions)
                        curves.append(found)
                        print(_line(found, options.ratios), flush=True)
                    except TooDeep as error:
                        print(f"{error} It is left out.", flush=True)
                    reporter.show("curves", next(done), total)
            moved += _moved(name, masks, fitted.values(), options)
    content = {
        "schema": 1,
        "network": network,
        "seed": options.seed,
        "batch": batch,
        "cores": [report.to_json() for report in reports],
        "curves": curves,
        "dram": {**provenance(options.dram_pj_per_bit), "layers": moved},
        "provenance": reports[0].provenance,
    }
    if options.place:
        print(f"cores are placed: {placing.NOTE}")
    text = f"the paper: {paper.BREAK_EVEN_RATIO}x on CONV4, weights on chip, SMIC 40 nm"
    publish(content, options.json, text)
    if options.out is not None:
        _draw(curves, cores.dense.name, options.out)
    return 0


def _synthesized(
    wanted: list[CoreConfig], options: argparse.Namespace, reporter: Reporter
) -> list[CoreReport]:
    """The reports of the cores, as they become known."""
    done = itertools.count(1)
    reporter.show("synthesize", 0, len(wanted))

    def show(_: CoreConfig, what: str) -> None:
        if what == "done":
            reporter.show("synthesize", next(done), len(wanted))

    folder = options.out and options.out / "synth"
    place = placing.placement_of(options)
    reports = synthesize_many(wanted, folder, options.liberty, progress=show, place=place)
    return [report.quoted for report in reports]


def _geometries(asked: Asked, layers: list[str]) -> dict[str, Geometry]:
    """The layers that are asked for."""
    network, known = asked.name, {name: geometry for name, (geometry, _) in asked.layers.items()}
    chosen: dict[str, Geometry] = {}
    for name in layers:
        if name in known:
            chosen[name] = known[name]
        elif name in ("conv", "linear", "all"):
            chosen |= {n: g for n, g in known.items() if name in ("all", g.kind)}
        else:
            raise CosignError(f"{network} has no layer {name!r}; it has {', '.join(known)}.")
    if not chosen:
        raise CosignError(f"{network} has no {layers[0]} layer; it has {', '.join(known)}.")
    return chosen


def _sized(cores: CoreSet, options: argparse.Namespace) -> dict[str, list[CoreConfig]]:
    """The cores that are sized to a dense core's area, by the kinds that are asked for.

    Raises CosignError when there are none of a kind.
    """
    known = {"sparse": cores.sized, "sparse-rows": cores.rows, "dense-packed": cores.packed}
    bits = {} if options.bits is None else {"weight_bits": options.bits}
    found = {
        kind: [dataclasses.replace(core, **bits) for core in known[kind]] for kind in options.kinds
    }
    for kind, several in found.items():
        if not several:
            file = options.cores or "the built-in set"
            raise CosignError(f"{file} has no {kind} core; leave {kind} out of --kinds.")
    return found


def _settings(
    channels: Iterable[float | None], dense: Iterable[CoreConfig]
) -> Iterator[tuple[float | None, CoreConfig, str, str]]:
    """(bytes a cycle, dense core, SRAM model, accounting) of each curve."""
    for b, core, sram_model, weights in itertools.product(channels, dense, MODELS, ACCOUNTINGS):
        if applies(b, weights):
            yield b, core, sram_model, weights


def _moved(
    layer: str, masks: RandomMasks, reports: Iterable[CoreReport], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """What each core moves to and from the memory outside at each of --ratios, and unpruned."""
    rows = []
    for report, ratio in itertools.product(reports, [1.0, *options.ratios]):
        if ratio > 1 and not report.config.compresses:
            continue
        moved = masks.traffic(report.config, 1 - 1 / ratio)
        use = dram_use(moved, 1, masks.batch, options.dram_pj_per_bit)
        rows.append({"layer": layer, "core": report.name, "ratio": ratio, **structs.asdict(use)})
    return rows


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
        f"{curve.weights}{channel(curve.bytes_per_cycle)}: {crossing}{faster}; {curve.note}"
    )


def _draw(curves: list[Curve], against: str, out: Path) -> None:
    """The curves against the core of that name, by layer and all layers in one."""
    from flows.report import plots

    strongest = [curve for curve in curves if curve.against == against]
    by_layer: dict[str, list[Curve]] = {}
    for curve in strongest:
        by_layer.setdefault(curve.layer, []).append(curve)
    for layer, found in by_layer.items():
        first = found[0].bytes_per_cycle
        name = file_name(layer)
        alike = [curve for curve in found if curve.bytes_per_cycle == first]
        plots.write_png(plots.fig4(alike, layer), out / f"{name}.png")
        if len(alike) < len(found):
            streamed = [curve for curve in found if curve.weights == "streamed"]
            plots.write_png(plots.over_bandwidth(streamed, layer), out / f"{name}-bandwidth.png")
    if len(by_layer) > 1:
        alike = [curve for curve in strongest if _kind(curve) == _kind(strongest[0])]
        plots.write_png(plots.fig4_by_layer(alike), out / "layers.png")


def _kind(curve: Curve) -> tuple[str, str, float | None]:
    return curve.core, curve.sram_model, curve.bytes_per_cycle
