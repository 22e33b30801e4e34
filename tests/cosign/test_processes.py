"""Signals stop the program as Ctrl-C does, and nothing that it started outlives it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hearing import heard

from cosign import processes
from cosign.processes import Cancelled

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# What it starts starts a program itself, as make does.
TOOL = "sh -c 'sleep 60 & touch begun; sleep 60'"
BEGINNING = f"""
import shlex, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from cosign import processes, scratch
from cosign.command import exit_status
tool = shlex.split({TOOL!r})
"""
PROGRAMS = {
    "in the main thread": "def work(): processes.run(tool)",
    "in a pool": """
def work():
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(processes.run, [tool] * 6))
""",
    "of a package": """
def work():
    done = subprocess.Popen(["sh", "-c", "touch begun; exec sleep 60"])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(done.wait).result()
""",
    "while it sleeps": """
def work():
    open("begun", "w").close()
    time.sleep(60)
""",
}
END = """
def command():
    with scratch("test"):
        work()
    return 0

sys.exit(exit_status(command))
"""


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    yield
    processes._state.ending.clear()


def begun(folder: Path, program: str, *wrapped: str) -> "subprocess.Popen[str]":
    """The program, when its tool is at work."""
    root = Path(__file__).parents[2]
    (folder / "tmp").mkdir()
    process = subprocess.Popen(
        [*wrapped, sys.executable, "-c", BEGINNING + program + END],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(folder / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
    )
    deadline = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def is_stopped(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> None:
    """It ends by itself, and says that a signal stopped it."""
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (STATUS[number], "stopped.\n")


def running(folder: Path) -> list[str]:
    """Command lines of processes that work in `folder`, but for those that wait to be buried."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_signal_ends_it_and_all_that_it_started(
    program: str, number: signal.Signals, tmp_path: Path
) -> None:
    process = begun(tmp_path, program)
    process.send_signal(number)
    is_stopped(process, number)
    assert running(tmp_path) == []
    assert os.listdir(tmp_path / "tmp") == []


def test_the_first_signal_decides_and_the_others_wait(tmp_path: Path) -> None:
    process = begun(
        tmp_path,
        """
def work():
    open("begun", "w").close()
    try:
        time.sleep(60)
    finally:
        open("ending", "w").close()
        time.sleep(1)
""",
    )
    process.send_signal(signal.SIGTERM)
    while not (tmp_path / "ending").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    is_stopped(process)
    assert os.listdir(tmp_path / "tmp") == []


def test_a_signal_that_another_thread_takes_wakes_the_main_one(tmp_path: Path) -> None:
    """As the system may hand it out; nothing else ends the wait for a lock."""
    process = begun(
        tmp_path,
        """
import threading
def take():
    open("begun", "w").close()
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
def work():
    threading.Thread(target=take).start()
    threading.Event().wait()
""",
    )
    is_stopped(process)


def test_what_a_with_takes_is_given_back(tmp_path: Path) -> None:
    """However the signal meets the taking; a lock would be waited for at the end."""
    process = begun(
        tmp_path,
        """
class Taken:
    def __enter__(self):
        open("begun", "w").close()
        signal.raise_signal(signal.SIGTERM)
    def __exit__(self, *error):
        signal.raise_signal(signal.SIGTERM)
        open("given back", "w").close()
def work():
    with Taken():
        time.sleep(60)
""",
    )
    is_stopped(process)
    assert (tmp_path / "given back").exists()


def test_what_nohup_ignores_is_ignored(tmp_path: Path) -> None:
    process = begun(
        tmp_path,
        """
def work():
    open("begun", "w").close()
    time.sleep(1)
""",
        "nohup",
    )
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_signals_are_the_callers_again_afterwards() -> None:
    before = [signal.getsignal(number) for number in processes.STOPPING]
    with processes.stoppable():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in processes.STOPPING] == before


def test_what_is_left_of_a_tool_ends_with_it(tmp_path: Path) -> None:
    processes.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 &"], cwd=tmp_path)
    assert running(tmp_path) == []


def test_a_tool_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        processes.run(["sh", "-c", "sleep 60 & sleep 60"], cwd=tmp_path, timeout=0.2)
    assert running(tmp_path) == []


def test_after_the_end_nothing_is_started(tmp_path: Path) -> None:
    said: list[object] = []

    def work() -> None:
        try:
            said.append(processes.run(["sleep", "60"], cwd=tmp_path))
        except Cancelled as error:
            said.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not running(tmp_path):
        time.sleep(0.01)
    processes.end_all()
    thread.join(10)
    with pytest.raises(Cancelled):
        processes.run(["touch", "made"], cwd=tmp_path)
    assert [type(one) for one in said] == [Cancelled]
    assert running(tmp_path) == []
