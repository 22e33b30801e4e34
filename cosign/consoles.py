"""Where runs are shown: consoles that print names as they are, `[photos]` and `:car:` too.

A table that is wider than the terminal is shown in parts, one below the other, each with the first
column, so that no cell is cut. `folded` does so for tables of rich, `aligned` for plain text.
"""

import copy
import dataclasses
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NoReturn

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDTH = 140
_GAP = "  "
_EDGES = 2  # of a table, in columns of the terminal
_BETWEEN = 3  # padding of a column and the line beside it


class _Plain(Console):
    """Prints names as they are; a reader that stops early is an error, as of `print`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def width() -> int | None:
    """Columns of the terminal that standard output is, or that COLUMNS says; None for any."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    if not terminal and not os.environ.get("COLUMNS", "").isdecimal():
        return None
    return shutil.get_terminal_size().columns


def standard_output() -> Console:
    """Wide enough for our tables where it is no terminal."""
    return _Plain(width=width() or _WIDTH)


def standard_error() -> Console:
    return _Plain(stderr=True)


def show(console: Console, table: Table) -> None:
    """Print `table`, in parts where the console is narrower."""
    for part in folded(console, table):
        console.print(part)


def folded(console: Console, table: Table) -> Iterator[Table]:
    """`table`, or, where it is too wide, tables of some columns each, all with the first one."""
    options = console.options.update(width=10_000)
    widths = [
        max(
            Measurement.get(console, options, cell).maximum
            for cell in (column.header, *column.cells)
        )
        for column in table.columns
    ]
    long = widths[0] > console.width // 2
    widths[0] = min(widths[0], console.width // 2)
    parts = list(_parts(widths, console.width - _EDGES, _BETWEEN))
    for number, part in enumerate(parts):
        found = copy.copy(table)
        found.columns = [
            dataclasses.replace(table.columns[old], _index=new) for new, old in enumerate(part)
        ]
        if long:
            first = found.columns[0]
            first.no_wrap, first.overflow, first.max_width = False, "fold", widths[0]
        if number:
            found.title = f"{table.title} (continued)"
        if number < len(parts) - 1:
            found.caption = None
        yield found


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Columns of equal width, those of `left` to the left; in parts where the terminal is narrow.

    rows : the first one is the head
    """
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    parts = _parts(
        widths, (width() or sum(widths) + len(_GAP) * len(widths)) + len(_GAP), len(_GAP)
    )
    return "\n\n".join(
        "\n".join(
            _GAP.join(
                _padded(row[column], widths[column], column in left) for column in part
            ).rstrip()
            for row in rows
        )
        for part in parts
    )


def _padded(cell: str, columns: int, left: bool) -> str:
    space = " " * (columns - cell_len(cell))
    return cell + space if left else space + cell


def _parts(widths: Sequence[int], room: int, between: int) -> Iterator[list[int]]:
    """Indices of the columns of each part: the first one, and as many of the next as there is room
    for; at least one of them."""
    part, used = [0], widths[0] + between
    for column in range(1, len(widths)):
        needed = widths[column] + between
        if len(part) > 1 and used + needed > room:
            yield part
            part, used = [0], widths[0] + between
        part.append(column)
        used += needed
    yield part
