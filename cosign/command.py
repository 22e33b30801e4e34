"""Commands: tables of names, each with a module that is imported when it is chosen.

A module of a command has `add_options(parser)` and `run(options)`, which returns the exit status;
its docstring is what --help says. A module of a group has `COMMANDS` instead, and perhaps `MOVED`:
commands that a room no longer has, and what to type for them; and `LENT`: names that people look
for in the group, and the modules of commands that lie in a room above, where they are told of.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from cosign import environment, rooms
from cosign.errors import CosignError
from cosign.files import is_full, reason
from cosign.processes import Stopped, stoppable


class Command(NamedTuple):
    """A row of a table: the module, and a sentence for --help of the group."""

    module: str
    help: str


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints are one sentence, as all others are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise CosignError(f"{message}; see `{self.prog} --help`.")


def parse(program: str, module: str, words: Sequence[str]) -> argparse.Namespace:
    """The options that `words` give; `.command` is the `run` of the command they name.

    program : what was typed before them
    module : of the command or group

    Raises CosignError on what the command does not know, SystemExit after --help.
    """
    parser = _Parser(prog=program)
    _fill(parser, module, words)
    return parser.parse_args(words)


def _fill(parser: argparse.ArgumentParser, name: str, words: Sequence[str]) -> None:
    """The options of a command, or the names of a group's and the options of the chosen one."""
    module = importlib.import_module(name)
    parser.description = module.__doc__
    if not hasattr(module, "COMMANDS"):
        module.add_options(parser)
        parser.set_defaults(command=module.run)
        return
    chosen = words[0] if words else ""
    if now := getattr(module, "MOVED", {}).get(chosen):
        raise CosignError(f"`{parser.prog} {chosen}` needs more than one room; type `{now}`.")
    lent = getattr(module, "LENT", {})
    if chosen in lent:  # in no list of this group's commands, and its options are all that is here
        places = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        _fill(places.add_parser(chosen), lent[chosen], words[1:])
        return
    places = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, (where, sentence) in module.COMMANDS.items():
        child = places.add_parser(command, help=sentence)
        if command == chosen:
            _fill(child, where, words[1:])


def cosign() -> int:
    """The program `cosign`, which finds all rooms by itself."""
    return main("cosign", "flows.commands")


def main(program: str, module: str, arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, those of the process by default; the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    rooms.come_first()

    def command() -> int:
        options = parse(program, module, words)
        return int(options.command(options))

    return exit_status(command)


def exit_status(command: Callable[[], int]) -> int:
    """Run `command`; its status, 2 after bad input told in one sentence, 130 after Ctrl-C.

    143 after SIGTERM, 129 after SIGHUP, 141 when nobody reads standard output any more, as
    `cosign ... | head` does.
    """
    try:
        environment.prepare()
        with stoppable():
            status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # What Python would flush at its end goes nowhere, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except CosignError as error:
        print(f"cosign: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("stopped.", file=sys.stderr)
        return status_of(stop)
    except OSError as error:
        if not is_full(error):
            raise
        where = f" {error.filename}" if error.filename else ""
        print(f"cosign: cannot write{where}: {reason(error)}; free some space.", file=sys.stderr)
        return 2


def status_of(stop: KeyboardInterrupt) -> int:
    """The exit status of a program that a signal stopped."""
    return (stop if isinstance(stop, Stopped) else Stopped()).status
