"""The figures of one run, made from results.json: each says one thing of network or machine.

`flows.report.plots` has their style and the break-even curve.
"""

import itertools
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from flows.report import paper
from flows.report.allocation import Alternative
from flows.report.plots import BLUE, GREEN, INK, ORANGE, PURPLE, RED, TEAL, WIDTH
from flows.report.results import Results

_COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, TEAL, "#b0903a", "#8b8f94", "#c06a9c")
_CORES = ("dense", "sparse")
_USEFUL: dict[str, Any] = {"facecolor": GREEN, "edgecolor": INK, "linewidth": 0.5}
_ON_ZEROS: dict[str, Any] = {"facecolor": INK, "alpha": 0.35, "linewidth": 0}
_LEGEND = 16  # layers that a legend can name
_LABEL = 0.04  # of the time axis: layers that are shorter get no name there


def _grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    return plt.subplots(
        rows, columns, figsize=(WIDTH, height), layout="constrained", squeeze=False, **options
    )


def _legend(figure: Figure, axes: Any, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def accuracy(results: Results) -> Figure:
    """Accuracy lost against what the network shrank by, in weights and in bytes; the paper too."""
    figure, grid = _grid(1, 2, 3.2, sharey=True)
    found, compression = results.accuracy, results.compression
    assert found is not None  # without labels there is no such figure
    loss = {
        name: 100 * (found.dense - value)
        for name, value in (
            ("dense", found.dense),
            ("pruned", found.pruned),
            ("integer", found.integer),
        )
        if value is not None
    }
    pruned = compression.pruning_ratio
    shrunk = 4 * compression.weights / compression.file_bytes
    weights, size = grid[0]
    way = [1 if name == "dense" else pruned for name in loss]
    weights.plot(way, list(loss.values()), color=BLUE, linewidth=1)
    for name, ratio, marker in (
        ("dense", 1, "s"),
        ("pruned", pruned, "^"),
        ("integer", pruned, "o"),
    ):
        if name not in loss:
            continue
        weights.plot([ratio], [loss[name]], marker, color=BLUE, label=f"this run, {name}")
    size.plot([1, shrunk], [loss["dense"], loss["integer"]], color=BLUE, linewidth=1)
    size.plot([1], [loss["dense"]], "s", color=BLUE)
    size.plot([shrunk], [loss["integer"]], "o", color=BLUE)
    rows = paper.SIZES.get(results.network, {}) if paper.same_data(results) else {}
    first = next(iter(rows.values()), None)
    for (name, row), marker in zip(rows.items(), itertools.cycle("s*DPX")):
        assert first is not None
        style = {"color": ORANGE, "markersize": 8, "markerfacecolor": "none"}
        weights.plot([first[1] / row[1]], [row[0]], marker, label=f"paper: {name}", **style)
        size.plot([row[-1]], [row[0]], marker, **style)
    weights.set(xlabel="original weights / weights left", ylabel="accuracy lost, points")
    size.set(xlabel="original bytes / bytes with index")
    for axes in grid[0]:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}×")
        axes.margins(0.1)
        axes.grid(True)
    _legend(figure, weights, 4)
    return figure


def tradeoff(results: Results) -> Figure:
    """What was measured against time of an image, and what was expected of all points."""
    found = results.allocation
    assert found is not None  # of runs without training
    points = sorted((*found.points, found.chosen), key=_time_or_weights)
    timed = found.chosen.time_s is not None
    by_accuracy = found.dense_accuracy is not None
    figure, grid = _grid(1, 2, 3.4)
    left, right = grid[0]
    measured = [point for point in points if point.measured]
    for axes, some in ((left, measured), (right, points)):
        for point in some:
            chosen = point is found.chosen
            y = point.expected_loss if axes is right else _measured(point, by_accuracy)
            style = {"markersize": 9 if chosen else 6, "markerfacecolor": BLUE}
            if not point.measured:
                style["markerfacecolor"] = "none"
            axes.plot([_time_or_weights(point)], [y], "o", color=BLUE, **style)
        axes.set(xlabel="ms of an image" if timed else "weights left, %")
        axes.grid(True)
    ends = [_measured(point, by_accuracy) for point in measured]
    left.plot([_time_or_weights(point) for point in measured], ends, color=BLUE, linewidth=1)
    if by_accuracy:
        left.axhline(100 * (found.dense_accuracy or 0.0), color=INK, linewidth=1, linestyle="--")
        left.set(title=f"Accuracy on {found.images:,} validation images, %; dashed: dense")
    else:
        left.set(title=f"Error of the outputs on {found.images:,} images, %")
    times = [_time_or_weights(point) for point in points]
    right.plot(times, [point.expected_loss for point in points], color=BLUE, linewidth=1)
    right.set(title="Expected change of the outputs, share of their variance")
    if all(point.expected_loss > 0 for point in points):
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:g}")
    if timed:
        for axes in (left, right):
            axes.axvline(1e3 * found.dense_time_s, color=INK, linewidth=1, linestyle=":")
    return figure


