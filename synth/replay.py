"""A mapped netlist replayed with recorded inputs: how often every net toggles.

Gates (`synth.gates`) are evaluated in their order once a clock cycle, so a net toggles at most once
between edges: glitches are not seen. SRAM macros behave as in rtl.sram. Recorded outputs are
compared in every cycle. The inner loop is C (`replay.c`), compiled when first used.
"""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cosign import CosignError, native
from synth.gates import ONE, PINS, ZERO, Gate, Gates, Ram, Register, port_bits, read_gates
from synth.liberty import Library


@dataclass(frozen=True, eq=False)
class Activity:
    """What happened in `cycles` clock cycles.

    `pins` is {driving pin as OpenSTA names it: (toggles, cycles high)}, a gated clock high in the
    cycles at whose end it ticks, and `ports` the same of input ports; `accesses` is {SRAM instance:
    (macro name, reads, writes)}. `checked` output bits were those of the recording. `clocked` is
    {clock gate, or flip-flop behind one: cycles at whose end its clock ticked}; all others are
    clocked in every cycle.
    """

    cycles: int
    pins: dict[str, tuple[int, int]]
    ports: dict[str, tuple[int, int]]
    accesses: dict[str, tuple[str, int, int]]
    checked: int
    clocked: dict[str, int] = field(default_factory=dict)


def replay(
    netlist: Path,
    library: Library,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    start: int = 0,
) -> Activity:
    """Run the netlist on `inputs` (port -> uint8 [cycles, bits]) and count from cycle `start` on.

    Registers and memories begin at zero. `outputs` is compared from the end of the reset on.
    Raises CosignError when a cell cannot be simulated or an output differs.
    """
    gates = read_gates(netlist, library)
    stimulus = np.ascontiguousarray(np.concatenate(list(inputs.values()), axis=1))
    expected = np.concatenate(list(outputs.values()), axis=1)
    cycles = len(stimulus)
    if not 0 <= start < cycles:
        raise CosignError(f"the recording has {cycles} cycles, none after cycle {start}.")
    seen = np.zeros(expected.shape, np.uint8)
    driven, watched = _port_nets(gates, inputs), _port_nets(gates, outputs)
    toggles, high = np.zeros((2, len(gates.nets)), np.uint32)
    accesses = np.zeros((len(gates.rams), 2), np.int64)
    rams = [_ram(ram, counts) for ram, counts in zip(gates.rams, accesses, strict=True)]
    run = _Run(
        cycles=cycles,
        start=start,
        nets=_nets(toggles, high),
        gates=_gates(gates.gates),
        registers=_registers(gates.registers),
        inputs=_Ports(count=len(driven), nets=_nets_of(driven), bits=stimulus),
        outputs=_Ports(count=len(watched), nets=_nets_of(watched), bits=seen),
        ram_count=len(rams),
        rams=(_Ram * len(rams))(*rams),
    )
    _kernel()(ctypes.byref(run))
    begun = int(np.argmin(inputs["rst"][:, 0])) if "rst" in inputs else 0
    wrong = np.argwhere(seen[begun:] != expected[begun:])
    if len(wrong):
        raise CosignError(
            f"the netlist {netlist} and the recording differ in cycle {begun + wrong[0][0]}, "
            f"output bit {wrong[0][1]}; they are not of the same core."
        )
    counted = list(zip(toggles.tolist(), high.tolist(), strict=True))
    return Activity(
        cycles=cycles - start,
        pins={pin: counted[net] for pin, net in gates.pins.items()},
        ports={
            bit: counted[gates.nets[bit]]
            for port, values in inputs.items()
            for bit in port_bits(port, values.shape[1])
        },
        accesses={
            ram.name: (ram.macro, reads, writes)
            for ram, (reads, writes) in zip(gates.rams, accesses.tolist(), strict=True)
        },
        checked=seen[begun:].size,
        clocked={name: counted[net][1] for name, net in gates.clocked.items()},
    )


def _port_nets(gates: Gates, ports: Mapping[str, np.ndarray]) -> list[int]:
    return [net for port, bits in ports.items() for net in gates.port(port, bits.shape[1])]


@functools.cache
def _kernel() -> Callable[[object], None]:
    """`replay` of replay.c, which takes a `_Run` by reference."""
    kernel = native.library(Path(__file__).with_name("replay.c")).replay
    kernel.argtypes, kernel.restype = (ctypes.POINTER(_Run),), None
    return kernel


