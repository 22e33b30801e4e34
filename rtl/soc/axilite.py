"""AXI4-Lite to a plain register port."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.soc.registers import ADDRESS_BITS

OKAY, SLVERR = 0, 2


def axi_lite(prefix: str) -> dict[str, wiring.Member]:
    """Ports of a 32-bit AXI4-Lite slave under the names that AXI tools look for."""
    ports: dict[str, wiring.Member] = {}
    for channel in ("aw", "ar"):
        ports |= {f"{channel}addr": In(ADDRESS_BITS), f"{channel}prot": In(3)}
        ports |= {f"{channel}valid": In(1), f"{channel}ready": Out(1)}
    ports |= {"wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1)}
    ports |= {"bresp": Out(2), "bvalid": Out(1), "bready": In(1)}
    ports |= {"rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1)}
    return {f"{prefix}_{name}": port for name, port in ports.items()}


class AxiLite(wiring.Component):
    """AXI4-Lite slave `s_axi`, one read and one write at a time.

    Address and data of a write may come in any order. A write lasts for the cycle of `write`:
    `write_index` is the word's number, `write_mask` has the bits of the strobed bytes. The register
    behind `read_index` is to be in `read_data` at once. `write_ok` and `read_ok` tell whether there
    is such a register; if not, the answer is SLVERR. `read` is high in the cycle whose value the
    answer has.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **axi_lite("s_axi"),
                "write": Out(1),
                "write_index": Out(ADDRESS_BITS - 2),
                "write_data": Out(32),
                "write_mask": Out(32),
                "write_ok": In(1),
                "read": Out(1),
                "read_index": Out(ADDRESS_BITS - 2),
                "read_data": In(32),
                "read_ok": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        addressed, filled = Signal(), Signal()  # a write's address, its data are here
        strobes = Signal(4)
        m.d.comb += [
            self.s_axi_awready.eq(~addressed),
            self.s_axi_wready.eq(~filled),
            self.write.eq(addressed & filled & (~self.s_axi_bvalid | self.s_axi_bready)),
            self.write_mask.eq(Cat(strobe.replicate(8) for strobe in strobes)),
        ]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(self.write):
            m.d.sync += [
                addressed.eq(0),
                filled.eq(0),
                self.s_axi_bvalid.eq(1),
                self.s_axi_bresp.eq(Mux(self.write_ok, OKAY, SLVERR)),
            ]
        with m.If(self.s_axi_awvalid & self.s_axi_awready):
            m.d.sync += [addressed.eq(1), self.write_index.eq(self.s_axi_awaddr[2:])]
        with m.If(self.s_axi_wvalid & self.s_axi_wready):
            m.d.sync += [
                filled.eq(1),
                self.write_data.eq(self.s_axi_wdata),
                strobes.eq(self.s_axi_wstrb),
            ]

        m.d.comb += [
            self.s_axi_arready.eq(~self.s_axi_rvalid),
            self.read_index.eq(self.s_axi_araddr[2:]),
            self.read.eq(self.s_axi_arvalid & self.s_axi_arready),
        ]
        with m.If(self.s_axi_rvalid & self.s_axi_rready):
            m.d.sync += self.s_axi_rvalid.eq(0)
        with m.If(self.read):
            m.d.sync += [
                self.s_axi_rvalid.eq(1),
                self.s_axi_rdata.eq(Mux(self.read_ok, self.read_data, 0)),
                self.s_axi_rresp.eq(Mux(self.read_ok, OKAY, SLVERR)),
            ]
        return m