def _time_or_weights(point: Alternative) -> float:
    """ms of an image, or percent of the weights where no sparse core is small enough."""
    return 100 / point.pruning_ratio if point.time_s is None else 1e3 * point.time_s


def _measured(point: Alternative, by_accuracy: bool) -> float:
    return 100 * ((point.accuracy if by_accuracy else point.error) or 0.0)


def layers(results: Results) -> Figure:
    """Each layer's pruning ratio with the break-even it must pass, and its speedup."""
    rows = results.layers
    figure, grid = _grid(1, 2, 3.4)
    left, right = grid[0]
    names = [layer.name for layer in rows]
    left.bar(names, [layer.pruning_ratio for layer in rows], color=BLUE, label="pruned")
    crossing = [layer for layer in rows if layer.break_even]
    left.plot(
        [layer.name for layer in crossing],
        [layer.break_even for layer in crossing],
        "_",
        color=ORANGE,
        markersize=18,
        markeredgewidth=3,
        label="break-even",
    )
    left.set(yscale="log", title="Original weights over weights left")
    ran = [layer for layer in rows if layer.speedup is not None]
    right.bar([layer.name for layer in ran], [layer.speedup for layer in ran], color=GREEN)
    right.axhline(1, color=INK, linewidth=1)
    right.set(title=f"Speedup over {results.hardware.dense.name} of the same area")
    for axes in (left, right):
        axes.yaxis.set_major_formatter("{x:g}×")
        axes.tick_params(axis="x", rotation=90 if len(rows) > _LEGEND else 45)
        axes.grid(True, axis="y")
    _legend(figure, left, 2)
    return figure


