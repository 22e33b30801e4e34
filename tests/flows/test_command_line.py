"""Wrong arguments end in one sentence and status 2, before anything is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import run_cosign
from flows.loop import loop

SCRIPT = Path(__file__).parents[2] / "flows" / "run_cosign.py"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("lenet6",), "unknown network 'lenet6'; choose one of: lenet5, alexnet"),
        ((), "no network given"),
        (("lenet5", "--data", "nowhere"), "nowhere"),
        (("alexnet", "--data", "nowhere"), "nowhere"),
        (("alexnet", "--alpha", "ours9"), "no alpha preset 'ours9'"),
        (("lenet5", "--liberty", "nothing.lib"), "nothing.lib"),
        (("lenet5", "--liberty", str(SCRIPT)), "run_cosign.py"),
        (("--resume", "."), "not a run directory"),
        (("lenet5", "--out", str(SCRIPT.parent)), "is not empty"),
        (("lenet5", "--budget", "-1"), "not positive"),
        (("lenet5", "--seed", "-1"), "-1 is negative"),
        (("lenet5", "--bits", "9"), "9 is neither 1 to 8 nor auto"),
        (("lenet5", "--distill", "1.5"), "1.5 is not between 0 and 1"),
        (("lenet5", "--targets", "13"), "targets is 13, must be 1 to 12"),
        (("lenet5-85x", "--alpha", "default"), "leave --alpha out or give lenet5"),
        (("lenet5-86x",), "unknown network 'lenet5-86x'"),
        (("lenet5-167x", "--data", "nowhere"), "nowhere"),
        (("lenet5", "--cores", "nowhere.toml"), "cannot read nowhere.toml: No such file"),
        (("--resume", ".", "--cores", "x"), "a run keeps the cores that it began with"),
        (("lenet5", "--from", "synth"), "--from needs --resume"),
        (("lenet5", "--log", "paper"), "invalid choice"),
    ],
)
def test_bad_arguments(arguments, sentence, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_no_compiler_is_one_sentence(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    done = run("lenet5", cwd=work, PATH=str(empty))
    assert done.returncode == 2
    assert "g++" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(work.iterdir())


def test_help_names_every_stage():
    listed = run_cosign.EXAMPLES.partition("stages: ")[2].partition("\n\n")[0]
    assert [name.strip() for name in listed.split(",")] == list(loop.STAGES)


def test_help_needs_no_torch(tmp_path):
    done = run("--help", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "--resume" in done.stdout
    assert "torch" not in done.stderr
