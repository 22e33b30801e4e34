"""Liberty's syntax: text into groups, and groups into text that every tool reads.

Legal, and found in files: comments of both kinds, values with and without quotes, braces and
semicolons in strings, lines that go on after a backslash, semicolons left out at a line's end, or
written after a closing brace.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cosign import CosignError


@dataclass(slots=True)
class Group:
    """`kind(args) { attributes; lists; groups }`.

    attributes : `name : value`, the values as written, quotes included
    lists : `name (values)`, which may repeat, the values as written
    """

    kind: str
    args: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    lists: list[tuple[str, str]] = field(default_factory=list)
    groups: list["Group"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.args[0] if self.args else ""

    def all(self, kind: str) -> Iterator["Group"]:
        return (g for g in self.groups if g.kind == kind)

    def get(self, name: str, default: str = "") -> str:
        """The value of an attribute without its quotes."""
        raw = self.attributes.get(name)
        return default if raw is None else unquoted(raw)

    def true(self, name: str) -> bool:
        return self.get(name).lower() in ("true", "1", "yes")

    def number(self, name: str, default: float = 0.0) -> float:
        """Raises CosignError when the value is no number."""
        text = self.get(name)
        if not text:
            return default
        try:
            return float(text)
        except ValueError as error:
            raise CosignError(
                f"{name} of {self.kind} {self.name} is {text!r}, which is no number."
            ) from error

    def listed(self, name: str) -> list[list[str]]:
        """The values of every list `name`."""
        return [split(raw) for key, raw in self.lists if key == name]


# A line that goes on keeps a vertical tab, white space for Python, so that lines can be counted.
_ON = "\v"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_COMMENT = re.compile(rf"({_STRING})|/\*.*?\*/|//[^\n]*", re.S)
_CONTINUED = re.compile(r"\\[ \t]*\n")
_STATEMENT = re.compile(
    rf"""[\s;,]*+(?:
      (?P<close>\}})
    | (?P<name>[^\s(){{}}:;,="]++)\s*+(?:
        \((?P<args>(?:[^()"]++|{_STRING}|\((?:[^()"]++|{_STRING})*+\))*+)\)\s*+(?P<open>\{{)?+
      | [:=]\s*+(?P<value>(?:[^;\n{{}}"]++|{_STRING})*+)
      )
    )""",
    re.X | re.S,
)
_PART = re.compile(rf"{_STRING}|[^\s,\"]+", re.S)
_BARE = re.compile(r"[\w.+\-\[\]:]+")
_EXPRESSIONS = frozenset(("function", "next_state", "clocked_on", "clear", "preset", "when"))


def unquoted(raw: str) -> str:
    text = raw.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text


def split(raw: str) -> list[str]:
    """The values of a list or the arguments of a group, each without its quotes."""
    return [unquoted(part) for part in _PART.findall(raw)]


def parse(text: str, source: str) -> Group:
    """The text as one group `file` without arguments; in it are the libraries if all is well.

    Raises CosignError, naming `source` and the line, where the text is no Liberty.
    """
    if text.startswith("\ufeff"):
        text = text[1:]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "/*" in text or "//" in text:
        text = _COMMENT.sub(lambda m: m[1] or " " + _ON * m[0].count("\n"), text)
    text = _CONTINUED.sub(_ON, text)
    root = Group("file", ())
    stack = [root]
    at, end = 0, len(text.rstrip(" \t\n\v\f;,"))
    match_statement = _STATEMENT.match
    while at < end:
        match = match_statement(text, at)
        if match is None:
            raise _error(text, at, source, len(stack) > 1)
        at = match.end()
        close, name, args, opened, value = match.groups()
        top = stack[-1]
        if close:
            if len(stack) == 1:
                raise _error(text, at - 1, source, False)
            stack.pop()
        elif value is not None:
            top.attributes[name] = value.strip()
        elif opened:
            group = Group(name, tuple(split(args)))
            top.groups.append(group)
            stack.append(group)
        else:
            top.lists.append((name, args))
    if len(stack) > 1:
        inside = " ".join((stack[-1].kind, *stack[-1].args))
        raise CosignError(f"{source} ends inside {inside}; it is cut off, fetch it again.")
    return root


def _error(text: str, at: int, source: str, inside: bool) -> CosignError:
    at += len(text[at:]) - len(text[at:].lstrip(" \t\n\v\f;,"))
    if inside and "}" not in text[at:]:
        return CosignError(f"{source} ends in the middle; it is cut off, fetch it again.")
    line = 1 + text.count("\n", 0, at) + text.count(_ON, 0, at)
    said = " ".join(text[at : at + 40].split("\n")[0].split())
    return CosignError(
        f"{source} is not a Liberty file: line {line} has {said!r}; "
        "give the .lib of a standard cell library to --liberty."
    )


def written(group: Group, indent: str = "") -> Iterator[str]:
    """The lines of a group, with the least variation of syntax."""
    yield f"{indent}{group.kind} ({', '.join(map(_word, group.args))}) {{"
    inner = indent + "  "
    for name, raw in group.attributes.items():
        if (value := _value(name, raw)) is not None:
            yield f"{inner}{name} : {value};"
    for name, raw in group.lists:
        yield f"{inner}{name} ({_list(name, raw)});"
    for child in group.groups:
        yield from written(child, inner)
    yield f"{indent}}}"


def _word(text: str) -> str:
    return text if _BARE.fullmatch(text) else f'"{text}"'


def _value(name: str, raw: str) -> str | None:
    """An attribute's value; None for prose that some reader could stumble on."""
    text = " ".join(unquoted(raw).split())
    if name in _EXPRESSIONS:
        return f'"{text}"'
    if re.search(r'[{};"\\]', text) or not text.isascii():
        return None
    if name.endswith("_unit") or (raw[:1] == '"' and not _is_number(text)) or not text:
        return f'"{text}"' if name not in ("direction", "clock") else text
    return _word(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list(name: str, raw: str) -> str:
    text = " ".join(raw.split()) if "\n" in raw or _ON in raw else raw.strip()
    if (name == "values" or name.startswith("index_")) and '"' not in text:
        return f'"{text}"'
    return text
