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
DOORS = (
    *("compress.file.container", "compress.zoo.networks", "compress.zoo.presets"),
    *(f"flows.report.{name}" for name in ("html", "figures", "pictures", "tables", "compare")),
    *(f"flows.loop.{name}" for name in ("rundir", "progress", "logs")),
)


@pytest.mark.parametrize("room", ["rtl", "sim", "synth"])
def test_a_hardware_room_needs_no_torch(room):
    subprocess.run([sys.executable, "-c", ALL_OF, room], check=True)


def test_container_and_reports_need_no_torch():
    code = f"import sys; sys.modules['torch'] = None; import {', '.join(DOORS)}"
    subprocess.run([sys.executable, "-c", code], check=True)
