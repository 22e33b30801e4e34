"""Cells into rows, by the Coloquinte placer.

The placer's units are a site across and about as much up, so that sites and rows are whole. Cells
get wider slots until they fill the rows, so that they spread over the core instead of clumping
where wires are shortest; each stands in the middle of its slot afterwards. Equal jobs with equal
seeds give equal placements.
"""

import importlib.util
import math
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosign import CosignError, scratch
from synth.netlist import Netlist
from synth.place.geometry import Floorplan, Spot, Spots
from synth.place.lef import Lef
from synth.place.wiring import Wiring
from synth.process import run_tool

PACKAGE = "coloquinte==0.4.1"
ROUGH_EFFORT, EFFORT = 1, 3
"""Of the placer, 1 to 9: for a first look, and for what stands."""
FULL = (0.96, 0.88, 0.8, 0.0)
"""Shares of the rows that slots fill, the first at which all find a place: where rows are short,
that takes more room. 0 is cells without wider slots."""


def require_placer() -> None:
    """Raises CosignError where Coloquinte isn't installed."""
    if importlib.util.find_spec("coloquinte") is None:
        raise CosignError(
            f"no placer is installed; run `pip install {PACKAGE}`, or leave out --place."
        )


@dataclass(frozen=True)
class Placer:
    """How to place. `seed` is that of the placer's noise; `cancel` stops it half way."""

    seed: int = 1
    effort: int = EFFORT
    cancel: threading.Event | None = None

    def place(
        self,
        netlist: Netlist,
        lef: Lef,
        plan: Floorplan,
        wiring: Wiring,
        weights: np.ndarray | None = None,
        spots: Spots | None = None,
        room: np.ndarray | None = None,
    ) -> Spots:
        """A legal place for every cell of `wiring`.

        weights : float64 [nets], how much a micrometre of each costs; all the same without it
        spots : where the cells stand now, perhaps over each other: they are moved as little as it
            takes. Without it they are placed anew.
        room : float64 [cells], at least 1; a cell that is placed anew gets a slot so many times
            wider than it is, as far as the rows have room, before all slots grow alike

        Raises CosignError when the placer is missing or fails, or the cells do not fit.
        """
        units = _Units(lef)
        widths = np.array(
            [
                math.ceil(lef.outline(netlist.cells[name].kind).width_um / lef.site_um - 1e-3)
                for name in wiring.cells
            ],
            np.int64,
        )
        filled = widths.sum() / (plan.sites * plan.rows)
        if filled > FULL[0]:
            raise CosignError(
                f"the cells fill {100 * filled:.0f} % of the core, which leaves no "
                "room to place them in; choose a lower utilisation."
            )
        x, y = wiring.fixed(plan)
        own = wiring.owners >= 0
        dx = np.where(own, wiring.dx, x - plan.x_um) / units.x_um
        dy = np.where(own, wiring.dy, y - plan.y_um) / units.y_um
        here = [spots[name] for name in wiring.cells] if spots else []
        job = {
            "widths": widths,
            "row": units.row,
            "sites": plan.sites,
            "rows": plan.rows,
            "x": np.array([round((s.x - plan.x_um) / units.x_um) for s in here] or 0 * widths),
            "y": np.array([round((s.y - plan.y_um) / units.y_um) for s in here] or 0 * widths),
            "turned": np.array([s.orient == "FS" for s in here] or 0 * widths, np.int64),
            "starts": wiring.starts,
            "owners": wiring.owners,
            "dx": np.rint(dx).astype(np.int64),
            "dy": np.rint(dy).astype(np.int64),
            "weights": np.ones(len(wiring.nets)) if weights is None else weights,
            "room": np.ones(len(wiring.cells)) if room is None else room,
            "densities": np.array(FULL if spots is None else (0.0,)),
            "anew": spots is None,
            "effort": self.effort,
            "seed": self.seed,
        }
        return self._run(job, wiring, plan, units, widths)

    def _run(
        self,
        job: dict[str, object],
        wiring: Wiring,
        plan: Floorplan,
        units: "_Units",
        widths: np.ndarray,
    ) -> Spots:
        require_placer()
        with scratch("place") as folder:
            np.savez(folder / "job.npz", **job)  # type: ignore[arg-type]
            worker = Path(__file__).with_name("worker.py")
            command = (sys.executable, "-P", worker)
            try:
                run_tool(command, folder / "place.log", folder, PACKAGE, self.cancel)
            except CosignError as error:
                if "Not all cells" in str(error):
                    raise CosignError(
                        "the placer found no room for all cells; choose a lower utilisation."
                    ) from error
                raise
            found = np.load(folder / "placed.npz")
            x = found["x"] + (found["slots"] - widths) // 2
            return {
                name: Spot(
                    plan.x_um + left * units.x_um,
                    plan.y_um + low * units.y_um,
                    str(way),
                )
                for name, left, low, way in zip(
                    wiring.cells, x.tolist(), found["y"].tolist(), found["ways"], strict=True
                )
            }


class _Units:
    """Micrometres of the placer's units, and a row's height in them."""

    def __init__(self, lef: Lef) -> None:
        self.x_um = lef.site_um
        self.row = max(1, round(lef.row_um / lef.site_um))
        self.y_um = lef.row_um / self.row
