"""Liberty files: from bytes to one library, whatever their packing, encoding and number.

A file may be gzipped, hold several libraries or include others, and a kit may come in several files
(asap7 has five): all of them are one library here. They must agree in units, thresholds and corner.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from cosign import CosignError
from synth.liberty.syntax import Group, parse

SAME = (
    "time_unit",
    "capacitive_load_unit",
    "voltage_unit",
    "current_unit",
    "leakage_power_unit",
    "pulling_resistance_unit",
    "nom_voltage",
    "nom_temperature",
    "input_threshold_pct_rise",
    "input_threshold_pct_fall",
    "output_threshold_pct_rise",
    "output_threshold_pct_fall",
    "slew_lower_threshold_pct_rise",
    "slew_lower_threshold_pct_fall",
    "slew_upper_threshold_pct_rise",
    "slew_upper_threshold_pct_fall",
    "slew_derate_from_library",
    "delay_model",
)
"""What libraries that are used together must agree in: their numbers mean nothing otherwise."""


def read(paths: Sequence[Path]) -> tuple[Group, str]:
    """The library that all files make, and the SHA-256 of what was read.

    Of one file that includes no other it is that of the file. Raises CosignError in a sentence when
    a file is missing, damaged, no Liberty, or at odds with another.
    """
    digests: list[str] = []
    libraries: list[tuple[str, Group]] = []
    for path in paths:
        root = _tree(path, (), digests)
        found = list(root.all("library"))
        if not found:
            raise CosignError(
                f"{path} is not a Liberty file: it has no library; "
                "give the .lib of a standard cell library to --liberty."
            )
        libraries += [(str(path), library) for library in found]
    if len(digests) == 1:
        return _merged(libraries), digests[0]
    return _merged(libraries), hashlib.sha256("".join(digests).encode()).hexdigest()


def _tree(path: Path, above: tuple[Path, ...], digests: list[str]) -> Group:
    """A file as a tree, its includes in place of their statements."""
    text, digest = _text(path)
    digests.append(digest)
    root = parse(text, str(path))
    if "include_file" in text:
        _include(root, path, (*above, path.resolve()), digests)
    return root


def _text(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"the gzip file is damaged ({error})"
        raise CosignError(
            f"cannot read the Liberty file {path}: {reason}; give the .lib file to --liberty."
        ) from error
    if b"\x00" in data:
        raise CosignError(
            f"cannot read the Liberty file {path}: it is not text; give the .lib file to --liberty."
        )
    if not data.strip():
        raise CosignError(
            f"{path} is not a Liberty file: it is empty; "
            "give the .lib of a standard cell library to --liberty."
        )
    try:
        return data.decode("utf-8-sig"), digest
    except UnicodeDecodeError:  # only comments have other letters than ASCII
        return data.decode("latin-1"), digest


def _include(group: Group, path: Path, above: tuple[Path, ...], digests: list[str]) -> None:
    for child in group.groups:
        _include(child, path, above, digests)
    for name in [part for names in group.listed("include_file") for part in names]:
        wanted = path.parent / name
        if wanted.resolve() in above:
            raise CosignError(f"{path} includes {name}, which includes it again.")
        if not wanted.is_file():
            raise CosignError(f"{path} includes {name}, which is not there; put it beside it.")
        other = _tree(wanted, above, digests)
        group.attributes |= other.attributes
        group.lists += other.lists
        group.groups += other.groups
    group.lists = [pair for pair in group.lists if pair[0] != "include_file"]


def _merged(libraries: list[tuple[str, Group]]) -> Group:
    """One library with the header of the first and the cells of all."""
    source, first = libraries[0]
    known = {(g.kind, g.name): g for g in first.groups if g.kind != "cell"}
    cells: dict[str, tuple[str, Group]] = {}
    groups = [group for group in first.groups if group.kind != "cell"]
    attributes = dict(first.attributes)
    for number, (file, library) in enumerate(libraries):
        _agree(source, first, file, library)
        renamed: dict[str, str] = {}
        for group in library.groups if number else ():
            if group.kind == "cell":
                continue
            other = known.get((group.kind, group.name))
            if other is not None and other != group and group.kind.endswith("_template"):
                renamed[group.name] = name = f"{group.name}_{number + 1}"
                group.args = (name,)
                other = None
            if other is None:
                known[group.kind, group.name] = group
                groups.append(group)
        for name, value in library.attributes.items():
            attributes.setdefault(name, value)
        for cell in library.all("cell"):
            if renamed:
                _rename(cell.groups, renamed)
            where, known_cell = cells.setdefault(cell.name, (file, cell))
            if known_cell != cell:
                raise CosignError(
                    f"the cell {cell.name} is in {where} and, another one, in {file}; "
                    "give the libraries of one corner."
                )
    return Group(
        "library", first.args, attributes, first.lists, [*groups, *(c for _, c in cells.values())]
    )


def _rename(groups: Iterable[Group], renamed: dict[str, str]) -> None:
    """Tables of `groups` refer to templates by their new names."""
    for group in groups:
        if group.kind not in ("pin", "timing", "internal_power"):
            group.args = tuple(renamed.get(arg, arg) for arg in group.args)
        _rename(group.groups, renamed)


def _agree(source: str, first: Group, file: str, library: Group) -> None:
    for name in SAME:
        one, other = _said(first, name), _said(library, name)
        if one and other and one != other:
            raise CosignError(
                f"{source} has {name} {' '.join(one)} and {file} has {' '.join(other)}; "
                "give the libraries of one kit and corner."
            )


def _said(library: Group, name: str) -> list[str]:
    """An attribute or a list of values in a form that can be compared."""
    said = [[library.get(name)]] if library.get(name) else library.listed(name)
    return [_plain(value.lower()) for values in said for value in values]


def _plain(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text
