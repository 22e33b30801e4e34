"""`python -m compress`: what this room can do alone; `cosign compress` is the same."""

import sys

from cosign import command


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    return command.main("python -m compress", "compress.commands", arguments)


if __name__ == "__main__":
    sys.exit(main())
