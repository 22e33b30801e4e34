"""Broadcast: registered trees, and plain delays.

Mapping does not size a flip-flop for its fan-out, so a register that drives hundreds of loads is
the critical path. A broadcast therefore goes through a tree of register copies. Synthesis
merges registers that are equal, so every copy is a module of its own marked `keep_hierarchy`;
simulators flatten it as they like.
"""

from amaranth import Instance, Module, Signal, Value
from amaranth.hdl import ClockSignal, ValueCastable

MODULE = "cosign_replica"
BRANCHES = 16

VERILOG = f"""\
// A register copy for one group of loads; kept apart so that synthesis does not merge the copies.
(* keep_hierarchy *)
module {MODULE} #(
    parameter WIDTH = 1
) (
    input  wire clk,
    input  wire [WIDTH-1:0] d,
    output reg  [WIDTH-1:0] q
);
  always @(posedge clk) q <= d;
endmodule
"""


def register_copy(m: Module, value: Value, name: str) -> Signal:
    """One copy of `value` that synthesis keeps, one cycle later, without reset."""
    copy = Signal(value.shape(), name=name)
    m.submodules += Instance(MODULE, p_WIDTH=len(value), i_clk=ClockSignal(), i_d=value, o_q=copy)
    return copy


def tree(m: Module, value: Value, leaves: int, name: str) -> list[Signal]:
    """`leaves` copies of `value`, two cycles later. They have no reset."""
    stems = [register_copy(m, value, f"{name}_stem_{n}") for n in range(-(-leaves // BRANCHES))]
    return [register_copy(m, stems[n // BRANCHES], f"{name}_leaf_{n}") for n in range(leaves)]


def delay(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = False) -> Value:
    """`value`, `cycles` clock cycles later; control needs the reset, data doesn't."""
    assert not isinstance(value, ValueCastable)
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{stage + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
