"""Outside tools: their errors, and that none outlives us."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cosign import CosignError
from synth.process import Cancelled, Conversation, run_tool

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def test_failure_is_told(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "print('Error: no such gate.'); raise SystemExit(3)")
    with pytest.raises(CosignError, match=r"status 3; it said: Error: no such gate\.$"):
        run_tool(command, tmp_path / "log", tmp_path, "python")


def test_missing_program(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=r"program nosuchtool; .* nosuchpackage"):
        run_tool(("nosuchtool",), tmp_path / "log", tmp_path, "nosuchpackage")
    with pytest.raises(CosignError, match="nosuchpackage"):
        Conversation(("nosuchtool",), tmp_path, "nosuchpackage")


def test_cancel_stops_the_tool(tmp_path: Path) -> None:
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run_tool(SLEEP, tmp_path / "log", tmp_path, "python", cancel)
    assert time.monotonic() - started < 10


def test_conversation_ends_early(tmp_path: Path) -> None:
    talk = Conversation((sys.executable, "-c", "print('out of memory')"), tmp_path, "python")
    with pytest.raises(CosignError, match="ended before its answer"):
        talk.ask("hello\n", "end\n")
    talk.close()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(number: signal.Signals, status: int, tmp_path: Path) -> None:
    """No output folder, no tool left running, no temporary folder."""
    environment = os.environ | {"COSIGN_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "synth", "report", "--lanes", "16", "--act-banks", "8"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        cwd=root, env=environment, stderr=subprocess.PIPE, text=True,
        # A job in the background of a shell inherits SIGINT as ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (scripts := list(tmp_path.glob("cosign-synth-*/map.log"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert said.splitlines()[-1] == "stopped."  # behind the progress
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
    assert not scripts[0].parent.exists()
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            assert not str(entry.readlink()).startswith(str(tmp_path))
        except OSError:
            continue
