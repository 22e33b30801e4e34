"""Runs side by side.

A run is a run directory or a results.json; runs of different networks compare, too.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from cosign import CosignError
from cosign.values import Value
from flows.report import tables
from flows.report.results import Layer, Results

SCHEMA = 1


def _share(value: float) -> str:
    return f"{value:.2%}"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _ratio(value: float) -> str:
    return tables.times(value)


def _error(results: Results) -> float | None:
    """Relative RMS error, the largest of all outputs."""
    outputs = results.fidelity.outputs if results.fidelity else ()
    found = [out.relative_rms_error for out in outputs if out.relative_rms_error is not None]
    return max(found, default=None)


# What is compared of a run, and of a layer: the words, where it is, how it is written.
_OF_A_RUN: tuple[tuple[str, Callable[[Results], Any], Callable[[Any], str]], ...] = (
    ("network", lambda r: r.network, str),
    ("method", lambda r: r.method, str),
    ("data", lambda r: r.dataset.name, str),
    ("accuracy, dense", lambda r: r.accuracy and r.accuracy.dense, _share),
    ("accuracy, pruned", lambda r: r.accuracy and r.accuracy.pruned, _share),
    ("accuracy, integer", lambda r: r.accuracy and r.accuracy.integer, _share),
    ("error of the outputs", _error, _share),
    ("pruning ratio", lambda r: r.compression.pruning_ratio, _ratio),
    ("bits of a weight", lambda r: r.compression.weight_bits_mean, "{:.2f}".format),
    ("bytes, levels", lambda r: r.compression.data_bytes, _number),
    ("bytes, index", lambda r: r.compression.index_bytes, _number),
    ("bytes, whole file", lambda r: r.compression.file_bytes, _number),
    ("speedup, same area", tables.speedup, _ratio),
    ("break-even", lambda r: r.hardware.break_even, _ratio),
    ("break-even on", lambda r: r.hardware.break_even_layer, str),
    ("mismatches", lambda r: r.verification.mismatches, _number),
    ("seconds, all stages", lambda r: sum(r.wall_s.values()), _number),
)
_OF_A_LAYER: tuple[tuple[str, Callable[[Layer], Any], Callable[[Any], str]], ...] = (
    ("density", lambda row: row.nonzeros / row.weights, _share),
    ("bits", lambda row: row.bits, str),
    ("cycles, sparse", lambda row: row.cycles and row.cycles.sparse, _number),
    ("speedup", lambda row: row.speedup, _ratio),
    ("break-even", lambda row: row.break_even, _ratio),
    ("decision", lambda row: row.decision, str),
)


def read(path: Path) -> Results:
    """A run's results. Raises CosignError when `path` holds none, or of another schema."""
    file = path / "results.json" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise CosignError(f"{path} has no results.json; finish the run with --resume {path}.")
    return Results.read(file)


class Comparison(Value, frozen=True, kw_only=True):
    """The figures of each run, by name, and of each layer that any of them has.

    Parameters
    ----------
    schema : of this
    runs : names
    figures : by name, one for each run
    layers : figures by layer, by name, one for each run; null where a run has not got one
    """

    schema: int = SCHEMA
    runs: tuple[str, ...]
    figures: dict[str, tuple[Any, ...]]
    layers: dict[str, dict[str, tuple[Any, ...]]]


def compare(runs: dict[str, Results]) -> Comparison:
    """Runs by name, side by side."""
    names = dict.fromkeys(row.name for results in runs.values() for row in results.layers)
    layers = {}
    for name in names:
        rows = [
            next((row for row in results.layers if row.name == name), None)
            for results in runs.values()
        ]
        layers[name] = {
            what: tuple(None if row is None else value(row) for row in rows)
            for what, value, _ in _OF_A_LAYER
        }
    return Comparison(
        runs=tuple(runs),
        figures={
            what: tuple(value(results) for results in runs.values()) for what, value, _ in _OF_A_RUN
        },
        layers=layers,
    )


def _cells(values: Sequence[Any], write: Callable[[Any], str]) -> list[str]:
    return ["–" if value is None else write(value) for value in values]


def tables_of(found: Comparison) -> list[Table]:
    """The comparison as two tables for the terminal or a page."""
    whole = tables.new_table("Runs side by side", "", *found.runs)
    for what, _, write in _OF_A_RUN:
        whole.add_row(what, *_cells(found.figures[what], write))
    layers = tables.new_table("Layers side by side", "layer", "", *found.runs)
    for name, row in found.layers.items():
        for number, (what, _, write) in enumerate(_OF_A_LAYER):
            layers.add_row("" if number else name, what, *_cells(row[what], write))
    return [whole, layers]
