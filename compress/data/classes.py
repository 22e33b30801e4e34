"""Which class of an image folder is which output of the network.

Names of folders say no order. torchvision sorts them as text, which puts 10 before 2, and whoever
numbered classes most often means the numbers. Where both are the same there is no question.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from compress.data.imagefiles import is_hidden
from cosign import CosignError, atomic_write

Order = str | Sequence[str] | None
"""What `ordered` is told: "text", "numeric", a file of names, the names, or nothing."""
FILE = "classes.txt"
_SHOWN = 4


def folders(root: Path) -> tuple[str, ...]:
    """Names of the class folders of one split folder, sorted as text.

    Raises CosignError when there is no such folder.
    """
    if not root.is_dir():
        raise CosignError(
            f"{root} does not exist; --data needs a folder with train/ and val/, each holding "
            "one folder of images per class."
        )
    names = (path.name for path in root.iterdir() if path.is_dir())
    return tuple(sorted(name for name in names if not is_hidden(name)))


def ordered(root: Path, order: Order = None, split: str = "train") -> tuple[str, ...]:
    """The classes of an image folder in the order of the network's outputs.

    order : "text" or "numeric"; the path of a file with a name in each line, and after a tab
        whatever there is; the names themselves, as an earlier call gave them; None leaves it to a
        file classes.txt in the folder, and without one to the names, as long as both orders agree

    Raises CosignError where that is not told, and when names and folders are not the same.
    """
    inside = root / split
    names = folders(inside)
    if order is not None and not isinstance(order, str):
        if tuple(sorted(order)) != names:
            raise CosignError(
                f"the class folders of {inside} are others than this run began with; "
                "start a new run."
            )
        return tuple(order)
    if order == "text":
        return names
    numbered = _by_number(names)
    if order == "numeric":
        if numbered is None:
            raise CosignError(
                f"--classes numeric: the class folders of {inside} have no numbers that "
                f"tell them apart ({shown(names)}); give --classes text or a file."
            )
        return numbered
    if order is not None or (root / FILE).is_file():
        return _listed(Path(order) if order is not None else root / FILE, names, inside)
    how = f"give --classes text, --classes numeric or --classes FILE, or write {root / FILE}, one "
    how += "name a line in the order of the network's outputs"
    if numbered is not None and numbered != names:
        raise CosignError(
            f"the class folders of {inside} are {shown(names)} as text and "
            f"{shown(numbered)} by number, and which order the network's outputs have is not told; "
            f"{how}."
        )
    for _, same in groupby(sorted(names, key=str.casefold), str.casefold):
        alike = list(same)
        if len(alike) > 1:
            raise CosignError(
                f"{inside} has class folders {' and '.join(sorted(alike))}, which differ "
                f"in case alone; merge them if they are one class, else {how}."
            )
    return names


def unusual(root: Path, order: Order, split: str = "train") -> list[str] | None:
    """As `ordered`, and None where they are sorted as text: what a run has to remember."""
    names = list(ordered(root, order, split))
    return names if names != sorted(names) else None


def write(names: Sequence[str], path: Path) -> None:
    """The file that `ordered` reads."""
    with atomic_write(path) as file:
        file.write("".join(f"{name}\n" for name in names).encode())


def beside(model: Path, root: Path) -> str | None:
    """The file of classes that training left beside its model, if it names those of `root`."""
    file = model.parent / FILE
    try:
        ordered(root, str(file))
    except CosignError:
        return None
    return str(file)


def shown(names: Sequence[str]) -> str:
    """The first names and the last."""
    if len(names) <= _SHOWN + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])}, ... {names[-1]}"


def outputs(names: Sequence[str]) -> str:
    """Which class is which output, in a line: the first ones and the last."""
    return "outputs: " + shown([f"{number} is {name}" for number, name in enumerate(names)])


def _by_number(names: Sequence[str]) -> tuple[str, ...] | None:
    """Sorted by the number that all of them have behind the same first letters; None without."""
    found = [re.match(r"(\D*)(\d+)", name) for name in names]
    numbers = {name: int(match[2]) for name, match in zip(names, found, strict=True) if match}
    if len(set(numbers.values())) != len(names):
        return None
    if len({match[1] for match in found if match}) != 1:
        return None
    return tuple(sorted(names, key=numbers.__getitem__))


def _listed(file: Path, names: Sequence[str], inside: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CosignError(f"cannot read the classes in {file} ({error}).") from error
    known, found = set(names), []
    for line in filter(str.strip, lines):
        # a name, or one before a tab or a space, and what it means
        ways = [line.strip(), line.split("\t")[0].strip(), line.split()[0]]
        name = next((way for way in ways if way in known), None)
        if name is None:
            raise CosignError(
                f"{file} names {ways[1]!r}, for which there is no folder in {inside}; it "
                "needs one folder's name a line, in the order of the network's outputs."
            )
        found.append(name)
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise CosignError(f"{file} names {twice!r} twice; name each class folder once.")
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise CosignError(f"{file} does not name {inside / missing}; name each class folder once.")
    return tuple(found)
