"""What a stage shows: a bar on a terminal, lines elsewhere, nothing when it is told so."""

import io

from rich.console import Console

from flows.progress import Reporter


def work(reporter: Reporter) -> None:
    with reporter.running(), reporter.stage("prune"):
        for step in range(1, 101):
            metrics = {"loss": 0.5, "step": step, "rho": 0.01, "primal": {"conv1": 2.0}}
            reporter.show("prune", step, 100, metrics)


def test_lines_where_there_is_no_terminal(capsys):
    work(Reporter(Console(file=io.StringIO())))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "prune        1/100  loss 0.5"
    assert lines[-2] == "prune        100/100  loss 0.5"
    assert lines[-1].startswith("prune        done in 0.")
    assert len(lines) == 12  # one for each tenth, the first step, the end


def test_a_bar_with_the_time_left_on_a_terminal(capsys):
    screen = io.StringIO()
    work(Reporter(Console(file=screen, force_terminal=True, width=150)))
    assert "100/100" in screen.getvalue()
    assert "left" in screen.getvalue()
    assert "loss 0.5" in screen.getvalue()
    assert capsys.readouterr().err == ""


def test_quiet(capsys):
    screen = io.StringIO()
    work(Reporter(Console(file=screen, force_terminal=True), quiet=True))
    assert screen.getvalue() + capsys.readouterr().err == ""
