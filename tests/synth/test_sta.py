"""OpenSTA on small netlists written by hand, and the parser on what can go wrong."""

from pathlib import Path

import pytest

from cosign import CosignError
from rtl.sram import Macro
from synth.pdk import find_pdk
from synth.sram import write_liberty
from synth.sta import Timer, TimingRecord, parse_timing, sign_off

PIPELINE = """
module top (clk, a, y);
  input clk; input a; output y;
  wire q; wire n1; wire n2; wire n3; wire n4;
  DFF_X1 first (.CK(clk), .D(a), .Q(q));
  INV_X1 g1 (.A(q), .ZN(n1));
  INV_X1 g2 (.A(n1), .ZN(n2));
  OR4_X1 g3 (.A1(n2), .A2(n2), .A3(n2), .A4(n2), .ZN(n3));
  OR4_X1 g4 (.A1(n3), .A2(n3), .A3(n3), .A4(n3), .ZN(n4));
  DFF_X1 second (.CK(clk), .D(n4), .Q(y));
endmodule
"""
MEMORY = """
module top (clk, a, y);
  input clk; input [5:0] a; output y;
  wire [15:0] q; wire zero; wire one;
  LOGIC0_X1 low (.Z(zero));
  LOGIC1_X1 high (.Z(one));
  cosign_sram_64x16 memory (.clk(clk), .ce(one), .we(zero), .addr(a), .q(q),
    .d({zero, zero, zero, zero, zero, zero, zero, zero,
        zero, zero, zero, zero, zero, zero, zero, zero}));
  DFF_X1 r (.CK(clk), .D(q[3]), .Q(y));
endmodule
"""
LOOP = PIPELINE.replace("INV_X1 g1 (.A(q)", "NAND2_X1 g1 (.A1(q), .A2(n2)")


def time(folder: Path, text: str, period_ns: float = 1.0) -> TimingRecord:
    netlist = folder / "netlist.v"
    netlist.write_text(text)
    macros = folder / "cosign_sram.lib"
    write_liberty([Macro("weight", 64, 16, 1)], macros)
    return sign_off(netlist, "top", find_pdk(), macros, period_ns)


def test_path_between_registers(tmp_path: Path) -> None:
    record = time(tmp_path, PIPELINE)
    assert (record.start, record.end) == ("first", "second")
    assert [(s.instance, s.kind) for s in record.stages] == [
        ("first", "DFF_X1"),
        ("g1", "INV_X1"),
        ("g2", "INV_X1"),
        ("g3", "OR4_X1"),
        ("g4", "OR4_X1"),
    ]
    assert 0.2 < sum(stage.delay_ns for stage in record.stages) < 0.6
    words = record.words(find_pdk().library)
    assert "first to second: 5 cells" in words
    assert "most of it in 2 OR4" in words
    for name in ("timing.rpt", "timing_top20.rpt", "timing_hold.rpt"):
        assert (tmp_path / name).stat().st_size > 0


def test_fmax_is_where_the_slack_is_zero(tmp_path: Path) -> None:
    relaxed = time(tmp_path, PIPELINE, 1.0)
    at_fmax = time(tmp_path, PIPELINE, 1e9 / relaxed.fmax_hz)
    assert abs(at_fmax.slack_ns) < 1e-3
    assert at_fmax.fmax_hz == pytest.approx(relaxed.fmax_hz, rel=0.01)


def test_memory_is_timed(tmp_path: Path) -> None:
    record = time(tmp_path, MEMORY)
    assert record.start == "memory"
    assert record.stages[0].kind == "cosign_sram_64x16"
    # The table's 0.267 ns, plus the load of one flip-flop input.
    assert record.stages[0].delay_ns == pytest.approx(0.267, abs=0.01)


def test_the_descriptor_has_two_cycles_but_for_what_acts_at_once(tmp_path: Path) -> None:
    ports = ("layer__relu", "layer__new_map", "layer__new_map_more", "start")
    gates = "".join(
        f"INV_X1 g_{port} (.A({port}), .ZN(n_{port})); "
        f"DFF_X1 r_{port} (.CK(clk), .D(n_{port}), .Q(y_{port}));\n"
        for port in ports
    )
    wires = "".join(f"input {port}; output y_{port}; wire n_{port};\n" for port in ports)
    names = ", ".join(f"{port}, y_{port}" for port in ports)
    netlist, macros = tmp_path / "netlist.v", tmp_path / "cosign_sram.lib"
    netlist.write_text(f"module top (clk, {names}); input clk;\n{wires}{gates}endmodule\n")
    write_liberty([Macro("weight", 64, 16, 1)], macros)
    with Timer(netlist, "top", find_pdk(), macros, 1.0) as timer:
        slacks = timer.slacks()
    at_once = slacks["g_start"]
    assert slacks["g_layer__new_map"] == pytest.approx(at_once, abs=1e-3)
    for port in ("layer__relu", "layer__new_map_more"):
        assert slacks[f"g_{port}"] == pytest.approx(at_once + 1, abs=1e-3)


def test_exchange_retimes(tmp_path: Path) -> None:
    time(tmp_path, PIPELINE)
    netlist, macros = tmp_path / "netlist.v", tmp_path / "cosign_sram.lib"
    with Timer(netlist, "top", find_pdk(), macros, 1.0) as timer:
        before = timer.slacks()
        timer.exchange({"g1": "INV_X8"})
        after = timer.slacks()
    assert set(before) == {"first", "g1", "g2", "g3", "g4", "second"}
    assert after["second"] == pytest.approx(before["second"])
    assert after["first"] != before["first"]
    netlist.write_text(PIPELINE.replace("INV_X1 g1", "INV_X8 g1"))
    fresh = sign_off(netlist, "top", find_pdk(), macros, 1.0)
    assert min(after.values()) == pytest.approx(fresh.slack_ns, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LOOP, "combinational loop"),
        (PIPELINE.replace("INV_X1 g1", "MYSTERY g1"), "unmapped cell MYSTERY"),
        ("module top (clk, a, y); input clk; input a; output y; endmodule", "holds no path"),
        ("module other (clk); input clk; endmodule", "OpenSTA refused top"),
    ],
)
def test_bad_netlists(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CosignError, match=reason):
        time(tmp_path, text)


def test_missing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CosignError, match=r"cannot find the program sta; .* opensta"):
        time(tmp_path, PIPELINE)


@pytest.mark.parametrize("text", ["", "No paths found.\n", "Startpoint: a (x)\nEndpoint: b (y)\n"])
def test_a_report_without_a_path_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "timing.rpt").write_text(text)
    with pytest.raises(CosignError, match="holds no path"):
        parse_timing(tmp_path / "timing.rpt", 1.0)
    with pytest.raises(CosignError, match="no timing report"):
        parse_timing(tmp_path / "absent.rpt", 1.0)
