"""Buffering and sizing must not change what a netlist computes."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosign import CosignError
from synth.liberty import Library
from synth.netlist import Cell, Netlist
from synth.pdk import find_pdk
from synth.sizing import MAX_FANOUT, Loads, Sizer, buffer_fanout

GATES = {"INV_X1": ("A",), "NAND2_X1": ("A1", "A2"), "XOR2_X1": ("A", "B"), "BUF_X1": ("A",)}
INPUTS = {kind: frozenset(pins) for kind, pins in GATES.items()} | {
    "DFF_X1": frozenset({"D", "CK"})
}
OUT = {"INV_X1": "ZN", "NAND2_X1": "ZN", "XOR2_X1": "Z", "BUF_X1": "Z", "DFF_X1": "Q"}


@pytest.fixture(scope="module")
def library() -> Library:
    return find_pdk().library


@st.composite
def netlists(draw: st.DrawFn) -> Netlist:
    """Random acyclic gates over 3 inputs; few sources, so that fan-outs grow large."""
    nets = [2, 3, 4]
    cells: dict[str, Cell] = {}
    for index in range(draw(st.integers(1, 120))):
        kind = draw(st.sampled_from(sorted(GATES)))
        sources = [draw(st.sampled_from(nets[:5])) for _ in GATES[kind]]
        net = 10 + index
        pins = {pin: [bit] for pin, bit in zip(GATES[kind], sources, strict=True)}
        cells[f"g{index}"] = Cell(kind, {**pins, OUT[kind]: [net]})
        nets.append(net)
    ports = {"a": ("input", [2, 3, 4]), "y": ("output", list(nets[-40:]))}
    return Netlist("top", ports, cells, dict(INPUTS), 10 + len(cells))


def evaluate(netlist: Netlist, library: Library, values: dict[int, bool]) -> list[bool]:
    """Output values by a walk over the Liberty functions: slow and obvious."""
    drivers = netlist.drivers()

    def value(net: int) -> bool:
        if net not in values:
            name, pin = drivers[net]
            cell = netlist.cells[name]
            reads = netlist.inputs.get(cell.kind, frozenset({"A"}))
            inputs = {p: value(cell.pins[p][0]) for p in reads}
            text = library.cells[cell.kind].function[pin]
            for name_, bit in sorted(inputs.items(), reverse=True):
                text = text.replace(name_, str(bit))
            text = text.replace("!", " not ").replace("&", " and ").replace("^", "!=")
            values[net] = bool(eval(text))
        return values[net]

    return [value(bit) for bit in netlist.ports["y"][1] if isinstance(bit, int)]


@settings(max_examples=60, deadline=None)
@given(netlist=netlists(), stimulus=st.integers(0, 7))
def test_buffers_and_sizes_keep_the_function(netlist: Netlist, stimulus: int) -> None:
    library = find_pdk().library
    before = copy.deepcopy(netlist)
    buffer_fanout(netlist, library, frozenset())
    assert max((len(s) for s in netlist.sinks().values()), default=0) <= MAX_FANOUT
    sizer = Sizer(netlist, library)
    sizer.fit()
    sizer.strengthen(dict.fromkeys(netlist.cells, -1.0), 0.0)
    for name, cell in netlist.cells.items():
        netlist.inputs[cell.kind] = frozenset(library.cells[cell.kind].capacitance_ff)
        if name in before.cells:
            family = [v.name for v in library.variants[before.cells[name].kind]]
            assert cell.kind in family
    inputs = {net: bool(stimulus >> i & 1) for i, net in enumerate((2, 3, 4))}
    assert evaluate(netlist, library, dict(inputs)) == evaluate(before, library, dict(inputs))


def test_ideal_nets_are_left_alone(library: Library) -> None:
    cells = {f"r{i}": Cell("DFF_X1", {"CK": [2], "D": [3], "Q": [10 + i]}) for i in range(50)}
    ports = {"clk": ("input", [2]), "d": ("input", [3])}
    netlist = Netlist("top", ports, cells, dict(INPUTS), 60)
    added = buffer_fanout(netlist, library, frozenset({2}))
    assert added == 5  # 50 loads of d in groups of at most 12
    assert len(netlist.sinks()[2]) == 50


def test_loaded_register_is_sized(library: Library) -> None:
    cells = {"r": Cell("DFF_X1", {"CK": [2], "D": [3], "Q": [4]})}
    cells |= {f"g{i}": Cell("INV_X1", {"A": [4], "ZN": [10 + i]}) for i in range(12)}
    netlist = Netlist("top", {"clk": ("input", [2])}, cells, dict(INPUTS), 30)
    load = Loads(netlist, library).load_ff(4)
    assert load == pytest.approx(12 * 1.700230 + library.wire_load_ff(12))
    sizer = Sizer(netlist, library)
    sizer.fit()
    assert netlist.cells["r"].kind == "DFF_X2"
    assert {netlist.cells[f"g{i}"].kind for i in range(12)} == {"INV_X1"}


def test_only_slow_cells_with_a_load_grow(library: Library) -> None:
    cells = {"r": Cell("DFF_X1", {"CK": [2], "D": [3], "Q": [4]})}
    cells |= {"g": Cell("INV_X1", {"A": [4], "ZN": [5]})}
    cells |= {f"s{i}": Cell("INV_X1", {"A": [5], "ZN": [10 + i]}) for i in range(9)}
    cells["fast"] = Cell("INV_X1", {"A": [3], "ZN": [30]})
    ports = {"clk": ("input", [2]), "d": ("input", [3])}
    netlist = Netlist("top", ports, cells, dict(INPUTS), 30)
    sizer = Sizer(netlist, library)
    slack = {name: -0.1 for name in cells if name != "fast"} | {"fast": 0.1}
    before = sizer.strengthen(slack, 0.0)
    # g carries nine inputs; its own input barely loads r, and the sinks drive nothing.
    assert before == {"g": "INV_X1"}
    assert netlist.cells["g"].kind == "INV_X2"
    sizer.assign(before)
    assert netlist.cells["g"].kind == "INV_X1"


def test_write_and_read_back(tmp_path: Path) -> None:
    ports = {"a": ("input", [2, 3]), "y": ("output", [4, 2, "1"]), "z": ("output", [4])}
    cells = {"g": Cell("NAND2_X1", {"A1": [2], "A2": [3], "ZN": [4]})}
    Netlist("top", ports, cells, dict(INPUTS), 4).write(tmp_path / "n.v")
    text = (tmp_path / "n.v").read_text()
    assert "NAND2_X1 g (.A1(a[0]), .A2(a[1]), .ZN(y[0]));" in text
    for line in ("assign y[1] = a[0];", "assign y[2] = 1'b1;", "assign z = y[0];"):
        assert line in text


def test_unmapped_cell_is_refused(tmp_path: Path) -> None:
    module = {
        "ports": {},
        "netnames": {},
        "cells": {"$1": {"type": "$_DFF_P_", "connections": {"D": [2], "Q": [3]}}},
    }
    (tmp_path / "m.json").write_text(json.dumps({"modules": {"top": module}}))
    with pytest.raises(CosignError, match=r"\$_DFF_P_"):
        Netlist.from_yosys(tmp_path / "m.json", "top", frozenset())
