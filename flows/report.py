"""report.html: one self-contained page per run, made from results.json alone."""

from pathlib import Path
from typing import Any

import jinja2
from rich.table import Table

from cosign import atomic_write
from flows import plots, tables

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def _rows(table: Table) -> dict[str, Any]:
    """A terminal table as plain cells, so that page and terminal cannot disagree."""
    columns = [list(column.cells) for column in table.columns]
    return {
        "title": str(table.title),
        "notes": str(table.caption or "").splitlines(),
        "header": [str(column.header) for column in table.columns],
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }


def render(results: dict[str, Any]) -> str:
    """The page as text."""
    figures = [
        (
            "Where sparse hardware starts to win",
            "Speedup against the share of weights pruned, with the line where both are equal.",
            plots.break_even(results),
        ),
        (
            "What each layer kept and gained",
            "Bars: percent of weights kept and speedup, per layer.",
            plots.layers(results),
        ),
        ("Where the area goes", "Stacked bars: logic and SRAM of each core.", plots.area(results)),
        (
            "ADMM convergence",
            "Relative distance between W and Z per layer over the ADMM iterations.",
            plots.convergence(results),
        ),
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text())
    return template.render(
        results=results,
        verdict=tables.verdict(results),
        tables=[_rows(table) for table in tables.all_tables(results)],
        figures=[(title, alt, plots.svg(figure)) for title, alt, figure in figures],
    )


def write(results: dict[str, Any], path: Path) -> None:
    """Write the page atomically."""
    with atomic_write(path) as file:
        file.write(render(results).encode())
