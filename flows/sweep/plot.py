"""The picture of a sweep: area against delay, and what nothing beats."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter

from flows.report.plots import BLUE, GREEN, INK, ORANGE, PURPLE, RED


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
    colors = dict(zip(kinds, itertools.cycle((BLUE, ORANGE, GREEN, RED, PURPLE)), strict=False))
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
