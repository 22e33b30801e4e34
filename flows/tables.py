"""The terminal's tables, all made from results.json."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from flows import paper

Results = dict[str, Any]
_CYCLES = ("dense", "sparse")


def _table(title: str, *columns: str) -> Table:
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


def accuracy_table(results: Results) -> Table:
    """Accuracy of the network as it shrinks, on the full test split."""
    note = results["dataset"]["note"]
    table = _table(
        f"{results['network']}, {note}",
        "model",
        "test accuracy",
        "weights",
        "size",
    )
    compression, accuracy = results["compression"], results["accuracy"]
    weights, nonzeros = compression["weights"], compression["nonzeros"]
    table.add_row("dense, float", f"{accuracy['dense']:.2%}", f"{weights:,}", f"{weights * 4:,} B")
    table.add_row("pruned, float", f"{accuracy['pruned']:.2%}", f"{nonzeros:,}", "")
    table.add_row(
        "model.cosign, integer",
        f"{accuracy['integer']:.2%}",
        f"{nonzeros:,} ({times(compression['pruning_ratio'], 1)})",
        f"{compression['file_bytes']:,} B ({times(weights * 4 / compression['file_bytes'], 0)})",
    )
    return table


def layer_table(results: Results) -> Table:
    """One row per accelerated layer; cycles of one image."""
    table = _table(
        "Layers: cycles of one image; speedup over, and break-even with, dense-2d of the same area",
        "layer",
        "weights",
        "non-zeros",
        "ratio",
        "bits",
        "cycles dense",
        "sparse",
        "speedup",
        "break-even",
        "decision",
    )
    for layer in results["layers"]:
        table.add_row(
            layer["name"],
            f"{layer['weights']:,}",
            f"{layer['nonzeros']:,}",
            times(layer["pruning_ratio"], 1),
            str(layer["bits"]),
            *(f"{layer['cycles'][core]:,.0f}" if layer["cycles"] else "–" for core in _CYCLES),
            times(layer["speedup"], 1),
            "never" if layer["cycles"] and not layer["break_even"] else times(layer["break_even"]),
            layer["decision"],
        )
    return table


def feedback_table(results: Results) -> Table:
    """Fig. 5: the pruning ratio of every layer after each round, and below it why."""
    feedback = results["feedback"]
    rounds, layers = feedback["rounds"], feedback["start"]["ratios"]
    table = _table(
        "Feedback (Fig. 5): pruning ratios round by round; accuracy on the validation split; time "
        "of one image",
        "",
        *layers,
        "all",
        "accuracy",
        "ms",
    )
    known = feedback["break_even"]
    needed = (
        ("never" if known[n] is None else times(known[n])) if n in known else "–" for n in layers
    )
    table.add_row("break-even", *needed, "", f"≥ {feedback['bound']:.2%}", "")
    for number, state in enumerate([feedback["start"], *rounds]):
        table.add_row(
            f"round {number}" if number else "start",
            *("dense" if ratio == 1 else times(ratio) for ratio in state["ratios"].values()),
            times(state["pruning_ratio"], 1),
            f"{state['accuracy']:.2%}",
            "–" if state["time_s"] is None else f"{state['time_s'] * 1e3:.4g}",
        )
    table.caption = "\n".join(
        f"Round {number}: {' '.join(state['why'])}" for number, state in enumerate(rounds, 1)
    )
    return table


def core_table(results: Results) -> Table:
    """Area and clock of the cores, as Yosys and OpenSTA measured them."""
    hardware = results["hardware"]
    table = _table(
        f"Cores in {hardware['pdk']}, SRAM: {hardware['sram_model']}",
        "core",
        "lanes × filters",
        "logic µm²",
        "SRAM µm²",
        "total µm²",
        "Fmax MHz",
    )
    for core in hardware["cores"]:
        table.add_row(
            core["name"],
            f"{core['lanes']} × {core['filters']}",
            f"{core['logic_um2']:,.0f}",
            f"{core['area_um2'] - core['logic_um2']:,.0f}",
            f"{core['area_um2']:,.0f}",
            f"{core['fmax_hz'] / 1e6:,.0f}",
        )
    return table


def table_9(results: Results) -> Table | None:
    """Speedup at equal PEs beside the paper's Table 9; None for another network."""
    ours = results["table_9"]
    if ours is None:
        return None
    table = _table(
        "Table 9: speedup at the same number of PEs; the accuracy of our row: "
        + results["dataset"]["note"],
        "",
        *(name.upper() for name in paper.CONV_LAYERS),
        "CONV1-5",
        "prune ratio",
        "accuracy loss",
    )
    for row, values in paper.TABLE_9.items():
        *speedups, loss = values
        table.add_row(f"{row} (paper)", *(f"{value:g}×" for value in speedups), f"{loss:.1f} %")
    table.add_row(
        "cosign, this run",
        *(times(value) for value in ours["speedup"]),
        times(ours["speedup_conv"]),
        times(ours["prune_ratio_conv"], 1),
        f"{ours['accuracy_loss']:.1%}".replace("%", " %"),
        style="bold",
    )
    return table


def all_tables(results: Results) -> list[Table]:
    """Every table that this network has, in reading order."""
    tables = [
        accuracy_table(results),
        feedback_table(results),
        layer_table(results),
        core_table(results),
        table_9(results),
    ]
    return [table for table in tables if table is not None]


def verdict(results: Results) -> str:
    """The run in three sentences."""
    compression, check = results["compression"], results["verification"]
    hardware, note = results["hardware"], results["dataset"]["note"]
    ratio, layer = hardware["break_even"], hardware["break_even_layer"]
    crossing = (
        f"from {times(ratio)} pruning on {layer}, sparse hardware beats dense hardware of the same "
        f"area (the paper's figure, on CONV4 of AlexNet, is {paper.BREAK_EVEN_RATIO}×)."
        if ratio is not None
        else f"on {layer}, dense hardware of the same area won at every pruning ratio measured."
    )
    return (
        f"{results['network']}: {times(compression['pruning_ratio'], 1)} fewer weights, "
        f"{compression['file_bytes']:,} bytes, {results['accuracy']['integer']:.2%} ({note}). "
        f"The RTL computed {check['values_compared']:,} values with {check['mismatches']} "
        f"mismatches. Break-even: {crossing}"
    )


def show(results: Results, console: Console) -> None:
    """Print all tables and the verdict."""
    for table in all_tables(results):
        console.print(table)
        console.print()
    console.print(verdict(results), style="bold", highlight=False)
