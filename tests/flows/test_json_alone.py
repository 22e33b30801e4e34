"""`--json -` of every command that has it: standard output is JSON, and no file has that name.

And what each does when its output is read no more, or lies on a full disk.
"""

import argparse
import errno
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_tree import Words, commands
from random_layers import random_layer

from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec
from compress.model.hostops import HostOp
from flows.__main__ import main

ROOT = Path(__file__).parents[2]
MODEL = "small.cosign"
CORE = ("--lanes", "1", "--act-depth", "32", "--act-banks", "2", "--weight-depth", "8")

CHEAP: dict[Words, tuple[str, ...]] = {
    ("compare",): tuple(str(ROOT / "docs" / "results" / name) for name in ("lenet5", "alexnet")),
    ("evaluate",): (MODEL,),
    ("compress", "inspect"): (MODEL,),
    ("compress", "export"): ("--network", "lenet5", "--ratio", "4", "--out", "lenet5.cosign"),
    ("compress", "repack"): (MODEL, "--out", "again.cosign"),
    ("rtl", "generate"): (*CORE, "--out", "core"),
    ("sim", "run"): (MODEL, "--lanes", "3"),
    ("sim", "cycles"): ("--model", MODEL),
    ("sim", "coverage"): ("coverage",),
    ("synth", "pdk"): (),
    ("synth", "report"): ("--core", "dense-scalar", *CORE, "--out", "synth"),
}
# Where the same is asserted of what takes a run, several cores or a placement.
ELSEWHERE: dict[Words, str] = {
    ("run",): "flows/loop/test_loop.py",
    ("breakeven",): "flows/commands/test_breakeven.py",
    ("frontier",): "flows/commands/test_frontier.py",
    ("sweep",): "flows/sweep/test_sweep.py",
    ("energy",): "flows/commands/test_energy.py",
    ("synth", "fpga"): "synth/test_fpga.py",
}


def with_json() -> Iterator[Words]:
    for words, module, _ in commands():
        parser = argparse.ArgumentParser()
        importlib.import_module(module).add_options(parser)
        if "--json" in parser.format_help():
            yield words


def coverage_of_one_line(folder: Path, cache: Path) -> None:
    """What a simulation with COSIGN_COVERAGE=`folder` leaves."""
    source = cache / "simulators" / "sparse-0123-45" / "cosign_core.v"
    source.parent.mkdir(parents=True)
    source.write_text("a = b;\n")
    fields = {"f": "cosign_core.v", "l": "1", "page": "v_line/top", "o": "block", "S": "1"}
    key = "".join(f"\x01{field}\x02{value}" for field, value in fields.items())
    folder.mkdir()
    (folder / "sparse-0123-45-aa.dat").write_text(f"# SystemC::Coverage-3\nC '{key}' 7\n")


def test_every_command_with_json_is_here() -> None:
    assert {*CHEAP, *ELSEWHERE} == set(with_json())
    for file in ELSEWHERE.values():
        assert '"--json", "-"' in (ROOT / "tests" / file).read_text()


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what CHEAP names, where the test runs."""
    monkeypatch.chdir(tmp_path)
    if request.getfixturevalue("words") == ("sim", "coverage"):
        monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
        coverage_of_one_line(tmp_path / "coverage", tmp_path / "cache")
    fc = random_layer(Geometry("linear", 784, 10), 0.02, input="flatten", name="fc")
    spec = InputSpec((1, 28, 28), 0.02, (0.13,), (0.31,))
    flatten = HostOp("flatten", "flatten", ("input",))
    container.save(CompressedModel("small", spec, (flatten, fc)), Path(MODEL))
    return tmp_path


@pytest.mark.parametrize("words", CHEAP, ids=" ".join)
def test_standard_output_is_json(
    words: Words, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *CHEAP[words], "--json", "-"]) == 0
    assert json.loads(capfd.readouterr().out)
    assert not Path("-").exists()


class Closed(io.StringIO):
    """A stream that takes so many writes, and then none."""

    def __init__(self, error: OSError, writes: int) -> None:
        super().__init__()
        self._error = error
        self._left = writes

    def write(self, text: str) -> int:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return super().write(text)


@pytest.mark.parametrize("json", [(), ("--json", "-")], ids=["text", "json"])
@pytest.mark.parametrize("words", CHEAP, ids=" ".join)
def test_a_reader_that_leaves_and_a_full_disk(
    words: Words,
    json: tuple[str, ...],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for error, writes, status in ((BrokenPipeError(), 1, 141), (full, 0, 2)):
        monkeypatch.setattr(sys, "stdout", Closed(error, writes))
        assert main([*words, *CHEAP[words], *json]) == status
        monkeypatch.undo()
        monkeypatch.chdir(here)
        if words == ("sim", "coverage"):
            monkeypatch.setenv("COSIGN_CACHE", str(here / "cache"))
        lines = capsys.readouterr().err.splitlines()
        told = [line for line in lines if line.startswith("cosign: ")]
        assert len(told) == (status == 2)
        assert all("cannot write standard output: No space left" in line for line in told)
        assert not [line for line in lines if "Traceback" in line]


def test_other_options_make_no_such_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = CHEAP[("compare",)]
    assert main(["compare", *runs, "--html", "-"]) == 2
    assert "there is no file called -; give a name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
