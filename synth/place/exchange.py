"""DEF and LEF of a placed core, for OpenROAD, KLayout and others. Nothing in them is routed."""

from collections.abc import Sequence
from pathlib import Path

from cosign import atomic_write
from synth.netlist import Netlist
from synth.place.geometry import Floorplan, Spots
from synth.place.lef import Lef, Outline
from synth.place.wiring import net_names, pin_name

UNITS = 2000
"""To the micrometre: that of NanGate's LEF."""
PIN_UM = 0.14
"""Side of a port's and of a memory's pin."""


def write_def(path: Path, netlist: Netlist, lef: Lef, plan: Floorplan, spots: Spots) -> None:
    """Write rows, cells, memories, ports and nets. Atomic."""

    def whole(value: float) -> int:
        return round(value * UNITS)

    lines = [
        "VERSION 5.8 ;",
        'DIVIDERCHAR "/" ;',
        'BUSBITCHARS "[]" ;',
        f"DESIGN {netlist.top} ;",
        f"UNITS DISTANCE MICRONS {UNITS} ;",
        f"DIEAREA ( 0 0 ) ( {whole(plan.width_um)} {whole(plan.height_um)} ) ;",
    ]
    for row in range(plan.rows):
        lines.append(
            f"ROW row_{row} {lef.site} {whole(plan.x_um)} {whole(plan.y_um + row * plan.row_um)} "
            f"{('N', 'FS')[row % 2]} DO {plan.sites} BY 1 STEP {whole(plan.site_um)} 0 ;"
        )
    lines.append(f"COMPONENTS {len(netlist.cells)} ;")
    blocks = {block.instance: block for block in plan.blocks}
    for name, cell in netlist.cells.items():
        if name in blocks:
            block = blocks[name]
            state = f"FIXED ( {whole(block.x)} {whole(block.y)} ) {block.orient}"
        else:
            spot = spots[name]
            state = f"PLACED ( {whole(spot.x)} {whole(spot.y)} ) {spot.orient}"
        lines.append(f"- {name} {cell.kind} + {state} ;")
    lines.append("END COMPONENTS")
    names = net_names(netlist)
    layer = (lef.layers[2] if len(lef.layers) > 2 else lef.layers[0]).name
    bits = [
        (port, bit, direction, net)
        for port, (direction, nets) in netlist.ports.items()
        for bit, net in enumerate(nets)
    ]
    lines.append(f"PINS {len(bits)} ;")
    half = whole(PIN_UM / 2)
    for port, bit, direction, net in bits:
        text = pin_name(netlist, ("", port, bit))
        joined = names[net] if isinstance(net, int) else text
        lines.append(f"- {text} + NET {joined} + DIRECTION {direction.upper()} + USE SIGNAL")
        if (port, bit) in plan.ports:
            x, y = plan.ports[port, bit]
            lines.append(
                f"  + LAYER {layer} ( -{half} -{half} ) ( {half} {half} ) "
                f"+ PLACED ( {whole(x)} {whole(y)} ) N"
            )
        lines[-1] += " ;"
    lines.append("END PINS")
    pins: dict[int, list[str]] = {}
    for port, bit, _, net in bits:
        if isinstance(net, int):
            pins.setdefault(net, []).append(f"( PIN {pin_name(netlist, ('', port, bit))} )")
    for name, cell in netlist.cells.items():
        for pin, nets in cell.pins.items():
            for bit, net in enumerate(nets):
                if isinstance(net, int):
                    text = pin_name(netlist, (name, pin, bit)).partition("/")[2]
                    pins.setdefault(net, []).append(f"( {name} {text} )")
    lines.append(f"NETS {len(pins)} ;")
    lines += [f"- {names[net]} {' '.join(ends)} + USE SIGNAL ;" for net, ends in pins.items()]
    lines += ["END NETS", "END DESIGN", ""]
    with atomic_write(path) as file:
        file.write("\n".join(lines).encode())


def write_block_lef(path: Path, blocks: Sequence[Outline], lef: Lef) -> None:
    """Write the outlines of memories, which drive `q` alone. Atomic."""
    layer = (lef.layers[3] if len(lef.layers) > 3 else lef.layers[-1]).name
    lines = ["VERSION 5.8 ;", 'BUSBITCHARS "[]" ;', 'DIVIDERCHAR "/" ;', ""]
    for block in blocks:
        lines += [
            f"MACRO {block.name}",
            "  CLASS BLOCK ;",
            "  ORIGIN 0 0 ;",
            f"  SIZE {block.width_um:.4f} BY {block.height_um:.4f} ;",
            "  SYMMETRY X Y R90 ;",
        ]
        for pin, (x, y) in block.pins.items():
            way = "OUTPUT" if pin.startswith("q[") else "INPUT"
            half = PIN_UM / 2
            box = f"{x - half:.4f} {y:.4f} {x + half:.4f} {y + PIN_UM:.4f}"
            lines += [
                f"  PIN {pin}",
                f"    DIRECTION {way} ;",
                f"    PORT\n      LAYER {layer} ;\n        RECT {box} ;\n    END",
                f"  END {pin}",
            ]
        lines += [f"END {block.name}", ""]
    with atomic_write(path) as file:
        file.write("\n".join([*lines, "END LIBRARY", ""]).encode())
