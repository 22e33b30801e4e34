"""What a run without training cannot be asked for."""

from pathlib import Path

import pytest
from oneshot_words import asked

from flows.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--speedup", "500x"], "--speedup 500x cannot be met: the best that can be had is"),
        (["--size", "100B"], "a file of 100 bytes cannot be met: the best that can be had is"),
        (["--ratio", "1000x"], "a pruning ratio of 1e+03x cannot be met: the best that can be had"),
    ],
)
def test_a_budget_that_cannot_be_met_says_what_can(
    arguments: list[str],
    sentence: str,
    tiny: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = asked(tiny, data, *arguments, "--out", str(tmp_path / "run"), "--quiet")
    assert main(["run", *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--accuracy-loss", "0.1"], "--accuracy-loss is of training, --method oneshot has none"),
        (["--budget", "2"], "--budget is of training"),
        (["--targets", "3"], "--targets is of training"),
        (["--rounds", "0"], "--rounds is of training"),
        (["--log", "mlflow"], "--log is of training"),
        (["--bits", "auto"], "--bits auto is chosen by training"),
        (["--alpha", "ours1"], "--method oneshot chooses densities by layer itself"),
        (["--alpha", "4x", "--size", "1MB"], "a pruning ratio and --size are two budgets"),
        (["--alpha", "4x", "--ratio", "4x"], "--ratio and --alpha both say"),
        (["--alpha", "0.5x"], "pruning ratio is 0.5x, must be at least 1x"),
        (["--pattern", "2:4", "--ratio", "2x"], "--pattern and --ratio both say what stays"),
        (["--pattern", "2:4", "--speedup", "2x"], "--pattern and --speedup both say what stays"),
        (["--pattern", "2:4", "--size", "1MB"], "--pattern and --size both say what stays"),
        (["--pattern", "2:4", "--loss", "1"], "--pattern and --loss both say what stays"),
        (["--pattern", "2:4", "--rounds", "0"], "--rounds is of the feedback, in which layers"),
        (["--pattern", "4:4"], "a pattern of 4:4 is none"),
        (["--data", "nowhere"], "--data nowhere is no folder; give a folder of images"),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(
    arguments: list[str],
    sentence: str,
    weights: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = asked(weights, data, *arguments, "--out", str(tmp_path / "run"))
    assert main(["run", *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lenet5", "--method", "oneshot"], "begins with trained weights; give those of lenet5"),
        (
            ["alexnet", "--weights", "own.npz", "--method", "oneshot"],
            "--method oneshot trains nothing, and the classifier of alexnet-conv is learnt",
        ),
        (["lenet5", "--speedup", "3x"], "--speedup is for --method oneshot"),
        (["lenet5", "--size", "2MB"], "--size is for --method oneshot"),
        (["lenet5", "--loss", "1"], "--loss is for --method oneshot"),
        (["lenet5", "--finetune", "1"], "--finetune is for --method oneshot"),
    ],
)
def test_the_method_decides_what_may_be_asked(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--size", "2XB"], "2XB is no size; write 2MB, 300KB or 5000B"),
        (["--size", "0B"], "0B is no size; it must be at least 1B"),
        (["--size", "MB"], "MB is no size"),
        (["--speedup", "0.5x"], "0.5x is no speedup; it must be at least 1x"),
        (["--speedup", "fast"], "fast is no speedup; write 3x"),
        (["--speedup", "inf"], "inf is no speedup"),
        (["--loss", "-1"], "-1 is not between 0 and 100 points"),
        (["--loss", "nan"], "nan is not between 0 and 100 points"),
        (["--ratio", "0.9"], "0.9 is no pruning ratio"),
        (["--size", "1MB", "--speedup", "2x"], "not allowed with argument"),
        (["--method", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_budgets_are_read_or_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "lenet5", *arguments]) == 2
    assert sentence in capsys.readouterr().err
