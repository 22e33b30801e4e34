"""Draws `docs/rooms.svg` and writes the listing in `docs/rooms.md`, both from the code itself.

    python docs/rooms.py            # write both
    python docs/rooms.py --check    # exit status 1 where one is out of date

A room is a package. Its sentence is the first line of its docstring, its arrows are the imports of
its modules, those inside functions too. A room stands one floor above the highest that it imports;
an arrow that follows from others is left out of the picture. A folder that imports the one around
it and is imported by it is drawn as one with it.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import grimp
import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cosign", "compress", "rtl", "sim", "synth", "flows")
FOLDERS = {
    "benchmarks": "What is fast and small, measured: each prints ratios taken in one run.",
    "docs": "Documentation, and the results with the commands that made them.",
    "examples": "Short programs that use the rooms as libraries, and LeNet-5's smallest files.",
    "tests": "Mirrors the rooms; whole loops on real data among them.",
}
PICTURE, PAGE = ROOT / "docs" / "rooms.svg", ROOT / "docs" / "rooms.md"
DOORS = {"__main__", "run_cosign"}  # they load a command by its name, and import no room
UNTIED = {"sim.bench"}  # the simulator loads it, nothing imports it
MARKS = ("<!-- rooms: written by docs/rooms.py -->", "<!-- end of rooms -->")
COLOURS = dict(
    zip(PACKAGES, ("#d9d9d9", "#cfe3f5", "#f9dcc4", "#e2d4f0", "#d3ecd3", "#fbeeb8"), strict=True)
)
WIDTH, HEIGHT, ACROSS, UP = 1.3, 0.5, 1.5, 1.0  # of a box, and from one to the next

Arrows = Mapping[str, set[str]]


def rooms() -> dict[str, list[str]]:
    """Names of the modules that lie in each room, sorted."""
    found = {}
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob("__init__.py")):
            modules = sorted(p.stem for p in init.parent.glob("*.py") if p != init)
            name = ".".join(init.parent.relative_to(ROOT).parts)
            if modules and name not in UNTIED:
                found[name] = modules
    return found


def sentence(room: str) -> str:
    """The first line of the package's docstring, without its name in front."""
    source = (ROOT / Path(*room.split(".")) / "__init__.py").read_text()
    first = re.match(r'"""(.+)', source)
    assert first is not None, f"{room} has no docstring"
    return first[1].removesuffix('"""').removeprefix(f"{room}: ")


def arrows(modules: Mapping[str, list[str]]) -> dict[str, set[str]]:
    """The rooms that each room's modules import."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)

    def room_of(module: str) -> str:
        while module not in modules:
            module = module.rpartition(".")[0]
        return module

    pairs = {
        (room_of(module), room_of(other))
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
    }
    within = {one: two for one, two in pairs if one.startswith(f"{two}.") and (two, one) in pairs}

    def drawn(room: str) -> str:
        while room in within:
            room = within[room]
        return room

    found: dict[str, set[str]] = {name: set() for name in modules if name not in within}
    for one, two in pairs:
        above, below = drawn(one), drawn(two)
        if above != below:
            found[above].add(below)
    doors = {name for name in found if set(modules[name]) <= DOORS}
    return {name: others for name, others in found.items() if name not in doors}


def floors(direct: Arrows) -> dict[str, int]:
    """0 for a room that imports none, else one more than the highest that it imports."""
    found: dict[str, int] = {}

    def floor(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise SystemExit(f"rooms import each other in a circle: {' -> '.join((*above, room))}")
        if room not in found:
            found[room] = 1 + max((floor(r, (*above, room)) for r in direct[room]), default=-1)
        return found[room]

    for room in direct:
        floor(room)
    return found


def reduced(direct: Arrows) -> dict[str, set[str]]:
    """`direct` without arrows that lead where a longer way leads too."""

    def reached(room: str) -> set[str]:
        return direct[room].union(*(reached(other) for other in direct[room]))

    return {
        room: others - set().union(*(reached(other) for other in others))
        for room, others in direct.items()
    }


def places(direct: Arrows) -> dict[str, tuple[float, float]]:
    """Centre of each room's box; on a floor, rooms stand above what they import."""
    floor = floors(direct)
    drawn = reduced(direct)
    found: dict[str, tuple[float, float]] = {}
    for level in range(max(floor.values()) + 1):
        row = [room for room in direct if floor[room] == level]

        def wish(room: str) -> tuple[float, str]:
            below = [found[other][0] for other in drawn[room]]
            return (sum(below) / len(below) if below else 0.0), room

        row.sort(key=wish)
        middle = (len(row) - 1) / 2
        for number, room in enumerate(row):
            found[room] = (ACROSS * (number - middle), UP * level)
    return found


