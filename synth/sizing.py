"""Buffer trees and drive strengths after mapping, where ABC is blind.

ABC sees only the gates between registers: it neither knows that a DFF_X1 drives 192 loads nor
what the wires add. Edits repair that, and none can change the function:

- a net with more sinks than `MAX_FANOUT` gets a balanced tree of buffers;
- a cell is exchanged for another of its family (same pins, same logic, other drive);
- where a library has no tie cell, constants come from an inverter on a rail.

The drive first follows the load: the smallest cell whose load stays below a share of its maximum
load. Then cells on the slow paths that OpenSTA finds grow, round by round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from synth.liberty import Library
from synth.netlist import Bit, Cell, Netlist
from synth.sram import INPUT_FF as MACRO_INPUT_FF
from synth.sta import Timer

OpenTimer = Callable[[Netlist], Timer]

MAX_FANOUT = 12
ROUNDS = 16
WINDOW_NS = 0.03  # cells this close to the worst slack count as slow
ENOUGH_NS = 0.004
REGISTER_GAIN = 0.08  # a larger flip-flop is slower by itself, so it must carry a real load
SHARE = 0.30  # of a cell's maximum load, for a cell with slack to spare
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


def tie_constants(netlist: Netlist, library: Library) -> None:
    """Drive constant pins and ports by inverters with their inputs on a rail, in place.

    Constants that are left after mapping are those that the library has no tie cell for.
    """
    inverter = library.inverters[0]
    (data,) = inverter.capacitance_ff
    (out,) = inverter.function
    made: dict[str, int] = {}
    places = [bits for cell in netlist.cells.values() for bits in cell.pins.values()]
    places += [bits for direction, bits in netlist.ports.values() if direction == "output"]
    for bits in places:
        for index, bit in enumerate(bits):
            if not isinstance(bit, int):
                value = "1" if bit == "1" else "0"
                made.setdefault(value, netlist.last_net + 1)
                netlist.last_net = max(netlist.last_net, made[value])
                bits[index] = made[value]
    for constant, net in made.items():
        rail: Bit = "0" if constant == "1" else "1"
        name = netlist.new_name("tie_inverter_")
        netlist.cells[name] = Cell(inverter.name, {data: [rail], out: [net]})
        netlist.inputs.setdefault(inverter.name, frozenset((data,)))


def ideal_nets(netlist: Netlist, library: Library, clock: str) -> frozenset[Bit]:
    """Nets that need no buffers: the clock, also behind an inverter, and constants."""
    found: set[Bit] = set(netlist.ports[clock][1])
    sinks = netlist.sinks()
    todo = list(found)
    while todo:
        bit = todo.pop()
        for name, _, _ in sinks.get(bit, ()) if isinstance(bit, int) else ():
            known = library.cells.get(netlist.cells[name].kind)
            if known is not None and known.passes is not None:
                (net,) = netlist.cells[name].pins[next(iter(known.function))]
                found.add(net)
                todo.append(net)
    for cell in netlist.cells.values():
        reads = netlist.inputs[cell.kind]
        if all(isinstance(bit, str) for pin in reads for bit in cell.pins.get(pin, ())):
            found |= {bit for pin, bits in cell.pins.items() if pin not in reads for bit in bits}
    return frozenset(found)


def buffer_fanout(netlist: Netlist, library: Library, ideal: frozenset[Bit]) -> int:
    """Give every net with more than MAX_FANOUT sinks a balanced buffer tree, in place.

    `ideal` nets are left alone. Sinks keep their order, so that neighbours share a
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


class Step(NamedTuple):
    """A possible growth of a cell: its gain, and the load it adds to its critical input."""

    name: str
    kind: str
    gain: float
    net: int
    extra_ff: float
    driver_max_ff: float


