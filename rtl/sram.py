"""The memories of a core: single-port macros, told apart from logic.

A macro `cosign_sram_<words>x<bits>` has one port and a registered read: on a rising clock edge
with `ce`, a word is written (`we`) or read; `q` holds the word that was last read. Synthesis treats
the modules as black boxes with a Liberty model; simulation uses the behavioural text below.
"""

from dataclasses import dataclass

from amaranth import Instance, Value
from amaranth.hdl import ClockSignal

from rtl.config import CoreConfig


@dataclass(frozen=True)
class Macro:
    """One kind of SRAM in a core: `count` macros of `words` x `bits`; purpose says what for."""

    purpose: str
    words: int
    bits: int
    count: int

    @property
    def name(self) -> str:
        return name(self.words, self.bits)


def name(words: int, bits: int) -> str:
    """Module name of the macro."""
    return f"cosign_sram_{words}x{bits}"


def macros(config: CoreConfig) -> tuple[Macro, ...]:
    """The SRAMs of the core: "activation" banks, "weight" buffers, and "index" memories (mask
    buffers, table of tap addresses, each once for every stream) where the core has them."""
    banks = config.act_banks * config.act_buffers * config.memories
    activation = Macro("activation", config.act_depth, config.act_bits * config.bank_bytes, banks)
    depths = config.weight_depth, config.mask_depth, config.tap_depth
    return (activation, *stream_macros(config, *depths))


def stream_macros(
    config: CoreConfig, weight_depth: int, mask_depth: int, tap_depth: int
) -> list[Macro]:
    """Those that the weight stream of `config` fills, with other depths."""
    rows = config.filters if config.core == "sparse-rows" else 1
    found = [Macro("weight", weight_depth, config.entry_bits, 2 * rows)]
    if config.masked:
        bits = config.mask_word_bits // config.streams
        found.append(Macro("index", mask_depth, bits, 2 * config.streams))
    if config.table:
        found.append(Macro("index", tap_depth, config.address_bits, config.streams))
    return found


def address_bits(words: int) -> int:
    """Width of the address port."""
    return max(1, (words - 1).bit_length())


def instance(
    words: int, bits: int, *, ce: Value, we: Value, addr: Value, d: Value, q: Value
) -> Instance:
    """An Amaranth instance of the macro on the sync clock."""
    return Instance(
        name(words, bits),
        i_clk=ClockSignal(),
        i_ce=ce,
        i_we=we,
        i_addr=addr,
        i_d=d,
        o_q=q,
    )


def behavioural(words: int, bits: int) -> str:
    """Verilog of the macro for simulation, and for FPGAs.

    Simulated, words that were never written are zero, and so is what is read past the last word, so
    that no X of a four-state simulator gets into a sum; synthesis sees neither.
    """
    past_the_end = f"""\
`ifndef SYNTHESIS
      if (!we && addr >= {words}) q <= 0;
`endif
"""
    return f"""\
// Single-port SRAM, {words} words of {bits} bits, registered read. For simulation only.
module {name(words, bits)} (
    input  wire clk,
    input  wire ce,
    input  wire we,
    input  wire [{address_bits(words) - 1}:0] addr,
    input  wire [{bits - 1}:0] d,
    output reg  [{bits - 1}:0] q
);
  reg [{bits - 1}:0] mem [0:{words - 1}];
`ifndef SYNTHESIS
  initial begin : zeros
    integer n;
    for (n = 0; n < {words}; n = n + 1) mem[n] = 0;
    q = 0;
  end
`endif
  always @(posedge clk)
    if (ce) begin
      if (we) mem[addr] <= d;
      else q <= mem[addr];
{past_the_end * bool(words & (words - 1))}\
    end
endmodule
"""
