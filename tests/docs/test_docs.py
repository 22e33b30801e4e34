"""The documentation builds, its links lead somewhere, and its commands are ones that exist."""

import argparse
import contextlib
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PARSERS = {
    "-m compress": ("compress.__main__", "_parser"),
    "-m rtl": ("rtl.__main__", "parser"),
    "-m sim": ("sim.__main__", "parser"),
    "-m synth": ("synth.__main__", "parser"),
    "flows/run_cosign.py compare": ("flows.report.compare", "parser"),
    "flows/run_cosign.py": ("flows.run_cosign", "parser"),
    "flows/measure/energy.py": ("flows.measure.energy", "parser"),
    "flows/studies/baselines.py": ("flows.studies.baselines", "parser"),
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


def commands() -> list[tuple[str, str]]:
    """(page, command) of every call of Python or make."""
    found = []
    for page in PAGES:
        for line in lines(page):
            call = re.match(r"(?:\.venv/bin/)?(python \S.*|make \S.*)", line)
            if call:
                found.append((str(page.relative_to(ROOT)), call[1]))
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


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_of_the_documentation_exists(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        known = {name for line in targets for name in line.split()}
        assert {word for word in words[1:] if "=" not in word} <= known
        return
    both = " ".join(words[1:3])
    head, rest = (both, words[3:]) if words[1] == "-m" or both in PARSERS else (words[1], words[2:])
    if head in PARSERS:
        module, name = PARSERS[head]
        parser: argparse.ArgumentParser = getattr(importlib.import_module(module), name)()
        with pytest.raises(SystemExit) if "--help" in rest else contextlib.nullcontext():
            parser.parse_args(rest)
    elif not head.startswith("-m"):
        assert (ROOT / head).is_file(), f"{page} runs {head}"


@pytest.mark.slow
def test_the_tutorial_runs() -> None:
    typed = [line for line in commands_of("tutorial.md") if line.startswith("python ")]
    assert len(typed) == 7
    for line in typed:
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
