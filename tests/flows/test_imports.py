"""The import law; and what needs no torch imports none: the hardware rooms, what they see of
networks, and the reports."""

import subprocess
import sys
from pathlib import Path

import pytest

ALL_OF = """
import importlib, pkgutil, sys
sys.modules["torch"] = None  # importing it raises ImportError
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
REPORTS = (
    *("report.compare", "report.figures", "report.html", "report.pictures", "report.tables"),
    *("loop.logs", "loop.rundir"),
)


@pytest.mark.parametrize(
    "room", ["rtl", "sim", "synth", "compress.model", "compress.file", "compress.zoo"]
)
def test_hardware_and_what_it_sees_of_networks_need_no_torch(room):
    subprocess.run([sys.executable, "-c", ALL_OF, room], check=True)


def test_reports_need_no_torch():
    doors = ", ".join(f"flows.{name}" for name in REPORTS)
    code = f"import sys; sys.modules['torch'] = None; import {doors}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_import_law_holds():
    """Rooms in layers, no circle: the contracts of pyproject.toml."""
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout
