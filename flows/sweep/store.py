"""Results in SQLite: a row for each point that is through, written by the coordinator alone."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cosign import CosignError, values
from flows.sweep.measure import Outcome
from flows.sweep.spec import SCHEMA, Point, Spec

_APPLICATION = 0x636F7377  # "cosw" in the file's header
_TABLES = """
CREATE TABLE sweep (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    spec TEXT NOT NULL,
    tools TEXT NOT NULL,
    started TEXT NOT NULL
);
CREATE TABLE points (
    hash TEXT PRIMARY KEY,
    network TEXT NOT NULL, layer TEXT NOT NULL, recipe TEXT NOT NULL, portion REAL NOT NULL,
    core TEXT NOT NULL,
    refused TEXT,
    cycles INTEGER, fmax_hz REAL, delay_s REAL,
    area_openram_um2 REAL, area_flat_um2 REAL, energy_nj REAL,
    figures TEXT,
    worker TEXT NOT NULL, wall_s REAL NOT NULL, finished TEXT NOT NULL,
    CHECK ((refused IS NULL) = (figures IS NOT NULL))
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Row:
    """A point that is through: `figures` as Outcome has them, or None and why it was refused."""

    hash: str
    figures: dict[str, Any] | None
    refused: str | None


class _Figures(values.Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What is read again of a point's figures."""

    name: str
    cycles: values.Count
    fmax_hz: values.Positive
    delay_s: values.Positive
    area_um2: dict[str, values.Positive]
    energy: dict[str, Any] | None


class Store:
    """One sweep's database. Open it with `opened`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def rows(self) -> dict[str, Row]:
        """{hash: row} of all points that are through."""
        with self._told():
            found = self._connection.execute("SELECT hash, figures, refused FROM points")
            return {h: Row(h, self._figures(figures), why) for h, figures, why in found}

    def _figures(self, text: str | None) -> dict[str, Any] | None:
        if text is None:
            return None
        found = _json(text, self._path)
        values.parse(found, _Figures, f"a point in {self._path}", "choose another --out")
        return found

    def add(self, point: Point, outcome: Outcome, worker: str) -> bool:
        """Keep the outcome, in a transaction; False when the point was through already."""
        figures = outcome.figures or {}
        area = figures.get("area_um2", {})
        values = {
            "hash": point.hash,
            "network": point.job.network,
            "layer": point.job.layer,
            "recipe": point.job.recipe,
            "portion": point.job.portion,
            "core": json.dumps(point.core),
            "refused": outcome.refused,
            **{name: figures.get(name) for name in ("cycles", "fmax_hz", "delay_s")},
            "area_openram_um2": area.get("openram"),
            "area_flat_um2": area.get("flat"),
            "energy_nj": figures["energy"]["total_nj"] if figures.get("energy") else None,
            "figures": None if outcome.figures is None else json.dumps(outcome.figures),
            "worker": worker,
            "wall_s": outcome.wall_s,
            "finished": _now(),
        }
        marks = ", ".join(f":{name}" for name in values)
        with self._told(), self._connection:
            done = self._connection.execute(
                f"INSERT OR IGNORE INTO points ({', '.join(values)}) VALUES ({marks})", values
            )
        return done.rowcount == 1

    def _told(self) -> contextlib.AbstractContextManager[None]:
        return _told(self._path)


@contextlib.contextmanager
def opened(path: Path, spec: Spec, tools: dict[str, Any]) -> Iterator[Store]:
    """The database of `spec` at `path`, made if there is none.

    Raises CosignError when the file holds something else, another sweep, or one that was begun with
    other tools, or cannot be written.
    """
    with _told(path):
        connection = sqlite3.connect(path)
    with contextlib.closing(connection):
        with _told(path):
            if _is_new(connection):
                _begin(connection, spec, tools)
            kept, begun_with = _header(connection, path)
        if kept != spec:
            old, new = kept.to_json(), spec.to_json()
            field = next(name for name in new if old[name] != new[name])
            raise CosignError(
                f"{path} holds another sweep ({field} is {json.dumps(old[field])}); choose "
                "another --out."
            )
        if (name := difference(begun_with, tools)) is not None:
            raise CosignError(
                f"{path} was begun with another {name}; figures would not compare, so choose "
                "another --out."
            )
        yield Store(connection, path)


def spec_in(path: Path) -> Spec:
    """The sweep that `path` holds; raises CosignError."""
    if not path.is_file():
        raise CosignError(f"there is no sweep in {path.parent}; give --spec FILE or --core.")
    with _told(path), contextlib.closing(sqlite3.connect(path)) as connection:
        return _header(connection, path)[0]


def difference(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    """The first tool that differs, or None."""
    names = [*one, *(name for name in other if name not in one)]
    return next((name for name in names if one.get(name) != other.get(name)), None)


def _is_new(connection: sqlite3.Connection) -> bool:
    objects = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return objects == 0 and _pragma(connection, "application_id") == 0


def _begin(connection: sqlite3.Connection, spec: Spec, tools: dict[str, Any]) -> None:
    with connection:
        connection.executescript(
            f"BEGIN; PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {SCHEMA}; "
            f"{_TABLES}"
        )
        connection.execute(
            "INSERT INTO sweep VALUES (1, ?, ?, ?)",
            (json.dumps(spec.to_json()), json.dumps(tools), _now()),
        )


def _header(connection: sqlite3.Connection, path: Path) -> tuple[Spec, dict[str, Any]]:
    """(spec, tools) of the sweep."""
    if _pragma(connection, "application_id") != _APPLICATION:
        raise CosignError(f"{path} is a database of something else; choose another --out.")
    version = _pragma(connection, "user_version")
    if version != SCHEMA:
        raise CosignError(f"{path} has schema {version}, this version reads {SCHEMA}.")
    if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("quick_check failed")
    spec, tools = connection.execute("SELECT spec, tools FROM sweep").fetchone()
    asked = values.parse(_json(spec, path), Spec, f"the sweep in {path}", "choose another --out")
    return asked, _json(tools, path)


def _json(text: Any, path: Path) -> dict[str, Any]:
    """A column of JSON. Raises CosignError where it is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, TypeError) as error:
        raise CosignError(f"{path} is damaged ({error}); choose another --out.") from error


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as sentences."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise CosignError(
            f"cannot use {path}: {error}; free some space or choose another --out."
        ) from error
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        raise CosignError(
            f"{path} is damaged or no database ({error}); delete it or choose another --out."
        ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
