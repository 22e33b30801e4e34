"""The tables of a run, and its verdict, all made from results.json.

`flows.report.paper_tables` has those of the paper with our row.
"""

import math

from rich import box
from rich.table import Table

from flows.report import paper
from flows.report.allocation import Allocation
from flows.report.results import Layer, Results
from flows.report.rounds import Feedback, Round, State


def new_table(title: str, *columns: str) -> Table:
    """An empty table in our style; all columns but the first are of numbers."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def times(value: float | None, digits: int = 2) -> str:
    """A ratio as the papers write it, "13.1×", or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}×"


def standard_error(share: float, images: int) -> float:
    """Of a share of `images` that were right, as other images would give it: 0..1/2."""
    return math.sqrt(share * (1 - share) / images)


def accuracy_of(share: float, images: int) -> str:
    """Top-1 with its standard error, in percent: "85.62% ± 1.60"."""
    return f"{share:.2%} ± {100 * standard_error(share, images):.2f}"


def accuracy_table(results: Results) -> Table:
    """Accuracy of the network as it shrinks, on the full test split; without labels its outputs'
    error."""
    note = results.dataset.note
    accuracy, images = results.accuracy, results.dataset.test
    what = "test accuracy ± standard error" if accuracy else "relative RMS error of the outputs"
    table = new_table(f"{results.network}, {note}", "model", what, "weights", "size")
    compression = results.compression
    weights, nonzeros = compression.weights, compression.nonzeros
    dense = accuracy_of(accuracy.dense, images) if accuracy else "–"
    table.add_row("dense, float", dense, f"{weights:,}", f"{weights * 4:,} B")
    if accuracy and accuracy.pruned is not None:
        table.add_row("pruned, float", accuracy_of(accuracy.pruned, images), f"{nonzeros:,}", "")
    table.add_row(
        "model.cosign, integer",
        accuracy_of(accuracy.integer, images) if accuracy else fidelity_of(results),
        f"{nonzeros:,} ({times(compression.pruning_ratio, 1)})",
        f"{compression.file_bytes:,} B ({times(weights * 4 / compression.file_bytes, 0)})",
    )
    return table


def fidelity_of(results: Results) -> str:
    """Errors of the outputs, in percent: "map 3.10%, boxes 4.22%"; a dash where none is known."""
    outputs = results.fidelity.outputs if results.fidelity else ()
    told = [
        "infinite" if out.relative_rms_error is None else f"{out.relative_rms_error:.2%}"
        for out in outputs
    ]
    if len(told) == 1:
        return told[0]
    return ", ".join(f"{out.name} {error}" for out, error in zip(outputs, told, strict=True)) or "–"


def allocation_table(allocation: Allocation) -> Table:
    """Each layer's share of the budget and of the loss, and below it why."""
    table = new_table(
        f"Allocation for {allocation.budget}: pruning ratios where they hurt least",
        "layer",
        "break-even",
        "ratio",
        "of the expected loss",
    )
    whole = sum(allocation.losses.values())
    for name, ratio in allocation.ratios.items():
        needed = allocation.break_even.get(name)
        table.add_row(
            name,
            times(needed) if needed or name not in allocation.break_even else "never",
            "dense" if ratio == 1 else times(ratio),
            f"{allocation.losses[name] / whole:.1%}" if whole else "–",
        )
    chosen = allocation.chosen
    table.add_row("all", "", times(chosen.pruning_ratio), f"{chosen.expected_loss:.3g}")
    table.caption = "\n".join(
        [*allocation.why, "Losses are mean square changes of the outputs over their variance."]
    )
    return table


def tradeoff_table(allocation: Allocation) -> Table:
    """What else could be had: time, size, and what was measured of it."""
    table = new_table(
        f"Trade-off: measured on {allocation.images:,} images of the validation split",
        "",
        "ms of an image",
        "ratio",
        "bytes",
        "expected loss",
        "accuracy",
        "error of the outputs",
    )
    dense = allocation.dense_accuracy
    table.add_row(
        "dense, float",
        f"{allocation.dense_time_s * 1e3:.4g}",
        times(1),
        "",
        "0",
        "–" if dense is None else f"{dense:.2%}",
        "0.00%",
    )
    every = [(point, "") for point in allocation.points] + [(allocation.chosen, "this run")]
    every.sort(key=lambda one: (-(one[0].time_s or 0.0), one[0].pruning_ratio))
    for point, name in every:
        table.add_row(
            name or ("compressed" if point.measured else "estimated"),
            "–" if point.time_s is None else f"{point.time_s * 1e3:.4g}",
            times(point.pruning_ratio),
            f"{point.file_bytes:,}",
            f"{point.expected_loss:.3g}",
            "–" if point.accuracy is None else f"{point.accuracy:.2%}",
            "–" if point.error is None else f"{point.error:.2%}",
            style="bold" if name else None,
        )
    return table


def layer_table(results: Results) -> Table:
    """One row per accelerated layer; cycles of one image."""
    table = new_table(
        "Layers: cycles of one image; speedup over, and break-even with, the dense core",
        "layer",
        "weights",
        "non-zeros",
        "density",
        "ratio",
        "bits",
        "cycles dense",
        "sparse",
        "speedup",
        "break-even",
        "decision",
    )
    for layer in results.layers:
        table.add_row(
            layer.name,
            f"{layer.weights:,}",
            f"{layer.nonzeros:,}",
            f"{layer.nonzeros / layer.weights:.1%}",
            times(layer.pruning_ratio, 1),
            str(layer.bits),
            *_cycles(layer),
            times(layer.speedup, 1),
            "never" if layer.cycles and not layer.break_even else times(layer.break_even),
            layer.decision,
        )
    return table


