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
FLOWS = ("report", "figures", "pictures", "tables", "compare", "rundir", "progress", "logs")


@pytest.mark.parametrize("room", ["rtl", "sim", "synth"])
def test_a_hardware_room_needs_no_torch(room):
    subprocess.run([sys.executable, "-c", ALL_OF, room], check=True)


def test_container_and_reports_need_no_torch():
    rooms = ("container", "networks", "presets")
    doors = [*(f"compress.{name}" for name in rooms), *(f"flows.{name}" for name in FLOWS)]
    code = f"import sys; sys.modules['torch'] = None; import {', '.join(doors)}"
    subprocess.run([sys.executable, "-c", code], check=True)
