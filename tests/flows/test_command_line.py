"""Commands: wrong arguments end in one sentence and status 2, before anything is written; --help
needs none of the libraries.
"""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_tree import commands

from flows.__main__ import main
from flows.commands.run import EXAMPLES
from flows.loop import oneshot, trained

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "flows" / "run_cosign.py"


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
        (("lenet5", "--pattern", "5:4"), "a pattern of 5:4 is none: N of each M weights stay"),
        (("lenet5", "--pattern", "2-4"), "'2-4' is no pattern; write N:M, as 2:4"),
        (("lenet5", "--pattern", "2:4", "--alpha", "20x"), "--pattern and --alpha both say"),
        (("lenet5", "--pattern", "2:4", "--ratio", "2x"), "--pattern and --ratio both say"),
        (("lenet5", "--pattern", "2:4", "--rounds", "1"), "--rounds is of the feedback, in which"),
        (
            ("--resume", ".", "--pattern", "2:4"),
            "a run keeps the pattern that it began with",
        ),
        (("lenet5", "--cores", "nowhere.toml"), "cannot read nowhere.toml: No such file"),
        (("--resume", ".", "--cores", str(SCRIPT)), "a run keeps the cores that it began with"),
        (("lenet5", "--from", "synth"), "--from needs --resume"),
        (("lenet5", "--place", "--lef", "nothing.lef"), "--lef: cannot read nothing.lef"),
        (
            ("lenet5", "--place", "--utilisation", "1"),
            "--utilisation: 1 is not between 0.05 and 0.9",
        ),
        (("lenet5", "--aspect", "2"), "--aspect is of a placement; add --place"),
        (("--resume", ".", "--place"), "a run keeps the place that it began with"),
        (("lenet5", "--log", "paper"), "invalid choice"),
    ],
)
def test_bad_arguments(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
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
    listed = EXAMPLES.partition("stages: ")[2].partition("\n\n")[0]
    by_method = listed.split("of --method oneshot:")
    for text, stages in zip(by_method, (trained.STAGES, oneshot.STAGES), strict=True):
        names = [name.strip() for name in text.strip().rstrip(";").split(",")]
        assert names == list(stages)


HELP_OF_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
blocked = ("torch", "matplotlib", "distributed", "optuna")
sys.modules.update(dict.fromkeys(blocked))  # importing one raises ImportError
from command_tree import commands
from flows.__main__ import main
for words, _, _ in commands():
    try:
        main([*words, "--help"])
    except SystemExit as done:
        assert done.code == 0
    else:
        sys.exit(f"{words} goes on after --help")
"""


def test_help_of_every_command_needs_no_torch():
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL, tests], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("usage: ")] == [
        line for line in done.stdout.splitlines() if line.startswith("usage: cosign ")
    ]
    for words, _, _ in commands():
        assert f"usage: cosign {' '.join(words)} [-h]" in done.stdout


@pytest.mark.parametrize("program", [("-m", "flows"), (str(SCRIPT),)])
def test_the_first_help_imports_next_to_nothing(program, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *program, "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert "usage: cosign" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cosign.command" in imported
    assert not imported & {"torch", "matplotlib", "scipy", "amaranth", "rich", "onnx"}
    if program[0] == "-m":
        assert "numpy" not in imported


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "required: COMMAND; see `cosign --help`"),
        (("sim",), "required: COMMAND; see `cosign sim --help`"),
        (("trian",), "invalid choice: 'trian' (choose from 'run', 'compare'"),
        (("sim", "cycle"), "invalid choice: 'cycle' (choose from 'run', 'cycles'"),
        (("compress", "train", "lenet5"), "`cosign compress train` needs more than one room; type"),
        (("sim", "coverage", "x", "--least", "all"), "all is no number"),
        (("run", "lenet5", "alexnet"), "unrecognized arguments: alexnet"),
    ],
)
def test_a_wrong_command_is_one_sentence(arguments, sentence, capsys):
    assert main(list(arguments)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("room", "name"),
    [("compress", "train"), ("compress", "evaluate"), ("synth", "breakeven"), ("synth", "sweep")],
)
def test_a_command_that_left_its_room_says_where_it_is(room, name, capsys):
    room_main = importlib.import_module(f"{room}.__main__").main
    assert room_main([name, "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(f"type `cosign {name}`.\n")
    assert name in {words[0] for words, _, _ in commands()}


def test_commands_live_in_the_room_that_names_them():
    for words, module, _ in commands():
        room = words[0] if len(words) > 1 else "flows"
        assert module.startswith(f"{room}.commands.")


def test_the_console_command_is_the_only_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"cosign": "cosign.command:cosign"}
    assert "entry-points" not in project
