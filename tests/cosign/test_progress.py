"""What a stage shows: a bar on a terminal, lines elsewhere, nothing when it is told so."""

import io

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
