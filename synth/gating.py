"""Clock gating: registers that share an enable get a clock that ticks while it is on.

Yosys' `clockgate` puts a clock gate (`synth.liberty.clockgates`) in front of every group of
registers with a common enable, and takes the multiplexers away that held their values. An enable
that a synchronous reset overrules stays logic: those are a core's few control registers.

A group is split so that no gate has a larger load than sizing has drives for: the clock is ideal,
and what would be a leaf buffer of its tree is a gate here.
"""

from synth.liberty import Library, clock_gates
from synth.netlist import Bit, Cell, Netlist

FEWEST = 4
"""Registers of a group; a gate takes the area of two multiplexers, the energy of a register."""
MOST = 32
"""Registers behind one gate."""


def commands(library: Library) -> tuple[str, ...]:
    """The Yosys commands, for registers that still have enables; none without clock gates."""
    gates = clock_gates(library)
    if not gates:
        return ()
    gate = gates[0]
    ties = "".join(f" -tie_lo {pin}" for pin in gate.tests)
    pins = f"{gate.enable}:{gate.clock}:{gate.output}"
    return (f"clockgate -pos {gate.name} {pins}{ties} -min_net_size {FEWEST}", "opt_clean")


def gated_clocks(netlist: Netlist, library: Library) -> frozenset[Bit]:
    """The nets behind clock gates, which take no buffers."""
    kinds = {gate.name: gate.output for gate in clock_gates(library)}
    return frozenset(
        bit
        for cell in netlist.cells.values()
        if cell.kind in kinds
        for bit in cell.pins[kinds[cell.kind]]
    )


def split(netlist: Netlist, library: Library) -> None:
    """Copies of every gate with more than MOST registers, in place.

    Registers keep their order, so that neighbours share a gate, and gates of a group have equal
    shares.
    """
    kinds = {gate.name: gate.output for gate in clock_gates(library)}
    sinks = netlist.sinks()
    for name, cell in list(netlist.cells.items()):
        if cell.kind not in kinds:
            continue
        (net,) = cell.pins[kinds[cell.kind]]
        assert isinstance(net, int)
        behind = sinks.get(net, [])
        groups = -(-len(behind) // MOST)
        for group in range(1, groups):
            copy = netlist.new_net()
            pins = {pin: list(bits) for pin, bits in cell.pins.items()}
            netlist.cells[f"{name}_copy_{group}"] = Cell(
                cell.kind, pins | {kinds[cell.kind]: [copy]}
            )
            start, stop = (len(behind) * end // groups for end in (group, group + 1))
            for instance, pin, bit in behind[start:stop]:
                netlist.cells[instance].pins[pin][bit] = copy
