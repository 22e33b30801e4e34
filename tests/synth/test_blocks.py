"""Every gate belongs to one block, and the blocks add up."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl import sram as rtl_sram
from rtl import verilog
from rtl.config import CoreConfig
from synth import sram
from synth.blocks import (
    ADDRESS,
    BLOCKS,
    BUFFERS,
    CONTROL,
    DECODER,
    DRAIN,
    LANES,
    READ_PATH,
    SHARED,
    UNATTRIBUTED,
    attribute,
    block_of,
    blocks_um2,
)
from synth.map import map_core
from synth.netlist import Cell, Netlist
from synth.pdk import find_pdk

SPARSE, DENSE = CoreConfig(), CoreConfig("dense-scalar")
INPUTS = {
    "INV_X1": frozenset({"A"}),
    "NAND2_X1": frozenset({"A1", "A2"}),
    "LOGIC1_X1": frozenset[str](),
    "DFF_X1": frozenset({"D", "CK"}),
}
NAMES = ("lane_0.acc[3]", "front.sequencer.base[0]", "output.queue.level[1]", "done")


@pytest.mark.parametrize(
    ("name", "sparse", "dense"),
    [
        ("lane_17.acc[3]", LANES, LANES),
        ("1_shadow_3[0]", LANES, LANES),
        ("U$12.q[3]", LANES, LANES),
        ("activations_0.U$3.q", READ_PATH, READ_PATH),
        ("windows_0.w1_3[2]", READ_PATH, READ_PATH),
        ("activations_0.bank_3", READ_PATH, READ_PATH),
        ("front.router.masked", BUFFERS, BUFFERS),
        ("front.row_3.buffer.held[0]", BUFFERS, BUFFERS),
        ("front.row_3.weight[0]", DECODER, CONTROL),
        ("front.buffer.expander.kept[3]", BUFFERS, BUFFERS),
        ("front.address$75.base_1[2]", DECODER, ADDRESS),
        ("front.table.memory", ADDRESS, ADDRESS),
        ("front.sequencer.group_base[0]", ADDRESS, ADDRESS),
        ("front.sequencer.pointer[0]", CONTROL, CONTROL),
        ("output.requantizer_0.sum[1]", DRAIN, DRAIN),
        ("i_biases__ready", DRAIN, DRAIN),
        ("i_acts__ready", READ_PATH, READ_PATH),
        ("o__payload", DRAIN, DRAIN),
        ("snap_1", CONTROL, CONTROL),
        ("done", CONTROL, CONTROL),
    ],
)
def test_names(name: str, sparse: str, dense: str) -> None:
    assert (block_of(name, SPARSE), block_of(name, DENSE)) == (sparse, dense)


def test_the_three_rules() -> None:
    """lane -> own -> lane; control's output logic -> lane and drain; lane + control -> both."""

    def register(data: int, out: int) -> Cell:
        return Cell("DFF_X1", {"CK": [2], "D": [data], "Q": [out]})

    def nand(a: int, b: int, out: int) -> Cell:
        return Cell("NAND2_X1", {"A1": [a], "A2": [b], "ZN": [out]})

    cells = {
        "lane": register(20, 10),
        "queue": register(21, 11),
        "done": register(12, 12),
        "own": Cell("INV_X1", {"A": [10], "ZN": [13]}),
        "output": Cell("INV_X1", {"A": [12], "ZN": [14]}),
        "both": nand(10, 12, 15),
        "to_lane": nand(13, 16, 20),
        "mix": nand(14, 15, 16),
        "to_queue": nand(16, 16, 21),
        "nowhere": Cell("LOGIC1_X1", {"Z": [17]}),
    }
    origins = {"lane": "lane_0.acc", "queue": "output.queue.level", "done": "done"}
    netlist = Netlist("top", {"clk": ("input", [2])}, cells, INPUTS, 30, origins=origins)
    library = find_pdk().library
    assert attribute(netlist, library, SPARSE) == {
        "lane": LANES, "queue": DRAIN, "done": CONTROL, "own": LANES, "output": CONTROL,
        "both": SHARED, "mix": SHARED, "to_lane": LANES, "to_queue": DRAIN,
        "nowhere": UNATTRIBUTED,
    }  # fmt: skip