class Sizer:
    """Chooses drives: first by load alone, then a step up where OpenSTA found slow paths."""

    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist = netlist
        self.library = library
        self.loads = Loads(netlist, library)
        self.order = _backwards(netlist, library)
        self.drivers = netlist.drivers()
        self.nets = {
            name: [
                bit
                for pin, bits in netlist.cells[name].pins.items()
                if pin not in netlist.inputs[netlist.cells[name].kind]
                for bit in bits
                if isinstance(bit, int)
            ]
            for name in self.order
        }

    def load_ff(self, name: str) -> float:
        """The largest load on an output of the cell."""
        return max((self.loads.load_ff(net) for net in self.nets[name]), default=0.0)

    def fit(self) -> None:
        """The smallest drives that keep every load within SHARE, from the outputs backwards."""
        for name in self.order:
            cell = self.netlist.cells[name]
            ladder = self.library.variants.get(cell.kind, ())
            if len(ladder) > 1:
                load = self.load_ff(name)
                fitting = (v for v in ladder if load <= SHARE * v.max_load_ff)
                cell.kind = next(fitting, ladder[-1]).name

    def stronger(self, name: str, slack_ns: dict[str, float]) -> Step | None:
        """What the next drive of a slow cell would bring, None if it is at its largest."""
        cell = self.netlist.cells[name]
        ladder = self.library.variants.get(cell.kind, ())
        here = next((i for i, v in enumerate(ladder) if v.name == cell.kind), len(ladder))
        if here + 1 >= len(ladder):
            return None
        now, then = ladder[here], ladder[here + 1]
        gain = self.load_ff(name) * (1 / now.max_load_ff - 1 / then.max_load_ff)
        net, extra, drive, worst = 0, 0.0, float("inf"), 0.0
        for pin, more in then.capacitance_ff.items():
            for bit in () if now.sequential else cell.pins.get(pin, ()):
                source = self.drivers.get(bit, ("", ""))[0] if isinstance(bit, int) else ""
                if source and slack_ns.get(source, 0.0) < worst:
                    worst, net = slack_ns[source], int(bit)
                    extra = more - now.capacitance_ff[pin]
                    kind = self.library.cells.get(self.netlist.cells[source].kind)
                    drive = kind.max_load_ff if kind else float("inf")
        return Step(name, then.name, gain, net, extra, drive)

    def strengthen(self, slack_ns: dict[str, float], below_ns: float) -> dict[str, str]:
        """Give slow cells the next drive where their path gains; {instance: cell it was}.

        Delay goes as load / maximum load. What a larger cell gains is held against what its
        input capacitance, and that of the other cells grown on the same net, costs the driver.
        """
        slow = (name for name in self.order if slack_ns.get(name, 0.0) < below_ns)
        steps = [step for name in slow if (step := self.stronger(name, slack_ns)) is not None]
        grown: dict[int, float] = {}
        before: dict[str, str] = {}
        for step in sorted(steps, key=lambda step: (-step.gain, step.name)):
            added = grown.get(step.net, 0.0) + step.extra_ff
            least = REGISTER_GAIN if step.net == 0 else added / step.driver_max_ff
            if step.gain > least:
                grown[step.net] = added
                before[step.name] = self.netlist.cells[step.name].kind
                self.netlist.cells[step.name].kind = step.kind
        return before

    def assign(self, kinds: dict[str, str]) -> None:
        for name, kind in kinds.items():
            self.netlist.cells[name].kind = kind


def close_timing(netlist: Netlist, library: Library, open_timer: OpenTimer) -> float:
    """Size `netlist`, in place, until its clock target is met or nothing helps.

    `open_timer(netlist)` starts OpenSTA on it. A round that made the worst slack worse is undone,
    and a narrower set of slow cells is tried. Returns the worst slack, ns.
    """
    sizer = Sizer(netlist, library)
    sizer.fit()
    with open_timer(netlist) as timer:
        slack = timer.slacks()
        window = WINDOW_NS
        for _ in range(ROUNDS):
            worst = min(slack.values())
            if worst >= 0 or window < ENOUGH_NS:
                break
            before = sizer.strengthen(slack, min(worst + window, 0.0))
            timer.exchange({name: netlist.cells[name].kind for name in before})
            now = timer.slacks()
            if min(now.values()) > worst:
                slack = now
            else:
                sizer.assign(before)
                timer.exchange(before)
            if min(now.values()) < worst + ENOUGH_NS:
                window /= 2
        return min(slack.values())
