"""What a library is read as: small ones by hand, and NanGate."""

import gzip
import re
from pathlib import Path

import pytest
import small_library as small
from hypothesis import given
from hypothesis import strategies as st

from cosign import CosignError, sha256
from synth.liberty import FlipFlop, Library, read_library, syntax
from synth.pdk import find_pdk


def write(folder: Path, text: str, name: str = "cells.lib") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def read(folder: Path, text: str) -> Library:
    return read_library(write(folder, text))


def test_small_library(tmp_path: Path) -> None:
    library = read(tmp_path, small.library())
    assert library.name == "small"
    assert library.cells["BUF_X1"].area_um2 == 1.5
    assert library.cells["NAND2_X1"].capacitance_ff == {"A": 1.0, "B": 1.0}
    assert library.cells["INV_X2"].max_load_ff == 120.0
    assert library.cells["INV_X1"].delay_ns == pytest.approx(0.01)
    assert [cell.name for cell in library.variants["BUF_X2"]] == ["BUF_X1", "BUF_X2"]
    assert [cell.name for cell in library.buffers] == ["BUF_X1", "BUF_X2"]
    assert [cell.name for cell in library.inverters] == ["INV_X1", "INV_X2"]
    assert (library.tie_high, library.tie_low) == (("HIGH", "Y"), ("LOW", "Y"))
    assert [cell.name for cell in library.flip_flops] == ["DFF"]
    assert library.flip_flop == FlipFlop("D", "CK", False, (), (("Q", True), ("QN", False)))
    assert library.notes == ()
    # 0.5 fF per unit length: given points, the line between them, the slope beyond.
    assert [library.wire_load_ff(n) for n in (1, 2, 3, 5)] == pytest.approx([0.5, 1.25, 2.0, 4.0])
    assert library.wire_load_ff(100) == pytest.approx(2.0 + 1.0 * 97)


def test_the_largest_load_may_be_that_of_the_tables(tmp_path: Path) -> None:
    """Whichever axis has the loads, in the table or in its template."""
    text = re.sub(r"max_capacitance : [\d.]+;", "", small.library())
    assert read(tmp_path, text).cells["INV_X2"].max_load_ff == 120.0
    other = re.sub(r"(index|variable)_([12])", lambda m: f"{m[1]}_{3 - int(m[2])}", text)
    library = read_library(write(tmp_path, other, "other.lib"))
    assert library.cells["INV_X2"].max_load_ff == 120.0
    bare = re.sub(r'(\(grid\) \{ )index_1 \("[^"]*"\); index_2 \("[^"]*"\);', r"\1", text)
    library = read_library(write(tmp_path, bare, "bare.lib"))
    assert library.cells["INV_X2"].max_load_ff == 60.0
    none = text.replace("delay_model", "default_max_capacitance : 7;\n delay_model")
    none = none.replace("total_output_net_capacitance", "input_net_transition")
    library = read_library(write(tmp_path, none, "none.lib"))
    assert library.cells["INV_X2"].max_load_ff == 7.0


def test_edges_must_not_take_too_long(tmp_path: Path) -> None:
    """Edges of an INV_X2 take 0.4 ns with 60 fF and 0.8 ns with 120 fF."""
    text = small.library().replace("default_max_transition : 2.0", "default_max_transition : 0.6")
    library = read(tmp_path, text)
    assert library.cells["INV_X2"].max_load_ff == pytest.approx(90.0)
    assert library.cells["INV_X1"].max_load_ff == pytest.approx(45.0)


def test_groups_nest() -> None:
    root = syntax.parse('library (a) { x : 1; cell (b) { pin (c) { y : "z"; } } }', "text")
    (top,) = root.groups
    assert top.attributes == {"x": "1"}
    (cell,) = top.all("cell")
    (pin,) = cell.all("pin")
    assert (cell.name, pin.name, pin.get("y")) == ("b", "c", "z")


WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)


@st.composite
def groups(draw: st.DrawFn, depth: int = 2) -> syntax.Group:
    plain = st.one_of(WORDS, st.integers(-99, 99).map(str), WORDS.map('"{}"'.format))
    children = st.lists(groups(depth - 1), max_size=3) if depth else st.just([])
    return syntax.Group(
        draw(WORDS),
        tuple(draw(st.lists(WORDS, max_size=2))),
        draw(st.dictionaries(WORDS, plain, max_size=3)),
        draw(st.lists(st.tuples(WORDS, st.just("1, 2.5")), max_size=2)),
        draw(children),
    )


