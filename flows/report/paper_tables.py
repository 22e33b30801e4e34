"""Tables 5 to 9 of the paper with our row beside its own."""

from collections.abc import Sequence

from rich.table import Table

from compress.zoo.alexnet import TABLE_8
from flows.report import paper
from flows.report.results import Results
from flows.report.tables import new_table, size, times


def paper_tables(results: Results) -> list[Table]:
    """Tables 5 to 9 of the paper that have this network, with our row."""
    tables = size_table(results), table_7(results), table_8(results), table_9(results)
    return [table for table in tables if table is not None]


def size_table(results: Results) -> Table | None:
    """The compressed file beside Table 5 or 6 of the paper; None for a network it has not."""
    paper_rows = paper.SIZES.get(results.network)
    if paper_rows is None:
        return None
    number = 5 if results.network == "lenet5" else 6
    table = new_table(
        f"Table {number}: model size",
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
    compression, accuracy = results.compression, results.accuracy
    sizes = compression.data_bytes, compression.file_bytes
    full = 4 * compression.weights
    table.add_row(
        "cosign, this run",
        _loss(results, accuracy.dense - accuracy.integer) if accuracy else "–",
        _count(compression.nonzeros),
        _bits(results, "conv"),
        _bits(results, "linear"),
        *(cell for part in sizes for cell in (size(part), times(full / part, 0))),
        style="bold",
    )
    return table


def table_7(results: Results) -> Table | None:
    """AlexNet's layers beside the paper's Table 7; None for another network."""
    if results.network != "alexnet":
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
    ours = {layer.name: (layer.weights, layer.nonzeros) for layer in results.layers}
    compression = results.compression
    ours["total"] = compression.weights, compression.nonzeros
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


def table_8(results: Results) -> Table | None:
    """Operations and operations × bits beside the paper's Table 8; None for another network."""
    if results.table_9 is None:
        return None
    table = new_table(
        "Table 8: operations of the convolutions (two a MAC), and operations × weight bits",
        "",
        *(name.upper() for name in paper.CONV_LAYERS),
        "CONV1-5",
    )

    def add(name: str, values: Sequence[float], style: str = "") -> None:
        table.add_row(name, *(f"{value:,.0f}M" for value in (*values, sum(values))), style=style)

    conv = [layer for layer in results.layers if layer.name in paper.CONV_LAYERS]
    ours = [2e-6 * layer.macs * layer.nonzeros / layer.weights for layer in conv]
    for row, operations in TABLE_8.items():
        add(f"{row} (paper)", operations[: len(conv)])
    add("cosign, this run", ours, style="bold")
    for row, bits in paper.TABLE_8_BITS.items():
        add(f"{row} × bits (paper)", [n * b for n, b in zip(TABLE_8[row], bits, strict=False)])
    add(
        "cosign × bits, this run",
        [n * layer.bits for n, layer in zip(ours, conv, strict=True)],
        style="bold",
    )
    return table


def table_9(results: Results) -> Table | None:
    """Speedup at equal PEs beside the paper's Table 9; None for another network."""
    ours = results.table_9
    if ours is None:
        return None
    table = new_table(
        "Table 9: speedup at the same number of PEs",
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
        *(times(value) for value in ours.speedup),
        times(ours.speedup_conv),
        times(ours.prune_ratio_conv, 1),
        _loss(results, ours.accuracy_loss),
        style="bold",
    )
    return table


def _loss(results: Results, loss: float) -> str:
    """Our accuracy loss beside the paper's; no figure where the data are others."""
    return f"{100 * loss:.1f} %" if paper.same_data(results) else "other data"


def _bits(results: Results, kind: str) -> str:
    """Weight bits of the layers of a kind: "3", "3-5", or a dash."""
    found = sorted({layer.bits for layer in results.layers if layer.kind == kind})
    return "-".join(map(str, dict.fromkeys((found[0], found[-1])))) if found else "–"


def _count(value: float) -> str:
    """A number of weights as the paper writes it, "2.57K"."""
    return f"{value / 1e6:,.4g}M" if value >= 1e6 else f"{value / 1e3:,.4g}K"
