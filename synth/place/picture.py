"""The floorplan as a picture: cells by block of the machine, memories, and the congestion map."""

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from cosign import atomic_write
from synth.blocks import BLOCKS
from synth.netlist import Netlist
from synth.place.geometry import Floorplan, Spots
from synth.place.lef import Lef
from synth.place.wires.congestion import Congestion

NOTE = "placed, nothing is routed"


def draw(
    path: Path,
    title: str,
    netlist: Netlist,
    lef: Lef,
    plan: Floorplan,
    spots: Spots,
    blocks: Mapping[str, str],
    map_of: Congestion,
) -> None:
    """Write a PNG: the die, the core with cells in the colours of `blocks` (by instance), and how
    full its bins are. Atomic."""
    figure = Figure(figsize=(15, 5.4), layout="constrained")
    die, core, full = figure.subplots(1, 3)
    colours = {
        block: mpl.colormaps["tab10"](index % 10)
        for index, block in enumerate([b for b in BLOCKS if b in set(blocks.values())])
    }
    boxes = _boxes(netlist, lef, spots)
    shades = [colours[blocks[name]] for name in spots]
    for axes in (die, core):
        axes.add_collection(PolyCollection(list(boxes), facecolors=shades, linewidths=0))
    for axes in (die, core, full):
        for block in plan.blocks:
            width, height = block.size
            axes.add_patch(
                Rectangle((block.x, block.y), width, height, facecolor="0.85", edgecolor="0.4")
            )
    for block in plan.blocks:
        width, height = block.size
        die.text(
            block.x + width / 2, block.y + height / 2, block.outline.name.rpartition("_")[2],
            ha="center", va="center", fontsize=5, rotation=90 if height > width else 0,
        )  # fmt: skip
    die.set(xlim=(0, plan.width_um), ylim=(0, plan.height_um), title=f"{title}: die")
    size = map_of.bin_um
    across, up = map_of.ratio.shape
    image = full.imshow(
        map_of.ratio.T, origin="lower", extent=(0, across * size, 0, up * size), vmin=0,
        vmax=max(1.0, map_of.worst), cmap="inferno",
    )  # fmt: skip
    figure.colorbar(image, ax=full, label="routing demand over capacity", shrink=0.8)
    width, height = plan.core_um
    edge = 0.08 * max(width, height)
    for axes in (core, full):
        axes.set_xlim(plan.x_um - edge, plan.x_um + width + edge)
        axes.set_ylim(plan.y_um - edge, plan.y_um + height + edge)
    core.set_title("cells by block")
    full.set_title(f"fullest bin {map_of.worst:.2f} ({NOTE})")
    for axes in (die, core, full):
        axes.set_aspect("equal")
        axes.set_xlabel("µm")
    if plan.ports:
        places = np.array(list(plan.ports.values()))
        core.plot(places[:, 0], places[:, 1], "k.", markersize=1.5)
    handles = [Patch(color=colour, label=block) for block, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": ""})
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def _boxes(netlist: Netlist, lef: Lef, spots: Spots) -> np.ndarray:
    """Corners of all cells, float64 [cells, 4, 2]."""
    boxes = np.empty((len(spots), 4, 2))
    for index, (name, spot) in enumerate(spots.items()):
        outline = lef.outline(netlist.cells[name].kind)
        right, high = spot.x + outline.width_um, spot.y + outline.height_um
        boxes[index] = ((spot.x, spot.y), (right, spot.y), (right, high), (spot.x, high))
    return boxes
