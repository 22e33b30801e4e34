"""A mapped netlist replayed with recorded inputs: how often every net toggles.

Cells are truth tables from the Liberty file, evaluated in topological order once a clock cycle, so
a net toggles at most once between edges: glitches are not seen. SRAM macros behave as in rtl.sram.
Recorded outputs are compared in every cycle. The inner loop is C, compiled when first used.
"""

import ctypes
import functools
import itertools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosign import CosignError
from synth.liberty import LibCell, Library

PINS = 6  # inputs of a cell at most
_C = """\
#include <stdint.h>
void replay(int64_t cycles, int64_t from, int64_t nets, uint8_t *v, uint8_t *last,
            int64_t gates, const int32_t *in, const int32_t *out, const uint64_t *table,
            int64_t regs, const int32_t *d, const int32_t *q, uint8_t *next,
            int64_t rams, const int32_t *shape, const int32_t *pins, uint8_t *memory,
            int64_t *accesses, int64_t ins, const int32_t *in_nets, const uint8_t *stimulus,
            int64_t outs, const int32_t *out_nets, uint8_t *seen,
            uint32_t *toggles, uint32_t *high)
{
    for (int64_t cycle = 0; cycle < cycles; cycle++) {
        for (int64_t i = 0; i < ins; i++) v[in_nets[i]] = stimulus[cycle * ins + i];
        for (int64_t g = 0; g < gates; g++) {
            const int32_t *p = in + 6 * g;
            int index = v[p[0]] | v[p[1]] << 1 | v[p[2]] << 2 | v[p[3]] << 3 | v[p[4]] << 4
                        | v[p[5]] << 5;
            v[out[g]] = table[g] >> index & 1;
        }
        for (int64_t i = 0; i < outs; i++) seen[cycle * outs + i] = v[out_nets[i]];
        if (cycle >= from)
            for (int64_t n = 0; n < nets; n++) {
                toggles[n] += v[n] ^ last[n];
                high[n] += v[n];
            }
        for (int64_t n = 0; n < nets; n++) last[n] = v[n];
        for (int64_t r = 0; r < regs; r++) next[r] = v[d[r]];
        const int32_t *s = shape, *p = pins;
        uint8_t *m = memory;
        for (int64_t r = 0; r < rams; r++, s += 3) {
            const int32_t *addr = p + 2, *data = addr + s[2], *read = data + s[1];
            if (v[p[0]]) {
                int64_t word = 0;
                for (int b = 0; b < s[2]; b++) word |= (int64_t)v[addr[b]] << b;
                int write = v[p[1]];
                if (cycle >= from) accesses[2 * r + write]++;
                if (word < s[0])
                    for (int b = 0; b < s[1]; b++)
                        if (write) m[word * s[1] + b] = v[data[b]];
                        else v[read[b]] = m[word * s[1] + b];
            }
            p = read + s[1];
            m += (int64_t)s[0] * s[1];
        }
        for (int64_t r = 0; r < regs; r++) v[q[r]] = next[r];
    }
}
"""


@dataclass(frozen=True, eq=False)
class Activity:
    """What happened in `cycles` clock cycles.

    `pins` is {driving pin as OpenSTA names it: (toggles, cycles high)}, `ports` the same of input
    ports; `accesses` is {SRAM instance: (macro name, reads, writes)}. `checked` output bits were
    those of the recording.
    """

    cycles: int
    pins: dict[str, tuple[int, int]]
    ports: dict[str, tuple[int, int]]
    accesses: dict[str, tuple[str, int, int]]
    checked: int


def truth_table(function: str, pins: tuple[str, ...]) -> int:
    """Bit i is the value of the Liberty expression when pin k has bit k of i; 6 pins."""
    text = re.sub(r"(\w+)\s*'", r"!\1", function)
    text = re.sub(r"(?<=[\w)])\s+(?=[\w(!])", "&", text).replace("!", "~")
    text = text.replace("*", "&").replace("+", "|")
    values = {pin: _column(k) for k, pin in enumerate(pins)}
    names = set(re.findall(r"[A-Za-z_]\w*", text))
    if len(pins) > PINS or not names <= set(pins) or not re.fullmatch(r"[\w\s()&|^~]*", text):
        raise CosignError(f"the Liberty function {function!r} cannot be simulated.")
    value: int = eval(text, {"__builtins__": {}}, values)
    if not names and text.strip("() ") == "1":
        value = -1
    return value & (1 << 64) - 1


