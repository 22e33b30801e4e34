"""Processes that hear every signal, however the tests were started."""

import signal


def heard() -> None:
    """A job in the background of a shell inherits SIGINT as ignored, and SIGHUP behind nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
