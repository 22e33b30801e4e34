"""Names that users give to networks and layers: data, no part of a path, no terminal's codes."""

import hashlib
import unicodedata

_LONGEST = 80  # characters; file systems hold 255 bytes
_PLAIN = "._-"
_OBEYED = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # the direction of text


def file_name(name: str) -> str:
    """A single part of a path for a name, the name itself where that is plain.

    Equal for equal names only: what is replaced or cut off stands in a digest behind.
    """
    plain = "".join(c if c.isalnum() or c in _PLAIN else "_" for c in name)[:_LONGEST].lstrip(".")
    if plain == name and plain:
        return plain
    return f"{plain or '_'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def is_printable(name: str) -> bool:
    """Whether a name can be shown: nothing that a terminal obeys, a line's end or direction."""
    return all(unicodedata.category(c) not in _OBEYED and c not in _TURNS for c in name)


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would obey written out: "\\x1b" for an escape."""
    return "".join(
        c if is_printable(c) else c.encode("unicode_escape", "backslashreplace").decode()
        for c in " ".join(text.splitlines())
    )
