"""All commands there are, by walking the tables, for tests."""

import importlib
from collections.abc import Iterator

Words = tuple[str, ...]


def commands(module: str = "flows.commands", words: Words = ()) -> Iterator[tuple[Words, str, str]]:
    """(words after `cosign`, module, sentence in the table) of every command, none of a group."""
    for name, (where, sentence) in importlib.import_module(module).COMMANDS.items():
        if hasattr(importlib.import_module(where), "COMMANDS"):
            yield from commands(where, (*words, name))
        else:
            yield (*words, name), where, sentence
