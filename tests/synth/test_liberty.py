from pathlib import Path

import pytest

from cosign import CosignError
from synth.liberty import parse, read_library
from synth.pdk import find_pdk

SMALL = """
/* a comment { with a brace */
library (tiny) {
  capacitive_load_unit (1,pf);
  default_wire_load : "short";
  wire_load("short") { capacitance : 0.001; slope : 2.0;
    fanout_length( 1, 1.0 );
    fanout_length( 3, 4.0 ); }
  cell (BUF) { area : 1.5; pin (A) { direction : input; capacitance : 0.002; }
    pin (Z) { direction : output; max_capacitance : 0.05; function : "A";
      timing () { related_pin : "A"; cell_rise (t) { values ("1, 2", \\
        "3, 4"); } } } }
  cell (BUF2) { area : 2.5; pin (A) { direction : input; capacitance : 0.004; }
    pin (Z) { direction : output; max_capacitance : 0.1; function : " A "; } }
  cell (INV) { area : 1; pin (A) { direction : input; capacitance : 0.002; }
    pin (Z) { direction : output; max_capacitance : 0.05; function : "!A"; } }
  cell (HI) { area : 1; pin (Z) { direction : output; function : "1"; } }
  cell (LO) { area : 1; pin (Z) { direction : output; function : "0"; } }
  cell (GATE) { area : 1; dont_use : true; pin (A) { direction : input; }
    pin (Z) { direction : output; function : "A"; } }
  FLOP
}
"""
FLOP = """cell (DFF) { area : 5; ff ("IQ", "IQN") { next_state : "D"; clocked_on : "CK"; }
    pin (D) { direction : input; capacitance : 0.001; }
    pin (CK) { direction : input; clock : true; capacitance : 0.001; }
    pin (Q) { direction : output; max_capacitance : 0.05; function : "IQ"; } }"""


def write(folder: Path, text: str) -> Path:
    path = folder / "cells.lib"
    path.write_text(text)
    return path


def test_small_library(tmp_path: Path) -> None:
    library = read_library(write(tmp_path, SMALL.replace("FLOP", FLOP)))
    assert library.name == "tiny"
    assert library.cells["BUF"].area_um2 == 1.5
    assert library.cells["BUF"].capacitance_ff == {"A": 2.0}
    assert [cell.name for cell in library.variants["BUF2"]] == ["BUF", "BUF2"]
    assert [cell.name for cell in library.buffers] == ["BUF", "BUF2"]
    assert [cell.name for cell in library.variants["INV"]] == ["INV"]
    assert library.tie_high == ("HI", "Z")
    assert library.tie_low == ("LO", "Z")
    assert library.flip_flops == ("DFF",)
    assert not library.cells["GATE"].usable
    # 1 fF per unit length: given points, the line between them, the slope beyond.
    assert [library.wire_load_ff(n) for n in (1, 2, 3, 5)] == pytest.approx([1.0, 2.5, 4.0, 8.0])
    assert library.wire_load_ff(100) == pytest.approx(4.0 + 2.0 * 97)


def test_groups_nest() -> None:
    top = parse('library (a) { x : 1; cell (b) { pin (c) { y : "z"; } } }', "text")
    assert top.attributes == {"x": "1"}
    (cell,) = top.all("cell")
    (pin,) = cell.all("pin")
    assert (cell.args, pin.args, pin.attributes) == ("b", "c", {"y": "z"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module not_liberty; endmodule", "is not a Liberty file"),
        ("library (cut) { cell (a) {", "is not a Liberty file"),
        ("", "is not a Liberty file"),
        (SMALL.replace("FLOP", ""), "no D flip-flop"),
        (SMALL.replace("FLOP", FLOP).replace("cell (HI)", "cell (X) { } cross (HI)"), "ties"),
    ],
)
def test_bad_liberty(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CosignError, match=reason):
        find_pdk(write(tmp_path, text))


def test_missing_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="cannot read the Liberty file"):
        find_pdk(tmp_path / "nowhere.lib")
    (tmp_path / "binary.lib").write_bytes(bytes(range(256)))
    with pytest.raises(CosignError, match="it is not text"):
        find_pdk(tmp_path / "binary.lib")


def test_nangate() -> None:
    pdk = find_pdk()
    library = pdk.library
    assert pdk.name == "NangateOpenCellLibrary"
    assert "research" in pdk.provenance()["licence"]
    assert library.cells["NAND2_X1"].area_um2 == 0.798
    assert [c.name for c in library.variants["NAND2_X2"]] == ["NAND2_X1", "NAND2_X2", "NAND2_X4"]
    assert [c.name for c in library.variants["DFF_X1"]] == ["DFF_X1", "DFF_X2"]
    assert {"DFF_X1", "DFF_X2"} <= set(library.flip_flops)
    assert library.tie_high[0] == "LOGIC1_X1"
    for name in ("CLKGATE_X1", "TBUF_X1", "FILLCELL_X1"):
        assert not library.cells[name].usable
