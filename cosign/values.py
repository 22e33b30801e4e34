"""Values that cross files: JSON as a documented type, or refused in one sentence.

A value is a `Value` or a frozen dataclass; its annotations say what a file may hold, and
msgspec checks it. In the class docstring a section Parameters says what each field means;
docs/schemas.py makes the documentation of the files of it.

A field of a `Value` that has a default may be missing: it is newer than some files. The defaults of
a dataclass are its callers'; in a file all its fields are there but those that are `LATER`, and
beside them there may be `schema` and its properties, which are not read.
"""

import dataclasses
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from cosign.errors import CosignError
from cosign.files import read_json
from cosign.version import __version__

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A whole number, 0 or more."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
"""A number above 0."""

Amount = Annotated[float, msgspec.Meta(ge=0)]
"""A number, 0 or more."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A part of a whole, 0..1."""

Ratio = Annotated[float, msgspec.Meta(ge=1)]
"""All over a part of it, 1 or more."""


LATER = {"later": True}
"""Metadata of a dataclass's field with a default that is newer than some files. Where it has that
default `plain` leaves it out, so that what was written before it is written, and hashed, as it was.
"""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the values that are read from files and written into them."""


def stamped(value: Any, schema: int) -> dict[str, Any]:
    """`value` as its file has it: the schema and the version that writes it come first."""
    return {"schema": schema, "written_by": __version__, **msgspec.to_builtins(value)}


def is_later(field: dataclasses.Field[Any]) -> bool:
    """Whether a file may lack the field of a dataclass."""
    return field.metadata == LATER


def plain(value: Any) -> Any:
    """A dataclass, and those in it, as dictionaries, like `dataclasses.asdict`; LATER fields are
    left out where they have their default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (is_later(field) and getattr(value, field.name) == field.default)
        }
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


def read(path: Path, kind: type[T], schemas: tuple[int, ...], again: str) -> T:
    """The value of type `kind` in a stamped JSON file.

    schemas : those that `kind` can hold; the last one is written today
    again : what to do about a file that cannot be read, "synthesise again"

    Raises CosignError when the file is missing, damaged or of another schema, and names the field.
    """
    return parse(read_json(path), kind, str(path), again, schemas)


def parse(
    value: Any, kind: type[T], where: str, again: str, schemas: tuple[int, ...] | None = None
) -> T:
    """`value`, of JSON or TOML, as a `kind`; with `schemas` it must be stamped by one of them.

    where : what a refusal begins with, the file or what else it is

    Raises CosignError, which names the field that is missing, unknown or wrong.
    """
    if schemas is not None:
        if not isinstance(value, dict):
            raise CosignError(f"{where} holds no object; {again}.")
        value = dict(value)
        if "schema" not in value:
            raise CosignError(_sentence(where, "schema is missing", again))
        schema, writer = value.pop("schema"), value.pop("written_by", None)
        if type(schema) is not int or schema not in schemas:  # true is 1, too
            version = "an earlier version"
            if writer is not None:
                version = "cosign " + reprlib.repr(writer).strip("'")
            raise CosignError(
                f"{where} has schema {reprlib.repr(schema)} of {version}, this version reads "
                f"{' and '.join(map(str, schemas))}; {again}."
            )
    try:
        made = msgspec.convert(value, kind)
        for fault in _incomplete(value, made, ""):
            raise CosignError(fault)
    except msgspec.ValidationError as error:
        raise CosignError(_sentence(where, _fault(str(error), value), again)) from error
    except CosignError as error:
        raise CosignError(_sentence(where, str(error), again)) from error
    return made


def _sentence(where: str, fault: str, again: str) -> str:
    """In one line, whatever names and values are in it."""
    return f"{where}: {' '.join(fault.split()).rstrip('.')}; {again}."


def _incomplete(given: Any, made: Any, place: str) -> Iterator[str]:
    """What is wrong with the names of the fields of dataclasses, which msgspec leaves open."""
    kind = type(made)
    if dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
        names = {field.name for field in fields}
        needed = {field.name for field in fields if not is_later(field)}
        derived = {name for name in given if isinstance(getattr(kind, name, None), property)}
        for name in sorted(needed - set(given)):
            yield f"{_inside(place, name)} is missing"
        for name in sorted(set(given) - names - derived - {"schema"}):
            yield f"{_inside(place, name)} is unknown"
        for name in sorted(names & set(given)):
            yield from _incomplete(given[name], getattr(made, name), _inside(place, name))
    elif isinstance(made, msgspec.Struct):
        for name in given.keys() & kind.__struct_fields__:
            yield from _incomplete(given[name], getattr(made, name), _inside(place, name))
    elif isinstance(made, dict):
        for name, part in made.items():
            yield from _incomplete(given[name], part, _inside(place, name))
    elif isinstance(made, list | tuple):
        for number, (old, new) in enumerate(zip(given, made, strict=True)):
            yield from _incomplete(old, new, f"{place}[{number}]")


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _fault(told: str, given: Any) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.cores[0].lanes`" as we say it."""
    told, _, path = told.partition(" - at ")
    place = path.strip("`").rpartition("$")[2].removeprefix(".")
    if named := re.fullmatch(r"Object missing required field `(.*)`", told, re.DOTALL):
        return f"{_inside(place, named[1])} is missing"
    if named := re.fullmatch(r"Object contains unknown field `(.*)`", told, re.DOTALL):
        return f"{_inside(place, named[1])} is unknown"
    reason = re.sub(r", got .*", "", told).replace("`", "").replace("Expected", "must be")
    if told.startswith("Invalid enum value"):
        reason = "which is none of its values"
    found = _at(place, given)
    if found is _NOWHERE:
        return f"{place}: {reason}"
    return f"{place or 'the whole'} is {reprlib.repr(found)}, {reason}"


_NOWHERE = object()


def _at(place: str, given: Any) -> Any:
    """What lies at msgspec's path, where the path says it: not below "[...]", an unnamed key."""
    for name, number in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", place):
        if number == "...":
            return _NOWHERE
        given = given[int(number)] if number else given[name]
    return given
