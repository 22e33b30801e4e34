"""Exit statuses, and output that nobody reads to its end."""

import subprocess
import sys
from collections.abc import Callable

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
    ],
)
def test_a_status_and_a_sentence(
    command: Callable[[], int], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(command) == status
    assert capsys.readouterr().err.removeprefix("cosign: ").strip() == told


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
