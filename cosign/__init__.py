"""The ground floor of all rooms: one error type, safe files, values that cross them, commands.

It imports nothing but the standard library, `platformdirs`, `msgspec` and, for what is shown,
`rich`, so any room may use it.
"""

from cosign.cache import cache_dir
from cosign.command import exit_status
from cosign.errors import CosignError
from cosign.files import (
    atomic_write,
    json_text,
    locked,
    read_json,
    read_toml,
    scratch,
    sha256,
    write_json,
)
from cosign.version import __version__

__all__ = [
    "CosignError",
    "__version__",
    "atomic_write",
    "cache_dir",
    "exit_status",
    "json_text",
    "locked",
    "read_json",
    "read_toml",
    "scratch",
    "sha256",
    "write_json",
]
