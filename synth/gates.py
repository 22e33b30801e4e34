"""A mapped netlist as gates: truth tables over numbered nets, registers and SRAMs.

What synth.netlist has written is read back. A cell's tables come from the Liberty file. Gates are
in an order in which each comes after those that drive it.
"""

import dataclasses
import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cosign import CosignError
from synth.liberty import PINS, ClockGate, LibCell, Library, expression

ALL = (1 << (1 << PINS)) - 1
"""The table that is one for all inputs."""
ZERO, ONE = 0, 1
"""The nets that are constant."""


class Gate(NamedTuple):
    """`table` has in bit i the net `output` when input k has bit k of i."""

    inputs: tuple[int, ...]
    output: int
    table: int


class Register(NamedTuple):
    """A flip-flop: the net that it samples, the one that holds its state, and the one that is high
    in the cycles at whose end it is clocked."""

    data: int
    state: int
    enable: int


class Ram(NamedTuple):
    """A memory macro as in rtl.sram, its pins as nets, least significant first."""

    name: str
    macro: str
    words: int
    bits: int
    enable: int
    write: int
    address: tuple[int, ...]
    data: tuple[int, ...]
    q: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Gates:
    """A netlist. `nets` numbers the nets by name, `pins` has the net of every driving pin as
    OpenSTA names it, `tied` the sets, resets and test pins: (instance, net, level that does
    nothing). A gated clock, one of `gated`, is a net that is high in the cycles at whose end it
    ticks; `clocked` has it for every clock gate, and for every flip-flop behind one."""

    nets: dict[str, int] = field(default_factory=lambda: {"1'b0": ZERO, "1'b1": ONE})
    gates: list[Gate] = field(default_factory=list)
    registers: list[Register] = field(default_factory=list)
    rams: list[Ram] = field(default_factory=list)
    pins: dict[str, int] = field(default_factory=dict)
    tied: list[tuple[str, int, str]] = field(default_factory=list)
    gated: set[int] = field(default_factory=set)
    clocked: dict[str, int] = field(default_factory=dict)

    def net(self, name: str) -> int:
        """The number of net `name`, a new one at first sight."""
        return self.nets.setdefault(name, len(self.nets))

    def port(self, name: str, width: int) -> tuple[int, ...]:
        """The nets of a port, least significant first."""
        return tuple(self.net(bit) for bit in port_bits(name, width))


def port_bits(name: str, width: int) -> list[str]:
    """The names of a port's bits, least significant first."""
    return [f"{name}[{bit}]" for bit in range(width)] if width > 1 else [name]


_INSTANCE = re.compile(r"^  (\w+) (\w+) \((.*)\);$")
_PIN = re.compile(r"\.(\w+)\((\{[^}]*\}|[^()]*)\)")
_ALIAS = re.compile(r"^  assign (\S+) = (\S+);$")
_RAM = re.compile(r"cosign_sram_(\d+)x(\d+)")


def read_gates(netlist: Path, library: Library) -> Gates:
    """Read the structural Verilog that synth.netlist writes.

    Raises CosignError on a cell that is unknown or cannot be simulated, and on a loop of gates.
    """
    found = Gates()
    for line in netlist.read_text().splitlines():
        if alias := _ALIAS.match(line):
            found.gates.append(Gate((found.net(alias[2]),), found.net(alias[1]), _column(0)))
        elif match := _INSTANCE.match(line):
            kind, name = match[1], match[2]
            # Most significant first in the file.
            pins = {
                pin: tuple(found.net(net.strip()) for net in nets.strip("{}").split(","))[::-1]
                for pin, nets in _PIN.findall(match[3])
            }
            if shape := _RAM.fullmatch(kind):
                _add_ram(found, kind, name, (int(shape[1]), int(shape[2])), pins)
            elif kind in library.cells:
                _add_cell(found, library.cells[kind], name, pins)
            else:
                raise CosignError(f"{netlist} holds the unknown cell {kind}; synthesise again.")
    found = dataclasses.replace(
        found,
        gates=_ordered(found.gates),
        registers=[_enabled(register, found.gated) for register in found.registers],
        clocked={name: net for name, net in found.clocked.items() if net in found.gated},
    )
    _check_tied(found)
    return found


