"""Packages of the user's working directory, importable though ours may have their names.

A network of one's own may lie in a package `sim` or `flows`; so may what it imports. Ours of that
name are out of sight while theirs are imported, called and traced, and back afterwards.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from cosign.rooms import ROOMS, ROOT


@contextlib.contextmanager
def first(here: Path, asked: str) -> Iterator[None]:
    """Within the block what lies in the folder `here` is imported from there.

    asked : the module that will be, with its packages; another one of that name gives way
    """
    names = [name for name in ROOMS if _is_theirs(here, name)]
    top = asked.partition(".")[0]
    if top not in names and _lies_in(here, asked):
        names.append(top)
    hidden = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in names and not _comes_from(module, here)
    }
    for name in hidden:
        del sys.modules[name]
    for name in names:
        if (here / name).is_dir() and not (here / name / "__init__.py").exists():
            _open(here / name)
    sys.path.insert(0, str(here))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # their code may change it, too
            sys.path.remove(str(here))
        back = {*ROOMS, *(name.partition(".")[0] for name in hidden)}.intersection(names)
        for name in [name for name in sys.modules if name.partition(".")[0] in back]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_theirs(here: Path, name: str) -> bool:
    """Whether the folder has a package or module of that name, and it is not ours."""
    if here.resolve() == ROOT:
        return False
    folder = here / name
    if folder.is_dir() and any(folder.rglob("*.py")):
        return folder.resolve() != ROOT / name
    return (here / f"{name}.py").is_file()


def _lies_in(here: Path, module: str) -> bool:
    place = here.joinpath(*module.split("."))
    return place.with_name(f"{place.name}.py").is_file() or (place / "__init__.py").is_file()


def _comes_from(module: ModuleType, here: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(here)


def _open(folder: Path) -> None:
    """Make a folder without __init__.py a package, though another of its name has one."""
    package = ModuleType(folder.name)
    package.__path__ = [str(folder)]
    sys.modules[folder.name] = package