def draw(direct: Arrows, modules: Mapping[str, list[str]]) -> None:
    def drawn_in(name: str) -> str:
        return name if name in direct else name.rpartition(".")[0]

    mpl.rcParams |= {"svg.hashsalt": "rooms", "svg.fonttype": "none", "font.family": "sans-serif"}
    place = places(direct)
    right = max(x for x, _ in place.values()) + WIDTH
    top = max(y for _, y in place.values()) + HEIGHT
    figure, axes = plt.subplots(figsize=(2.0 * right * 1.2, (top + 0.6) * 1.1))
    for room, others in reduced(direct).items():
        for other in sorted(others):  # the picture is the same each time
            (x, y), (to_x, to_y) = place[room], place[other]
            axes.annotate(
                "",
                xy=(to_x, to_y + HEIGHT / 2),
                xytext=(x, y - HEIGHT / 2),
                arrowprops={"arrowstyle": "-|>", "color": "#6b6b6b", "lw": 0.9},
            )
    for room, (x, y) in place.items():
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        colour = COLOURS[room.split(".")[0]]
        style = "round,pad=0,rounding_size=0.06"
        axes.add_patch(
            FancyBboxPatch(corner, WIDTH, HEIGHT, style, fc=colour, ec="#4a4a4a", lw=0.8, zorder=3)
        )
        axes.text(x, y + 0.06, room, ha="center", va="center", size=8, weight="bold", zorder=4)
        count = sum(len(names) for name, names in modules.items() if drawn_in(name) == room)
        axes.text(
            x,
            y - 0.12,
            f"{count} module{'s' * (count != 1)}",
            ha="center",
            va="center",
            size=7,
            color="#3a3a3a",
            zorder=4,
        )
    axes.set_xlim(-right, right)
    axes.set_ylim(-0.5, top + 0.1)
    axes.axis("off")
    figure.savefig(
        PICTURE, bbox_inches="tight", metadata={"Date": None, "Description": words(direct)}
    )
    plt.close(figure)


def words(direct: Arrows) -> str:
    """The picture in words, which the file carries as its description."""
    lines = (f"{room} imports {', '.join(sorted(direct[room])) or 'none'}" for room in direct)
    return "; ".join(lines)


def listing(modules: Mapping[str, list[str]]) -> str:
    rows = [f"| `{room.replace('.', '/')}/` | {sentence(room)} |" for room in modules]
    rows += [f"| `{folder}/` | {what} |" for folder, what in FOLDERS.items()]
    return "\n".join(["| folder | what lives there |", "| --- | --- |", *rows])


def page(text: str, modules: Mapping[str, list[str]]) -> str:
    """`text` with the listing between the marks."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{listing(modules)}\n\n{MARKS[1]}{after}"


def stale(direct: Arrows, modules: Mapping[str, list[str]]) -> list[str]:
    """What no longer says what the code does."""
    text = PAGE.read_text()
    described = PICTURE.read_text() if PICTURE.exists() else ""
    found = [PAGE.name] if page(text, modules) != text else []
    return found + ([PICTURE.name] if words(direct) not in described else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    modules = rooms()
    direct = arrows(modules)
    if check:
        found = stale(direct, modules)
        for name in found:
            print(f"{name} is out of date; run python docs/rooms.py.")
        return int(bool(found))
    PAGE.write_text(page(PAGE.read_text(), modules))
    draw(direct, modules)
    return 0


if __name__ == "__main__":
    sys.exit(main())
