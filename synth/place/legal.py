"""Whether a placement can be built: every cell in a row, on a site, inside, over no other."""

import numpy as np

from synth.netlist import Netlist
from synth.place.geometry import Floorplan, Spots
from synth.place.lef import Lef


def faults(netlist: Netlist, lef: Lef, plan: Floorplan, spots: Spots) -> list[str]:
    """What is wrong with where the cells stand, a sentence each; nothing when all is well."""
    cells = {n: o for n, c in netlist.cells.items() if (o := lef.outline(c.kind)).core}
    if missing := sorted(cells.keys() - spots.keys()):
        return [f"{name} has no place." for name in missing]
    names = list(cells)
    left = (np.array([spots[name].x for name in names]) - plan.x_um) / plan.site_um
    low = (np.array([spots[name].y for name in names]) - plan.y_um) / plan.row_um
    wide = np.ceil([cells[name].width_um / plan.site_um - 1e-3 for name in names]).astype(np.int64)
    site, row = np.rint(left).astype(np.int64), np.rint(low).astype(np.int64)
    turned = np.array([spots[name].orient == "FS" for name in names])
    found = []
    for wrong, what in (
        (np.abs(left - site) > 1e-3, "stands on no site"),
        (np.abs(low - row) > 1e-3, "stands in no row"),
        ((site < 0) | (site + wide > plan.sites), "stands beyond its row's end"),
        ((row < 0) | (row >= plan.rows), "stands outside the core"),
        (turned != (row % 2 == 1), "is turned against its row"),
    ):
        found += [f"{names[index]} {what}." for index in np.flatnonzero(wrong)]
    order = np.lexsort((site, row))
    before, after = order[:-1], order[1:]
    over = (row[before] == row[after]) & (site[before] + wide[before] > site[after])
    for a, b in zip(before[over], after[over], strict=True):
        found.append(f"{names[a]} overlaps {names[b]}.")
    return found
