"""Commands: tables of names, each with a module that is imported when it is chosen.

A module of a command has `add_options(parser)` and `run(options)`, which returns the exit status;
its docstring is what --help says. A module of a group has `COMMANDS` instead, and perhaps `MOVED`:
commands that a room no longer has, and what to type for them; and `LENT`: names that people look
for in the group, and the modules of commands that lie in a room above, where they are told of.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from cosign import environment, paths, rooms, streams
from cosign.errors import CosignError
from cosign.files import is_full, reason
from cosign.names import printable
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
    return _parsed(program, module, words)[0]


def _parsed(
    program: str, module: str, words: Sequence[str]
) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The options, and the parser of the command that is named."""
    parser = _Parser(prog=program)
    chosen = _fill(parser, module, words)
    return parser.parse_args(words), chosen


def _fill(
    parser: argparse.ArgumentParser, name: str, words: Sequence[str]
) -> argparse.ArgumentParser:
    """The options of a command, or the names of a group's and the options of the chosen one.

    Returns the parser of the command, or of the last group that was named.
    """
    module = importlib.import_module(name)
    parser.description = module.__doc__
    if not hasattr(module, "COMMANDS"):
        module.add_options(parser)
        parser.set_defaults(command=module.run)
        return parser
    chosen = words[0] if words else ""
    if now := getattr(module, "MOVED", {}).get(chosen):
        raise CosignError(f"`{parser.prog} {chosen}` needs more than one room; type `{now}`.")
    lent = getattr(module, "LENT", {})
    if chosen in lent:  # in no list of this group's commands, and its options are all that is here
        places = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        return _fill(places.add_parser(chosen), lent[chosen], words[1:])
    places = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = parser
    for command, (where, sentence) in module.COMMANDS.items():
        child = places.add_parser(command, help=sentence)
        if command == chosen:
            named = _fill(child, where, words[1:])
    return named


def cosign() -> int:
    """The program `cosign`, which finds all rooms by itself."""
    return main("cosign", "flows.commands")


def main(program: str, module: str, arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, those of the process by default; the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    rooms.come_first()

    def command() -> int:
        options, parser = _parsed(program, module, words)
        paths.check(
            (
                "/".join(action.option_strings) or action.dest,
                action.type,
                getattr(options, action.dest),
            )
            for action in parser._actions
            if isinstance(action.type, paths.Kind)
        )
        with streams.alone(getattr(options, "json", None)):
            return int(options.command(options))

    return exit_status(command)


def exit_status(command: Callable[[], int]) -> int:
    """Run `command`; its status, 2 after bad input told in one sentence, 130 after Ctrl-C.

    143 after SIGTERM, 129 after SIGHUP, 141 when nobody reads standard output any more, as
    `cosign ... | head` does.
    """
    environment.print_anything()
    with streams.watched() as (out, err):
        status = _status(command, out, err)
    for stream in (out, err):
        if stream.error is not None:
            streams.give_up(stream.stream)
    return status


def _status(command: Callable[[], int], out: streams.Watched, err: streams.Watched) -> int:
    try:
        try:
            environment.prepare()
            with stoppable():
                return command()
        finally:  # after --help too
            out.flush()
    except BrokenPipeError:
        return 141
    except CosignError as error:
        streams.tell(f"cosign: {printable(str(error))}")
        return 2
    except KeyboardInterrupt as stop:
        streams.tell("stopped.")
        return status_of(stop)
    except MemoryError:
        streams.tell(
            "cosign: there is not enough memory for what is asked; ask for less at once, fewer "
            "images, say."
        )
        return 2
    except OSError as error:
        if error in (out.error, err.error):
            if error is out.error:
                streams.tell(f"cosign: {streams.unwritable(error)}")
            return 2
        if not is_full(error):
            raise
        where = f" {error.filename}" if error.filename else ""
        streams.tell(printable(f"cosign: cannot write{where}: {reason(error)}; free some space."))
        return 2


def status_of(stop: KeyboardInterrupt) -> int:
    """The exit status of a program that a signal stopped."""
    return (stop if isinstance(stop, Stopped) else Stopped()).status
