"""What programs find around them: a search path, and output that takes any character."""

import codecs
import io
import os
import sys
import unicodedata

_PLAIN = {"×": "x", "−": "-", "–": "-", "±": "+-", "≥": ">=", "µ": "u", "‖": "||", "∞": "inf"}
_PLAIN |= {"→": "->", "✓": "*"}


def prepare() -> None:
    """Let the tools be found where PATH is unset, as a shell does, and any text be printed."""
    os.environ.setdefault("PATH", os.defpath)
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_ascii, text)), error.end


def _ascii(character: str) -> str:
    apart = unicodedata.normalize("NFKD", character)  # ² is 2, ö is o and its dots
    return _PLAIN.get(character) or apart.encode("ascii", "ignore").decode() or "?"
