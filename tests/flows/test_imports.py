"""What needs no torch imports none: the hardware rooms, the container, and the reports."""

import subprocess
import sys

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
    *("loop.logs", "loop.progress", "loop.rundir"),
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
