"""A replayed netlist against a slow evaluation of the same gates."""

from pathlib import Path

import numpy as np
import pytest

from cosign import CosignError
from synth.pdk import find_pdk
from synth.replay import Activity, replay

LIBRARY = find_pdk().library
COUNTER = """\
module cosign_core (clk, rst, up, q, z);
  input clk;
  input rst;
  input up;
  output [1:0] q;
  output z;
  wire n1;
  wire n2;
  wire n3;
  wire n4;
  wire n5;
  assign q[0] = n1;
  assign q[1] = n2;
  XOR2_X1 low (.A(n1), .B(up), .Z(n3));
  AND2_X1 carry (.A1(n1), .A2(up), .ZN(n4));
  XOR2_X1 high (.A(n2), .B(n4), .Z(n5));
  NOR2_X1 none (.A1(n1), .A2(n2), .ZN(z));
  DFF_X1 r0 (.CK(clk), .D(n3), .Q(n1));
  DFF_X1 r1 (.CK(clk), .D(n5), .Q(n2));
endmodule
"""


def run(path: Path, up: np.ndarray, start: int = 0) -> Activity:
    path.write_text(COUNTER)
    before = np.concatenate([[0], np.cumsum(up)[:-1]]) % 4
    q = np.stack([before & 1, before >> 1], axis=1).astype(np.uint8)
    ports = {"rst": np.zeros((len(up), 1), np.uint8), "up": up[:, None].astype(np.uint8)}
    outputs = {"q": q, "z": (before == 0)[:, None].astype(np.uint8)}
    return replay(path, LIBRARY, ports, outputs, start)


@pytest.mark.parametrize("start", [1, 7])
def test_toggles_are_counted(tmp_path: Path, start: int) -> None:
    up = np.random.default_rng(0).integers(0, 2, 200)
    activity = run(tmp_path / "netlist.v", up, start)
    count = np.concatenate([[0], np.cumsum(up)[:-1]]) % 4
    for pin, values in {
        "r0/Q": count & 1,
        "r1/Q": count >> 1,
        "low/Z": (count & 1) ^ up,
        "carry/ZN": (count & 1) & up,
        "none/ZN": count == 0,
    }.items():
        bits = values.astype(int)
        toggles = int(np.abs(np.diff(bits))[start - 1 :].sum())
        assert activity.pins[pin] == (toggles, int(bits[start:].sum()))
    assert activity.ports["up"][1] == up[start:].sum()
    assert activity.cycles == 200 - start
    assert activity.checked == 3 * 200


def test_a_netlist_that_differs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "netlist.v"
    path.write_text(COUNTER.replace("XOR2_X1 high", "XNOR2_X1 high").replace(".Z(n5)", ".ZN(n5)"))
    zeros = np.zeros((5, 1), np.uint8)
    with pytest.raises(CosignError, match="differ in cycle 1, output bit 1"):
        replay(path, LIBRARY, {"rst": zeros, "up": zeros}, {"q": np.zeros((5, 2), np.uint8)})


def test_a_window_behind_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="none after cycle 9"):
        run(tmp_path / "netlist.v", np.ones(4, int), 9)


def test_an_array_of_another_type_never_reaches_the_c_loop(tmp_path: Path) -> None:
    path = tmp_path / "netlist.v"
    path.write_text(COUNTER)
    zeros = np.zeros((5, 1), np.uint8)
    with pytest.raises(TypeError, match="incompatible types"):
        replay(path, LIBRARY, {"rst": zeros, "up": zeros.astype(np.int64)}, {"z": zeros})