# The structs of replay.c, field by field.


class _Struct(ctypes.Structure):
    """A struct whose pointers are given as arrays of the type they point to.

    All fields are named and must be there, and a C-contiguous array of another type is a TypeError.
    The arrays live as long as this does.
    """

    def __init__(self, **fields: object) -> None:
        if fields.keys() != {name for name, *_ in self._fields_}:
            raise TypeError(f"{type(self).__name__} has other fields than {', '.join(fields)}")
        self.kept = fields
        values = {n: _address(v) if isinstance(v, np.ndarray) else v for n, v in fields.items()}
        super().__init__(**values)


def _address(array: np.ndarray) -> object:
    if not array.flags.c_contiguous:
        raise TypeError("an array for C must be contiguous")
    return array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(array.dtype)))


_Whole = ctypes.c_int64
_Bytes = ctypes.POINTER(ctypes.c_uint8)
_Counts = ctypes.POINTER(ctypes.c_uint32)
_NetNumbers = ctypes.POINTER(ctypes.c_int32)


class _Nets(_Struct):
    _fields_ = (
        ("count", _Whole),
        ("value", _Bytes),
        ("last", _Bytes),
        ("toggles", _Counts),
        ("high", _Counts),
    )


class _Gates(_Struct):
    _fields_ = (
        ("count", _Whole),
        ("inputs", _NetNumbers),
        ("output", _NetNumbers),
        ("table", ctypes.POINTER(ctypes.c_uint64)),
    )


class _Registers(_Struct):
    _fields_ = (
        ("count", _Whole),
        ("data", _NetNumbers),
        ("state", _NetNumbers),
        ("enable", _NetNumbers),
        ("next", _Bytes),
    )


class _Ram(_Struct):
    _fields_ = (
        ("words", _Whole),
        ("bits", _Whole),
        ("address_bits", _Whole),
        ("enable", ctypes.c_int32),
        ("write", ctypes.c_int32),
        ("address", _NetNumbers),
        ("data", _NetNumbers),
        ("q", _NetNumbers),
        ("content", _Bytes),
        ("accesses", ctypes.POINTER(ctypes.c_int64)),
    )


class _Ports(_Struct):
    _fields_ = (("count", _Whole), ("nets", _NetNumbers), ("bits", _Bytes))


class _Run(_Struct):
    _fields_ = (
        ("cycles", _Whole),
        ("start", _Whole),
        ("nets", _Nets),
        ("gates", _Gates),
        ("registers", _Registers),
        ("inputs", _Ports),
        ("outputs", _Ports),
        ("ram_count", _Whole),
        ("rams", ctypes.POINTER(_Ram)),
    )


def _nets(toggles: np.ndarray, high: np.ndarray) -> _Nets:
    value = np.zeros(len(toggles), np.uint8)
    value[ONE] = 1
    return _Nets(count=len(value), value=value, last=value.copy(), toggles=toggles, high=high)


def _gates(gates: Sequence[Gate]) -> _Gates:
    return _Gates(
        count=len(gates),
        # Inputs that a gate lacks are zero.
        inputs=_nets_of([[*gate.inputs, *[ZERO] * (PINS - len(gate.inputs))] for gate in gates]),
        output=_nets_of([gate.output for gate in gates]),
        table=np.array([gate.table for gate in gates], np.uint64),
    )


def _registers(registers: Sequence[Register]) -> _Registers:
    return _Registers(
        count=len(registers),
        data=_nets_of([register.data for register in registers]),
        state=_nets_of([register.state for register in registers]),
        enable=_nets_of([register.enable for register in registers]),
        next=np.zeros(len(registers), np.uint8),
    )


def _ram(ram: Ram, accesses: np.ndarray) -> _Ram:
    return _Ram(
        words=ram.words,
        bits=ram.bits,
        address_bits=len(ram.address),
        enable=ram.enable,
        write=ram.write,
        address=_nets_of(ram.address),
        data=_nets_of(ram.data),
        q=_nets_of(ram.q),
        content=np.zeros((ram.words, ram.bits), np.uint8),
        accesses=accesses,
    )


def _nets_of(numbers: object) -> np.ndarray:
    return np.array(numbers, np.int32)