@given(groups())
def test_what_is_written_is_read_back(group: syntax.Group) -> None:
    (again,) = syntax.parse("\n".join(syntax.written(group)), "text").groups

    def values(one: syntax.Group) -> object:
        named = {name: one.get(name) for name in one.attributes}
        return one.kind, one.args, named, one.lists, [values(child) for child in one.groups]

    assert values(again) == values(group)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module not_liberty; endmodule", "line 1 has 'module not_liberty"),
        ("library (a) {\n x : 1;\n ( oops\n}", "line 3 has"),
        ("library (a) {\n /* two\n lines */ x : \\\n 1;\n ( oops\n}", "line 5 has"),
        ("library (cut) { cell (a) {", "ends inside cell a; it is cut off"),
        ('library (cut) { cell (a) { x : "no end', "it is cut off"),
        ("library (a) { } }", "line 1 has '}'"),
        ("", "it is empty"),
        ("cell (a) { }", "it has no library"),
        ("library (a) { time_unit : 1ns; }", "has no cells"),
        (small.library().replace("1ns", "1fortnight"), "time_unit is '1fortnight'"),
        (small.library().replace("(1, ff)", "(1, gallons)"), "capacitive_load_unit is"),
        (small.library().replace("area : 1.5;", "area : big;"), "area of cell INV_X2 is 'big'"),
        (small.library(flip_flops=""), "no cell with a state"),
        (small.library(buffers=""), "no buffer cell"),
        (small.library(buffers=small.gate("BUF", 0.0, "A")), "BUF: no area"),
        (small.library().replace("!A", "A"), "no inverter"),
        (small.library().replace("cell_rise", "x").replace("cell_fall", "x"), "no delay tables"),
        (f"library (a) {{ {small.INVERTERS} {small.BUFFERS} {small.flip_flop()} }}", "two inputs"),
    ],
)
def test_bad_liberty(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CosignError, match=reason) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)
    assert "cells.lib" in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="cannot read the Liberty file"):
        find_pdk([tmp_path / "nowhere.lib"])
    with pytest.raises(CosignError, match="cannot read the Liberty file"):
        find_pdk([tmp_path])
    (tmp_path / "binary.lib").write_bytes(bytes(range(256)))
    with pytest.raises(CosignError, match="it is not text"):
        find_pdk([tmp_path / "binary.lib"])
    whole = gzip.compress(small.library().encode())
    (tmp_path / "cut.lib.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CosignError, match="gzip file is damaged"):
        find_pdk([tmp_path / "cut.lib.gz"])


def test_several_files_are_one_library(tmp_path: Path) -> None:
    """As asap7 comes: gates, buffers and flip-flops apart, templates of one name unlike."""
    whole = read_library(write(tmp_path, small.library(), "whole.lib"))
    header, gates = small.HEADER, small.GATES + small.TIES
    other = header.replace('index_2 ("0, 30, 60")', 'index_2 ("0, 3, 6")')
    texts = (
        f"library (gates) {{ {header} {gates} }}",
        f"library (drivers) {{ {other} {small.INVERTERS} {small.BUFFERS} }}"
        f"library (states) {{ {header} {small.flip_flop()} }}",
    )
    paths = [write(tmp_path, text, f"{index}.lib") for index, text in enumerate(texts)]
    parts = read_library(*paths)
    assert (parts.name, parts.cells) == ("gates", whole.cells)
    assert parts.variants == whole.variants
    assert "lu_table_template (grid_2)" in parts.text
    assert parts.text.count("cell_rise (grid_2)") == 4  # of inverters and buffers
    again = read(tmp_path, parts.text)
    assert again.cells == whole.cells
    assert len({parts.sha256, *map(sha256, paths)}) == 3
    assert whole.sha256 == sha256(tmp_path / "whole.lib")


def test_libraries_at_odds_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, small.library())
    for old, new, reason in (
        ("1ns", "1ps", "time_unit 1ns and .* has 1ps"),
        ("(1, ff)", "(1, pf)", "capacitive_load_unit 1 ff and .* has 1 pf"),
        ("nom_voltage : 1.1", "nom_voltage : 0.9", "nom_voltage 1.1 and .* has 0.9"),
        ("area : 1.2", "area : 1.3", "the cell NAND2_X1 is in .* another one"),
    ):
        other = write(tmp_path, small.library().replace(old, new), "other.lib")
        with pytest.raises(CosignError, match=reason):
            read_library(first, other)
    same = write(tmp_path, small.library().replace("(1, ff)", '(1.000, "FF")'), "same.lib")
    assert read_library(first, same).cells == read_library(first).cells


def test_included_files(tmp_path: Path) -> None:
    text = small.library().replace(small.HEADER, ' include_file ("header.inc");\n')
    write(tmp_path, small.HEADER, "header.inc")
    whole = read_library(write(tmp_path, small.library(), "whole.lib"))
    assert read(tmp_path, text).cells == whole.cells
    write(tmp_path, "include_file (around.lib);", "header.inc")
    with pytest.raises(CosignError, match=r"includes around\.lib, which includes it again"):
        read_library(write(tmp_path, text, "around.lib"))
    with pytest.raises(CosignError, match=r"includes other\.inc, which is not there"):
        lost = small.library().replace("{\n", "{ include_file (other.inc);\n", 1)
        read_library(write(tmp_path, lost, "lost.lib"))


def test_nangate() -> None:
    pdk = find_pdk()
    library = pdk.library
    assert pdk.name == "NangateOpenCellLibrary"
    assert "research" in pdk.provenance()["licence"]
    assert library.cells["NAND2_X1"].area_um2 == 0.798
    assert [c.name for c in library.variants["NAND2_X2"]] == ["NAND2_X1", "NAND2_X2", "NAND2_X4"]
    assert [c.name for c in library.flip_flops] == ["DFF_X1", "DFF_X2"]
    assert [c.name for c in library.buffers] == [f"BUF_X{n}" for n in (1, 2, 4, 8, 16, 32)]
    assert library.tie_high == ("LOGIC1_X1", "Z")
    reasons = {
        "CLKGATE_X1": "clock gate",
        "CLKBUF_X1": "clock cell",
        "TBUF_X1": "three-state",
        "FILLCELL_X1": "dont_use",
        "SDFF_X1": "scan or enable flip-flop",
        "DLH_X1": "latch",
        "DFFR_X1": "DFF_X1 is the flip-flop",
    }
    assert {name: library.cells[name].refused for name in reasons} == reasons
    assert library.family_name("AOI221_X4") == "AOI221"
