"""How our plots look and become files, with matplotlib; and Fig. 4 of the paper."""

import html
import io
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cosign import atomic_write
from flows.measure.frontier import ARRAYS, Frontier, FrontierPoint
from flows.report import paper
from flows.report.results import Results
from flows.report.tables import times
from synth.breakeven import Curve

# Mid-tones that stay readable on white and on near-black paper; a page puts its own INK.
INK, BLUE, ORANGE, GREEN, RED = "#808890", "#3b82c4", "#d9822b", "#3a9a5c", "#c75450"
PURPLE, TEAL = "#8a6bbe", "#2f9c95"
WIDTH = 9.6  # inches, of every figure
plt.rcParams.update(
    {
        "axes.axisbelow": True,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": INK,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        "savefig.transparent": True,
        "svg.fonttype": "none",
        "svg.hashsalt": "cosign",
        "text.color": INK,
        "text.parse_math": False,  # a $ in a layer's name is a $
        "xtick.color": INK,
        "ytick.color": INK,
        "font.size": 10,
    }
)


def svg(figure: Figure, alt: str) -> str:
    """The figure as an <svg> element for a page, the same text every time.

    Axes and text take the page's colour; `alt` is read to those who do not see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # a page has several figures, and ids but once
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    return f'{head} role="img"><title>{html.escape(alt)}</title>{body}'


def write_png(figure: Figure, path: Path) -> None:
    """The figure on white paper, atomically; for slides and READMEs."""
    with atomic_write(path) as file:
        figure.savefig(
            file, format="png", dpi=140, transparent=False, facecolor="white", metadata={}
        )
    plt.close(figure)


def accuracy_by_ratio(curves: dict[str, list[tuple[float, float]]], dense: float) -> Figure:
    """Accuracy against pruning ratio, a line for each method.

    curves : (ratio, accuracy 0..1) by method
    dense : accuracy of the network before pruning
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.0), layout="constrained")
    for (method, points), color in zip(
        curves.items(), itertools.cycle((BLUE, ORANGE, GREEN, RED, PURPLE, TEAL))
    ):
        ratios, accuracies = zip(*sorted(points), strict=True)
        axes.plot(ratios, [100 * x for x in accuracies], marker=".", color=color, label=method)
    axes.axhline(100 * dense, color=INK, linewidth=1, linestyle="--", label="dense")
    axes.set(xlabel="pruning ratio", ylabel="test accuracy, %", xscale="log")
    ticks = sorted({ratio for points in curves.values() for ratio, _ in points})
    axes.set_xticks(ticks, [f"{ratio:g}×" for ratio in ticks])
    axes.minorticks_off()
    axes.grid(True)
    axes.legend()
    return figure


def break_even(results: Results) -> Figure:
    """Fig. 4 for the run's headline layer."""
    hardware = results.hardware
    return fig4(hardware.curves, hardware.break_even_layer)


def fig4(curves: Sequence[Curve], layer: str) -> Figure:
    """Fig. 4: speedup of sparse over dense hardware of the same area, against pruning."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.0), layout="constrained")
    colors = {"streamed": BLUE, "on-chip": ORANGE}
    lines = {"openram": "-", "flat": "--"}
    for curve in curves:
        points = [point for point in curve.points if point.lanes]  # else no core fits
        axes.plot(
            [point.portion * 100 for point in points],
            [point.speedup for point in points],
            lines.get(curve.sram_model, "-."),
            marker="." if curve.core == "sparse" else "x",
            color=colors.get(curve.weights, GREEN),
            label=f"{curve.core}, weights {curve.weights}, SRAM {curve.sram_model}",
        )
    axes.axhline(1, color=INK, linewidth=1)
    paper_portion = 100 * (1 - 1 / paper.BREAK_EVEN_RATIO)
    axes.plot(
        [paper_portion],
        [1],
        "o",
        color=RED,
        label=f"the paper's crossing, {paper.BREAK_EVEN_RATIO}×",
    )
    axes.set(xlabel="weights pruned, %", ylabel="speedup at equal area", yscale="log")
    axes.set_title(f"Break-even on {layer}")
    axes.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.grid(True)
    axes.legend()
    return figure


def over_bandwidth(curves: Sequence[Curve], layer: str) -> Figure:
    """Left: break-even over the bytes a cycle from outside; right: speedup over pruning, a line for
    each number of bytes; of the first curve's core, left of others too."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0), layout="constrained")
    limited = sorted({c.bytes_per_cycle for c in curves if c.bytes_per_cycle is not None})
    places = {b: place for place, b in enumerate([*limited, None])}
    names = [f"{b:g}" for b in limited] + ["∞"]
    for core, sram_model in dict.fromkeys((c.core, c.sram_model) for c in curves):
        alike = [c for c in curves if (c.core, c.sram_model) == (core, sram_model)]
        found = sorted((places[c.bytes_per_cycle], c.break_even_ratio or math.nan) for c in alike)
        label = f"{core}, SRAM {sram_model}"
        left.plot(
            *zip(*found, strict=True), "-" if core == "sparse" else "--", marker=".", label=label
        )
    left.axhline(1, color=INK, linewidth=1)
    left.set(xlabel="bytes a cycle", ylabel="break-even pruning ratio")
    left.set_xticks(range(len(names)), names)
    left.set_title(f"Break-even on {layer}")
    first = curves[0].core, curves[0].sram_model
    for curve in (c for c in curves if (c.core, c.sram_model) == first):
        points = [point for point in curve.points if point.lanes]  # else no core fits
        name = names[places[curve.bytes_per_cycle]]
        right.plot([p.ratio for p in points], [p.speedup for p in points], label=name)
    right.axhline(1, color=INK, linewidth=1)
    right.set(xlabel="pruning ratio", ylabel="speedup at equal area", xscale="log", yscale="log")
    right.set_xticks([1, 2, 5, 10, 20, 40], ["1", "2", "5", "10", "20", "40"])
    right.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    right.set_title(f"{first[0]}, SRAM {first[1]}, by bytes a cycle")
    for axes in (left, right):
        axes.minorticks_off()
        axes.grid(True)
        axes.legend()
    return figure


