"""Which part of the machine a gate of the flat netlist belongs to: logic area by block.

Mapping flattens the core and ABC rebuilds the gates between registers, so only registers, memory
macros and ports still carry the names of the parts they come from (`front.sequencer.base[3]`).
Every other gate is told by what it is for:

1. a gate whose outputs reach the registers, macros and ports of one block only is that block's;
2. a gate that serves several, but is fed by the registers of one block only, is that block's;
3. any other gate is "shared", a line of its own, and one that reaches nothing is "unattributed".

Each cell is counted once, so the blocks add up to the logic area.
"""

import re
from collections.abc import Callable, Iterable

from rtl.config import CoreConfig
from synth.liberty import Library
from synth.netlist import Bit, Netlist

LANES = "lanes"
READ_PATH = "activation read path"
BUFFERS = "weight buffers"
DECODER = "decoder"
ADDRESS = "address generation"
CONTROL = "control"
DRAIN = "requantiser and drain"
SHARED = "shared"
UNATTRIBUTED = "unattributed"
BLOCKS = (LANES, READ_PATH, BUFFERS, DECODER, ADDRESS, CONTROL, DRAIN, SHARED, UNATTRIBUTED)

# Names of registers, macros and ports; the first match counts. U$n are the unnamed register copies
# of the core itself: the trees that broadcast weights and commands to the lanes.
_COMMON = (
    (r"(\d+_)?(lane|shadow)_|U\$\d+\.", LANES),
    (r"activations_\d+\.|windows_\d+\.|i_acts__", READ_PATH),
    (r"output\.|biases\.|drain\.|o__|o_last|i_biases__", DRAIN),
    (r"i_weights__|front\.(row_\d+\.)?(router|buffer|masks|levels|ahead)\.", BUFFERS),
    (r"front\.(filler\.)?sequencer\.(group_)?base\b|front\.(filler|table)\.", ADDRESS),
    (r"front\.sequencer\.|front\.side\b", CONTROL),
)
_DENSE = ((r"front\.address\b", ADDRESS), (r"front\.", CONTROL))
_SPARSE = ((r"front\.", DECODER),)  # the adder that turns a distance into an address included


def block_of(name: str, config: CoreConfig) -> str:
    """The block of a register, macro or port by its hierarchical `name`."""
    for pattern, block in _COMMON + (_DENSE if config.dense else _SPARSE):
        if re.match(pattern, name):
            return block
    return CONTROL  # the core's own start, done, error and the delays of its commands


def blocks_um2(netlist: Netlist, library: Library, config: CoreConfig) -> dict[str, float]:
    """Area of each of BLOCKS in square micrometres, memory macros left out."""
    found = dict.fromkeys(BLOCKS, 0.0)
    for name, block in attribute(netlist, library, config).items():
        found[block] += library.cells[netlist.cells[name].kind].area_um2
    return found


def attribute(netlist: Netlist, library: Library, config: CoreConfig) -> dict[str, str]:
    """The block of every library cell: {instance: block}."""
    fixed = {
        name: block_of(netlist.origins.get(name, name), config)
        for name, cell in netlist.cells.items()
        if cell.kind not in library.cells or library.cells[cell.kind].sequential
    }
    serves, fed = _served(netlist, fixed, config), _fed(netlist, fixed)
    blocks = {}
    for name, cell in netlist.cells.items():
        if cell.kind in library.cells:
            blocks[name] = fixed.get(name) or _told(serves.get(name, set()), fed.get(name, set()))
    return blocks


def _told(serves: set[str], fed: set[str]) -> str:
    if not serves:
        return UNATTRIBUTED
    for blocks in (serves, fed):
        if len(blocks) == 1:
            return next(iter(blocks))
    return SHARED


def _pins(netlist: Netlist, name: str, read: bool) -> list[Bit]:
    cell = netlist.cells[name]
    reads = netlist.inputs[cell.kind]
    return [bit for pin, bits in cell.pins.items() if (pin in reads) == read for bit in bits]


def _served(netlist: Netlist, fixed: dict[str, str], config: CoreConfig) -> dict[str, set[str]]:
    """For each gate the blocks whose registers, macros and ports its outputs reach."""
    drivers = netlist.drivers()
    ends: dict[str, list[Bit]] = {}
    for name, block in fixed.items():
        ends.setdefault(block, []).extend(_pins(netlist, name, read=True))
    for port, (direction, bits) in netlist.ports.items():
        if direction == "output":
            ends.setdefault(block_of(port, config), []).extend(bits)

    def upstream(net: int) -> Iterable[str]:
        return (drivers[net][0],) if net in drivers else ()

    return _spread(ends, fixed, upstream, lambda name: _pins(netlist, name, read=True))


def _fed(netlist: Netlist, fixed: dict[str, str]) -> dict[str, set[str]]:
    """For each gate the blocks whose registers and macros reach its inputs."""
    sinks = netlist.sinks()
    starts: dict[str, list[Bit]] = {}
    for name, block in fixed.items():
        starts.setdefault(block, []).extend(_pins(netlist, name, read=False))

    def downstream(net: int) -> Iterable[str]:
        return (instance for instance, _, _ in sinks.get(net, ()))

    return _spread(starts, fixed, downstream, lambda name: _pins(netlist, name, read=False))


def _spread(
    roots: dict[str, list[Bit]],
    fixed: dict[str, str],
    neighbours: Callable[[int], Iterable[str]],
    nets_behind: Callable[[str], list[Bit]],
) -> dict[str, set[str]]:
    """Mark gates with each block that reaches them, from gate to gate, stopping at registers."""
    marks: dict[str, set[str]] = {}
    for block, bits in roots.items():
        todo = [bit for bit in bits if isinstance(bit, int)]
        while todo:
            for name in neighbours(todo.pop()):
                marked = marks.setdefault(name, set())
                if name not in fixed and block not in marked:
                    marked.add(block)
                    todo += [bit for bit in nets_behind(name) if isinstance(bit, int)]
    return marks
