"""A netlist read as gates, and truth tables against Python's logic."""

from pathlib import Path

import pytest

from cosign import CosignError
from synth.gates import read_gates, truth_table
from synth.pdk import find_pdk

LIBRARY = find_pdk().library


def gates_of(path: Path, line: str) -> None:
    path.write_text(f"module m (a);\n  input a;\n  {line}\nendmodule\n")
    read_gates(path, LIBRARY)


def test_unknown_cells_and_loops_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "netlist.v"
    with pytest.raises(CosignError, match="unknown cell ODD_X1"):
        gates_of(path, "ODD_X1 g (.A(a), .Z(n1));")
    with pytest.raises(CosignError, match="combinational loop"):
        gates_of(path, "NAND2_X1 g (.A1(a), .A2(n1), .ZN(n1));")


def test_gates_come_after_those_that_drive_them(tmp_path: Path) -> None:
    path = tmp_path / "netlist.v"
    path.write_text(
        "module m (a);\n  input a;\n"
        "  INV_X1 last (.A(n2), .ZN(n3));\n"
        "  NAND2_X1 middle (.A1(a), .A2(n1), .ZN(n2));\n"
        "  DFF_X1 state (.CK(clk), .D(n3), .Q(n1));\n"
        "endmodule\n"
    )
    found = read_gates(path, LIBRARY)
    names = {net: pin for pin, net in found.pins.items()}
    assert [names[gate.output] for gate in found.gates] == ["state/Q", "middle/ZN", "last/ZN"]
    assert [register.data for register in found.registers] == [found.pins["last/ZN"]]


def test_truth_tables_follow_the_liberty_functions() -> None:
    names = ("A", "B", "C")
    for function, value in {
        "!(A & B)": lambda a, b, c: not (a and b),
        "((A & B) | (C & (A | B)))": lambda a, b, c: a + b + c >= 2,
        "A ^ B' + C": lambda a, b, c: (a ^ (1 - b)) or c,
        "A B": lambda a, b, c: a and b,
        "1": lambda a, b, c: True,
    }.items():
        table = truth_table(function, names)
        for i in range(8):
            assert table >> i & 1 == int(bool(value(i & 1, i >> 1 & 1, i >> 2 & 1))), function
    with pytest.raises(CosignError, match="cannot be simulated"):
        truth_table("A & D", names)


def test_sets_and_resets_must_be_tied_off(tmp_path: Path) -> None:
    path = tmp_path / "netlist.v"
    flip_flop = "DFFR_X1 r (.CK(clk), .D(a), .RN(n1), .QN(n2));"
    tied = f"LOGIC1_X1 t (.Z(n1));\n  {flip_flop}"
    for text in (tied, f"INV_X1 t (.A(1'b0), .ZN(n1));\n  {flip_flop}"):
        gates_of(path, text)
    found = read_gates(path, LIBRARY)
    (register,) = found.registers
    (shown,) = (gate for gate in found.gates if gate.output == found.nets["n2"])
    assert shown.inputs == (register.state,)
    assert [shown.table >> i & 1 for i in range(2)] == [1, 0]
    for text in (tied.replace("LOGIC1", "LOGIC0"), flip_flop.replace("n1", "a")):
        with pytest.raises(CosignError, match="pin of r is in use"):
            gates_of(path, text)
    with pytest.raises(CosignError, match="SDFF_X1, which is no plain flip-flop"):
        gates_of(path, "SDFF_X1 r (.CK(clk), .D(a), .SE(a), .SI(a), .Q(n1));")
