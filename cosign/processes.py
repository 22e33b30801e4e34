"""Programs that we start, and signals that stop us: no program outlives the one that started it.

Each leads a process group, so that what it started itself (make its compilers, Yosys ABC) ends with
it. Ctrl-C, SIGTERM and SIGHUP end all groups before anything is unwound: threads that wait for a
tool are through with it at once, and temporary folders are removed when nobody writes there.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any

Command = Sequence[str | Path]

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NUDGE = signal.SIGURG
"""Wakes the main thread. Nothing else sends it, and a program that does not know it ignores it."""
_NUDGES_S = 0.05
_GONE_S = 0.5
"""Killed processes are waited for so long; where nobody collects orphans they never seem gone."""


class Stopped(KeyboardInterrupt):
    """A signal asked the program to stop. `status` is what shells call it: 128 and its number."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.status = 128 + number


class Cancelled(Exception):
    """A tool was stopped half way: what it was for is not wanted any more."""


class _State:
    """Of this process.

    live : programs that were started and have not ended
    ending : nothing is started any more
    owner : the process whose signals we take; one that it forks leaves them alone
    held : blocks of `_held` that the main thread is in
    pending : a signal that came meanwhile
    heard : the main thread has heard the signals that came so far
    """

    def __init__(self) -> None:
        self.live: set[subprocess.Popen[Any]] = set()
        self.ending = threading.Event()
        self.owner = 0
        self.held = 0
        self.pending: int | None = None
        self.heard = True


_state = _State()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within the block Ctrl-C, SIGTERM and SIGHUP end what `start` started, then raise Stopped.

    Signals that are ignored, as by nohup, stay so. After the first one, SIGTERM and SIGHUP wait
    for the block's end. Only the main thread can take signals; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.ending.clear()
    _state.owner, _state.pending = os.getpid(), None
    before = {}
    for number in STOPPING:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, _stop)
    before[_NUDGE] = signal.signal(_NUDGE, _nudged)
    try:
        with _woken():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.ending.clear()


def _stop(number: int, frame: FrameType | None) -> None:
    _state.heard = True
    if os.getpid() != _state.owner:  # forked to read images: its parent ends it
        raise KeyboardInterrupt
    if _state.held or _takes_or_leaves(frame):
        _state.pending = number
        return
    if _state.ending.is_set() and number != signal.SIGINT:
        return
    end_all()
    raise Stopped(number)


def _takes_or_leaves(frame: FrameType | None) -> bool:
    """Whether a `with` is taking or giving back what a raise here would leave taken: a lock, say,
    that threads wait for which are waited for."""
    names = ("__enter__", "__exit__", "_release_save", "_acquire_restore")
    return frame is not None and frame.f_code.co_name in names


def _nudged(_: int, frame: FrameType | None) -> None:
    _state.heard = True
    if _state.pending is not None and not _state.held:
        number, _state.pending = _state.pending, None
        _stop(number, frame)


@contextlib.contextmanager
def _woken() -> Iterator[None]:
    """Within the block no signal is slept through.

    One that comes as the main thread goes to wait for a lock, or that the system hands to another
    thread, does not wake it: Python only looks for signals when the wait is over. Hence a thread
    that hears of signals and interrupts the wait.
    """
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    waker = threading.Thread(target=_wake, args=(ear,), daemon=True)
    waker.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(mouth)
        waker.join()
        os.close(ear)


def _wake(ear: int) -> None:
    """Nudge the main thread after a signal until it has heard and acted; to the end of `ear`."""
    main = threading.main_thread().ident
    assert main is not None
    while came := os.read(ear, 64):
        if not set(came) - {_NUDGE}:
            continue
        _state.heard = False
        time.sleep(_NUDGES_S)
        while not _state.heard or _state.pending is not None:
            signal.pthread_kill(main, _NUDGE)
            time.sleep(_NUDGES_S)


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """A signal that comes within the block acts at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
        if not _state.held and _state.pending is not None:
            number, _state.pending = _state.pending, None
            _stop(number, None)


def start(command: Command, **options: Any) -> "subprocess.Popen[Any]":
    """A program in a process group of its own; `end` has to follow.

    options : of subprocess.Popen

    Raises OSError as Popen does, Cancelled when all programs were ended meanwhile.
    """
    with _held():  # or a child would run that nobody knows
        words = [str(word) for word in command]
        process = subprocess.Popen(words, process_group=0, **options)
        _state.live.add(process)
    if _state.ending.is_set():
        end(process)
        raise Cancelled
    return process


def end(process: "subprocess.Popen[Any]") -> None:
    """End a program of `start`, if it has not, and all that it has started."""
    _kill(process)
    process.wait()
    deadline = time.monotonic() + _GONE_S
    while _kill(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    _state.live.discard(process)


def _kill(process: "subprocess.Popen[Any]") -> bool:
    """Whether the group has a process left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def started(command: Command, **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A program that ends with the block at the latest. Raises as `start` does."""
    process = start(command, **options)
    try:
        yield process
    finally:
        end(process)
    if _state.ending.is_set():
        raise Cancelled  # whatever it said when it was killed


def run(command: Command, **options: Any) -> "subprocess.CompletedProcess[str]":
    """A program's status and what it wrote. Raises as `start` does.

    options : of subprocess.Popen; and `timeout`, seconds after which it is ended and
        subprocess.TimeoutExpired raised
    """
    timeout = options.pop("timeout", None)
    piped = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, text=True, errors="replace", **(piped | options)) as process:
        written, complaints = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, written, complaints)


def end_all() -> None:
    """End every program of `start`, and those that packages have started for us; start no more."""
    _state.ending.set()
    for process in tuple(_state.live):
        _kill(process)
    kept = {child.pid for child in multiprocessing.active_children()}
    kept |= {process.pid for process in tuple(_state.live)}
    kept.add(getattr(resource_tracker._resource_tracker, "_pid", None))
    for number in _children():
        if number in kept:
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, signal.SIGKILL)


def _children() -> set[int]:
    """Processes that this one has started, where the system tells."""
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended
            found |= set(map(int, task.read_text().split()))
    return found
