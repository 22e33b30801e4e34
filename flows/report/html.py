"""report.html: one self-contained page per run, from results.json, model.cosign and, where cores
were placed, their floorplans."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from matplotlib.figure import Figure
from rich.table import Table

from compress.model.graph import Layer
from cosign import atomic_write
from flows.report import figures, pictures, plots, tables
from flows.report.paper_tables import paper_tables
from flows.report.results import Results

_TEMPLATES = Path(__file__).parent


class _Panel(NamedTuple):
    """A figure on the page: what it shows, for those who see it and for those who do not."""

    svg: str
    caption: str


def page(template: str, **content: Any) -> str:
    """A page as text; every value in `content` is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(content)


def plain(table: Table) -> dict[str, Any]:
    """A terminal table as plain cells, so that page and terminal cannot disagree."""
    columns = [list(column.cells) for column in table.columns]
    return {
        "title": str(table.title),
        "notes": str(table.caption or "").splitlines(),
        "header": [str(column.header) for column in table.columns],
        "rows": [
            {"cells": list(cells), "bold": row.style == "bold"}
            for row, cells in zip(table.rows, zip(*columns, strict=True), strict=True)
        ],
    }


def render(results: Results, layers: Sequence[Layer], placed: Mapping[str, Path] = {}) -> str:
    """The page as text.

    layers : of the model.cosign that `results` were measured on
    placed : folder of each placed core that is shown, by name
    """
    return page(
        "report.html.j2",
        results=results,
        verdict=tables.verdict(results),
        tiles=_tiles(results),
        accuracy=plain(tables.accuracy_table(results)),
        feedback=results.feedback
        and plain(tables.feedback_table(results.feedback, results.dataset.val)),
        allocation=results.allocation and plain(tables.allocation_table(results.allocation)),
        tradeoff=results.allocation and plain(tables.tradeoff_table(results.allocation)),
        layers=plain(tables.layer_table(results)),
        cores=plain(tables.core_table(results)),
        others=[plain(table) for table in paper_tables(results)],
        figures=_panels(results),
        pictures=[pictures.picture(layer) for layer in layers],
        floorplans=[pictures.floorplan(*core) for core in placed.items()],
    )


def write(
    results: Results, layers: Sequence[Layer], placed: Mapping[str, Path], path: Path
) -> None:
    """Write the page atomically."""
    with atomic_write(path) as file:
        file.write(render(results, layers, placed).encode())


def _tiles(results: Results) -> list[tuple[str, str]]:
    """The run's six numbers, and what each one is."""
    accuracy, compression = results.accuracy, results.compression
    hardware, check = results.hardware, results.verification
    shrunk = 4 * compression.weights / compression.file_bytes
    ratio = hardware.break_even
    return [
        (f"{accuracy.integer:.2%}", f"accuracy, {accuracy.dense:.2%} before")
        if accuracy
        else (tables.fidelity_of(results), "relative RMS error of the outputs"),
        (tables.times(compression.pruning_ratio, 1), "fewer weights"),
        (
            tables.size(compression.file_bytes),
            f"the whole file, {tables.times(shrunk, 0)} smaller",
        ),
        (
            tables.times(tables.speedup(results), 1),
            f"faster than {hardware.dense.name} of the same area",
        ),
        (
            "never" if ratio is None else tables.times(ratio),
            f"break-even on {hardware.break_even_layer}",
        ),
        (
            f"{check.mismatches:,}",
            f"mismatches in {check.values_compared:,} values on the RTL",
        ),
    ]


def _panels(results: Results) -> dict[str, _Panel | None]:
    def panel(draw: Callable[[Results], Figure], caption: str, numbers: str = "") -> _Panel:
        """`numbers` are told to those who do not see the chart, where no table has them."""
        return _Panel(plots.svg(draw(results), f"Chart. {caption} {numbers}".strip()), caption)

    hardware, compression = results.hardware, results.compression
    ran = [layer.cycles for layer in results.layers if layer.cycles]
    return {
        "accuracy": panel(
            figures.accuracy,
            "Points of accuracy lost against the float network before pruning: further right is "
            "smaller, lower is better. Blue is this run; orange are the paper's tables 5 and 6 "
            "where its data are the same.",
        )
        if results.accuracy
        else None,
        "tradeoff": panel(
            figures.tradeoff,
            "What a shorter time of an image costs. Full dots were compressed and measured, the "
            "large one is this run; the others are what the layers' curves expect.",
        )
        if results.allocation
        else None,
        "layers": panel(
            figures.layers,
            "Left: a layer pays on sparse hardware when its bar passes the orange line, its "
            "break-even ratio. Right: what it then gains.",
        ),
        "break_even": panel(
            plots.break_even,
            "Fig. 4 of the paper: sparse hardware is sized to the dense core's area at every "
            "pruning portion, memories included. Above the line at 1 it is faster.",
            f"{hardware.break_even_layer} crosses it at "
            f"{tables.times(hardware.break_even)} pruning.",
        ),
        "storage": panel(
            figures.storage,
            "Bytes of each layer in model.cosign: the levels themselves, the index that says where "
            "they belong, and the biases.",
            f"In all {tables.size(compression.data_bytes)} of levels, "
            f"{tables.size(compression.index_bytes)} of index, "
            f"{tables.size(compression.bias_bytes)} of biases.",
        ),
        "area": panel(
            figures.area,
            "Above, logic and memories of the whole chip; below, its logic alone, by the block "
            "that the cells belong to.",
        ),
        "utilisation": panel(
            figures.utilisation,
            "One image on both cores, layer after layer on the same time axis; dotted, all "
            "multipliers that there are. The green area is the same work in both, what is not "
            "coloured are multipliers that wait.",
            f"{sum(cycles.dense for cycles in ran):,.0f} cycles dense, "
            f"{sum(cycles.sparse for cycles in ran):,.0f} sparse.",
        ),
        "energy": panel(
            figures.energy,
            "Energy of one image, from the toggles of the mapped netlist and the accesses of the "
            "memories.",
        )
        if results.energy
        else None,
        "convergence": panel(
            figures.convergence,
            "How far the weights are from their constraint (above) and how much the constraint's "
            "choice still moves (below), after every ADMM iteration.",
        )
        if results.admm
        else None,
    }
