"""What every command line does with what goes wrong."""

import argparse
import sys
from collections.abc import Callable

from cosign.errors import CosignError


def exit_status(command: Callable[[], int]) -> int:
    """Run `command`; its status, 2 after bad input told in one sentence, 130 after Ctrl-C."""
    try:
        return command()
    except CosignError as error:
        print(f"cosign: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130


def numbers(text: str) -> list[float]:
    """An option's value "1,2.5" as numbers, for argparse."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no list of numbers") from error
