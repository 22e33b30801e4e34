"""Clock gates: what the library says of them, who is behind one, and that nothing else changes."""

from pathlib import Path

import numpy as np
import proof
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_library import library as small_library

from cosign import CosignError
from rtl.config import CoreConfig
from synth.energy import Powers, combine
from synth.gating import FEWEST, MOST, gated_clocks, split
from synth.liberty import clock_gates
from synth.netlist import Cell, Netlist
from synth.pdk import find_pdk
from synth.place.options import Placement
from synth.recipe import recipe_hash
from synth.replay import Activity, replay
from synth.report import synthesize

GATED = find_pdk(clock_gating=True)
RTL = """
module top (clk, rst, en, d, q, sum, wide);
  input clk; input rst; input [1:0] en; input [3:0] d;
  output reg [1:0] q; output reg [3:0] sum; output reg [3:0] wide;
  always @(posedge clk) begin
    if (rst) q <= 0; else if (en[0]) q <= d[1:0];
    if (en[0] | rst) sum <= rst ? 0 : sum + d;
    if (!en[1] | rst) wide <= rst ? 5 : d ^ {2{q}};
  end
endmodule
"""
COUNTER = """\
module cosign_core (clk, rst, up, q);
  input clk;
  input rst;
  input up;
  output [1:0] q;
  wire n1;
  wire n2;
  wire n3;
  wire n4;
  wire n5;
  assign q[0] = n1;
  assign q[1] = n2;
  CLKGATE_X1 gate (.CK(clk), .E(up), .GCK(n5));
  INV_X1 low (.A(n1), .ZN(n3));
  XOR2_X1 high (.A(n2), .B(n1), .Z(n4));
  DFF_X1 r0 (.CK(n5), .D(n3), .Q(n1));
  DFF_X1 r1 (.CK(n5), .D(n4), .Q(n2));
  DFF_X1 free (.CK(clk), .D(up), .Q(n6));
endmodule
"""


def test_a_gate_is_read_from_its_tables() -> None:
    """CLKGATE_X1 of NanGate 45: both edges of the clock that it does not let through, at steep
    edges, are 3.574452 and 1.307258 fJ."""
    gates = clock_gates(GATED.library)
    assert [gate.name for gate in gates] == [f"CLKGATE_X{n}" for n in (1, 2, 4, 8)]
    first = gates[0]
    assert (first.enable, first.clock, first.output, first.tests) == ("E", "CK", "GCK", ())
    assert first.closed_fj == pytest.approx(4.881710)
    # Between the tables' loads of 15.1825 and 30.365 fF, at 18.219.
    rise = 3.451062 + 0.2 * (3.465618 - 3.451062)
    fall = 5.556967 + 0.2 * (5.572348 - 5.556967)
    assert first.open_fj == pytest.approx(rise + fall, rel=1e-6)
    assert not clock_gates(find_pdk().library)


def test_the_enable_arrives_before_the_gates_own_delay() -> None:
    """0.042333 ns of setup in the library, 72.9 ps from the clock to the gated clock."""
    gate = clock_gates(GATED.library)[0]
    text = GATED.library.text
    setup = text.index("setup_rising", text.index("(CLKGATE_X1)"))
    value = text[text.index('values ("', setup) + len('values ("') :].partition(",")[0]
    assert float(value) == pytest.approx(0.042333 + gate.insertion_ns, abs=1e-5)
    assert gate.insertion_ns == pytest.approx(0.064919 + 0.2 * (0.104698 - 0.064919), rel=1e-6)


def test_libraries_without_gates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.lib"
    path.write_text(small_library())
    assert find_pdk([path]).library.flip_flops
    with pytest.raises(CosignError, match="has no clock gate of the rising edge"):
        find_pdk([path], clock_gating=True)


def test_gated_cores_are_not_placed() -> None:
    with pytest.raises(CosignError, match="with gated clocks cannot be placed yet"):
        synthesize(CoreConfig(), clock_gating=True, place=Placement())