def _cycles(layer: Layer) -> tuple[str, str]:
    cycles = layer.cycles
    return ("–", "–") if cycles is None else (f"{cycles.dense:,.0f}", f"{cycles.sparse:,.0f}")


def feedback_table(feedback: Feedback, images: int) -> Table:
    """Fig. 5: the pruning ratio of every layer after each round, and below it why.

    images : of the validation split
    """
    rounds, layers = feedback.rounds, feedback.start.ratios
    table = new_table(
        "Feedback (Fig. 5): pruning ratios round by round; accuracy on the validation split; time "
        "of one image",
        "",
        *layers,
        "all",
        "accuracy",
        "ms",
    )
    known = feedback.break_even
    needed = (
        ("never" if known[n] is None else times(known[n])) if n in known else "–" for n in layers
    )
    table.add_row("break-even", *needed, "", f"≥ {feedback.bound:.2%}", "")
    states: list[State | Round] = [feedback.start, *rounds]
    for number, state in enumerate(states):
        table.add_row(
            f"round {number}" if number else "start",
            *("dense" if ratio == 1 else times(ratio) for ratio in state.ratios.values()),
            times(state.pruning_ratio, 1),
            f"{state.accuracy:.2%}",
            "–" if state.time_s is None else f"{state.time_s * 1e3:.4g}",
        )
    error = standard_error(feedback.dense_accuracy, images)
    room = feedback.dense_accuracy - feedback.bound
    reach = f", which is {room / error:.1f} of them" if error else ""
    noise = (
        f"A standard error of {images:,} validation images is {100 * error:.2f} points; the bound "
        f"is {100 * room:.2f} points below the dense network{reach}."
    )
    why = (f"Round {number}: {' '.join(state.why)}" for number, state in enumerate(rounds, 1))
    table.caption = "\n".join([*why, noise])
    return table


def core_table(results: Results) -> Table:
    """Area and clock of the cores, as Yosys and OpenSTA measured them."""
    hardware = results.hardware
    table = new_table(
        f"Cores in {hardware.pdk}, SRAM: {hardware.sram_model}",
        "core",
        "multipliers",
        "logic µm²",
        "SRAM µm²",
        "total µm²",
        "Fmax MHz",
    )
    for core in hardware.cores:
        table.add_row(
            core.name,
            "–" if core.multipliers is None else f"{core.multipliers:,}",
            f"{core.logic_um2:,.0f}",
            f"{core.area_um2 - core.logic_um2:,.0f}",
            f"{core.area_um2:,.0f}",
            f"{core.fmax_hz / 1e6:,.0f}",
        )
    return table


def size(value: float) -> str:
    """A size as the paper writes it, "2.73 KB", in powers of ten."""
    return f"{value / 1e6:,.4g} MB" if value >= 1e6 else f"{value / 1e3:,.3g} KB"


def speedup(results: Results) -> float | None:
    """Time of all accelerated layers on the dense core over that on the sparse core of no larger
    area; None when no sparse core fits."""
    ran = [(layer.cycles.dense, layer.speedup) for layer in results.layers if layer.cycles]
    sparse = [dense / speedup for dense, speedup in ran if speedup]
    return sum(dense for dense, _ in ran) / sum(sparse) if len(sparse) == len(ran) else None


def verdict(results: Results) -> str:
    """The run in one sentence."""
    check = results.verification
    if check.mismatches:
        return (
            f"{check.mismatches:,} of {check.values_compared:,} values that the RTL computed "
            "differ from the golden model, so nothing else here can be trusted."
        )
    compression, hardware = results.compression, results.hardware
    gain, ratio = speedup(results), hardware.break_even
    ran = [layer for layer in results.layers if layer.cycles]
    pays = sum(layer.decision == "sparse" for layer in ran)
    machine = (
        "no sparse core fits the dense core's area"
        if gain is None
        else f"sparse hardware runs its accelerated layers {times(gain, 1)} faster than "
        f"{hardware.dense.name} of no smaller area, {pays} of {len(ran)} pruned beyond break-even"
    )
    layer = hardware.break_even_layer
    crossing = (
        f"never on {layer}"
        if ratio is None
        else f"{times(ratio)} on {layer}; in the paper {paper.BREAK_EVEN_RATIO}× on CONV4"
    )
    return (
        f"With {times(compression.pruning_ratio, 1)} fewer weights, in "
        f"{compression.file_bytes:,} bytes and {_quality(results)}, {machine} ({crossing})."
    )


def _quality(results: Results) -> str:
    """The middle of the verdict: how good the integers are."""
    accuracy, note = results.accuracy, results.dataset.note
    if accuracy is None:
        return f"with outputs {fidelity_of(results)} from the float network's ({note})"
    error = 100 * standard_error(accuracy.integer, results.dataset.test)
    return (
        f"at {accuracy.integer:.2%} accuracy (± {error:.2f}; "
        f"{accuracy.dense:.2%} dense{'; ' if note else ''}{note})"
    )