def _column(k: int) -> int:
    return sum(1 << i for i in range(64) if i >> k & 1)


def _next_state(cell: LibCell) -> tuple[str, str]:
    """(the D pin, the state variable) of a plain flip-flop."""
    text = cell.sequential
    state = re.match(r"ff\s+(\w+)", text)
    data = re.search(r"'next_state', '\s*(\w+)\s*'", text)
    if not state or not data or re.search(r"'(clear|preset)'", text):
        raise CosignError(
            f"the netlist holds {cell.name}, which is no plain flip-flop; energy needs those."
        )
    return data[1], state[1]


@dataclass(frozen=True, eq=False)
class _Flat:
    """Arrays for the C loop; net 0 is constant zero and net 1 constant one."""

    nets: dict[str, int]
    gates: list[tuple[list[int], int, int]]
    registers: list[tuple[int, int]]
    rams: list[tuple[str, str, tuple[int, int, int], list[int]]]
    pins: dict[str, int]


_INSTANCE = re.compile(r"^  (\w+) (\w+) \((.*)\);$")
_PIN = re.compile(r"\.(\w+)\((\{[^}]*\}|[^()]*)\)")
_RAM = re.compile(r"cosign_sram_(\d+)x(\d+)")


def _flatten(netlist: Path, library: Library) -> _Flat:
    """Read the structural Verilog that synth.netlist writes."""
    nets = {"1'b0": 0, "1'b1": 1}
    flat = _Flat(nets, [], [], [], {})

    def net(name: str) -> int:
        return nets.setdefault(name.strip(), len(nets))

    for line in netlist.read_text().splitlines():
        if alias := re.match(r"^  assign (\S+) = (\S+);$", line):
            flat.gates.append(([net(alias[2])], net(alias[1]), _column(0)))
            continue
        match = _INSTANCE.match(line)
        if not match:
            continue
        kind, name = match[1], match[2]
        # Most significant first in the file, least significant first here.
        pins = {
            p: [net(n) for n in v.strip("{}").split(",")][::-1] for p, v in _PIN.findall(match[3])
        }
        if shape := _RAM.fullmatch(kind):
            _add_ram(flat, kind, name, (int(shape[1]), int(shape[2])), pins)
        elif kind in library.cells:
            _add_cell(flat, library.cells[kind], name, pins)
        else:
            raise CosignError(f"{netlist} holds the unknown cell {kind}; synthesise again.")
    return flat


def _add_ram(
    flat: _Flat, kind: str, name: str, shape: tuple[int, int], pins: dict[str, list[int]]
) -> None:
    addr = pins["addr"]
    # An unread bit of q has no net of its own.
    row = [pins["ce"][0], pins["we"][0], *addr, *pins["d"], *pins["q"]]
    if len(pins["q"]) != shape[1] or len(pins["d"]) != shape[1]:
        raise CosignError(f"the SRAM {name} of the netlist lacks pins; synthesise again.")
    flat.rams.append((name, kind, (*shape, len(addr)), row))
    flat.pins.update({f"{name}/q[{bit}]": n for bit, n in enumerate(pins["q"])})


def _add_cell(flat: _Flat, cell: LibCell, name: str, pins: dict[str, list[int]]) -> None:
    ins = tuple(sorted(cell.capacitance_ff))
    state: dict[str, int] = {}
    if cell.sequential:
        data, variable = _next_state(cell)
        state[variable] = flat.nets.setdefault(f"{name}.state", len(flat.nets))
        flat.registers.append((pins[data][0], state[variable]))
    for pin, function in cell.function.items():
        if pin not in pins:
            continue
        out = pins[pin][0]
        if state:
            (variable, source) = next(iter(state.items()))
            invert = function.strip("() ") != variable
            flat.gates.append(
                ([source], out, ~_column(0) & (1 << 64) - 1 if invert else _column(0))
            )
        else:
            flat.gates.append(([pins[p][0] for p in ins], out, _table(function, ins)))
        flat.pins[f"{name}/{pin}"] = out


@functools.cache
def _table(function: str, pins: tuple[str, ...]) -> int:
    return truth_table(function, pins)


