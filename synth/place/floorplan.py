"""The floorplan: a core of rows, its memories in a ring around it, its ports on its edge.

- The core has room for the cells at the utilisation asked for.
- A memory is one block, its pins on the edge that faces the core. Its macros stack in columns as
  `synth.sram` tiles them; OpenRAM's table has areas, no sides, so a macro is taken to be
  MACRO_ASPECT times as deep as it is wide.
- The blocks stand around the core in the order of their names, as many on each side as fit; where
  they ask for more than the core's edges, they stand off it, all sides equally.
- A port stands on the core's edge, at the place that is nearest to what it connects to.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from cosign import CosignError
from rtl.sram import Macro, address_bits
from synth import sram
from synth.netlist import Netlist
from synth.place.geometry import Block, Floorplan
from synth.place.lef import Lef, Outline

HALO_UM = 5.0
"""Between the core and blocks, and from block to block."""
MACRO_ASPECT = 2.0
PORT_UM = (0.56, 5.6)
"""From port to port: at least two tracks of the layers that long wires take, at most twenty;
between these, so that ports take half the edge."""


def memory_outline(macro: Macro) -> Outline:
    """The block of one memory; its pins stand on its lower edge, evenly."""
    tiling = sram.tile(macro.words, macro.bits)
    columns = [max(row.area_um2 for row in column) for column in tiling.columns]
    width = sum(math.sqrt(area / MACRO_ASPECT) for area in columns)
    height = (tiling.area_um2 + tiling.selection_um2) / width
    names = ["clk", "ce", "we"]
    names += [f"addr[{bit}]" for bit in range(address_bits(macro.words))]
    names += [f"{bus}[{bit}]" for bit in range(macro.bits) for bus in ("d", "q")]
    step = width / (len(names) + 1)
    pins = {name: (step * (index + 1), 0.0) for index, name in enumerate(names)}
    return Outline(macro.name, width, height, pins, core=False)


def cells_um2(netlist: Netlist, lef: Lef) -> float:
    """Area of the cells that stand in rows. Raises CosignError where the LEF lacks one."""
    outlines = (lef.outline(cell.kind) for cell in netlist.cells.values())
    return sum(o.width_um * o.height_um for o in outlines if o.core)


def floorplan(
    netlist: Netlist, lef: Lef, utilisation: float, aspect: float, area_um2: float
) -> Floorplan:
    """A die for cells of `area_um2` that fill a share `utilisation` of the core.

    lef : with the outlines of the memories
    aspect : height of the core over its width

    Ports have no place yet (`with_ports`).
    """
    rows = max(1, round(math.sqrt(area_um2 / utilisation * aspect) / lef.row_um))
    sites = math.ceil(area_um2 / utilisation / (rows * lef.row_um * lef.site_um))
    width, height = sites * lef.site_um, rows * lef.row_um
    memories = sorted(
        (
            (name, outline)
            for name, cell in netlist.cells.items()
            if not (outline := lef.outline(cell.kind)).core
        ),
        key=lambda memory: _natural(memory[0]),
    )
    sides = _sides([outline for _, outline in memories], width, height)
    needed = [sum(memories[i][1].width_um + HALO_UM for i in side) for side in sides]
    # A ring stands off the core where a side's blocks are longer than its edge.
    off_x = max(HALO_UM, (max(needed[0], needed[2]) - width) / 2)
    off_y = max(HALO_UM, (max(needed[1], needed[3]) - height) / 2)
    deep = [max((memories[i][1].height_um for i in side), default=0.0) for side in sides]
    # Rows begin on the grid of sites, so that all cells do.
    x = math.ceil((deep[3] + off_x) / lef.site_um) * lef.site_um
    y = math.ceil((deep[2] + off_y) / lef.row_um) * lef.row_um
    blocks: list[Block] = []
    for side, members in enumerate(sides):
        middle = x + width / 2 if side % 2 == 0 else y + height / 2
        along = middle - needed[side] / 2 + HALO_UM / 2
        for index in members:
            name, outline = memories[index]
            where = (
                (along, y + height + off_y),
                (x + width + off_x, along),
                (along, y - off_y - outline.height_um),
                (x - off_x - outline.height_um, along),
            )[side]
            blocks.append(Block(name, outline, *where, "NESW"[side]))
            along += outline.width_um + HALO_UM
    return Floorplan(
        width_um=x + width + off_x + deep[1],
        height_um=y + height + off_y + deep[0],
        x_um=x,
        y_um=y,
        site_um=lef.site_um,
        row_um=lef.row_um,
        sites=sites,
        rows=rows,
        blocks=tuple(blocks),
        ports={},
    )


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts bank_10 behind bank_9."""
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in re.split(r"(\d+)", name)]


