"""A run on the terminal: every table, then the verdict."""

from rich.console import Console
from rich.table import Table

from cosign import consoles
from flows.report.paper_tables import paper_tables
from flows.report.results import Results
from flows.report.tables import (
    accuracy_table,
    allocation_table,
    core_table,
    feedback_table,
    layer_table,
    tradeoff_table,
    verdict,
)


def all_tables(results: Results) -> list[Table]:
    """Every table that these results have, in reading order."""
    tables = (
        accuracy_table(results),
        feedback_table(results.feedback, results.dataset.val) if results.feedback else None,
        allocation_table(results.allocation) if results.allocation else None,
        tradeoff_table(results.allocation) if results.allocation else None,
        layer_table(results),
        core_table(results),
        *paper_tables(results),
    )
    return [table for table in tables if table is not None]


def show(results: Results, console: Console) -> None:
    """Print all tables and the verdict."""
    for table in all_tables(results):
        consoles.show(console, table)
        console.print()
    check = results.verification
    console.print(
        f"The RTL computed {check.values_compared:,} values with {check.mismatches} mismatches.",
        highlight=False,
    )
    console.print(verdict(results), style="bold", highlight=False)
