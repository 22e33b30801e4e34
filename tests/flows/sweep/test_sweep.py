"""Small sweeps through the command, the real tools and real clusters."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from hearing import heard
from small_sweep import CORES, SMALL, points_of, sweep_of

from cosign import locked, read_toml
from flows.__main__ import main
from flows.sweep import parse
from flows.sweep.measure import measure, prepare
from flows.sweep.spec import AXES
from rtl.program.pack import pack_layer
from sim.cycles import layer_cycles
from synth.report import synthesize

TOML = """
network = "lenet5"
layers = ["conv1"]
portion = [0.5, 0.9]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(cache))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The sweep of `sweep_of`, as a file."""
    tables = [
        "\n".join(["[[cores]]", *(f"{k} = {json.dumps(v)}" for k, v in {**SMALL, **core}.items())])
        for core in CORES
    ]
    path = tmp_path / "sweep.toml"
    path.write_text("\n".join([TOML, *tables]))
    assert parse.make(read_toml(path)) == sweep_of()
    return path


def rows_of(out: Path) -> dict[str, tuple[Any, ...]]:
    path = out / "sweep.sqlite"
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            found = connection.execute(
                "SELECT hash, figures, refused, worker, finished FROM points"
            )
        except sqlite3.OperationalError:  # the tables are being made
            return {}
        rows = list(found)
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1:] for row in rows}


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0"
    ) as found:
        yield found


# Real tools. The first test fills the cache that the others find.


def test_a_worker_killed_in_the_middle(file: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    """Its point is measured by another one; nothing is lost, nothing is there twice."""
    out = tmp_path / "out"
    workers = cluster.scheduler.workers
    killed: list[str] = []

    def kill() -> None:
        while not rows_of(out):
            time.sleep(0.1)
        while not killed:
            for nanny in cluster.workers.values():
                state = workers.get(nanny.worker_address)
                if state is not None and state.processing:
                    killed.extend(task.key for task in state.processing)
                    os.kill(nanny.pid, signal.SIGKILL)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    line = ["sweep", "--spec", str(file), "--out", str(out)]
    assert main([*line, "--scheduler", cluster.scheduler_address]) == 0
    thread.join(1)
    starts = [entry[0] for entry in cluster.scheduler.transition_log if entry[2] == "processing"]
    assert any(starts.count(key) > 1 for key in killed)
    rows = rows_of(out)
    assert set(rows) == set(points_of(sweep_of()))
    assert all(figures is not None for figures, *_ in rows.values())


def test_interrupted_and_resumed(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends with 130 and keeps what is through; the same command measures the others only.

    The command has an empty cache: each core takes seconds there, so that the signal comes
    in the middle.
    """
    out, data = tmp_path / "out", tmp_path / "points.json"
    line = ["sweep", "--spec", str(file), "--out", str(out), "--json", str(data), "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", *line],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "COSIGN_CACHE": str(tmp_path / "empty"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (before := rows_of(out)) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said.splitlines()[-1]) == (130, "stopped.")
    kept = rows_of(out)
    assert before.items() <= kept.items()
    assert len(kept) < 6
    assert not data.exists()

    assert main(line) == 0
    rows = rows_of(out)
    assert kept.items() <= rows.items()
    assert set(rows) == set(points_of(sweep_of()))
    content = json.loads(data.read_text())
    assert [job["recipe"] for job in content["jobs"]] == ["0.5", "0.9"]
    assert content["spec"] == sweep_of().to_json()
    for job in content["jobs"]:
        assert len(job["points"]) == 3
        objectives = [(p["area_um2"]["openram"], p["delay_s"]) for p in job["points"]]
        assert [p["pareto"] for p in job["points"]] == [
            not any(a <= area and d <= delay and (a, d) != (area, delay) for a, d in objectives)
            for area, delay in objectives
        ]
    assert (out / "pareto.png").stat().st_size > 1000
    capfd.readouterr()
    assert main(["sweep", "--out", str(out), "--json", "-"]) == 0  # all is there
    assert json.loads(capfd.readouterr().out) == content
    assert rows_of(out) == rows


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_signal_ends_workers_and_their_tools(
    whole_group: bool, file: Path, tmp_path: Path
) -> None:
    """Whether it comes to the command alone, as from kill, or to all, as from a terminal's end."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "flows",
            "sweep",
            "--spec",
            str(file),
            "--out",
            "out",
            "--jobs",
            "2",
        ],
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=heard,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "COSIGN_CACHE": str(tmp_path / "empty"),
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )
    while not list(temporary.glob("*/map.log")):
        assert process.poll() is None
        time.sleep(0.05)
    number = signal.SIGHUP if whole_group else signal.SIGTERM
    (os.killpg if whole_group else os.kill)(process.pid, number)
    _, said = process.communicate()
    assert (process.returncode, said.splitlines()[-1]) == (128 + number, "stopped.")
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            assert not place.readlink().is_relative_to(tmp_path)
        except OSError:
            continue


def test_figures_are_those_of_the_core_and_the_layer() -> None:
    asked = sweep_of()
    for point in list(points_of(asked).values())[:2]:
        found = measure(point).figures
        assert found is not None
        plain, fitted, layer, _ = prepare(point)
        report = synthesize(plain).with_memories(fitted)
        assert found["config"] == fitted.to_json()
        assert found["area_um2"]["flat"] == report.area_um2("flat")
        assert found["cycles"] == layer_cycles(layer, fitted)
        assert found["delay_s"] == found["cycles"] / report.fmax_hz
        assert found["nonzeros"] == layer.nnz == round(500 * (1 - point.job.portion))
        pack_layer(layer, fitted)  # the core can execute it


def test_a_study_and_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, data = tmp_path / "out", tmp_path / "points.json"
    fields = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    line = ["sweep", "--network", "lenet5", "--layers", "conv1", "--portion", "0.9", *fields]
    line += ["--core", "dense-scalar", "--lanes", "1,2", "--filters", "1,2", "--optuna", "4"]
    assert main([*line, "--out", str(out), "--json", str(data), "--jobs", "1"]) == 0
    (job,) = json.loads(data.read_text())["jobs"]
    assert {point["multipliers"] for point in job["points"]} == {1, 2}
    assert len(job["refused"]) == 2
    assert "computes one filter at a time, filters is 2" in job["refused"][0]["reason"]
    said = capsys.readouterr()
    assert "refused 2: CoreConfig: the dense-scalar core" in said.err
    assert "dense-scalar-2" in said.out


@pytest.mark.slow
def test_energy_is_an_objective(tmp_path: Path) -> None:
    (point,) = points_of(sweep_of(portion=0.5, energy=True, cores=[{**SMALL, "lanes": 1}])).values()
    first, again = measure(point).figures, measure(point).figures
    assert first is not None
    assert first == again
    assert first["energy"]["total_nj"] > first["energy"]["logic_nj"] > 0
    assert first["energy"]["cycles"] == first["cycles"]


def test_every_axis_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    said = capsys.readouterr().out
    assert all(f"--{axis.replace('_', '-')}" in said for axis in AXES)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ([], "there is no sweep in"),
        (["--spec", "nowhere.toml"], "cannot read nowhere.toml"),
        (["--portion", "0.5"], "names no recipe"),
        (["--lanes", "1", "--portion", "0.5", "--jobs", "0"], "0 is not positive"),
        (["--lanes", "1", "--portion", "0.5", "--liberty", "no.lib"], "no.lib"),
        (["--lanes", "1", "--portion", "0.5", "--scheduler", "gaga"], "no Dask scheduler answers"),
        (
            ["--lanes", "1", "--portion", "0.5", "--scheduler", "tcp://127.0.0.1:9"],
            "no Dask scheduler answers",
        ),
    ],
)
def test_bad_commands_are_one_sentence(
    line: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("flows.sweep.coordinator._CONNECT_S", 1)
    if sentence == "names no recipe":
        line = [*line[:-2], "--lanes", "1"]
    assert main(["sweep", *line, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_file_and_options_do_not_mix(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["sweep", "--spec", str(file), "--weight-bits", "4", *out]) == 2
    assert "leave out --weight-bits or write it into" in capsys.readouterr().err
    file.write_text("layers = [")
    assert main(["sweep", "--spec", str(file), *out]) == 2
    assert "is not valid TOML" in capsys.readouterr().err


# A cluster that is no use.


def test_a_cluster_without_workers(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty:
        line = ["sweep", "--spec", str(file), "--out", str(tmp_path / "out")]
        assert main([*line, "--scheduler", empty.scheduler_address]) == 2
    assert "has no workers; start some with `dask worker" in capsys.readouterr().err


def workers_with(tools: Path) -> LocalCluster:
    """A cluster whose workers find programs in `tools` only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tools))
        return LocalCluster(n_workers=1, memory_limit=0, dashboard_address="127.0.0.1:0")