def _sides(outlines: Sequence[Outline], width: float, height: float) -> list[list[int]]:
    """Which blocks stand above, right of, below and left of the core: neighbours stay neighbours,
    and each side takes its share of the ring."""
    total = sum(outline.width_um for outline in outlines)
    edges = (width, height, width, height)
    sides: list[list[int]] = [[], [], [], []]
    before = 0.0
    for index, outline in enumerate(outlines):
        share = (before + outline.width_um / 2) / total * sum(edges)
        side = 0
        while side < 3 and share > sum(edges[: side + 1]):
            side += 1
        sides[side].append(index)
        before += outline.width_um
    return sides


def with_ports(
    plan: Floorplan, wanted: Mapping[tuple[str, int], tuple[float, float] | None]
) -> Floorplan:
    """The floorplan with its ports on the core's edge.

    wanted : by (port, bit) the place that it would best be at; None lets it stand anywhere

    Ports keep the order, around the core, of the places wanted, and keep a distance.
    Raises CosignError when the edge is too short for them.
    """
    width, height = plan.core_um
    round_um = 2 * (width + height)
    least, most = PORT_UM
    step = min(most, max(least, round_um / (2 * max(1, len(wanted)))))
    if len(wanted) * step > round_um:
        raise CosignError(
            f"{len(wanted)} ports do not fit on the edge of a core of {width:.0f} x {height:.0f} "
            "um; choose a lower utilisation."
        )
    known = {
        key: _along(place[0] - plan.x_um, place[1] - plan.y_um, width, height)
        for key, place in wanted.items()
        if place is not None
    }
    free = [key for key in wanted if key not in known]
    # Those that want nothing follow each other from the middle of the lower edge on.
    known |= {key: width / 2 + step * (i - len(free) / 2) for i, key in enumerate(free)}
    order = sorted(known, key=lambda key: (known[key], key))
    at: list[float] = []
    for key in order:
        at.append(max(known[key], at[-1] + step if at else 0.0))
    limit = round_um
    for index in reversed(range(len(at))):
        at[index] = min(at[index], limit - step)
        limit = at[index]
    places = {key: _on_edge(spot, width, height) for key, spot in zip(order, at, strict=True)}
    ports = {key: (plan.x_um + x, plan.y_um + y) for key, (x, y) in places.items()}
    return dataclasses.replace(plan, ports=ports)


def _along(x: float, y: float, width: float, height: float) -> float:
    """How far around the edge, counterclockwise from the lower left, the place nearest to x, y."""
    x, y = min(max(x, 0.0), width), min(max(y, 0.0), height)
    nearest = min(
        (y, x), (width - x, width + y), (height - y, 2 * width + height - x),
        (x, 2 * (width + height) - y),
    )  # fmt: skip
    return nearest[1]


def _on_edge(along: float, width: float, height: float) -> tuple[float, float]:
    along %= 2 * (width + height)
    if along <= width:
        return along, 0.0
    if along <= width + height:
        return width, along - width
    if along <= 2 * width + height:
        return 2 * width + height - along, height
    return 0.0, 2 * (width + height) - along
