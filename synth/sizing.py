"""Buffer trees and drive strengths after mapping, where ABC is blind.

ABC sees only the gates between registers: it neither knows that a DFF_X1 drives 192 loads nor
what the wires add. Two edits repair that, and neither can change the function:

- a net with more sinks than `MAX_FANOUT` gets a balanced tree of buffers;
- a cell is exchanged for another of its family (same pins, same logic, other drive).

The drive follows the load: the smallest cell whose load stays below a share of its maximum
load, a share that shrinks for cells that OpenSTA found on slow paths.
"""

from collections.abc import Callable
from dataclasses import dataclass

from synth.liberty import Library
from synth.netlist import Bit, Cell, Netlist
from synth.sram import INPUT_FF as MACRO_INPUT_FF
from synth.sta import Timer

OpenTimer = Callable[[Netlist], Timer]

MAX_FANOUT = 12
ROUNDS = 14
WINDOW_NS = 0.06  # cells this close to the worst slack count as slow
ENOUGH_NS = 0.004
SHARE = 0.30  # of a cell's maximum load, for a cell with slack to spare
LOWEST_SHARE = 0.04
STEP = 0.70  # the share of a slow cell shrinks by this, round by round
OUTPUT_LOAD_FF = 10.0  # an output port drives another block's input and the wire to it


@dataclass
class Loads:
    """Per net: sinks and output ports; the load of a net follows from the cells of the moment."""

    netlist: Netlist
    library: Library

    def __post_init__(self) -> None:
        self.sinks = self.netlist.sinks()
        self.outputs: dict[int, int] = {}
        for direction, bits in self.netlist.ports.values():
            for bit in bits:
                if direction == "output" and isinstance(bit, int):
                    self.outputs[bit] = self.outputs.get(bit, 0) + 1

    def pin_ff(self, instance: str, pin: str) -> float:
        cell = self.library.cells.get(self.netlist.cells[instance].kind)
        return cell.capacitance_ff.get(pin, 0.0) if cell else MACRO_INPUT_FF

    def load_ff(self, net: int) -> float:
        sinks = self.sinks.get(net, ())
        ports = self.outputs.get(net, 0)
        pins = sum(self.pin_ff(instance, pin) for instance, pin, _ in sinks)
        return pins + ports * OUTPUT_LOAD_FF + self.library.wire_load_ff(len(sinks) + ports)


def buffer_fanout(netlist: Netlist, library: Library, ideal: frozenset[Bit]) -> int:
    """Give every net with more than MAX_FANOUT sinks a balanced buffer tree, in place.

    `ideal` nets (the clock) are left alone. Sinks keep their order, so that neighbours share a
    buffer. Returns the number of buffers.
    """
    buffer = library.buffers[0]
    (data,) = buffer.capacitance_ff
    (out,) = buffer.function
    added = 0
    for net, all_sinks in netlist.sinks().items():
        if net in ideal:
            continue
        sinks = all_sinks
        while len(sinks) > MAX_FANOUT:
            groups = -(-len(sinks) // MAX_FANOUT)
            roots = []
            for group in range(groups):
                members = sinks[len(sinks) * group // groups : len(sinks) * (group + 1) // groups]
                leaf = netlist.new_net()
                name = netlist.new_name("fanout_buf_")
                netlist.cells[name] = Cell(buffer.name, {data: [net], out: [leaf]})
                for instance, pin, bit in members:
                    netlist.cells[instance].pins[pin][bit] = leaf
                roots.append((name, data, 0))
                added += 1
            sinks = roots
    return added


def _backwards(netlist: Netlist, library: Library) -> list[str]:
    """Library cells, every cell after the cells that it drives (registers first)."""
    drivers = netlist.drivers()
    order: list[str] = []
    state: dict[str, int] = {}
    gates = []
    for name, cell in netlist.cells.items():
        known = library.cells.get(cell.kind)
        if known is None:
            continue
        gates.append(name)
    for root in gates:
        if root in state:
            continue
        stack = [(root, iter(_fanin(netlist, library, drivers, root)))]
        state[root] = 1
        while stack:
            name, fanin = stack[-1]
            for source in fanin:
                if source not in state:
                    state[source] = 1
                    stack.append((source, iter(_fanin(netlist, library, drivers, source))))
                    break
            else:
                order.append(name)
                stack.pop()
    return order[::-1]


def _fanin(
    netlist: Netlist, library: Library, drivers: dict[int, tuple[str, str]], name: str
) -> list[str]:
    cell = netlist.cells[name]
    if library.cells[cell.kind].sequential:
        return []
    found = []
    for pin in netlist.inputs[cell.kind]:
        for bit in cell.pins.get(pin, ()):
            if isinstance(bit, int) and bit in drivers:
                source = drivers[bit][0]
                if netlist.cells[source].kind in library.cells:
                    found.append(source)
    return found


class Sizer:
    """Holds every cell's share and turns shares into drives."""

    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist = netlist
        self.library = library
        self.loads = Loads(netlist, library)
        self.order = _backwards(netlist, library)
        self.share = dict.fromkeys(self.order, SHARE)
        self.outputs = {
            name: [
                bit
                for pin, bits in netlist.cells[name].pins.items()
                if pin not in netlist.inputs[netlist.cells[name].kind]
                for bit in bits
                if isinstance(bit, int)
            ]
            for name in self.order
        }

    def apply(self) -> dict[str, str]:
        """Choose every cell's drive by its load and its share, from the outputs to the inputs.

        Returns what changed: {instance: library cell}.
        """
        changed = {}
        for name in self.order:
            cell = self.netlist.cells[name]
            ladder = self.library.variants.get(cell.kind, ())
            if len(ladder) < 2:
                continue
            load = max((self.loads.load_ff(net) for net in self.outputs[name]), default=0.0)
            share = self.share[name]
            fitting = (v for v in ladder if load <= share * v.max_load_ff)
            kind = next(fitting, ladder[-1]).name
            if kind != cell.kind:
                cell.kind = changed[name] = kind
        return changed

    def tighten(self, slack_ns: dict[str, float], below_ns: float) -> None:
        """Shrink the share of every cell whose slack is under `below_ns`."""
        for name, slack in slack_ns.items():
            share = self.share.get(name)
            if share is not None and slack < below_ns:
                self.share[name] = max(LOWEST_SHARE, share * STEP)


def close_timing(netlist: Netlist, library: Library, open_timer: OpenTimer) -> None:
    """Size `netlist`, in place, until its clock target is met or nothing helps.

    `open_timer(netlist)` starts OpenSTA on it. The drives of the best round are kept; a round that
    made it worse is undone, and a narrower set of cells is tried from there.
    """
    sizer = Sizer(netlist, library)
    sizer.apply()
    with open_timer(netlist) as timer:
        slack = timer.slacks()
        worst, share = min(slack.values()), dict(sizer.share)
        window = WINDOW_NS
        for _ in range(ROUNDS):
            if worst >= 0 or window < ENOUGH_NS:
                break
            sizer.share = dict(share)
            sizer.tighten(slack, min(worst + window, 0.0))
            timer.exchange(sizer.apply())
            now = timer.slacks()
            if min(now.values()) < worst + ENOUGH_NS:
                window /= 2
            if min(now.values()) > worst:
                slack, worst, share = now, min(now.values()), dict(sizer.share)
    sizer.share = share
    sizer.apply()
