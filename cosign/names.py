"""Names that users give to networks and layers: data, no part of a path, no terminal's codes."""

import hashlib
import unicodedata

_LONGEST = 80  # characters; file systems hold 255 bytes
_PLAIN = "._-"


def file_name(name: str) -> str:
    """A single part of a path for a name, the name itself where that is plain.

    Equal for equal names only: what is replaced or cut off stands in a digest behind.
    """
    plain = "".join(c if c.isalnum() or c in _PLAIN else "_" for c in name)[:_LONGEST].lstrip(".")
    if plain == name and plain:
        return plain
    return f"{plain or '_'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def is_printable(name: str) -> bool:
    """Whether a name can be shown: no control characters, which a terminal obeys."""
    return all(unicodedata.category(c)[0] != "C" for c in name)