def _ordered(flat: _Flat) -> list[tuple[list[int], int, int]]:
    """Gates so that each comes after those that drive it."""
    drives = {out: index for index, (_, out, _) in enumerate(flat.gates)}
    waiting = [sum(n in drives for n in set(ins)) for ins, _, _ in flat.gates]
    readers: dict[int, list[int]] = {}
    for index, (ins, _, _) in enumerate(flat.gates):
        for n in set(ins):
            readers.setdefault(n, []).append(index)
    order = [index for index, count in enumerate(waiting) if count == 0]
    for index in order:  # grows while it is walked
        for reader in readers.get(flat.gates[index][1], ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                order.append(reader)
    if len(order) != len(flat.gates):
        raise CosignError("the netlist holds a combinational loop; break it with a register.")
    return [flat.gates[index] for index in order]


@functools.cache
def _kernel() -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
    if compiler is None:
        raise CosignError("no C compiler is installed; install the system package gcc.")
    with tempfile.TemporaryDirectory(prefix="cosign-replay-") as folder:
        library = Path(folder) / "replay.so"
        command = [compiler, "-O3", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
        done = subprocess.run(command, input=_C, text=True, capture_output=True, check=False)
        if done.returncode:
            raise CosignError(f"{compiler} failed: {done.stderr.strip().splitlines()[-1]}.")
        return ctypes.CDLL(str(library))


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
    flat = _flatten(netlist, library)
    gates = _ordered(flat)
    columns = {p: _port_nets(flat, p, values.shape[1]) for p, values in inputs.items()}
    watched = {p: _port_nets(flat, p, values.shape[1]) for p, values in outputs.items()}
    stimulus = np.ascontiguousarray(np.concatenate(list(inputs.values()), axis=1))
    expected = np.concatenate(list(outputs.values()), axis=1)
    cycles = len(stimulus)
    if not 0 <= start < cycles:
        raise CosignError(f"the recording has {cycles} cycles, none after cycle {start}.")
    count = len(flat.nets)
    values, last = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    values[1] = last[1] = 1
    toggles, high = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
    seen = np.zeros(expected.shape, np.uint8)
    memory = np.zeros(sum(words * bits for _, _, (words, bits, _), _ in flat.rams) or 1, np.uint8)
    accesses = np.zeros((max(1, len(flat.rams)), 2), np.int64)
    padded = [(ins + [0] * PINS)[:PINS] for ins, _, _ in gates]
    next_state = np.zeros(max(1, len(flat.registers)), np.uint8)
    words: list[object] = [cycles, start, count, values, last]
    words += [len(gates), _int(padded), _int([g[1] for g in gates])]
    words += [np.array([g[2] for g in gates], np.uint64)]
    words += [len(flat.registers), _int([r[0] for r in flat.registers])]
    words += [_int([r[1] for r in flat.registers]), next_state]
    words += [len(flat.rams), _int([r[2] for r in flat.rams])]
    words += [_int(_joined(r[3] for r in flat.rams)), memory, accesses]
    words += [stimulus.shape[1], _int(_joined(columns.values())), stimulus]
    words += [expected.shape[1], _int(_joined(watched.values())), seen, toggles, high]
    _kernel().replay(*(_argument(word) for word in words))
    begun = int(np.argmin(inputs["rst"][:, 0])) if "rst" in inputs else 0
    wrong = np.argwhere(seen[begun:] != expected[begun:])
    if len(wrong):
        raise CosignError(
            f"the netlist {netlist} and the recording differ in cycle {begun + wrong[0][0]}, "
            f"output bit {wrong[0][1]}; they are not of the same core."
        )
    return Activity(
        cycles=cycles - start,
        pins={pin: (int(toggles[n]), int(high[n])) for pin, n in flat.pins.items()},
        ports={
            _port(port, bit, len(nets)): (int(toggles[n]), int(high[n]))
            for port, nets in columns.items()
            for bit, n in enumerate(nets)
        },
        accesses={
            name: (kind, int(accesses[index, 0]), int(accesses[index, 1]))
            for index, (name, kind, _, _) in enumerate(flat.rams)
        },
        checked=seen[begun:].size,
    )


def _joined(lists: Iterable[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


def _port(port: str, bit: int, width: int) -> str:
    return f"{port}[{bit}]" if width > 1 else port


def _port_nets(flat: _Flat, port: str, width: int) -> list[int]:
    return [flat.nets.setdefault(_port(port, bit, width), len(flat.nets)) for bit in range(width)]


def _int(values: object) -> np.ndarray:
    return np.ascontiguousarray(np.array(values, np.int32).reshape(-1))


def _argument(word: object) -> object:
    if isinstance(word, np.ndarray):
        return word.ctypes.data_as(ctypes.c_void_p)
    return ctypes.c_int64(int(word))  # type: ignore[call-overload]
