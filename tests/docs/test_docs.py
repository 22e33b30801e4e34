"""The documentation builds, its links lead somewhere, and its commands are ones that exist."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_tree import commands

from cosign import command
from flows.commands.run import EXAMPLES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = ("compress", "rtl", "sim", "synth")
PROGRAMS = {  # what is typed: the module of its commands, and a command that it always is
    "cosign": ("flows.commands", ()),
    "python flows/run_cosign.py": ("flows.commands", ("run",)),
    **{f"python -m {room}": (f"{room}.commands", ()) for room in ROOMS},
    "torchrun --nproc-per-node 2 -m flows": ("flows.commands", ()),
}


def lines(page: Path) -> Iterator[str]:
    """What a reader would type: indented or fenced lines, continued ones joined."""
    text = page.read_text().replace("\\\n", " ")
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


def typed() -> list[tuple[str, str]]:
    """(where, command) of every call of Python, cosign, torchrun or make."""
    texts = [(str(page.relative_to(ROOT)), lines(page)) for page in PAGES]
    examples = (re.split(r"\s{3,}", line)[0] for line in map(str.strip, EXAMPLES.splitlines()))
    texts.append(("cosign run --help", examples))
    found = []
    for where, text in texts:
        for line in text:
            call = re.match(r"(?:\.venv/bin/)?((?:python|cosign|torchrun|make) \S.*)", line)
            if call:
                found.append((where, call[1]))
    return found


def commands_of(page: str) -> list[str]:
    return [
        line
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
        for line in block.splitlines()
    ]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        mkdocs,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tutorial" / "index.html").stat().st_size > 10_000


def test_readme_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text().replace("\n", " "))
    local = [target for target in targets if "://" not in target]
    assert len(local) > 5
    for target in local:
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(("page", "line"), typed())
def test_a_command_of_the_documentation_exists(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        known = {name for line in targets for name in line.split()}
        assert {word for word in words[1:] if "=" not in word} <= known
        return
    for program, (module, before) in PROGRAMS.items():
        count = len(program.split())
        if words[:count] == program.split():
            rest = [*before, *words[count:]]
            with pytest.raises(SystemExit) if "--help" in rest else contextlib.nullcontext():
                command.parse(program, module, rest)
            return
    assert words[0] == "python"
    assert words[1] == "-m" or (ROOT / words[1]).is_file(), f"{page} runs {words[1]}"


def test_an_import_of_the_documentation_works() -> None:
    """Python on a page names modules and what is in them as they are called today."""
    rooms = "|".join((*ROOMS, "flows"))
    wanted = {
        line
        for page in PAGES
        for line in lines(page)
        if re.fullmatch(rf"from (?:{rooms})\b[\w.]* import [\w, ]+", line)
    }
    assert len(wanted) > 3
    for line in wanted:
        exec(line, {})


def test_a_command_in_a_sentence_exists() -> None:
    """`cosign sim run` anywhere in pages and code; what follows the command may be left out."""
    known = {words for words, _, _ in commands()} | {(room,) for room in ROOMS}
    sources = [path for room in (*ROOMS, "flows", "cosign") for path in (ROOT / room).rglob("*.py")]
    named = [
        (path, tuple(words.split()))
        for path in (*PAGES, *sources)
        for words in re.findall(r"`cosign ([a-z ]+)", path.read_text())
    ]
    assert len(named) > 20
    for path, words in named:
        assert {words[:1], words[:2]} & known, f"{path} names {words}"


def test_every_command_is_listed() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    listed = re.findall(r"^\| `cosign (.+?)` \| (.+) \|$", page, re.MULTILINE)
    assert listed == [(" ".join(words), sentence) for words, _, sentence in commands()]


def test_times_of_the_two_commands_agree() -> None:
    texts = [(ROOT / name).read_text() for name in ("README.md", "Makefile")]
    said = [
        {
            name: re.search(rf"\b{name} .*?(\d+) processor minutes", text)[1]
            for name in ("lenet5", "alexnet")
        }
        for text in (*texts, EXAMPLES)
    ]
    assert said[0] == said[1] == said[2]


@pytest.mark.slow
def test_the_tutorial_runs() -> None:
    calls = [line for line in commands_of("tutorial.md") if line.startswith("python ")]
    assert len(calls) == 7
    for line in calls:
        words = [sys.executable, *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_an_example_runs(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_rooms_are_drawn_from_the_code_of_today() -> None:
    done = subprocess.run(
        [sys.executable, "docs/rooms.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
