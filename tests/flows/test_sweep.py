"""Sweeps: what is asked, what is kept, and small ones through the real tools and real clusters."""

import contextlib
import dataclasses
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
from hypothesis import given, settings
from hypothesis import strategies as st

from cosign import CosignError, locked
from flows.sweep import parse, search, store
from flows.sweep.front import front
from flows.sweep.measure import Outcome, measure, prepare
from flows.sweep.spec import AXES, Point, Spec
from rtl.pack import pack_layer
from sim.cycles import layer_cycles
from synth.__main__ import main
from synth.report import synthesize

JOB = {"network": "lenet5", "layers": "conv1", "portion": "0.5,0.9"}
SMALL = {"weight_bits": 2, "acc_bits": 16, "mul_bits": 8, "drain": 1, "pipeline": 0, "clock_ns": 2}
CORES = [{"core": "sparse", "lanes": 1}, {"core": "dense-scalar", "lanes": "1,2"}]
TOML = """
network = "lenet5"
layers = ["conv1"]
portion = [0.5, 0.9]
"""


def sweep_of(**values: Any) -> Spec:
    return parse.make({**JOB, "cores": [{**SMALL, **core} for core in CORES], **values})


def points_of(asked: Spec) -> dict[str, Point]:
    return {h: point for job in asked.jobs() for h, point in asked.points(job).items()}


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
    assert parse.make(parse.read(path)) == sweep_of()
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


def test_interrupted_and_resumed(file: Path, tmp_path: Path, cache: Path) -> None:
    """Ctrl-C ends with 130 and keeps what is through; the same command measures the others only."""
    out, data = tmp_path / "out", tmp_path / "points.json"
    line = ["sweep", "--spec", str(file), "--out", str(out), "--json", str(data), "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", *line],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
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
    data.unlink()
    assert main(["sweep", "--out", str(out), "--json", str(data)]) == 0  # all is there
    assert json.loads(data.read_text()) == content
    assert rows_of(out) == rows


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


# What is asked.


def test_grids_and_ranges() -> None:
    asked = sweep_of(cores=[{"lanes": "8..64:8", "coding": ["relative", "bitmask"]}])
    assert asked.cores[0]["lanes"] == tuple(range(8, 65, 8))
    (first, second) = asked.jobs()
    assert (first.layer, first.portion, second.portion) == ("conv1", 0.5, 0.9)
    assert len(points_of(asked)) == 2 * 8 * 2
    presets = sweep_of(alpha="default", portion=[])
    assert [(job.recipe, job.portion) for job in presets.jobs()] == [("default", 0.6)]


def test_equal_machines_are_equal_points() -> None:
    """A dense core has no coding, a bitmask no distance."""
    table = {"core": "dense-scalar,sparse", "coding": "relative,bitmask", "index_bits": "6,8"}
    (job,) = sweep_of(portion=0.5, cores=[table]).jobs()
    assert len(sweep_of(portion=0.5, cores=[table]).points(job)) == 1 + 2 + 1


@given(st.data())
def test_hashes_tell_points_apart(data: st.DataObject) -> None:
    asked = sweep_of(cores=[{"lanes": "1..4", "drain": "1,2", "coding": "relative,absolute"}])
    one, other = (data.draw(st.sampled_from(list(points_of(asked).values()))) for _ in range(2))
    assert (one.hash == other.hash) == (one == other)
    assert one.hash != dataclasses.replace(one, energy=True).hash
    assert one.hash != dataclasses.replace(one, job=dataclasses.replace(one.job, seed=1)).hash


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"network": "lenet6"}, "unknown network 'lenet6'"),
        ({"layers": "conv9"}, "has no layer 'conv9'; it has conv1"),
        ({"alpha": "ours9"}, "no alpha preset 'ours9'"),
        ({"portion": "1.0"}, "portion is 1, must be"),
        ({"portion": "half"}, "portion must be a number, not 'half'"),
        ({"portion": []}, "names no recipe"),
        ({"optuna": -1}, "optuna is -1"),
        ({"optuna": 2.5}, "optuna must be a whole number"),
        ({"energy": "yes"}, "energy is 'yes'"),
        ({"energy": True, "layers": "fc1"}, "no convolution"),
        ({"lanes": 8}, "knows no 'lanes'"),
        ({"cores": []}, "names no core"),
        ({"cores": {"lanes": 8}}, r"\[\[cores\]\]"),
        ({"cores": [{"lanes": "8..4"}]}, "empty range"),
        ({"cores": [{"lanes": "1..9999999"}]}, "too long a range"),
        ({"cores": [{"lanes": True}]}, "lanes must be a whole number, not True"),
        ({"cores": [{"lanes": []}]}, "lanes has no value"),
        ({"cores": [{"core": "sparce"}]}, "core 'sparce' is not one of sparse"),
        ({"cores": [{"coding": 3}]}, "coding 3 is not one of"),
        ({"cores": [{"act_depth": 64}]}, "'act_depth' follows from the layer"),
        ({"cores": [{"lines": 64}]}, "'lines' is no field of a core"),
        (
            {"cores": [dict.fromkeys(("lanes", "drain", "acc_bits"), "1..99")]},
            "points, 100,000",
        ),
    ],
)
def test_bad_sweeps(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CosignError, match=sentence) as caught:
        sweep_of(**values)
    assert "\n" not in str(caught.value)


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
        (["--lanes", "1", "--portion", "0.5", "--jobs", "0"], "--jobs is 0"),
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


# What is kept.

TOOLS = {"yosys": "0.70", "sta": "2.0"}
FIGURES = {"area_um2": {"openram": 2.0, "flat": 1.0}, "delay_s": 1e-6, "energy": None}


