"""Standard output with a result alone, and streams that cannot be written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cosign import options, streams

ROOT = Path(__file__).parents[2]
TALKS = """
import contextlib, os, sys
from cosign import streams
from cosign.command import exit_status

def command():
    with streams.alone(sys.argv[1]):
        print("said")
        with contextlib.suppress(OSError):
            os.write(1, b"by C\\n")
        os.system("echo by a child")
        streams.result("the result")
    print("after")
    return 0

sys.exit(exit_status(command))
"""


def run(file: str, *redirected: str) -> subprocess.CompletedProcess[str]:
    """TALKS with --json `file`, its streams as the shell's words redirect them."""
    words = ["sh", "-c", " ".join(['exec "$@"', *redirected]), "sh", sys.executable, "-c", TALKS]
    return subprocess.run([*words, file], capture_output=True, text=True, cwd=ROOT)


def test_a_result_alone() -> None:
    done = run("-")
    assert (done.returncode, done.stdout) == (0, "the result\nafter\n")
    assert sorted(done.stderr.splitlines()) == ["by C", "by a child", "said"]


def test_a_file_leaves_the_streams_alone() -> None:
    done = run("file")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["after", "by C", "by a child", "said", "the result"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("file", ["-", "file"])
def test_a_full_disk_is_a_sentence(file: str) -> None:
    done = run(file, "> /dev/full")
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("cosign: ")]
    assert told == [
        "cosign: cannot write standard output: No space left on device; send it elsewhere."
    ]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("file", ["-", "file"])
@pytest.mark.parametrize("redirected", ["2> /dev/full", ">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_not_there_are_no_traceback(file: str, redirected: str) -> None:
    done = run(file, redirected)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if file == "-" and ">&-" not in redirected.replace("2>&-", ""):
        assert "the result\n" in done.stdout


def test_inside_a_test_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    with streams.alone("-"):
        print("said")
        options.publish([1], "-", "no text")
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ([1], "said\n")
