"""What `cosign sim` prints."""

from collections.abc import Sequence
from typing import Any

from cosign.consoles import aligned
from sim.coverage import Coverage
from sim.verify import LayerVerification, Verification


def verification_table(found: Verification) -> str:
    """A row for each layer of `cosign sim run`, then where values or cycles differ."""
    head = ("layer", "values", "mismatches", "cycles RTL", "cycles model", "stalls", "wall s")
    rows = [head, *(_layer_row(layer) for layer in found.layers)]
    model = [layer.model_cycles for layer in found.layers]
    rows.append(
        (
            "total",
            f"{found.values_compared:,}",
            f"{found.mismatches:,}",
            f"{sum(layer.cycles for layer in found.layers):,}",
            f"{sum(cycles for cycles in model if cycles is not None):,}" if all(model) else "-",
            f"{sum(layer.stalls for layer in found.layers):,}",
            f"{sum(layer.wall_s for layer in found.layers):,.1f}",
        )
    )
    wrong = [f"{layer.name}: {layer.first_mismatch}" for layer in found.layers if layer.mismatches]
    return "\n".join([aligned(rows), *wrong])


def _layer_row(layer: LayerVerification) -> tuple[str, ...]:
    return (
        layer.name,
        f"{layer.values_compared:,}",
        f"{layer.mismatches:,}",
        f"{layer.cycles:,}",
        "-" if layer.model_cycles is None else f"{layer.model_cycles:,}",
        f"{layer.stalls:,}",
        f"{layer.wall_s:,.1f}",
    )


def cycles_table(report: dict[str, Any]) -> str:
    """A row for each layer of `cosign sim cycles`, and totals."""
    rows: list[tuple[str, ...]] = [("layer", "weights", "non-zeros", *report["cores"], "speedup")]
    rows += [_cycles_row(layer["name"], layer) for layer in report["layers"]]
    if report["conv"] and report["conv"] != report["total"]:
        rows.append(_cycles_row("all conv", report["conv"]))
    rows.append(_cycles_row("total", report["total"]))
    return aligned(rows)


def _cycles_row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    counts = (f"{row[key]:,}" for key in ("weights", "nonzeros"))
    return (
        name,
        *counts,
        *(f"{cycles:,}" for cycles in row["cycles"].values()),
        f"{row['speedup']:.2f}x",
    )


def coverage_table(found: Sequence[Coverage]) -> str:
    """A row for each core of `cosign sim coverage`."""
    rows: list[tuple[str, ...]] = [("core", "lines", "reached", "toggles", "reached", "missed")]
    for each in found:
        counts = ((each.lines, each.lines_hit), (each.toggles, each.toggles_hit))
        shares = (cell for n, hit in counts for cell in (f"{n:,}", f"{hit / max(n, 1):.1%}"))
        missed = ", ".join(map(str, each.missed[:8])) + ", ..." * (len(each.missed) > 8)
        rows.append((each.core, *shares, missed or "-"))
    return aligned(rows)
