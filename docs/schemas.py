"""Write the documentation of our JSON files from the types that read them: python docs/schemas.py

Of every file docs/schemas/<file>.schema.json is its JSON schema, and the pages have its fields as
tables, between two comments. What a field means is in the docstring of its class.
"""

import dataclasses
import inspect
import itertools
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec import inspect as types

from cosign import atomic_write, values
from flows.loop import rundir
from flows.measure import frontier
from flows.report import results
from flows.sweep import spec
from synth import prices, profile

FOLDER = Path(__file__).parent
MARKS = "<!-- fields of {}: from the types, by docs/schemas.py -->", "<!-- end of the fields -->"
STAMP = {
    "schema": "of this file; another one is refused, or read as its reader says",
    "written_by": "version of cosign that wrote the file",
}


class File(NamedTuple):
    """A file: its type, the page that tells of it, and its schema, None where people write it:
    they may write more than the type has, as text with commas for a list."""

    kind: type[Any]
    page: str
    schema: int | None


FILES = {
    "results.json": File(results.Results, "results-schema.md", results.SCHEMA),
    "profile.json": File(profile.HardwareProfile, "files.md", profile.SCHEMA),
    "config.json": File(rundir.RunConfig, "files.md", rundir.SCHEMA),
    "frontier.json": File(frontier.Frontier, "files.md", frontier.SCHEMA),
    "prices.json": File(prices.PriceList, "files.md", prices.SCHEMA),
    "sweep.toml": File(spec.Spec, "sweeps.md", None),
}


def described(kind: type[Any]) -> tuple[str, dict[str, str]]:
    """What a class is, and what each of its fields means, from its docstring; a class without the
    section Parameters tells of all of them in its words."""
    text, _, listed = inspect.cleandoc(kind.__doc__ or "").partition("\n\nParameters\n----------\n")
    fields: dict[str, str] = {} if listed else defaultdict(str)
    listed = listed.partition("\n\n")[0]
    for names, meaning in re.findall(r"^(\S.*?) : (.*(?:\n .*)*)", listed, re.MULTILINE):
        for name in names.split(", "):
            fields[name] = " ".join(meaning.split())
    return text, fields


def classes(kind: type[Any]) -> dict[type[Any], tuple[types.Field, ...]]:
    """A type and those that it is made of, with their fields, as the file is read."""
    found: dict[type[Any], tuple[types.Field, ...]] = {}

    def visit(part: Any) -> None:
        if isinstance(part, types.StructType | types.DataclassType):
            cls = get_origin(part.cls) or part.cls
            if cls in found:
                return
            found[cls] = types.type_info(cls).fields
            for field in part.fields:
                visit(field.type)
        for name in ("types", "item_types"):
            for inner in getattr(part, name, ()):
                visit(inner)
        for name in ("key_type", "value_type", "item_type"):
            if hasattr(part, name):
                visit(getattr(part, name))

    visit(types.type_info(kind))
    return found


def words(kind: Any) -> str:
    """A type as the table says it: "number 0..1", "list of Layer"."""
    match kind:
        case types.IntType() | types.FloatType():
            name = "whole number" if isinstance(kind, types.IntType) else "number"
            if kind.ge is not None and kind.le is not None:
                return f"{name} {kind.ge:g}..{kind.le:g}"
            bounds = (("≥", kind.ge), (">", kind.gt), ("≤", kind.le), ("<", kind.lt))
            told = [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None]
            return " ".join([name, " and ".join(told)]).strip()
        case types.LiteralType(values=choices):
            return " or ".join(f"`{choice}`" for choice in choices)
        case types.UnionType(types=several):
            return " or ".join(map(words, several))
        case types.DictType(value_type=value):
            return f"{{name: {words(value)}}}"
        case types.VarTupleType(item_type=item) | types.ListType(item_type=item):
            return f"list of {words(item)}"
        case types.TupleType(item_types=items):
            return f"[{', '.join(map(words, items))}]"
        case types.StructType(cls=cls) | types.DataclassType(cls=cls):
            name = (get_origin(cls) or cls).__name__
            each = "".join(f" of {words(types.type_info(part))}" for part in get_args(cls))
            return f"[{name}](#{name.lower()}){each}"
    return {"StrType": "text", "BoolType": "true or false", "NoneType": "null"}.get(
        type(kind).__name__, "anything"
    )


def tables(kind: type[Any]) -> str:
    """The fields of a file's type and of all types below it, as Markdown."""
    parts = []
    for cls, fields in classes(kind).items():
        text, meanings = described(cls)
        rows = [
            f"| {', '.join(f'`{field.name}`' for field in alike)} | {kind_of} | {meaning} |"
            for (kind_of, meaning), alike in itertools.groupby(
                fields, key=lambda field: (words(field.type), meanings[field.name])
            )
        ]
        heading = "" if cls is kind else f"### {cls.__name__}\n\n"
        head = "| field | is | meaning |\n| --- | --- | --- |"
        parts.append(f"{heading}{text}\n\n{head}\n" + "\n".join(rows))
    return "\n\n".join(parts)


def schema(name: str) -> dict[str, Any]:
    """The JSON schema of a file."""
    kind, _, number = FILES[name]
    (top,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    known = {cls.__name__: cls for cls in classes(kind)}
    for part in parts.values():
        cls = known[part["title"].partition("[")[0]]
        part["description"], meanings = described(cls)
        for field, value in part["properties"].items():
            value["description"] = meanings[field]
        if dataclasses.is_dataclass(cls):  # its defaults are its callers': cosign.values
            later = [field.name for field in dataclasses.fields(cls) if values.is_later(field)]
            part["required"] = [name for name in part["properties"] if name not in later]
    whole = parts[top["$ref"].rpartition("/")[2]]
    stamp = {
        "schema": {"const": number, "description": STAMP["schema"]},
        "written_by": {"type": "string", "description": STAMP["written_by"]},
    }
    whole["properties"] = stamp | whole["properties"]
    whole["required"] = [*stamp, *whole["required"]]
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": name, **top, "$defs": parts}


def pages() -> dict[Path, str]:
    """What the documentation of the files must be, by path."""
    found = {}
    for name, (kind, page, number) in FILES.items():
        path = FOLDER / page
        text = found.get(path) or path.read_text()
        begin, end = MARKS[0].format(name), MARKS[1]
        before, rest = text.split(begin)
        after = rest.partition(end)[2]
        found[path] = f"{before}{begin}\n\n{tables(kind)}\n\n{end}{after}"
        if number is not None:
            file = FOLDER / "schemas" / f"{name.removesuffix('.json')}.schema.json"
            found[file] = json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        with atomic_write(path) as file:
            file.write(text.encode())
