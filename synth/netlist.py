"""A mapped netlist as plain data: read from Yosys' JSON, edited, written as structural Verilog.

Nets are whole numbers; every net has at most one driver. Only this form is timed, reported and
kept, so what OpenSTA sees is what the run directory holds.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosign import CosignError, atomic_write

Bit = int | str  # a net, or one of the constants "0", "1", "x"


@dataclass
class Cell:
    """An instance: `pins` maps a port name to its nets, least significant bit first."""

    kind: str
    pins: dict[str, list[Bit]]


@dataclass
class Netlist:
    """A flat module of library cells and memory macros.

    `ports` maps a name to (direction, nets). `inputs` names, per kind of cell, the ports that
    it reads; all other ports drive. `origins` has the hierarchical names, before flattening, of
    registers (that of the net they drive) and of memory macros.
    """

    top: str
    ports: dict[str, tuple[str, list[Bit]]]
    cells: dict[str, Cell]
    inputs: dict[str, frozenset[str]]
    last_net: int = 0
    counter: int = field(default=0, repr=False)
    origins: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_yosys(cls, path: Path, top: str, registers: frozenset[str]) -> "Netlist":
        """Read `write_json` output; cells of the kinds `registers` are named after their nets.

        Raises CosignError when a cell is neither in the library nor a memory macro.
        """
        design = json.loads(Path(path).read_text())
        module = design["modules"][top]
        inputs = {
            kind: frozenset(p for p, v in m["ports"].items() if v["direction"] == "input")
            for kind, m in design["modules"].items()
        }
        names = _net_names(module["netnames"])
        ports = {name: (p["direction"], list(p["bits"])) for name, p in module["ports"].items()}
        cells: dict[str, Cell] = {}
        origins: dict[str, str] = {}
        taken: set[str] = set(ports)
        for index, (name, cell) in enumerate(module["cells"].items()):
            kind = cell["type"]
            if kind not in inputs:
                raise CosignError(
                    f"the netlist of {top} holds {kind} ({name}), which the Liberty file does not "
                    "have; use a Liberty file with the usual gates and D flip-flops."
                )
            pins = {pin: list(bits) for pin, bits in cell["connections"].items()}
            origin = "" if name.startswith("$") else _wire_name(name)
            if origin and kind in registers:
                name = f"{origin}_reg"
            if not origin:
                drives = [b for p, bits in pins.items() if p not in inputs[kind] for b in bits]
                known = [names[b] for b in drives if isinstance(b, int) and b in names]
                origin = known[0] if known and kind in registers else ""
                name = f"{origin}_reg" if origin else f"g{index}"
            name = _identifier(name)
            while name in taken:
                name += "_"
            taken.add(name)
            cells[name] = Cell(kind, pins)
            if origin:
                origins[name] = origin
        bits = [b for c in cells.values() for v in c.pins.values() for b in v]
        bits += [b for _, v in ports.values() for b in v]
        last = max((b for b in bits if isinstance(b, int)), default=1)
        return cls(top, ports, cells, inputs, last, origins=origins)

    def new_net(self) -> int:
        self.last_net += 1
        return self.last_net

    def new_name(self, stem: str) -> str:
        self.counter += 1
        return f"{stem}{self.counter}"

    def drivers(self) -> dict[int, tuple[str, str]]:
        """net -> (instance, port) that drives it; primary inputs are not listed."""
        found: dict[int, tuple[str, str]] = {}
        for name, cell in self.cells.items():
            reads = self.inputs[cell.kind]
            for pin, bits in cell.pins.items():
                if pin not in reads:
                    for bit in bits:
                        if isinstance(bit, int):
                            found[bit] = (name, pin)
        return found

    def sinks(self) -> dict[int, list[tuple[str, str, int]]]:
        """net -> [(instance, port, bit)] that read it; primary outputs are not listed."""
        found: dict[int, list[tuple[str, str, int]]] = {}
        for name, cell in self.cells.items():
            reads = self.inputs[cell.kind]
            for pin, bits in cell.pins.items():
                if pin in reads:
                    for index, bit in enumerate(bits):
                        if isinstance(bit, int):
                            found.setdefault(bit, []).append((name, pin, index))
        return found

    def write(self, path: Path) -> None:
        """Structural Verilog that OpenSTA, Yosys and Verilator read. Written atomically."""
        names: dict[Bit, str] = {"0": "1'b0", "1": "1'b1", "x": "1'b0"}
        aliases: list[tuple[str, Bit]] = []
        for direction in ("input", "output"):
            for port, (way, bits) in self.ports.items():
                if way != direction:
                    continue
                for index, bit in enumerate(bits):
                    text = f"{port}[{index}]" if len(bits) > 1 else port
                    if bit in names:
                        aliases.append((text, bit))
                    else:
                        names[bit] = text
        lines = [f"module {self.top} ({', '.join(self.ports)});"]
        for port, (way, bits) in self.ports.items():
            width = f"[{len(bits) - 1}:0] " if len(bits) > 1 else ""
            lines.append(f"  {way} {width}{port};")
        body: list[str] = []
        wires: list[str] = []

        def name_of(bit: Bit) -> str:
            if bit not in names:
                names[bit] = f"n{bit}"
                wires.append(names[bit])
            return names[bit]

        for instance, cell in self.cells.items():
            pins = []
            for pin, bits in cell.pins.items():
                if not bits:
                    continue
                text = ", ".join(name_of(b) for b in reversed(bits))
                pins.append(f".{pin}({text})" if len(bits) == 1 else f".{pin}({{{text}}})")
            body.append(f"  {cell.kind} {instance} ({', '.join(pins)});")
        lines += [f"  wire {w};" for w in wires]
        lines += [f"  assign {text} = {name_of(bit)};" for text, bit in aliases]
        lines += [*body, "endmodule", ""]
        with atomic_write(Path(path)) as file:
            file.write("\n".join(lines).encode())


def _wire_name(name: str) -> str:
    """A cell's name; of a register that Yosys named after its wire, that of the wire."""
    wire = re.fullmatch(r"(.*?)(?:\[(\d+)\])?\$_\w+_", name)
    return name if wire is None else wire[1] + (f"_{wire[2]}" if wire[2] else "")


def _identifier(name: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return text if text and not text[0].isdigit() else f"i_{text}"


def _net_names(netnames: dict[str, Any]) -> dict[int, str]:
    """The shortest public name of every net, with its bit: acc of lane 3, bit 5 -> lane_3.acc_5."""
    best: dict[int, str] = {}
    for name, net in netnames.items():
        if net.get("hide_name") or name.startswith("$"):
            continue
        for index, bit in enumerate(net["bits"]):
            text = f"{name}_{index}" if len(net["bits"]) > 1 else name
            if isinstance(bit, int) and (bit not in best or len(text) < len(best[bit])):
                best[bit] = text
    return best