def _enabled(register: Register, gated: set[int]) -> Register:
    """The clock of a register is known so far; one that no gate drives ticks in every cycle."""
    return register if register.enable in gated else register._replace(enable=ONE)


def _add_ram(
    found: Gates, kind: str, name: str, shape: tuple[int, int], pins: dict[str, tuple[int, ...]]
) -> None:
    words, bits = shape
    if len(pins["q"]) != bits or len(pins["d"]) != bits:
        raise CosignError(f"the SRAM {name} of the netlist lacks pins; synthesise again.")
    (enable,), (write,) = pins["ce"], pins["we"]
    found.rams.append(
        Ram(name, kind, words, bits, enable, write, pins["addr"], pins["d"], pins["q"])
    )
    found.pins.update({f"{name}/q[{bit}]": net for bit, net in enumerate(pins["q"])})


def _add_cell(found: Gates, cell: LibCell, name: str, pins: dict[str, tuple[int, ...]]) -> None:
    """A gate for each output in use; those of a flip-flop read its state."""
    names = tuple(sorted(cell.capacitance_ff))
    kind = cell.flip_flop
    if cell.sequential and kind is None:
        raise CosignError(
            f"the netlist holds {cell.name}, which is no plain flip-flop; energy needs those."
        )
    state = found.net(f"{name}.state") if kind else ZERO
    if kind:
        clock = pins[kind.clock][0]
        found.registers.append(Register(pins[kind.data][0], state, clock))
        found.clocked[name] = clock
        found.tied.extend((name, pins[pin][0], level) for pin, level in kind.ties)
    if isinstance(cell, ClockGate):
        found.clocked[name] = pins[cell.output][0]
        found.gated.add(pins[cell.output][0])
        found.tied.extend((name, pins[pin][0], "0") for pin in cell.tests)
    shown = dict(kind.outputs) if kind else {}
    for pin, function in cell.function.items():
        if pin not in pins:
            continue
        output = pins[pin][0]
        found.pins[f"{name}/{pin}"] = output
        if kind:
            gate = Gate((state,), output, _column(0) if shown[pin] else ALL & ~_column(0))
        else:
            inputs = tuple(pins[other][0] for other in names)
            gate = Gate(inputs, output, truth_table(function, names))
        found.gates.append(gate)


def _check_tied(found: Gates) -> None:
    """Sets, resets and test pins do nothing: a replay does not know them."""
    known = {ZERO: 0, ONE: 1}
    for gate in found.gates:
        if all(net in known for net in gate.inputs):
            row = sum(known[net] << k for k, net in enumerate(gate.inputs))
            known[gate.output] = gate.table >> row & 1
    for name, net, level in found.tied:
        if known.get(net) != int(level):
            raise CosignError(
                f"a set, reset or test pin of {name} is in use; energy needs cells without."
            )


@functools.cache
def truth_table(function: str, pins: tuple[str, ...]) -> int:
    """Bit i is the value of the Liberty expression when pin k has bit k of i, for PINS pins."""
    try:
        if len(pins) > PINS:
            raise CosignError("it has too many pins.")
        columns = {pin: _column(k) for k, pin in enumerate(pins)}
        return expression.table(expression.parse(function), columns, ALL)
    except CosignError as error:
        raise CosignError(f"the Liberty function {function!r} cannot be simulated.") from error


def _column(k: int) -> int:
    """The table whose value is that of input k."""
    return sum(1 << i for i in range(1 << PINS) if i >> k & 1)


def _ordered(gates: list[Gate]) -> list[Gate]:
    """Gates so that each comes after those that drive it."""
    driven = {gate.output for gate in gates}
    waiting = [len(driven.intersection(gate.inputs)) for gate in gates]
    readers: dict[int, list[int]] = {}
    for index, gate in enumerate(gates):
        for net in set(gate.inputs):
            readers.setdefault(net, []).append(index)
    order = [index for index, count in enumerate(waiting) if count == 0]
    for index in order:  # grows while it is walked
        for reader in readers.get(gates[index].output, ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                order.append(reader)
    if len(order) != len(gates):
        raise CosignError("the netlist holds a combinational loop; break it with a register.")
    return [gates[index] for index in order]
