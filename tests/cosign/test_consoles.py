"""Tables on narrow terminals: every cell is there, and no line is longer."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from cosign import consoles
from flows.report.tables import new_table

HEAD = ("layer", "weights", "non-zeros", "pruning", "bits", "cycles", "speedup", "break-even")
WORDS = st.text("abcdefghijk-0123456789×", min_size=1, max_size=12)  # of tables


def printed(head: tuple[str, ...], rows: list[list[str]], width: int) -> list[str]:
    table = new_table("Layers", *head)
    for row in rows:
        table.add_row(*row)
    screen = io.StringIO()
    consoles.show(Console(file=screen, width=width, markup=False), table)
    return screen.getvalue().splitlines()


@given(st.data(), st.integers(1, len(HEAD)), st.integers(40, 140))
def test_no_cell_is_cut(data: st.DataObject, columns: int, width: int) -> None:
    row = st.lists(WORDS, min_size=columns, max_size=columns)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    lines = printed(HEAD[:columns], rows, width)
    words = {word for line in lines for word in line.split()}
    assert {cell for row in (HEAD[:columns], *rows) for cell in row} <= words
    assert max(map(cell_len, lines)) <= width
    assert "…" not in "".join(lines)


def test_a_table_that_fits_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["conv1", *"1234567"], ["conv2", *"1234567"]]
    assert sum("layer" in line for line in printed(HEAD, rows, 85)) == 1
    assert sum("layer" in line for line in printed(HEAD, rows, 50)) == 2
    assert sum("Layers (continued)" in line for line in printed(HEAD, rows, 50)) == 1


def test_a_name_that_is_longer_than_the_terminal_is_folded() -> None:
    lines = printed(HEAD[:3], [["a" * 100, "1,234", "567"]], 60)
    assert sum(line.count("a") for line in lines if "layer" not in line) == 100 + "Layers".count(
        "a"
    )
    assert {"1,234", "567"} <= {word for line in lines for word in line.split()}


def test_text_is_folded_where_columns_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [HEAD, ("conv1", "1,234,567", *"234567")]
    monkeypatch.delenv("COLUMNS", raising=False)
    whole = consoles.aligned(rows)
    assert whole.count("\n") == 1
    monkeypatch.setenv("COLUMNS", "40")
    lines = consoles.aligned(rows).splitlines()
    assert max(map(len, lines)) <= 40
    assert sum(line.startswith("conv1") for line in lines) == 2
    assert set(whole.split()) == {word for line in lines for word in line.split()}
    monkeypatch.setenv("COLUMNS", "80")
    assert consoles.aligned(rows) == whole
