"""`python -m rtl`: what this room can do alone; `cosign rtl` is the same."""

import sys

from cosign import command


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    return command.main("python -m rtl", "rtl.commands", arguments)


if __name__ == "__main__":
    sys.exit(main())