def fig4_by_layer(curves: Sequence[Curve]) -> Figure:
    """Fig. 4, a line for each curve's layer; left: weights on chip, right: streamed."""
    figure, grid = plt.subplots(1, 2, figsize=(WIDTH, 4.0), layout="constrained")
    for axes, weights in zip(grid, ("on-chip", "streamed"), strict=True):
        for curve in (c for c in curves if c.weights == weights):
            points = [point for point in curve.points if point.lanes]  # else no core fits
            axes.plot(
                [point.portion * 100 for point in points],
                [point.speedup for point in points],
                marker=".",
                label=f"{curve.layer}: {times(curve.break_even_ratio)}",
            )
        axes.axhline(1, color=INK, linewidth=1)
        axes.set(xlabel="weights pruned, %", ylabel="speedup at equal area", yscale="log")
        axes.set_title(f"weights {weights}")
        axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        axes.grid(True)
        axes.legend()
    return figure


def frontier(found: Frontier) -> Figure:
    """Break-even over the area of the array, a line for each rival, SRAM model and accounting, a
    panel for each layer; bars are the spread of the seeds, filled marks measured. The line
    against dense arrays alone is left out: it is that against the dense machines, or below it."""
    layers = list(dict.fromkeys(point.layer for point in found.points))
    figure, grid = plt.subplots(
        1, len(layers), figsize=(WIDTH, 4.2), layout="constrained", sharey=True, squeeze=False
    )
    colors = {"streamed": BLUE, "on-chip": ORANGE}
    lines = {"openram": "-", "flat": "--"}
    marks = {"dense": "o", "dense-windows": "D", "dense-packed": "s", "sparse-nm": "^"}
    for axes, layer in zip(grid[0], layers, strict=True):
        groups: dict[tuple[str, str, str, str], list[FrontierPoint]] = {}
        for point in found.points:
            left_out = point.against == ARRAYS or point.break_even_ratio is None
            if point.layer == layer and not left_out:
                key = point.against, point.masks, point.sram_model, point.weights
                groups.setdefault(key, []).append(point)
        for (against, masks, sram_model, weights), points in groups.items():
            points = sorted(points, key=lambda point: point.multipliers)
            single = against not in marks  # one core, not a frontier
            axes.errorbar(
                [point.multipliers for point in points],
                [point.break_even_ratio or 1 for point in points],
                yerr=[(point.spread or 0) / 2 for point in points],
                fmt="x" if single else marks[against] + lines.get(sram_model, "-."),
                markersize=7 if single else 4,
                color=RED if single else colors.get(weights, GREEN),
                alpha=1 if masks == "random" else 0.5,
                label=f"{against}, {weights}, SRAM {sram_model}"
                + ", its masks" * (masks == "model"),
            )
        axes.set_title(f"{found.network} {layer}")
        axes.set(xlabel="multipliers of the dense core whose area is the limit", xscale="log")
        ticks = sorted({point.multipliers for point in found.points})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_yscale("log")
        highest = max((point.break_even_ratio or 1 for point in found.points), default=1)
        ratios = [ratio for ratio in (1, 1.5, 2, 3, 5, 10, 20, 50) if ratio < 1.5 * highest]
        axes.set_yticks(ratios, [f"{ratio:g}×" for ratio in ratios])
        axes.minorticks_off()
        axes.grid(True)
    grid[0][0].set_ylabel("break-even pruning ratio")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside right center")
    return figure
