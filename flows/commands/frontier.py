"""Break-even of the best sparse core against the best dense one of each area, both searched."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from compress.model.graph import Geometry, Layer
from cosign import CosignError, values
from cosign.kinds import MOST_IMAGES, areas, names, positive
from cosign.options import add_act_bits, add_json, add_liberty, publish
from cosign.paths import name_or_path, new_file, old_file
from flows.commands.shared import add_channels, applies, channel, known_layers
from flows.measure import frontier
from flows.measure.contest import Masks
from flows.measure.frontier import Advantage, Frontier, FrontierPoint, Race, array
from flows.measure.workload import PORTIONS_HELD, RandomMasks, ThinnedMasks
from flows.report import paper
from rtl.config import CoreConfig
from rtl.program.fit import batch_for, batch_of
from synth.breakeven import ACCOUNTINGS
from synth.place.options import Placement
from synth.prices import PriceList, Prices, standard
from synth.report import synthesize_many
from synth.sram import MODELS

ROUNDS = 4
"""Of --measure: what a netlist costs can make another core the fastest."""
HELD = 1 << 25
"""Weights of random layers, of all seeds and portions together, that are kept: 0.3 GB."""
NETWORK = "network"
"""The layer that stands for all convolutions on one chip."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", type=name_or_path, help="a built-in network (alexnet)")
    parser.add_argument(
        "--model",
        type=old_file,
        help="a model.cosign instead: its layers, and its own masks beside random ones",
    )
    add_act_bits(parser, "the activations of all cores", "those of --model, 8")
    parser.add_argument(
        "--layers",
        type=names,
        default=["conv4"],
        help="names with commas between; conv: each convolution; network: all convolutions on one "
        "chip (conv4)",
    )
    parser.add_argument(
        "--areas",
        type=areas,
        default=frontier.AREAS,
        metavar="A,A",
        help="areas with commas between: 64, as the best dense core of 64 multipliers, or 1.2mm2 "
        f"({','.join(map(str, frontier.AREAS))})",
    )
    parser.add_argument(
        "--sram", nargs="+", choices=MODELS, default=MODELS, help="SRAM models (both)"
    )
    parser.add_argument(
        "--weights", nargs="+", choices=ACCOUNTINGS, default=ACCOUNTINGS, help="accountings (both)"
    )
    add_channels(
        parser,
        "of the memory outside, which maps, weights and biases share; streamed weights only (inf)",
    )
    parser.add_argument(
        "--seeds",
        type=positive(int, 1000),
        default=5,
        metavar="N",
        help="masks by seeds 0 to N-1 (5)",
    )
    parser.add_argument(
        "--batch",
        type=positive(int, MOST_IMAGES),
        help="images of a linear layer (as many as the maps' memory holds, 16 to 64)",
    )
    parser.add_argument(
        "--prices",
        type=old_file,
        metavar="FILE",
        help="of `python -m synth prices`, not the built-in",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="synthesise the cores at every crossing, and search again by what they cost",
    )
    add_liberty(parser)
    parser.add_argument(
        "--place",
        action="store_true",
        help="prices of placed cores; --measure places those at every crossing (minutes each)",
    )
    parser.add_argument(
        "--plot", type=new_file, metavar="FILE", help="break-even over area, as PNG"
    )
    add_json(parser, "all points")


def run(options: argparse.Namespace) -> int:
    """Search and print; raises CosignError."""
    if options.network is not None and options.model is not None:
        raise CosignError("--network and --model contradict each other; give one of them.")
    if options.liberty and not (options.prices and options.measure):
        raise CosignError(
            "--liberty is for the cores that --measure synthesises, and needs --prices of that "
            "library; give all three."
        )
    if options.liberty and options.place:
        raise CosignError(
            "--place has the LEF of the usual cell library alone here; leave out --liberty, or "
            "--place."
        )
    prices = PriceList.read(options.prices)
    priced = Prices(prices.cores, options.place)
    place = Placement() if options.place else None
    found = _search(options, priced, prices.provenance)
    for _ in range(ROUNDS if options.measure else 0):
        wanted = _unmeasured(found.points)
        if not wanted:
            break
        priced = priced.with_measured(synthesize_many(wanted, liberty=options.liberty, place=place))
        found = _search(options, priced, prices.provenance)
    if options.plot is not None:
        from flows.report import plots

        plots.write_png(plots.frontier(found), options.plot)
    content = values.stamped(found, frontier.SCHEMA)
    publish(content, options.json, _ending(found))
    return 0


def _search(options: argparse.Namespace, prices: Prices, provenance: dict[str, Any]) -> Frontier:
    """All points, printed as they are found; `provenance` is that of the prices."""
    network, known, act_bits = known_layers(
        options.network or "alexnet", options.model, options.act_bits
    )
    if act_bits != prices.act_bits:
        raise CosignError(
            f"the price list is of cores with activations of {prices.act_bits} bits, the network's "
            f"have {act_bits}; write one by `python -m synth prices --act-bits {act_bits}`, and "
            "give it by --prices."
        )
    chips = _chips(options, network, known)
    batch = options.batch or batch_for(geometry for geometry, _ in known.values())
    points: list[FrontierPoint] = []
    unpruned: list[Advantage] = []
    for name, layers in chips.items():
        race = Race(name, [g for g, _ in layers], batch, prices, act_bits)
        masks = _masks(layers, batch, options.seeds)
        for sram_model, weights, b in _settings(options):
            of_channel = masks if b is None else _limited(masks, b)
            for (which, seeds), against in itertools.product(of_channel.items(), _rivals(prices)):
                own = against == array(act_bits).name
                for area in (array(act_bits).multipliers,) if own else options.areas:
                    point = frontier.point(race, against, seeds, which, sram_model, weights, area)
                    if point is not None:
                        points.append(point)
                        print(_line(point), flush=True)
            first = of_channel["random"][0]
            found = frontier.unpruned(race, first, sram_model, weights)
            unpruned += [] if found is None else [found]
    best = max(unpruned, default=None)
    errors = prices.held_out
    return Frontier(
        network=network,
        seeds=tuple(range(options.seeds)),
        points=tuple(points),
        unpruned_advantage=max((each.over_all for each in unpruned), default=None),
        array_advantage=best and best.over_arrays,
        unpruned=best.what if best else "no sparse core has a dense rival of its area",
        prices={"cores": prices.size, "placed": prices.placed, **errors._asdict()},
        provenance=provenance,
    )


