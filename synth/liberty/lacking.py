"""What a library that cannot be used lacks, told with what to do about it."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosign import CosignError
from synth.liberty import files
from synth.liberty.cells import Header, LibCell, read_cell
from synth.liberty.syntax import Group, parse

_FURTHER = "give --liberty a further file of the kit that has one, or another library"
_SHOWN = 4  # names of cells


def told(paths: Sequence[Path]) -> str | None:
    """A sentence about the files, None where there is nothing to say beyond the reader's own."""
    try:
        for path in paths:
            for file, missing in _missing(path, ()):
                return (
                    f"cannot read the Liberty file {path}: {file} has include_file "
                    f"({missing.name}), and there is no file {missing}; put it there, or give a "
                    "library without includes."
                )
        top, _ = files.read(tuple(paths))
        header = Header.of(top)
        cells = [read_cell(group, header) for group in top.all("cell")]
    except (CosignError, OSError, EOFError):
        return None
    where = " and ".join(map(str, paths))
    states = [cell for cell in cells if cell.sequential]
    if not any(cell.usable and cell.flip_flop for cell in states):
        if states and all("scan" in cell.refused for cell in states):
            return (
                f"{where} has only flip-flops with scan or enable ({_some(states)}), and registers "
                f"become D flip-flops without; {_FURTHER}."
            )
        return None
    if not any(cell.usable and cell.passes for cell in cells):
        refused = [cell for cell in cells if cell.passes]
        why = "no cell gives the value of its one input"
        if refused:
            why = f"{_some(refused)} may not be used: {refused[0].refused}"
        return f"{where} has no buffer ({why}), and large fan-outs need one; {_FURTHER}."
    return None


def _some(cells: Sequence[LibCell]) -> str:
    more = f" and {len(cells) - _SHOWN} more" * (len(cells) > _SHOWN)
    return ", ".join(cell.name for cell in cells[:_SHOWN]) + more


def _missing(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, Path]]:
    """(file, a file that it includes and that is not there), in includes too."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    for name in _included(parse(data.decode("latin-1"), str(path))):
        wanted = path.parent / name
        if not wanted.is_file():
            yield path, wanted
        elif wanted.resolve() not in above:
            yield from _missing(wanted, (*above, wanted.resolve()))


def _included(group: Group) -> Iterator[str]:
    for child in group.groups:
        yield from _included(child)
    for names in group.listed("include_file"):
        yield from names