def test_results_tell_who_was_gated() -> None:
    assert recipe_hash(GATED.library) != recipe_hash(find_pdk().library)
    assert GATED.provenance()["clock_gates"] == "CLKGATE_X1, CLKGATE_X2, CLKGATE_X4, CLKGATE_X8"
    assert "clock_gates" not in find_pdk().provenance()


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(FEWEST, 300), min_size=1, max_size=4))
def test_every_register_stays_behind_a_gate_of_its_enable(sizes: list[int]) -> None:
    cells, net = {}, 100
    for group, size in enumerate(sizes):
        clock = 10 + group
        cells[f"gate{group}"] = Cell("CLKGATE_X1", {"CK": [2], "E": [50 + group], "GCK": [clock]})
        for n in range(size):
            net += 1
            cells[f"r{group}_{n}"] = Cell("DFF_X1", {"CK": [clock], "D": [3], "Q": [net]})
    inputs = {"CLKGATE_X1": frozenset({"CK", "E"}), "DFF_X1": frozenset({"CK", "D"})}
    netlist = Netlist("top", {"clk": ("input", [2])}, cells, inputs, net)
    split(netlist, GATED.library)
    drivers, sinks = netlist.drivers(), netlist.sinks()
    for group, size in enumerate(sizes):
        enables = set()
        for n in range(size):
            gate, pin = drivers[netlist.cells[f"r{group}_{n}"].pins["CK"][0]]
            assert pin == "GCK"
            enables.add(netlist.cells[gate].pins["E"][0])
        assert enables == {50 + group}
    loads = [len(sinks[bit]) for bit in gated_clocks(netlist, GATED.library)]
    assert sum(loads) == sum(sizes)
    assert max(loads) <= MOST
    assert len(loads) == sum(-(-size // MOST) for size in sizes)


def test_a_gated_netlist_is_proven_against_its_rtl(tmp_path: Path) -> None:
    """Resets that an enable lets through (gates), and one that overrules it (logic)."""
    files = GATED.files
    netlist, library = proof.mapped(files, tmp_path, RTL, clock_gating=True)
    gates = [cell for cell in netlist.cells.values() if cell.kind.startswith("CLKGATE")]
    assert len(gates) == 2
    assert proof.timed(netlist, files, tmp_path, 2.0, clock_gating=True).slack_ns > 0
    proof.prove(files, tmp_path, RTL, gates=clock_gates(library))
    path = tmp_path / "netlist.v"
    enable = str(gates[0].pins["E"][0])
    broken = path.read_text().replace(f".E(n{enable})", ".E(1'b1)")
    assert broken != path.read_text()
    path.write_text(broken)
    with pytest.raises(CosignError):
        proof.prove(files, tmp_path, RTL, gates=clock_gates(library))


def _ports(up: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    before = np.concatenate([[0], np.cumsum(up)[:-1]]) % 4
    q = np.stack([before & 1, before >> 1], axis=1).astype(np.uint8)
    inputs = {"rst": np.zeros((len(up), 1), np.uint8), "up": up[:, None].astype(np.uint8)}
    return inputs, {"q": q}


def test_ticks_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "netlist.v"
    path.write_text(COUNTER)
    up = np.random.default_rng(0).integers(0, 2, 200)
    activity = replay(path, GATED.library, *_ports(up), 7)
    assert activity.clocked == dict.fromkeys(("gate", "r0", "r1"), int(up[7:].sum()))
    assert activity.pins["gate/GCK"] == (int(np.abs(np.diff(up))[6:].sum()), int(up[7:].sum()))
    path.write_text(COUNTER.replace(".E(up)", ".E(n1)"))
    with pytest.raises(CosignError, match="differ in cycle"):
        replay(path, GATED.library, *_ports(up))


def test_clock_pins_cost_in_the_cycles_that_tick() -> None:
    """In 4 of 10 cycles: 0.4 x (5 + 3) fJ and 0.6 x 1 fJ; one flip-flop more of 2 fJ in all."""
    quiet = {"gate": (5e-6, 0.0), "r": (3e-6, 0.0), "free": (2e-6, 0.0)}
    clocked = {"gate": 4, "r": 4}
    powers = Powers(quiet, quiet, {"gate": 1e-6})
    found = combine(powers, Activity(10, {}, {}, {}, 0, clocked))
    assert 1000 * found.clock_pj == pytest.approx(0.4 * 8 + 0.6 * 1 + 2)
    assert found.toggle_pj == 0