def _settings(options: argparse.Namespace) -> Iterator[tuple[str, str, float | None]]:
    """(SRAM model, accounting, bytes a cycle)."""
    for sram_model, weights, b in itertools.product(
        options.sram, options.weights, options.bytes_per_cycle
    ):
        if applies(b, weights):
            yield sram_model, weights, b


def _limited(masks: dict[str, list[Masks]], b: float) -> dict[str, list[Masks]]:
    """The same masks, with a channel of `b` bytes a cycle."""
    return {which: [Masks(each.layers, b) for each in several] for which, several in masks.items()}


def _rivals(prices: Prices) -> Iterator[str]:
    """What is raced against: the searched kinds that have prices, and the array of earlier
    figures."""
    kinds = {*prices.kinds, frontier.DENSE, frontier.ARRAYS, frontier.WINDOWS}
    yield from (kind for kind in frontier.RIVALS if kind in kinds)
    yield array(prices.act_bits).name


Layers = list[tuple[Geometry, Layer | None]]
"""Geometries, with what a really pruned network keeps of them."""


def _chips(
    options: argparse.Namespace, network: str, known: dict[str, tuple[Geometry, Layer | None]]
) -> dict[str, Layers]:
    """What each chip executes, by name of the layer. Raises CosignError.

    known : the network's layers
    """
    convolutions = [name for name, (geometry, _) in known.items() if geometry.kind == "conv"]
    found: dict[str, Layers] = {}
    for name in options.layers:
        if name == "conv":
            found |= {each: [known[each]] for each in convolutions}
        elif name == NETWORK and name not in known:
            found[name] = [known[each] for each in convolutions]
        elif name in known:
            found[name] = [known[name]]
        else:
            raise CosignError(f"{network} has no layer {name!r}; it has {', '.join(known)}.")
    if [] in found.values() or not found:
        raise CosignError(f"{network} has no convolution; name its layers.")
    return found


def _masks(layers: Layers, batch: int, seeds: int) -> dict[str, list[Masks]]:
    """By where they come from, and by seed: random, and those of the model's layers."""
    held = max(PORTIONS_HELD, HELD // (seeds * sum(g.weights for g, _ in layers)))
    found = {
        "random": [
            Masks([RandomMasks(g, batch_of(g, batch), seed, held) for g, _ in layers])
            for seed in range(seeds)
        ]
    }
    pruned = [layer for _, layer in layers if layer is not None]
    if pruned:
        found["model"] = [
            Masks(
                [ThinnedMasks(each, batch_of(each.geometry, batch), seed, held) for each in pruned]
            )
            for seed in range(seeds)
        ]
    return found


def _unmeasured(points: Sequence[FrontierPoint]) -> list[CoreConfig]:
    """The priced cores at the crossings."""
    cores = [core for point in points for core in (point.dense, point.sparse) if core is not None]
    return list(dict.fromkeys(standard(core.config) for core in cores if not core.measured))


def _line(point: FrontierPoint) -> str:
    ratio = point.break_even_ratio
    crossing = "not reached" if ratio is None else f"{ratio:.2f}x"
    if point.spread:
        crossing += f" (spread {point.spread:.3f})"
    sparse = "no sparse core fits" if point.sparse is None else _shape(point.sparse.config)
    origin = "measured" if point.measured else "priced"
    return (
        f"{point.layer}, {point.masks} masks, against {point.against}, SRAM {point.sram_model}, "
        f"weights {point.weights}{channel(point.bytes_per_cycle)}, "
        f"{point.multipliers} multipliers' area ({point.area_um2 / 1e6:.3f} mm2): {crossing}; "
        f"{sparse} against {_shape(point.dense.config)}, {origin}"
    )


def _shape(config: CoreConfig) -> str:
    """dense-2d-2x46, with tiles and requantisers where there are several."""
    more = f" x {config.tiles} tiles" * (config.tiles > 1) + f" drain {config.drain}" * (
        config.drain > 1
    )
    return config.name + more


def _ending(found: Frontier) -> str:
    origin = "placed" if found.prices["placed"] else "synthesised"
    lines = [
        f"priced by {found.prices['cores']} {origin} cores; held out, the fit errs by "
        f"{100 * found.prices['mean']:.1f} % of logic area on average, "
        f"{100 * found.prices['worst']:.1f} % at worst ({found.prices['worst_core']})"
    ]
    if found.array_advantage is not None:
        lines.append(
            f"with nothing pruned a sparse core is {found.array_advantage:.3f}x as fast as the "
            f"best dense core of its area, at most ({found.unpruned}); it counts as dense then"
        )
    lines.append(f"the paper: {paper.BREAK_EVEN_RATIO}x on CONV4, weights on chip, SMIC 40 nm")
    return "\n".join(lines)