def _stack(axes: Any, names: Sequence[str], parts: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Horizontal bars, one for each name, of parts on end."""
    start = [0.0] * len(names)
    for (part, widths), color in zip(parts, itertools.cycle(_COLORS)):
        axes.barh(names, widths, left=start, color=color, label=part)
        start = [a + b for a, b in zip(start, widths, strict=True)]
    axes.invert_yaxis()
    axes.grid(True, axis="x")


def storage(results: Results) -> Figure:
    """Where the bytes go: data, index and biases of each layer, in KB and as shares."""
    rows = results.layers
    figure, grid = _grid(1, 2, 1.5 + 0.27 * len(rows), sharey=True)
    names = [layer.name for layer in rows]
    parts = [
        ("levels", [layer.data_bytes for layer in rows]),
        ("index", [layer.index_bytes for layer in rows]),
        ("biases", [layer.bias_bytes for layer in rows]),
    ]
    totals = [sum(sizes) for sizes in zip(*(sizes for _, sizes in parts), strict=True)]
    _stack(grid[0][0], names, [(part, [size / 1e3 for size in sizes]) for part, sizes in parts])
    _stack(
        grid[0][1],
        names,
        [
            (part, [100 * size / total for size, total in zip(sizes, totals, strict=True)])
            for part, sizes in parts
        ],
    )
    grid[0][1].invert_yaxis()  # the axes share it, and each stack turned it
    grid[0][0].set(xlabel="KB")
    grid[0][1].set(xlabel="% of the layer")
    _legend(figure, grid[0][0], 3)
    return figure


def area(results: Results) -> Figure:
    """Where the area goes: logic and memories of each core, and its logic by block."""
    cores = results.hardware.cores
    names = [core.name for core in cores]
    figure, grid = _grid(2, 1, 2.8 + 0.5 * len(cores))
    (whole,), (logic,) = grid
    purposes = dict.fromkeys(p for core in cores for p in core.area_by_purpose_um2)
    _stack(
        whole,
        names,
        [
            (
                purpose if purpose == "logic" else f"{purpose} SRAM",
                [core.area_by_purpose_um2.get(purpose, 0) / 1e6 for core in cores],
            )
            for purpose in purposes
        ],
    )
    blocks = [b for b in cores[0].blocks_um2 if any(core.blocks_um2[b] for core in cores)]
    _stack(logic, names, [(b, [core.blocks_um2[b] / 1e6 for core in cores]) for b in blocks])
    whole.set(xlabel="mm²", title=f"The whole core, SRAM: {results.hardware.sram_model}")
    logic.set(xlabel="mm²", title="Its logic, by block")
    for axes in (whole, logic):
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def utilisation(results: Results) -> Figure:
    """Where the time goes: busy and useful multipliers over the cycles of one image, per core.

    Multipliers times cycles is work, so the green areas of the cores are equal.
    """
    ran = [layer for layer in results.layers if layer.cycles]
    figure, grid = _grid(2, 1, 4.4, sharex=True, sharey=True)
    most = results.hardware.multipliers
    assert most is not None  # files that tell none are compared, not drawn
    cores = {name: attrgetter(name) for name in _CORES}
    longest = max(sum(of(layer.cycles) for layer in ran) for of in cores.values())
    for (axes,), (name, of) in zip(grid, cores.items(), strict=True):
        multipliers, time = of(most), 0.0
        for layer in ran:
            cycles = of(layer.cycles)
            shape = {"x": time, "width": cycles, "align": "edge"}
            axes.bar(height=multipliers * of(layer.busy), **_ON_ZEROS, **shape)
            axes.bar(height=multipliers * of(layer.useful), **_USEFUL, **shape)
            if cycles > _LABEL * longest:
                axes.text(time + cycles / 2, multipliers, layer.name, ha="center", va="bottom")
            time += cycles
        axes.axhline(multipliers, color=INK, linewidth=1, linestyle=":")
        axes.set(ylabel="multipliers", xlim=(0, longest), ylim=(0, 1.2 * most.dense))
        axes.set_title(f"{name}: {multipliers} multipliers, {time:,.0f} cycles", loc="right")
        axes.grid(True, axis="y")
    bottom = grid[1][0]
    bottom.xaxis.set_major_formatter(EngFormatter())
    bottom.set(xlabel="cycles of one image")
    patches = [Patch(**_USEFUL, label="at work on a weight that was kept")]
    patches.append(Patch(**_ON_ZEROS, label="at work on a zero"))
    figure.legend(handles=patches, loc="outside lower center", ncols=2)
    return figure


def energy(results: Results) -> Figure:
    """Where the energy goes: one image, each measured layer on each core."""
    rows = results.energy.layers if results.energy else ()
    figure, grid = _grid(1, 1, 1.6 + 0.27 * len(rows))
    parts = dict.fromkeys(part for row in rows for part in row.energy_nj)
    _stack(
        grid[0][0],
        [f"{row.layer}, {row.core}" for row in rows],
        [
            (
                part.removesuffix("_nj").replace("_", " "),
                [row.energy_nj.get(part, 0) / 1e3 for row in rows],
            )
            for part in parts
        ],
    )
    grid[0][0].set(xlabel="µJ of one image")
    _legend(figure, grid[0][0], 3)
    return figure


def convergence(results: Results) -> Figure:
    """ADMM's residuals: ‖W−Z‖ and ‖Z−Z_prev‖ of each layer, of pruning and of quantisation."""
    stages = [stage for stage in ("prune", "quantize") if results.admm.get(stage)]
    figure, grid = _grid(2, len(stages), 5.0, sharex="col")
    names = list(results.admm[stages[0]][0].distance)
    colors = dict(zip(names, itertools.cycle(_COLORS)))
    for column, stage in enumerate(stages):
        history = results.admm[stage]
        residuals = (
            ("‖W−Z‖", [iteration.distance for iteration in history]),
            ("‖Z−Z_prev‖", [iteration.change for iteration in history]),
        )
        for row, (label, by_layer) in enumerate(residuals):
            axes = grid[row][column]
            for name, color in colors.items():
                values = [layers[name] for layers in by_layer]
                steps = range(1, len(values) + 1)
                axes.plot(steps, values, marker=".", color=color, label=name)
            axes.set(yscale="log", ylabel=label)
            axes.grid(True)
        grid[0][column].set(title=stage)
        grid[1][column].set(xlabel="ADMM iteration")
        grid[1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(names) <= _LEGEND:
        _legend(figure, grid[0][0], min(8, len(names)))
    return figure
