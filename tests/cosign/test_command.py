"""Exit statuses, and output that nobody reads to its end."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cosign import CosignError
from cosign.command import exit_status

TALKS = """
import sys
from cosign.command import exit_status

def command():
    for _ in range(100_000):
        print("a line of many")
    return 0

sys.exit(exit_status(command))
"""


def _raises(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        (lambda: 1, 1, ""),
        (_raises(CosignError("no such file; give another.")), 2, "no such file; give another."),
        (_raises(KeyboardInterrupt()), 130, "stopped."),
        (
            lambda: len(bytearray(1 << 60)),
            2,
            "there is not enough memory for what is asked; ask for less at once, fewer images, "
            "say.",
        ),
    ],
)
def test_a_status_and_a_sentence(
    command: Callable[[], int], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(command) == status
    assert capsys.readouterr().err.removeprefix("cosign: ").strip() == told


PRINTS = """
import sys
from cosign.command import exit_status
from cosign import consoles

def command():
    print("8 × 8, 5 µm², −3 … ±q, naïve 网 \\udcff")
    consoles.standard_output().print("▁▃ 3 × 3")
    print("a name: 网", file=sys.stderr)
    return 0

sys.exit(exit_status(command))
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "ascii:strict"])
def test_any_text_can_be_printed_in_any_encoding(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding.partition(":")[0])
    wanted = {
        "ascii": ["8 x 8, 5 um2, -3 ... +-q, naive ? ?", "?? 3 x 3"],
        "latin-1": ["8 × 8, 5 µm², -3 ... ±q, naïve ? ?", "?? 3 × 3"],
        "utf-8": ["8 × 8, 5 µm², −3 … ±q, naïve 网 ?", "▁▃ 3 × 3"],
    }
    assert text.splitlines() == wanted[encoding.partition(":")[0]]


def test_tools_are_found_without_a_path() -> None:
    program = "import shutil; from cosign.command import exit_status\n"
    program += "raise SystemExit(exit_status(lambda: 0 if shutil.which('sh') else 1))"
    environment = {name: value for name, value in os.environ.items() if name != "PATH"}
    done = subprocess.run([sys.executable, "-c", program], env=environment)
    assert done.returncode == 0


def test_rooms_are_ours_whatever_the_path_has(tmp_path: Path) -> None:
    """The user's own packages of these names lie before them."""
    for room in ("compress", "rtl", "sim", "synth", "flows"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('not ours')")
    root = str(Path(__file__).parents[2])
    program = "import sys; from cosign.command import cosign; sys.exit(cosign())"
    done = subprocess.run(
        [sys.executable, "-c", program, "sim", "cycles", "--model", "nowhere.cosign"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), root))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "cannot read nowhere.cosign" in done.stderr


def test_a_full_disk_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere/file")
    assert exit_status(_raises(full)) == 2
    assert capsys.readouterr().err == (
        "cosign: cannot write somewhere/file: No space left on device; free some space.\n"
    )
    with pytest.raises(FileNotFoundError):  # a fault of ours shows where
        exit_status(_raises(FileNotFoundError(errno.ENOENT, "no such file")))


def test_a_reader_that_stops_early_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TALKS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "a line of many\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
