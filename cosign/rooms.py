"""The rooms' packages, by names that others may have too."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

ROOMS = ("cosign", "compress", "rtl", "sim", "synth", "flows")
ROOT = Path(__file__).resolve().parents[1]
"""The folder that they lie in."""


def come_first() -> None:
    """Import them from ROOT, though others of their names, of PYTHONPATH, would be found before."""
    for room in ROOMS:
        found = PathFinder.find_spec(room)
        if found is not None and found.origin != str(ROOT / room / "__init__.py"):
            sys.path.insert(0, str(ROOT))
            return