def test_an_outcome_is_kept_once(tmp_path: Path) -> None:
    asked = sweep_of()
    one, other, *_ = points_of(asked).values()
    with store.opened(tmp_path / "s", asked, TOOLS) as kept:
        assert kept.add(one, Outcome(FIGURES, None, TOOLS, 1.0), "first")
        assert not kept.add(one, Outcome(None, "another", TOOLS, 1.0), "second")
        assert kept.add(other, Outcome(None, "refused.", TOOLS, 1.0), "second")
        rows = kept.rows()
    assert rows[one.hash].figures == FIGURES
    assert (rows[other.hash].figures, rows[other.hash].refused) == (None, "refused.")
    with store.opened(tmp_path / "s", asked, TOOLS) as kept:
        assert kept.rows() == rows
    assert store.spec_in(tmp_path / "s") == asked


def test_another_sweep_or_other_tools(tmp_path: Path) -> None:
    asked, path = sweep_of(), tmp_path / "s"
    with store.opened(path, asked, TOOLS):
        pass
    with (
        pytest.raises(CosignError, match=r"another sweep \(seed is 0\)"),
        store.opened(path, sweep_of(seed=1), TOOLS),
    ):
        pass
    with (
        pytest.raises(CosignError, match="begun with another sta"),
        store.opened(path, asked, {**TOOLS, "sta": "2.6"}),
    ):
        pass


def test_damaged_databases(tmp_path: Path) -> None:
    asked, path = sweep_of(), tmp_path / "s"

    def refused(sentence: str, path: Path = path) -> None:
        for use in (
            lambda: store.opened(path, asked, TOOLS).__enter__(),
            lambda: store.spec_in(path),
        ):
            with pytest.raises(CosignError, match=sentence) as caught:
                use()
            assert "\n" not in str(caught.value)

    path.write_text("no database, but a text that is longer than the header of one. " * 9)
    refused("damaged or no database")
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE birds (name TEXT)")
    refused("a database of something else")
    path.unlink()
    with store.opened(path, asked, TOOLS) as kept:
        for point in points_of(asked).values():
            kept.add(point, Outcome({**FIGURES, "x": "x" * 9000}, None, TOOLS, 1.0), "w")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
    refused("damaged or no database")
    path.write_bytes(whole[:8192])
    refused("damaged or no database")


def test_one_coordinator_at_a_time(file: Path, tmp_path: Path, capsys) -> None:
    with locked(tmp_path / "out"):
        assert main(["sweep", "--spec", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "another process is working in" in capsys.readouterr().err


# Which points come next.


def test_a_grid_synthesises_each_core_once() -> None:
    points = points_of(sweep_of())
    grid = search.Grid(points.values(), set())
    first = grid.take(1)
    assert len(first) == len({point.core_key for point in points.values()}) == 3
    assert grid.take(1) == []
    grid.tell(first[1], None)
    (second,) = grid.take(1)
    assert second.core == first[1].core
    assert second != first[1]
    rest = search.Grid(points.values(), {point.hash for point in first})
    assert len(rest.take(9)) == 3


def lanes_of(point: Point) -> int:
    lanes = point.core["lanes"]
    assert isinstance(lanes, int)
    return lanes


def objectives(point: Point) -> tuple[float, float] | None:
    """A made-up machine: refused with 13 lanes; bitmask larger and slower."""
    lanes, worse = lanes_of(point), 1 + (point.core.get("coding") == "bitmask")
    return None if lanes == 13 else (worse * lanes, worse / lanes)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(0, 3), st.integers(1, 5))
def test_a_study_asks_for_each_point_once(count: int, seed: int, room: int) -> None:
    tables = [
        {"lanes": "9..16", "coding": "relative,bitmask"},
        {"core": "dense-scalar", "lanes": 8},
    ]
    asked = sweep_of(optuna=count, seed=seed, cores=tables)
    studies = search.Studies(asked, asked.jobs(), {})
    assert studies.total == 2 * min(count, 17)
    known: dict[str, tuple[float, float] | None] = {}
    while len(known) < studies.total // 2:
        for point in (taken := studies.take(room)):
            assert point.hash not in known
            known[point.hash] = objectives(point)
            studies.tell(point, known[point.hash])
        assert 0 < len(taken) <= room
    resumed = search.Studies(asked, asked.jobs(), dict(known))
    while taken := resumed.take(room):
        for point in taken:
            assert point.hash not in known
            known[point.hash] = objectives(point)
            resumed.tell(point, known[point.hash])
    assert len(known) == studies.total
    assert set(known) <= set(points_of(asked))


def test_a_study_learns() -> None:
    """Of 200 machines the half with a bitmask is dominated; it is asked for less and less."""
    tables = [{"lanes": "1..100", "coding": "relative,bitmask"}]
    asked = sweep_of(optuna=60, portion=0.5, cores=tables)
    studies = search.Studies(asked, asked.jobs(), {})
    codings = []
    while taken := studies.take(1):
        codings.append(taken[0].core["coding"])
        studies.tell(taken[0], objectives(taken[0]))
    assert len(codings) == 60
    assert codings[20:].count("relative") > 30


@given(st.lists(st.tuples(*[st.integers(0, 6).map(float)] * 3), max_size=40))
def test_the_front_is_what_nothing_dominates(values: list[tuple[float, ...]]) -> None:
    def better(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        pairs = list(zip(one, other, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    expected = [i for i, v in enumerate(values) if not any(better(other, v) for other in values)]
    assert front(values) == expected
