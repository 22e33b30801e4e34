"""The report's pictures, made from results.json with matplotlib, as SVG text or files."""

import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter

from cosign import atomic_write
from flows import paper

# Mid-tones that stay readable on white and on near-black paper.
INK, BLUE, ORANGE, GREEN, RED = "#808890", "#3b82c4", "#d9822b", "#3a9a5c", "#c75450"
VIOLET = "#8a6bbe"
plt.rcParams.update(
    {
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
        "xtick.color": INK,
        "ytick.color": INK,
        "font.size": 10,
    }
)


def _figure(columns: int = 1, width: float = 7.2, height: float = 3.6) -> tuple[Figure, Any]:
    return plt.subplots(1, columns, figsize=(width, height), layout="constrained")


def svg(figure: Figure) -> str:
    """The figure as an <svg> element, the same text every time."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def write_png(figure: Figure, path: Path) -> None:
    """The figure on white paper, atomically; for slides and READMEs."""
    with atomic_write(path) as file:
        figure.savefig(
            file, format="png", dpi=140, transparent=False, facecolor="white", metadata={}
        )
    plt.close(figure)


def break_even(results: dict[str, Any]) -> Figure:
    """Fig. 4 for the run's headline layer."""
    hardware = results["hardware"]
    return fig4(hardware["curves"], hardware["break_even_layer"])


def fig4(curves: Sequence[dict[str, Any]], layer: str) -> Figure:
    """Fig. 4: speedup of sparse over dense hardware of the same area, against pruning."""
    figure, axes = _figure()
    colors = {"streamed": BLUE, "on-chip": ORANGE}
    lines = {"openram": "-", "flat": "--"}
    for curve in curves:
        points = [point for point in curve["points"] if point["lanes"]]  # else no core fits
        axes.plot(
            [point["portion"] * 100 for point in points],
            [point["speedup"] for point in points],
            lines.get(curve["sram_model"], "-."),
            marker="." if curve["core"] == "sparse" else "x",
            color=colors.get(curve["weights"], GREEN),
            label=f"{curve['core']}, weights {curve['weights']}, SRAM {curve['sram_model']}",
        )
    axes.axhline(1, color=INK, linewidth=1)
    paper_portion = 100 * (1 - 1 / paper.BREAK_EVEN_RATIO)
    axes.plot([paper_portion], [1], "o", color=RED, label="the paper's crossing, 2.22×")
    axes.set(xlabel="weights pruned, %", ylabel="speedup at equal area", yscale="log")
    axes.set_title(f"Break-even on {layer}")
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.grid(True)
    axes.legend()
    return figure


def pareto(jobs: Sequence[dict[str, Any]], sram: str) -> Figure:
    """Area and delay of a sweep's cores, a panel for each job; what nothing beats stands out.

    With energies measured, a core's share of the job's largest is its marker's size.
    """
    columns = min(3, math.isqrt(len(jobs) - 1) + 1)  # 2 x 2 rather than 3 + 1
    lines = -(-len(jobs) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(4.3 * columns, 3.4 * lines), layout="constrained", squeeze=False
    )
    kinds = dict.fromkeys(_kind(point) for job in jobs for point in job["points"])
    colors = dict(zip(kinds, itertools.cycle((BLUE, ORANGE, GREEN, RED, VIOLET)), strict=False))
    for axes, job in itertools.zip_longest(grid.flat, jobs):
        if job is None:
            axes.set_axis_off()
            continue
        for kind, color in colors.items():
            _scatter(axes, [p for p in job["points"] if _kind(p) == kind], job, sram, color)
        axes.set(xlabel=f"area, mm² (SRAM: {sram})", ylabel="delay, µs", xscale="log", yscale="log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.7)))
        axes.set_title(f"{job['layer']}, {job['recipe']}")
        axes.grid(True, which="both")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=color, label=kind)
        for kind, color in colors.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)))
    return figure


def _scatter(
    axes: Any, points: Sequence[dict[str, Any]], job: dict[str, Any], sram: str, color: str
) -> None:
    most = max((p["energy"]["total_nj"] for p in job["points"] if p["energy"]), default=None)
    for point in points:
        share = point["energy"]["total_nj"] / most if most else 0.25
        axes.scatter(
            point["area_um2"][sram] / 1e6,
            point["delay_s"] * 1e6,
            s=160 * share,
            facecolor=color if point["pareto"] else "none",
            edgecolor=color,
            alpha=1.0 if point["pareto"] else 0.6,
        )
        if point["pareto"]:
            shape = point["config"]["filters"], point["config"]["lanes"]
            label = "×".join(str(n) for n in shape if n > 1) or "1"
            place = (point["area_um2"][sram] / 1e6, point["delay_s"] * 1e6)
            beside = {"xytext": (-5, -2), "textcoords": "offset points", "ha": "right"}
            axes.annotate(label, place, **beside, va="top", fontsize=7, color=INK)


def _kind(point: dict[str, Any]) -> str:
    config = point["config"]
    return f"sparse, {config['coding']}" if config["core"] == "sparse" else str(config["core"])


def layers(results: dict[str, Any]) -> Figure:
    """Density and speedup of each layer."""
    figure, (left, right) = _figure(columns=2, width=8.6)
    names = [layer["name"] for layer in results["layers"]]
    left.bar(names, [100 / layer["pruning_ratio"] for layer in results["layers"]], color=BLUE)
    ran = [layer for layer in results["layers"] if layer["speedup"] is not None]
    left.set_yscale("log")
    left.set_title("Weights kept, %")
    right.bar([layer["name"] for layer in ran], [layer["speedup"] for layer in ran], color=GREEN)
    right.axhline(1, color=INK, linewidth=1)
    right.set_title("Speedup at equal area")
    for axes in (left, right):
        axes.tick_params(axis="x", rotation=45)
        axes.grid(True, axis="y")
    return figure


def area(results: dict[str, Any]) -> Figure:
    """Logic and SRAM of each core."""
    figure, axes = _figure(height=2.6)
    cores = results["hardware"]["cores"]
    names = [core["name"] for core in cores]
    start = [0.0] * len(cores)
    purposes = [("logic", BLUE), ("activation", ORANGE), ("weight", GREEN)]
    for purpose, color in purposes:
        widths = [core["area_by_purpose_um2"].get(purpose, 0.0) / 1e6 for core in cores]
        axes.barh(names, widths, left=start, color=color, label=purpose)
        start = [a + b for a, b in zip(start, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="area, mm²", title=f"Area, SRAM: {results['hardware']['sram_model']}")
    axes.grid(True, axis="x")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def convergence(results: dict[str, Any]) -> Figure:
    """‖W−Z‖ of each layer over the ADMM iterations of pruning and quantisation."""
    stages = [stage for stage in ("prune", "quantize") if results["admm"].get(stage)]
    figure, grid = _figure(columns=max(1, len(stages)), width=8.6)
    for axes, stage in zip([grid] if len(stages) < 2 else grid, stages, strict=False):
        history = results["admm"][stage]
        for name in history[0]["distance"]:
            axes.plot([step["distance"][name] for step in history], marker=".", label=name)
        axes.set(xlabel="ADMM iteration", ylabel="‖W−Z‖", yscale="log", title=stage)
        axes.grid(True)
        axes.legend(fontsize=8, ncols=2)
    return figure
