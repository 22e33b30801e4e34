"""Sweeps without any tool: what is asked, what is kept, which points come next, and the front."""

import contextlib
import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sweep import points_of, sweep_of

from cosign import CosignError
from flows.__main__ import main
from flows.sweep import parse, search, store
from flows.sweep.front import front
from flows.sweep.measure import Outcome, prepare
from flows.sweep.spec import Point
from rtl.coreset import CoreSet

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


def test_a_set_of_cores_is_swept_as_it_is() -> None:
    """Its names, once each, and synthesised as in the set."""
    cores = CoreSet.read(Path(__file__).parents[2] / "small_cores.toml")
    asked = sweep_of(portion=0.5, cores=parse.tables_of(cores))
    plain = [prepare(point)[0] for point in points_of(asked).values()]
    assert plain == list(cores.cores)


@pytest.mark.parametrize("more", [["--lanes", "8"], ["--spec", "sweep.toml"]])
def test_cores_of_a_file_and_of_options(
    more: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cores.toml", "sweep.toml"):
        Path(name).write_text("")
    line = ["sweep", "--out", str(tmp_path / "out"), "--cores", "cores.toml", *more]
    assert main(line) == 2
    said = capsys.readouterr().err
    assert "says all of the" in said
    assert "leave out --" in said
    assert said.count("\n") == 1


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
        ({"portion": "1.0"}, r"portion\[0\] is 1.0, must be float < 1"),
        ({"portion": "half"}, "portion must be a number, not 'half'"),
        ({"portion": []}, "names no recipe"),
        ({"optuna": -1}, "optuna is -1, must be int >= 0"),
        ({"batch": "0"}, "batch is 0, must be int >= 1"),
        ({"layers": [["conv1"]]}, r"layers\[0\] is .*, must be str"),
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


# What is kept.

TOOLS = {"yosys": "0.70", "sta": "2.0"}
FIGURES = {
    "name": "sparse-8",
    "cycles": 100,
    "fmax_hz": 1e8,
    "delay_s": 1e-6,
    "area_um2": {"openram": 2.0, "flat": 1.0},
    "energy": None,
}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "is damaged"),
        ("[]", "is damaged"),
        ("{}", "name is missing"),
        (json.dumps(FIGURES | {"area_um2": None}), "area_um2 is None, must be object"),
        (json.dumps(FIGURES | {"fmax_hz": "fast"}), "fmax_hz is 'fast', must be float"),
    ],
)
def test_figures_that_are_none(text: str, sentence: str, tmp_path: Path) -> None:
    asked = sweep_of()
    one, *_ = points_of(asked).values()
    with store.opened(tmp_path / "s", asked, TOOLS) as kept:
        kept.add(one, Outcome(FIGURES, None, TOOLS, 1.0), "first")
    with contextlib.closing(sqlite3.connect(tmp_path / "s")) as connection, connection:
        connection.execute("UPDATE points SET figures = ?", (text,))
    with (
        store.opened(tmp_path / "s", asked, TOOLS) as kept,
        pytest.raises(CosignError, match=sentence) as raised,
    ):
        kept.rows()
    assert "choose another --out" in str(raised.value)


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
