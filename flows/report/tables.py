"""The terminal's tables, all made from results.json."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from compress.zoo.alexnet import TABLE_8
from flows.report import paper

Results = dict[str, Any]
_WIDTH = 140
_CYCLES = ("dense", "sparse")


def console() -> Console:
    """Standard output, wide enough for our tables where it is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH)


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


def accuracy_table(results: Results) -> Table:
    """Accuracy of the network as it shrinks, on the full test split."""
    note = results["dataset"]["note"]
    table = new_table(
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
    table = new_table(
        "Layers: cycles of one image; speedup over, and break-even with, dense-2d of the same area",
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
    for layer in results["layers"]:
        table.add_row(
            layer["name"],
            f"{layer['weights']:,}",
            f"{layer['nonzeros']:,}",
            f"{layer['nonzeros'] / layer['weights']:.1%}",
            times(layer["pruning_ratio"], 1),
            str(layer["bits"]),
            *(f"{layer['cycles'][core]:,.0f}" if layer["cycles"] else "–" for core in _CYCLES),
            times(layer["speedup"], 1),
            "never" if layer["cycles"] and not layer["break_even"] else times(layer["break_even"]),
            layer["decision"],
        )
    return table


def feedback_table(results: Results) -> Table | None:
    """Fig. 5: the pruning ratio of every layer after each round, and below it why.

    None for results written before the loop had feedback.
    """
    feedback = results.get("feedback")
    if feedback is None:
        return None
    rounds, layers = feedback["rounds"], feedback["start"]["ratios"]
    table = new_table(
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
    table = new_table(
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


def table_8(results: Results) -> Table | None:
    """Operations and operations × bits beside the paper's Table 8; None for another network."""
    if results["table_9"] is None:
        return None
    table = new_table(
        "Table 8: operations of the convolutions (two a MAC), and operations × weight bits",
        "",
        *(name.upper() for name in paper.CONV_LAYERS),
        "CONV1-5",
    )

    def add(name: str, values: Sequence[float], style: str = "") -> None:
        table.add_row(name, *(f"{value:,.0f}M" for value in (*values, sum(values))), style=style)

    conv = [layer for layer in results["layers"] if layer["name"] in paper.CONV_LAYERS]
    ours = [2e-6 * layer["macs"] * layer["nonzeros"] / layer["weights"] for layer in conv]
    for row, operations in TABLE_8.items():
        add(f"{row} (paper)", operations[: len(conv)])
    add("cosign, this run", ours, style="bold")
    for row, bits in paper.TABLE_8_BITS.items():
        add(f"{row} × bits (paper)", [n * b for n, b in zip(TABLE_8[row], bits, strict=False)])
    add(
        "cosign × bits, this run",
        [n * layer["bits"] for n, layer in zip(ours, conv, strict=True)],
        style="bold",
    )
    return table


def size_table(results: Results) -> Table | None:
    """The compressed file beside Table 5 or 6 of the paper; None for a network it has not."""
    paper_rows = paper.SIZES.get(results["network"])
    if paper_rows is None:
        return None
    number = 5 if results["network"] == "lenet5" else 6
    table = new_table(
        _beside(f"Table {number}: model size", results),
        "",
        "accuracy loss",
        "weights",
        "CONV bits",
        "FC bits",
        "data",
        "ratio",
        "with index",
        "ratio",
    )

    for name, (loss, weights, *bits, data, ratio, total, total_ratio) in paper_rows.items():
        table.add_row(
            f"{name} (paper)",
            f"{loss:.1f} %",
            _count(weights),
            *map(str, bits),
            *(size(data), f"{ratio:,g}×", size(total), f"{total_ratio:,g}×"),
        )
    compression, accuracy = results["compression"], results["accuracy"]
    sizes = compression["data_bytes"], compression["file_bytes"]
    full = 4 * compression["weights"]
    table.add_row(
        "cosign, this run",
        f"{100 * (accuracy['dense'] - accuracy['integer']):.1f} %",
        _count(compression["nonzeros"]),
        _bits(results, "conv"),
        _bits(results, "linear"),
        *(cell for part in sizes for cell in (size(part), times(full / part, 0))),
        style="bold",
    )
    return table


def _beside(title: str, results: Results) -> str:
    """A title of a table of the paper's, with a warning when our data are not its own."""
    note = results["dataset"]["note"]
    same = results["network"] == "lenet5" or not note
    return title if same else f"{title}; the accuracy of our row: {note}"


def _bits(results: Results, kind: str) -> str:
    """Weight bits of the layers of a kind: "3", "3-5", or a dash."""
    found = sorted({layer["bits"] for layer in results["layers"] if layer["kind"] == kind})
    return "-".join(map(str, dict.fromkeys((found[0], found[-1])))) if found else "–"


def _count(value: float) -> str:
    """A number of weights as the paper writes it, "2.57K"."""
    return f"{value / 1e6:,.4g}M" if value >= 1e6 else f"{value / 1e3:,.4g}K"


def size(value: float) -> str:
    """A size as the paper writes it, "2.73 KB", in powers of ten."""
    return f"{value / 1e6:,.4g} MB" if value >= 1e6 else f"{value / 1e3:,.3g} KB"


def table_7(results: Results) -> Table | None:
    """AlexNet's layers beside the paper's Table 7; None for another network."""
    if results["network"] != "alexnet":
        return None
    table = new_table(
        "Table 7: weights of each layer before and after pruning",
        "layer",
        "paper: weights",
        "after pruning",
        "kept",
        "cosign: weights",
        "after pruning",
        "kept",
    )
    ours = {layer["name"]: (layer["weights"], layer["nonzeros"]) for layer in results["layers"]}
    compression = results["compression"]
    ours["total"] = compression["weights"], compression["nonzeros"]
    for name, pair in paper.TABLE_7.items():
        table.add_row(
            name,
            *(
                cell
                for weights, kept in (pair, ours[name])
                for cell in (_count(weights), _count(kept), f"{kept / weights:.2%}")
            ),
            style="bold" if name == "total" else "",
        )
    return table


def table_9(results: Results) -> Table | None:
    """Speedup at equal PEs beside the paper's Table 9; None for another network."""
    ours = results["table_9"]
    if ours is None:
        return None
    table = new_table(
        _beside("Table 9: speedup at the same number of PEs", results),
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


def paper_tables(results: Results) -> list[Table]:
    """Tables 5 to 9 of the paper that have this network, with our row."""
    tables = size_table(results), table_7(results), table_8(results), table_9(results)
    return [table for table in tables if table is not None]


def all_tables(results: Results) -> list[Table]:
    """Every table that these results have, in reading order."""
    tables = (
        accuracy_table(results),
        feedback_table(results),
        layer_table(results),
        core_table(results),
        *paper_tables(results),
    )
    return [table for table in tables if table is not None]


def speedup(results: Results) -> float | None:
    """Time of all accelerated layers on the dense core over that on the sparse core of no larger
    area; None when no sparse core fits."""
    ran = [layer for layer in results["layers"] if layer["cycles"]]
    if any(layer["speedup"] is None for layer in ran):
        return None
    dense = [layer["cycles"]["dense"] for layer in ran]
    sparse = [time / layer["speedup"] for time, layer in zip(dense, ran, strict=True)]
    return sum(dense) / sum(sparse)


def verdict(results: Results) -> str:
    """The run in one sentence."""
    check = results["verification"]
    if check["mismatches"]:
        return (
            f"{check['mismatches']:,} of {check['values_compared']:,} values that the RTL computed "
            "differ from the golden model, so nothing else here can be trusted."
        )
    compression, accuracy, hardware = (
        results[part] for part in ("compression", "accuracy", "hardware")
    )
    gain, ratio = speedup(results), hardware["break_even"]
    note = results["dataset"]["note"]
    ran = [layer for layer in results["layers"] if layer["cycles"]]
    pays = sum(layer["decision"] == "sparse" for layer in ran)
    machine = (
        "no sparse core fits the dense core's area"
        if gain is None
        else f"sparse hardware runs its accelerated layers {times(gain, 1)} faster than dense "
        f"hardware of no smaller area, {pays} of {len(ran)} pruned beyond break-even"
    )
    layer = hardware["break_even_layer"]
    crossing = (
        f"never on {layer}"
        if ratio is None
        else f"{times(ratio)} on {layer}; in the paper {paper.BREAK_EVEN_RATIO}× on CONV4"
    )
    return (
        f"With {times(compression['pruning_ratio'], 1)} fewer weights, in "
        f"{compression['file_bytes']:,} bytes and at {accuracy['integer']:.2%} accuracy "
        f"({accuracy['dense']:.2%} dense{'; ' if note else ''}{note}), {machine} "
        f"({crossing})."
    )


def show(results: Results, console: Console) -> None:
    """Print all tables and the verdict."""
    for table in all_tables(results):
        console.print(table)
        console.print()
    check = results["verification"]
    console.print(
        f"The RTL computed {check['values_compared']:,} values with {check['mismatches']} "
        "mismatches.",
        highlight=False,
    )
    console.print(verdict(results), style="bold", highlight=False)
