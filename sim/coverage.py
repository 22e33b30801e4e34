"""Line and toggle coverage of the cores' Verilog, from the files that simulations leave behind.

With the environment variable COSIGN_COVERAGE every simulation writes `<simulator>-<run>.dat` to
the folder that it names; all runs of one core are added up here. The Verilog writer begins its
blocks with a statement that does nothing (`if (...) begin end`); such lines do not count.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from cosign import CosignError
from sim.run import simulators_dir

CORE = "cosign_core.v"


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
    idle = _idle_lines(files[0].name.rsplit("-", 1)[0])
    lines: dict[int, int] = defaultdict(int)
    toggles: dict[str, int] = defaultdict(int)
    for file in files:
        for key, count in _points(file):
            if Path(key["f"]).name != CORE:
                continue
            kind = key["page"].split("/")[0]
            if kind in ("v_line", "v_branch") and "S" in key:
                for line in set(_numbers(key["S"])) - idle:
                    lines[line] += count
            elif kind == "v_toggle":
                toggles[f"{key['page']} {key['o']} {key['l']}"] += count
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


def _points(file: Path) -> list[tuple[dict[str, str], int]]:
    """The file's points: C '<\\1 key \\2 value ...>' count."""
    points = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if line.startswith("#"):
            continue
        head, quote, tail = line.rpartition("' ")
        if not line.startswith("C '") or not quote or not tail.isdigit():
            raise CosignError(f"{file}, line {number}: not a line of Verilator's coverage.")
        fields = (field.partition("\x02") for field in head[3:].split("\x01") if field)
        points.append(({name: value for name, _, value in fields}, int(tail)))
    return points


def _numbers(text: str) -> list[int]:
    """Verilator's lists of lines, "12,15-17"."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
