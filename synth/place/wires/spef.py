"""Wire loads as SPEF (IEEE 1481): an RC tree for every net, half of each wire at its ends.

An output port's load, `synth.sta`'s, stands at its end of the wire.

They are estimates from Steiner trees over placed pins; nothing was routed or extracted.
"""

from pathlib import Path

import numpy as np

from cosign import atomic_write
from synth.netlist import Netlist
from synth.place.wires.metal import Metal
from synth.place.wires.steiner import Trees
from synth.place.wiring import Wiring, net_names, pin_name
from synth.sta import OUTPUT_LOAD_FF

LEAST_OHM = 0.01
"""Of a wire without length: OpenSTA wants a tree that hangs together."""

_HEADER = """\
*SPEF "IEEE 1481-1998"
*DESIGN "{top}"
*DATE "none"
*VENDOR "cosign"
*PROGRAM "cosign, Steiner trees over placed pins; nothing is routed"
*VERSION "1"
*DESIGN_FLOW "NETLIST_TYPE_VERILOG"
*DIVIDER /
*DELIMITER :
*BUS_DELIMITER [ ]
*T_UNIT 1 NS
*C_UNIT 1 FF
*R_UNIT 1 OHM
*L_UNIT 1 HENRY

"""


def wire_ff(trees: Trees, metal: Metal) -> np.ndarray:
    """Capacitance of each net's wires, fF, float64 [nets]."""
    lengths = trees.lengths()
    return lengths * np.where(lengths > metal.long_um, metal.long_ff_um, metal.short_ff_um)


def write_spef(path: Path, netlist: Netlist, wiring: Wiring, trees: Trees, metal: Metal) -> None:
    """Write the wires of `wiring`; `netlist` has the names. Atomic."""
    names = net_names(netlist)
    nets, upper, lower = trees.edges()
    spans = np.abs(trees.x[upper] - trees.x[lower]) + np.abs(trees.y[upper] - trees.y[lower])
    lengths = trees.lengths()
    wide = lengths[nets] > metal.long_um
    ohms = spans * np.where(wide, metal.long_ohm_um, metal.short_ohm_um)
    halves = spans * np.where(wide, metal.long_ff_um, metal.short_ff_um) / 2
    ohms = np.maximum(ohms, LEAST_OHM).tolist()
    caps = np.bincount(upper, halves, minlength=len(trees.x))
    caps = (caps + np.bincount(lower, halves, minlength=len(trees.x))).tolist()
    ends = [not pin[0] and netlist.ports[pin[1]][0] == "output" for pin in wiring.pins]
    sinks = np.array(ends, np.float64) * OUTPUT_LOAD_FF
    totals = (wire_ff(trees, metal) + np.add.reduceat(sinks, wiring.starts[:-1])).tolist()
    sinks = sinks.tolist()
    first = np.searchsorted(nets, np.arange(len(wiring.nets) + 1)).tolist()
    points, pins = trees.starts.tolist(), wiring.starts.tolist()
    upper, lower = upper.tolist(), lower.tolist()
    lines = [_HEADER.format(top=netlist.top)]
    for index, net in enumerate(wiring.nets):
        name, start, count = names[net], points[index], pins[index + 1] - pins[index]
        own = [pin_name(netlist, pin, ":") for pin in wiring.pins[pins[index] : pins[index + 1]]]
        nodes = own + [f"{name}:{k}" for k in range(1, points[index + 1] - start - count + 1)]
        lines.append(f"*D_NET {name} {totals[index]:.4f}\n*CONN\n")
        for place, (pin, node) in enumerate(
            zip(wiring.pins[pins[index] : pins[index + 1]], own, strict=True)
        ):
            # A port that drives the net is an input of the core.
            way = "IO"[(place == 0) == bool(pin[0])]
            lines.append(f"*{'I' if pin[0] else 'P'} {node} {way}\n")
        lines.append("*CAP\n")
        for place, node in enumerate(nodes):
            load = sinks[pins[index] + place] if place < count else 0.0
            lines.append(f"{place + 1} {node} {caps[start + place] + load:.4f}\n")
        lines.append("*RES\n")
        for place, edge in enumerate(range(first[index], first[index + 1])):
            a, b = nodes[upper[edge] - start], nodes[lower[edge] - start]
            lines.append(f"{place + 1} {a} {b} {ohms[edge]:.4f}\n")
        lines.append("*END\n\n")
    with atomic_write(path) as file:
        file.write("".join(lines).encode())
