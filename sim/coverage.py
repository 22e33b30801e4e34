"""Line and toggle coverage of the cores' Verilog, from the files that simulations leave behind.

With the environment variable COSIGN_COVERAGE every simulation writes `<simulator>-<run>.dat` to
the folder that it names; all runs of one core are added up here. The Verilog writer begins its
blocks with a statement that does nothing (`if (...) begin end`); such lines do not count.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cosign import CosignError
from sim.run import simulators_dir

CORE = "cosign_core.v"
_MOST_LINES = 1_000_000  # of Verilog
_POINT = re.compile(r"C '(.*)' ([0-9]{1,19})")


@dataclass(frozen=True)
class Coverage:
    """What was reached of one core: lines, and signals' bits that toggled.

    core : "<kind>-<CoreConfig hash>"
    missed : numbers of the lines of cosign_core.v that never ran
    """

    core: str
    lines: int
    lines_hit: int
    toggles: int
    toggles_hit: int
    missed: tuple[int, ...]


def collect(folder: Path) -> list[Coverage]:
    """Coverage by core. Raises CosignError without files, or when they are damaged."""
    files = sorted(Path(folder).glob("*.dat"))
    if not files:
        raise CosignError(
            f"there are no coverage files in {folder}; run the simulations with "
            "COSIGN_COVERAGE set to it."
        )
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        groups[file.name.rsplit("-", 2)[0]].append(file)
    return [_sum_up(name, members) for name, members in groups.items()]


def _sum_up(name: str, files: list[Path]) -> Coverage:
    every = [point for file in files for point in _points(file)]
    idle = _idle_lines(files[0].name.rsplit("-", 1)[0])
    lines: dict[int, int] = defaultdict(int)
    toggles: dict[str, int] = defaultdict(int)
    for point in every:
        if Path(point.file).name != CORE:
            continue
        kind = point.page.split("/")[0]
        if kind in ("v_line", "v_branch"):
            for line in point.lines - idle:
                lines[line] += point.hits
        elif kind == "v_toggle":
            toggles[f"{point.page} {point.what} {point.line}"] += point.hits
    return Coverage(
        core=name,
        lines=len(lines),
        lines_hit=sum(count > 0 for count in lines.values()),
        toggles=len(toggles),
        toggles_hit=sum(count > 0 for count in toggles.values()),
        missed=tuple(sorted(line for line, count in lines.items() if not count)),
    )


def _idle_lines(simulator: str) -> set[int]:
    """Lines of the simulated Verilog that do nothing."""
    source = simulators_dir() / simulator / CORE
    try:
        text = source.read_text()
    except OSError as error:
        raise CosignError(
            f"cannot read {source}, which was simulated: {error.strerror}; simulate again."
        ) from error
    lines = enumerate(text.splitlines(), 1)
    return {number for number, line in lines if line.rstrip().endswith("begin end")}


class _Point(NamedTuple):
    """A point that is counted: where it is, `what` of it, and the `lines` that it stands for."""

    file: str
    page: str
    what: str
    line: str
    lines: frozenset[int]
    hits: int


def _points(file: Path) -> Iterator[_Point]:
    """The file's points: C '<\\1 key \\2 value ...>' count. Raises CosignError on other lines."""
    try:
        text = file.read_text(errors="replace")
    except OSError as error:
        raise CosignError(f"cannot read {file}: {error.strerror or error}.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#") or not line:
            continue
        found = _POINT.fullmatch(line)
        fields = {} if found is None else _fields(found[1])
        if found is None or not fields.keys() >= {"f", "page", "o", "l"}:
            raise CosignError(
                f"{file}, line {number}: not a line of Verilator's coverage; delete the file and "
                "simulate again."
            )
        try:
            lines = frozenset(_numbers(fields["S"]) if "S" in fields else ())
        except ValueError as error:
            raise CosignError(
                f"{file}, line {number}: {fields['S'][:60]!r} are no lines of Verilog; delete the "
                "file and simulate again."
            ) from error
        name, page, what, place = (fields[key] for key in ("f", "page", "o", "l"))
        yield _Point(name, page, what, place, lines, int(found[2]))


def _fields(text: str) -> dict[str, str]:
    parts = (field.partition("\x02") for field in text.split("\x01") if field)
    return {name: value for name, _, value in parts}


def _numbers(text: str) -> Iterator[int]:
    """Verilator's lists of lines, "12,15-17". Raises ValueError on anything else."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not 0 < low <= high <= _MOST_LINES:
            raise ValueError(text)
        yield from range(low, high + 1)
