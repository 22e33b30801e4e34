"""The ground floor that every room stands on: one error type, safe files, commands, options.

It imports nothing but the standard library (and `platformdirs`), so any room may use it.
"""

from cosign.command import exit_status
from cosign.errors import CosignError
from cosign.files import atomic_write, cache_dir, locked, read_json, sha256, write_json

__all__ = [
    "CosignError",
    "atomic_write",
    "cache_dir",
    "exit_status",
    "locked",
    "read_json",
    "sha256",
    "write_json",
]
__version__ = "0.1.0"
