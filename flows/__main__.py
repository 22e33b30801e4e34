"""`cosign`, also `python -m flows`: everything, one subcommand each."""

import sys

from cosign import command


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    return command.main("cosign", "flows.commands", arguments)


if __name__ == "__main__":
    sys.exit(main())
