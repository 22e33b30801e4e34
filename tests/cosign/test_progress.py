"""What a stage shows: a bar on a terminal, lines elsewhere, nothing when it is told so."""

import io
import re

import pytest
from rich.console import Console

from cosign.progress import Reporter

POINT = {
    "step": 45,
    "accuracy": 0.75,
    "rho": 0.01,
    "kept": 7800,
    "primal": {"conv1": 3.0, "fc1": 4.0},
    "dual": {"conv1": 0.5, "fc1": 0.0},
}
SHOWN = "loss 0.5  accuracy 0.75  rho 0.01  kept 7,800  |W-Z| 5  |Z-Zprev| 0.5"


def work(reporter: Reporter) -> None:
    with reporter.running(), reporter.stage("prune"):
        for step in range(1, 101):
            reporter.show("prune", step, 100, {"loss": 0.5} | (POINT if step == 45 else {}))


def test_lines_where_there_is_no_terminal(capsys):
    work(Reporter(Console(file=io.StringIO())))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "prune        1/100  loss 0.5"
    assert lines[-2] == "prune        100/100  loss 0.5"
    assert lines[-1].startswith("prune        done in 0.")
    assert f"prune        45/100  {SHOWN}" in lines
    assert len(lines) == 13  # one for each tenth, the first step, the ADMM iteration, the end


def test_a_bar_with_the_time_left_on_a_terminal(capsys):
    screen = io.StringIO()
    work(Reporter(Console(file=screen, force_terminal=True, width=150)))
    assert "100/100" in screen.getvalue()
    assert "left" in screen.getvalue()
    assert f"prune        45/100  {SHOWN}\n" in screen.getvalue().replace("\r", "")
    assert "loss 0.5" in screen.getvalue()
    assert capsys.readouterr().err == ""


def test_quiet(capsys):
    screen = io.StringIO()
    work(Reporter(Console(file=screen, force_terminal=True), quiet=True))
    assert screen.getvalue() + capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_bar_on_any_terminal_is_one_line_with_its_time(width):
    screen = io.StringIO()
    reporter = Reporter(Console(file=screen, force_terminal=True, width=width, color_system=None))
    with reporter.running(), reporter.stage("synthesize"):
        reporter.show("synthesize", 50_000, 100_000, {"loss": 0.5, "accuracy_of_all": 0.25})
    last = [line for line in re.split(r"[\r\n]", screen.getvalue()) if "synthesize" in line][-1]
    assert len(re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", last).rstrip()) <= width
    if width >= 80:
        assert re.search(r"synthesize +━+ +50000/100000 0:00:0\d left 0:00:00", last)
    assert "…" not in last


def test_lines_tell_what_is_left(capsys):
    """Of a stage that goes on at one pace, ten seconds a tenth."""
    times = iter(range(0, 10_000, 10))
    reporter = Reporter(Console(file=io.StringIO()), clock=lambda: next(times))
    for step in range(11):
        reporter.show("synthesize", step, 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "synthesize   0/10"
    assert lines[1] == "synthesize   1/10    about 90 s left"
    assert lines[9:] == ["synthesize   9/10    about 10 s left", "synthesize   10/10"]
