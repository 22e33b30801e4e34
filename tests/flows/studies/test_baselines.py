"""The comparison of pruners: all points at the same counts, resumed to the same file."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from cosign.progress import Reporter
from flows.__main__ import main
from flows.report import plots
from flows.studies import baselines


class Interrupting(Reporter):
    """Ctrl-C when a point of the comparison has reached a step."""

    def __init__(self, stage: str, step: int) -> None:
        super().__init__(Console(stderr=True), quiet=True)
        self._when = stage, step

    def show(self, stage: str, step: float, steps: float, metrics: Any = None) -> None:
        if (stage, step) == self._when:
            raise KeyboardInterrupt


def test_every_method_has_as_many_weights_and_interruptions_change_nothing(
    toy: ModuleType, tmp_path: Path
) -> None:
    dataset = toy.dataset()
    short = dataclasses.replace(toy.recipe().prune, steps=8)
    plain = dataclasses.replace(short, rhos=())
    base = toy.recipe(checkpoint_s=0.0, calibration=64, prune=short, retrain=plain)
    wanted = [(method, 30.0) for method in baselines.METHODS]

    def compare(out: str, reporter: Reporter) -> dict[str, Any]:
        return baselines.run(base, dataset, 0, tmp_path / out, wanted, reporter)

    whole = compare("whole", Reporter(Console(stderr=True), quiet=True))
    for point in (("dense", 9), ("iterative 30x", 6), ("l1 30x", 13)):
        with pytest.raises(KeyboardInterrupt):
            compare("parts", Interrupting(*point))
    parts = compare("parts", Reporter(Console(stderr=True), quiet=True))
    assert parts == whole
    assert [row["method"] for row in whole["rows"]] == list(baselines.METHODS)
    assert {row["nonzeros"] for row in whole["rows"]} == {14_350}
    by_layer = {row["method"]: row["nonzeros_by_layer"] for row in whole["rows"]}
    assert by_layer["torch"] != by_layer["admm"]
    assert all(
        by_layer[name] == by_layer["admm"] for name in ("admm-cut", "iterative", "magnitude", "l1")
    )
    assert sorted(path.name for path in (tmp_path / "parts" / "checkpoints").iterdir()) == [
        "dense.pt"
    ]
    lines = baselines.table(whole).splitlines()
    assert (
        lines[0] == "| ratio | non-zeros | admm-cut | admm | iterative | magnitude | l1 | torch |"
    )
    assert lines[2] == "| dense | |" + f" {whole['dense']['test']:.2%} |" * 6
    assert lines[3].startswith(f"| 30× | 14,350 | {whole['rows'][0]['test']:.2%} |")
    labels = [line.get_label() for line in baselines.figure(whole).axes[0].get_lines()]
    assert labels == [*baselines.METHODS, "dense"]
    with pytest.raises(baselines.CosignError, match="of another comparison"):
        baselines.run(base, dataset, 1, tmp_path / "whole", wanted, Interrupting("", 0))


def test_the_plot_has_a_line_for_every_method(tmp_path: Path) -> None:
    curves = {"admm": [(20.0, 0.99), (10.0, 0.992)], "l1": [(10.0, 0.98)]}
    figure = plots.accuracy_by_ratio(curves, 0.993)
    lines = {str(line.get_label()): line.get_xydata() for line in figure.axes[0].get_lines()}
    assert list(lines) == ["admm", "l1", "dense"]
    assert lines["admm"].tolist() == [[10.0, 99.2], [20.0, 99.0]]
    plots.write_png(figure, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_budget_leaves_the_dense_stage_alone(toy: ModuleType) -> None:
    base = toy.recipe()
    half = baselines.with_budget(base, 0.5)
    assert half.steps(half.prune) == 12
    assert half.steps(half.retrain) == 60
    assert half.dense == base.dense


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lenet5", "--ratios", "0.5x"], "0.5x is no pruning ratio; it must be at least 1x"),
        (["lenet5", "--ratios", "many"], "many is no pruning ratio; write 40x"),
        (["lenet5", "--methods", "lottery"], "there is no 'lottery'; choose from admm-cut, admm, "),
        (["lenet6"], "invalid choice: 'lenet6'"),
        (["lenet5", "--budget", "0"], "0 is not positive"),
        (["lenet5", "--ratios", "1e6"], "lenet5 cannot be pruned 1e+06 times"),
        (["lenet5", "--data", "nowhere"], "lenet5 reads mnist, not 'nowhere'"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["baselines", *arguments, "--out", str(out)]) == 2
    assert sentence in capsys.readouterr().err
    assert not (out / "baselines.json").exists()
