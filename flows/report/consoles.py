"""Where runs are shown: consoles that print names as they are, `[photos]` and `:car:` too."""

from rich.console import Console

_WIDTH = 140


def standard_output() -> Console:
    """Wide enough for our tables where it is no terminal."""
    found = Console(markup=False, emoji=False)
    return found if found.is_terminal else Console(width=_WIDTH, markup=False, emoji=False)


def standard_error() -> Console:
    return Console(stderr=True, markup=False, emoji=False)