def test_points_that_fail_are_not_kept(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers_with(tmp_path / "nothing") as poor:
        line = ["sweep", "--spec", str(file), "--out", str(tmp_path / "out")]
        assert main([*line, "--scheduler", poor.scheduler_address]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(
        "cosign: 6 points failed and are not kept, the first: cannot find the program"
    )
    assert rows_of(tmp_path / "out") == {}


def test_a_worker_with_another_opensta(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sta = tmp_path / "bin" / "sta"
    sta.parent.mkdir()
    sta.write_text("#!/bin/sh\necho 9.9\n")
    sta.chmod(0o755)
    line = ["sweep", "--network", "lenet5", "--layers", "conv1", "--portion", "0.9"]
    line += ["--filters", "2", "--out", str(tmp_path / "out")]
    with workers_with(sta.parent) as odd:
        assert main([*line, "--scheduler", odd.scheduler_address]) == 2
    assert "has another sta than this machine" in capsys.readouterr().err
    assert rows_of(tmp_path / "out") == {}


def test_a_worker_without_cosign(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "flows.py").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(tmp_path / "shadow"), *sys.path])  # workers inherit it
        strange = LocalCluster(n_workers=1, memory_limit=0, dashboard_address="127.0.0.1:0")
    with strange:
        line = ["sweep", "--spec", str(file), "--out", str(tmp_path / "out")]
        assert main([*line, "--scheduler", strange.scheduler_address]) == 2
    assert "has not this cosign (No module named 'flows.sweep'" in capsys.readouterr().err


def test_a_cluster_that_goes_away(
    file: Path, tmp_path: Path, cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def leave() -> None:
        while not any(worker.processing for worker in cluster.scheduler.workers.values()):
            time.sleep(0.01)
        cluster.close()

    thread = threading.Thread(target=leave)
    thread.start()
    line = ["sweep", "--spec", str(file), "--out", str(out)]
    assert main([*line, "--scheduler", cluster.scheduler_address]) == 2
    thread.join()
    assert "the Dask cluster is gone" in capsys.readouterr().err
    assert len(rows_of(out)) < 6


def test_one_coordinator_at_a_time(file: Path, tmp_path: Path, capsys) -> None:
    with locked(tmp_path / "out"):
        assert main(["sweep", "--spec", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "another process is working in" in capsys.readouterr().err
