"""Mutation check of `rtl/`: small faults, each of which some test must find.

Every mutant of `mutants.toml` is one exact piece of text in one file, replaced in a temporary copy
of the tree; then only the tests run that are named beside it, and at least one must fail. First
they all run on the copy without a mutant, and must pass. Prints a line for each mutant; `--out`
writes the table.

    python tests/mutants.py --jobs 2 --out docs/results/mutants.md

Exit status 1 when a mutant survives that is not known to be equivalent, 2 when the tests fail
without one.
"""

import argparse
import concurrent.futures
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("compress", "cosign", "rtl", "sim", "tests")
LIMIT_S = 300
"""A mutant whose tests take longer makes one of them hang, and so is found."""


@dataclass(frozen=True)
class Mutant:
    """A fault of a file below `rtl/`.

    Parameters
    ----------
    file : its path below `rtl/`
    fault : in words
    old, new : the text, which is there exactly once, and what it becomes
    tests : those that should find it, as pytest names them
    equivalent : why nothing can find it, if so
    """

    file: str
    fault: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def applied(self, text: str) -> str:
        """`text` of the file with the fault. Raises ValueError unless `old` is there once."""
        if text.count(self.old) != 1:
            raise ValueError(
                f"rtl/{self.file} holds {self.old!r} {text.count(self.old)} times, not once"
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Parameters
    ----------
    found : "broken" when no test ran to its end
    told : the test that killed it, empty when one hangs; what pytest said if broken
    """

    mutant: Mutant
    found: Literal["killed", "survived", "broken"]
    told: str = ""

    @property
    def equivalent(self) -> bool:
        """Alive, as it must be."""
        return self.found == "survived" and bool(self.mutant.equivalent)

    @property
    def as_expected(self) -> bool:
        """Killed, or equivalent as the table says."""
        return self.equivalent or (self.found == "killed" and not self.mutant.equivalent)


def mutants() -> list[Mutant]:
    """The table, in its order."""
    table = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())
    return [Mutant(**fields | {"tests": tuple(fields["tests"])}) for fields in table["mutant"]]


def copy_tree(folder: Path) -> Path:
    """What the tests need of the project, below `folder`."""
    for name in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_tests(
    tree: Path, tests: Sequence[str], limit_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """pytest's answer. Raises subprocess.TimeoutExpired when it takes longer than `limit_s`."""
    changes = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    changes |= {"COSIGN_CACHE": str(tree / "cache")}
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={tree}/t"]
    options += ["--hypothesis-seed=0", "--hypothesis-profile=first failure"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=tree,
        env=os.environ | changes,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
    )


def judge(mutant: Mutant, tree: Path) -> Verdict:
    """Run the mutant's tests on `tree`, which is left as it was."""
    path = tree / "rtl" / mutant.file
    text = path.read_text()
    path.write_text(mutant.applied(text))
    try:
        done = run_tests(tree, mutant.tests, LIMIT_S)
    except subprocess.TimeoutExpired:
        return Verdict(mutant, "killed")
    finally:
        path.write_text(text)
    if done.returncode == 0:
        return Verdict(mutant, "survived")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode != 1 or not failed:
        return Verdict(mutant, "broken", (done.stdout + done.stderr)[-1500:])
    test, _, _ = failed[0].removeprefix("FAILED ").partition(" - ")
    return Verdict(mutant, "killed", test)


def check(chosen: Sequence[Mutant], jobs: int) -> Iterator[Verdict]:
    """The verdicts in order, `jobs` mutants at a time.

    Raises RuntimeError when the tests fail without a mutant.
    """
    with tempfile.TemporaryDirectory(prefix="cosign-mutants-") as name:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(jobs):
            trees.put(copy_tree(Path(name) / str(number)))

        def on_a_tree(mutant: Mutant) -> Verdict:
            tree = trees.get()
            try:
                return judge(mutant, tree)
            finally:
                trees.put(tree)

        tree = trees.get()
        done = run_tests(tree, list(dict.fromkeys(test for m in chosen for test in m.tests)))
        if done.returncode:
            said = (done.stdout + done.stderr)[-3000:]
            raise RuntimeError(f"{said}\nthe tests fail without a mutant.")
        trees.put(tree)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(on_a_tree, chosen)


def page(verdicts: Sequence[Verdict], command: str, seconds: float) -> str:
    """The verdicts as a table in Markdown."""
    killed = sum(verdict.found == "killed" for verdict in verdicts)
    equivalent = sum(verdict.equivalent for verdict in verdicts)
    lines = [
        "# Mutants of `rtl/`",
        "",
        f"`{command}`, {time.strftime('%-d %B %Y')}, Python {platform.python_version()}: "
        f"{len(verdicts)} mutants, {killed} killed, {equivalent} equivalent, "
        f"{len(verdicts) - killed - equivalent} alive; {seconds / 60:.0f} min.",
        "",
        "Each is one small change in a copy of the tree (`tests/mutants.toml` has its text), run",
        "against the tests that should find it; the first that failed is named.",
        "",
        "| file | fault | found by |",
        "| --- | --- | --- |",
    ]
    for verdict in verdicts:
        told = f"**{verdict.found}**"
        if verdict.equivalent:
            told = f"equivalent: {verdict.mutant.equivalent}"
        elif verdict.found == "killed":
            test = verdict.told.removeprefix("tests/")
            told = f"`{test}`" if test else f"a test takes longer than {LIMIT_S} s"
        lines.append(f"| `{verdict.mutant.file}` | {verdict.mutant.fault} | {told} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="files or faults with this text")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    chosen = [m for m in mutants() if options.only in f"{m.file} {m.fault}"]
    begun = time.monotonic()
    verdicts = []
    try:
        for verdict in check(chosen, options.jobs):
            verdicts.append(verdict)
            mutant = verdict.mutant
            print(f"{verdict.found:8} {mutant.file}: {mutant.fault} {verdict.told}", flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    if options.out:
        command = " ".join(["python tests/mutants.py", *sys.argv[1:]])
        options.out.write_text(page(verdicts, command, time.monotonic() - begun))
    unexpected = [verdict for verdict in verdicts if not verdict.as_expected]
    for verdict in unexpected:
        said = "is not equivalent" if verdict.mutant.equivalent else verdict.found
        print(f"{verdict.mutant.file}: {verdict.mutant.fault}: {said}", file=sys.stderr)
    return int(bool(unexpected))


if __name__ == "__main__":
    sys.exit(main())
