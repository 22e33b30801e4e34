"""A netlist small enough to place in a second: registers, gates between them, one memory."""

import shutil
from pathlib import Path

from rtl.config import CoreConfig
from synth.netlist import Bit, Cell, Netlist
from synth.pdk import find_pdk
from synth.place.job import Job
from synth.place.lef import find_lef
from synth.place.options import Placement
from synth.place.wires.metal import metal_of

MEMORY = "cosign_sram_64x32"
CONFIG = CoreConfig(lanes=4, act_depth=64)
"""Has a memory of that kind."""


def chains(width: int = 32, fanout: int = 40) -> Netlist:
    """`width` bits that go from ports through NANDs and registers into a memory and back to ports.
    One register enables `fanout` gates of every bit's chain."""
    nets = iter(range(2, 10**6))
    clk, enable_in = next(nets), next(nets)
    cells: dict[str, Cell] = {}
    ports: dict[str, tuple[str, list[Bit]]] = {
        "clk": ("input", [clk]),
        "enable": ("input", [enable_in]),
        "a": ("input", [next(nets) for _ in range(width)]),
    }

    def register(name: str, data: Bit) -> int:
        out = next(nets)
        cells[name] = Cell("DFF_X1", {"CK": [clk], "D": [data], "Q": [out]})
        return out

    enable = register("enable_reg", enable_in)
    written: list[Bit] = []
    for bit in range(width):
        net: Bit = register(f"a_{bit}_reg", ports["a"][1][bit])
        for step in range(max(1, fanout // width)):
            out = next(nets)
            cells[f"g_{bit}_{step}"] = Cell("NAND2_X1", {"A1": [net], "A2": [enable], "ZN": [out]})
            net = out
        written.append(register(f"d_{bit}_reg", net))
    read: list[Bit] = [next(nets) for _ in range(width)]
    address: list[Bit] = [*written[:6]]
    cells["memory"] = Cell(
        MEMORY,
        {
            "clk": [clk],
            "ce": [enable],
            "we": [written[0]],
            "addr": address,
            "d": written,
            "q": read,
        },
    )
    ports["y"] = ("output", [register(f"q_{bit}_reg", net) for bit, net in enumerate(read)])
    library = find_pdk().library
    inputs = {name: frozenset(cell.capacitance_ff) for name, cell in library.cells.items()}
    inputs[MEMORY] = frozenset({"clk", "ce", "we", "addr", "d"})
    return Netlist("cosign_core", ports, cells, inputs, next(nets))


def job(folder: Path, netlist: Netlist | None = None, seed: int = 1, **asked: float) -> Job:
    """The netlist on its way to a placement."""
    pdk = find_pdk()
    lef = find_lef(pdk)
    folder.mkdir(parents=True, exist_ok=True)
    given = Placement(**asked)  # type: ignore[arg-type]
    made = chains() if netlist is None else netlist
    return Job(CONFIG, made, pdk, lef, metal_of(pdk, lef), given, seed, folder)


def without_cell(source: Path, name: str, target: Path) -> Path:
    """A copy of a LEF file that lacks a cell."""
    text = source.read_text()
    begin = text.index(f"MACRO {name}\n")
    end = text.index(f"END {name}\n") + len(f"END {name}\n")
    shutil.copyfile(source, target)
    target.write_text(text[:begin] + text[end:])
    return target
