"""Verilog to library cells: runs the recipe's Yosys scripts in a process of their own.

A crash of Yosys or Ctrl-C stays contained, and two cores map at the same time.
"""

import importlib.metadata
import json
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from cosign import CosignError, atomic_write
from synth import recipe
from synth.pdk import LIBERTY, Pdk
from synth.process import run_tool

PACKAGE = "pyosys==0.70 (pip)"


@dataclass(frozen=True)
class AreaRecord:
    """What `stat -liberty` says of the final netlist; macros are not counted."""

    logic_um2: float
    cells: dict[str, int]


def yosys_version() -> str:
    return f"Yosys {importlib.metadata.version('pyosys')} (pyosys)"


def yosys(script: str, folder: Path, name: str, cancel: threading.Event | None = None) -> str:
    """Run a Yosys script (`name`.ys in `folder`, log beside it). Raises CosignError."""
    path = folder / f"{name}.ys"
    with atomic_write(path) as file:
        file.write(script.encode())
    worker = Path(__file__).with_name("yosys_worker.py")
    command = (sys.executable, "-P", worker, path.name)
    try:
        return run_tool(command, folder / f"{name}.log", folder, PACKAGE, cancel)
    except CosignError as error:
        log = (folder / f"{name}.log").read_text(errors="replace")
        raise CosignError(_explain(log) or str(error)) from error


def _explain(log: str) -> str | None:
    """Yosys' failures that a user can act on."""
    if match := re.search(r"Module `\\?(\S+)' referenced in module .* is not part", log):
        return f"the Verilog instantiates {match[1]}, which nothing defines."
    if re.search(r"found logic loop|logic loop in module", log, re.I):
        return "the core holds a combinational loop; break it with a register."
    if re.search(r"No module named 'pyosys'", log):
        return f"Yosys is not installed; install {PACKAGE}."
    if match := re.search(r"^ABC: .*Assertion `(.*)' failed", log, re.M):
        return (
            f"ABC stopped at the cell library ({match[1]}); "
            "use one whose gates have delay tables of three loads and more."
        )
    if match := re.search(r"ERROR: (.*)", log):
        return f"Yosys refused the core: {match[1].rstrip('.')}."
    return None


def map_core(
    verilog: dict[str, str],
    top: str,
    pdk: Pdk,
    macros: Path,
    folder: Path,
    cancel: threading.Event | None = None,
) -> Path:
    """Map `verilog` (file name -> text) to cells of `pdk`; macros stay black boxes.

    `macros` is the Liberty file of the SRAM macros. Returns Yosys' JSON netlist in `folder`.
    """
    for name, text in verilog.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    abc = folder / "map.abc"
    with atomic_write(abc) as file:
        file.write(recipe.ABC_SCRIPT.encode())
    pdk.provide(folder)
    library = pdk.library
    ties = [recipe.TIES]
    for option, tie in (("-hicell", library.tie_high), ("-locell", library.tie_low)):
        ties += [option, *tie] if tie else []
    script = recipe.YOSYS_SCRIPT.format(
        liberty=LIBERTY,
        macros=macros.name,
        verilog=" ".join(sorted(verilog)),
        top=top,
        abc=abc.name,
        names=recipe.register_commands(library),
        ties=" ".join(ties) if library.ties else "",
        mapped="mapped.json",
    )
    yosys(script, folder, "map", cancel)
    return folder / "mapped.json"


def measure_area(
    netlist: Path, top: str, pdk: Pdk, macros: Path, cancel: threading.Event | None = None
) -> AreaRecord:
    """Check the final netlist and report its area; area.rpt and area.json stay beside it."""
    folder = netlist.parent
    pdk.provide(folder)
    script = recipe.REPORT_SCRIPT.format(
        liberty=LIBERTY,
        macros=macros.name,
        netlist=netlist.name,
        top=top,
        area_text="area.rpt",
        area_json="area.json",
    )
    yosys(script, folder, "area", cancel)
    return parse_area(folder / "area.json", top)


def parse_area(path: Path, top: str) -> AreaRecord:
    """Read `stat -json`. Raises CosignError when the area is not there."""
    text = path.read_text()
    try:
        module = json.loads(text[text.index("{") :])["modules"][f"\\{top}"]
        cells = {kind: _count(value) for kind, value in module["num_cells_by_type"].items()}
        return AreaRecord(float(module["area"]), cells)
    except (ValueError, KeyError, TypeError) as error:
        raise CosignError(
            f"Yosys' area report {path} has no area for {top}; run again with a clean folder."
        ) from error


def _count(value: object) -> int:
    """Yosys writes a count, or with -liberty a record that holds one."""
    if isinstance(value, dict):
        value = value.get("count", value.get("num_cells"))
    if not isinstance(value, int):
        raise TypeError
    return value