@st.composite
def netlists(draw: st.DrawFn) -> Netlist:
    """Registers of four blocks around random gates."""
    nets = [10 + n for n in range(4)]
    cells: dict[str, Cell] = {}
    for index in range(draw(st.integers(1, 40))):
        sources = [draw(st.sampled_from(nets)) for _ in range(2)]
        pins = {"A1": [sources[0]], "A2": [sources[1]], "ZN": [20 + index]}
        cells[f"g{index}"] = Cell("NAND2_X1", pins)
        nets.append(20 + index)
    for n in range(4):
        data = draw(st.sampled_from(nets))
        cells[f"r{n}"] = Cell("DFF_X1", {"CK": [2], "D": [data], "Q": [10 + n]})
    origins = {f"r{n}": NAMES[n] for n in range(4)}
    ports = {"clk": ("input", [2]), "o__payload": ("output", [draw(st.sampled_from(nets))])}
    return Netlist("top", ports, cells, INPUTS, 80, origins=origins)


def reaches(netlist: Netlist, name: str, forward: bool) -> set[str]:
    """The blocks that a gate's outputs (or inputs) reach, walked path by path: slow and obvious."""
    cell = netlist.cells[name]
    out = next(pin for pin in cell.pins if pin not in netlist.inputs[cell.kind])
    found = set()
    if forward:
        (net,) = cell.pins[out]
        if net in netlist.ports["o__payload"][1]:
            found.add(DRAIN)
        others = [n for n, c in netlist.cells.items() if _reads(netlist, c, net)]
    else:
        nets = [cell.pins["A1"][0], cell.pins["A2"][0]]
        others = [
            n for n, c in netlist.cells.items() if (c.pins.get("ZN") or c.pins["Q"])[0] in nets
        ]
    for other in others:
        if other in netlist.origins:
            found.add(block_of(netlist.origins[other], SPARSE))
        else:
            found |= reaches(netlist, other, forward)
    return found


def _reads(netlist: Netlist, cell: Cell, net: object) -> bool:
    return any(net in bits for pin, bits in cell.pins.items() if pin in netlist.inputs[cell.kind])


@settings(max_examples=60, deadline=None)
@given(netlist=netlists())
def test_blocks_add_up_and_follow_the_rules(netlist: Netlist) -> None:
    library = find_pdk().library
    found = blocks_um2(netlist, library, SPARSE)
    total = math.fsum(library.cells[cell.kind].area_um2 for cell in netlist.cells.values())
    assert tuple(found) == BLOCKS
    assert math.fsum(found.values()) == pytest.approx(total, rel=1e-12)
    blocks = attribute(netlist, library, SPARSE)
    small = len(netlist.cells) <= 14  # the reference walks every path
    for name in netlist.cells if small else ():
        if name in netlist.origins:
            assert blocks[name] == block_of(netlist.origins[name], SPARSE)
            continue
        serves, fed = reaches(netlist, name, True), reaches(netlist, name, False)
        expected = next((s for s in (serves, fed) if len(s) == 1), {SHARED})
        assert {blocks[name]} == (expected if serves else {UNATTRIBUTED})


CORES = {
    "dense-2d": CoreConfig("dense-2d", lanes=2, filters=2, act_banks=2),
    "bitmask": CoreConfig(lanes=2, act_banks=2, coding="bitmask", act_buffers=2),
    "bitmask-dot": CoreConfig(lanes=2, act_banks=2, coding="bitmask", streams=2),
    "dense-packed": CoreConfig("dense-packed", lanes=2, filters=2, act_banks=2),
    "sparse-rows": CoreConfig("sparse-rows", lanes=2, filters=2, act_banks=4),
    "sparse-nm": CoreConfig("sparse-nm", lanes=2, filters=2, act_banks=2),
    "tiles": CoreConfig(lanes=2, act_banks=2, tiles=2, pipeline=2, coding="absolute"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CORES)
def test_nothing_is_left_over(kind: str, tmp_path: Path) -> None:
    """Every register and memory of every core has a name from before flattening."""
    config, pdk = CORES[kind], find_pdk()
    macros = tmp_path / "cosign_sram.lib"
    sram.write_liberty(rtl_sram.macros(config), macros)
    text = {"cosign_core.v": verilog.generate(config)["cosign_core.v"]}
    mapped = map_core(text, "cosign_core", pdk, macros, tmp_path)
    cells = pdk.library.cells
    registers = frozenset(name for name, cell in cells.items() if cell.sequential)
    netlist = Netlist.from_yosys(mapped, "cosign_core", registers)
    for name, cell in netlist.cells.items():
        if cell.kind in registers or cell.kind not in cells:
            assert name in netlist.origins
    found = blocks_um2(netlist, pdk.library, config)
    total = sum(found.values())
    assert found[UNATTRIBUTED] == 0
    assert found[SHARED] < 0.01 * total
    assert (found[DECODER] > 0) != config.dense
    assert min(found[b] for b in (LANES, READ_PATH, BUFFERS, ADDRESS, CONTROL, DRAIN)) > 0
