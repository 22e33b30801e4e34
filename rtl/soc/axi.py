"""`cosign_top`: the core with AXI4-Lite control and AXI4-Stream data, as a SoC takes it."""

from amaranth import Cat, ClockDomain, Instance, Module, Mux, Signal
from amaranth.hdl import ClockSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from rtl import core
from rtl.config import CoreConfig
from rtl.soc.axilite import axi_lite
from rtl.soc.packets import LayerPackets, MapPackets
from rtl.soc.registerfile import RegisterFile

MODULE = "cosign_top"
RESET_CYCLES = 8


def stream_bits(config: CoreConfig) -> dict[str, int]:
    """Bits of the words of each stream; its TDATA has these lowest."""
    return {
        "s_axis_acts": config.act_bits * config.act_word_bytes * config.tiles,
        "s_axis_weights": config.stream_bits,
        "s_axis_biases": config.bias_bits,
        "m_axis_out": config.act_bits * config.drain * config.tiles,
    }


def tdata_bits(bits: int, padded: bool) -> int:
    """Bits of the TDATA of a stream's words: whole bytes, `padded` to a power of two of them."""
    bytes_ = -(-bits // 8)
    return 8 * (1 << (bytes_ - 1).bit_length() if padded else bytes_)


def ports(config: CoreConfig, padded: bool) -> dict[str, wiring.Member]:
    """The ports of the top, under the names that AXI tools look for; `padded` as `tdata_bits` has
    it."""
    found: dict[str, wiring.Member] = {"aclk": In(1), "aresetn": In(1), **axi_lite("s_axi")}
    for name, bits in stream_bits(config).items():
        there, back = (Out, In) if name.startswith("m") else (In, Out)
        found |= {f"{name}_tdata": there(tdata_bits(bits, padded)), f"{name}_tlast": there(1)}
        found |= {f"{name}_tvalid": there(1), f"{name}_tready": back(1)}
    return found | {"interrupt": Out(1)}


class AxiTop(wiring.Component):
    """The core behind AXI. Registers: `rtl.soc.registers`; packets: `rtl.soc.packets`.

    A start takes a packet of each input stream and gives one on `m_axis_out`, in any case: a layer
    that the core gives up, or that a soft reset ends, closes it with a word of zeros. `done` comes
    when its last word was taken.

    padded : TDATA of every stream is as wide as the next power of two of bytes. What lies above a
        word is ignored at the inputs, and zero at the output.
    """

    def __init__(self, config: CoreConfig, padded: bool = False):
        self._config = config
        super().__init__(ports(config, padded))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.domains.sync = domain = ClockDomain("sync")
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        m.submodules.registers = registers = RegisterFile(config)
        for name, member in {**axi_lite("s_axi"), "interrupt": Out(1)}.items():
            inner, outer = getattr(registers, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)

        # Reset of the core: some cycles, because its broadcast trees have none.
        resetting = Signal()
        left = Signal(range(RESET_CYCLES + 1), init=RESET_CYCLES)
        m.d.comb += resetting.eq(left != 0)
        with m.If(registers.reset):
            m.d.sync += left.eq(RESET_CYCLES)
        with m.Elif(resetting):
            m.d.sync += left.eq(left - 1)
        m.submodules.core = machine = CoreInstance(config, resetting)
        connect(m, registers.layer, machine.layer)
        m.d.sync += machine.start.eq(registers.start)

        # From the start on the layer is `active`; the core has `ended`; its last word was `sent`.
        active, ended, aborted, finish = Signal(), Signal(), Signal(), Signal()
        # The core still offers what it had when its reset begins.
        closed = ended | registers.reset | resetting
        sent = self._output(m, machine, registers, ended, closed)
        core_ends = Signal()
        m.d.comb += [
            core_ends.eq(machine.done & active & ~ended),
            finish.eq(ended & sent & (~self.m_axis_out_tvalid | self.m_axis_out_tready)),
            registers.ended.eq(finish & ~aborted & ~registers.reset),
            registers.working.eq(machine.busy),
            registers.events.eq(machine.events),
        ]
        with m.If(finish | registers.clear):
            m.d.sync += [active.eq(0), ended.eq(0)]
        with m.Elif(core_ends | (registers.reset & active)):
            m.d.sync += [ended.eq(1), aborted.eq(registers.reset)]
        with m.If(registers.start):
            m.d.sync += [active.eq(1), aborted.eq(0)]

        maps, weights, biases = self._inputs(m, machine)
        inputs = (weights, biases, maps)
        failed = machine.error.any()
        live = active & ~ended & ~failed & ~registers.reset
        for packets in (weights, biases):
            m.d.comb += [
                packets.start.eq(registers.start),
                packets.live.eq(live),
                packets.ends.eq(core_ends | registers.reset),
                packets.clear.eq(registers.clear),
            ]
        m.d.comb += [
            maps.waiting.eq(machine.events.waiting),
            maps.live.eq(~resetting & ~registers.reset),
            maps.reset.eq(registers.reset),
            maps.clear.eq(registers.clear),
            registers.busy.eq(active | resetting | ~Cat(p.room for p in inputs).all()),
            registers.discarding.eq(Cat(p.discarding for p in inputs)),
            registers.core_errors.eq(Mux(core_ends, machine.error, 0)),
            registers.stream_errors.eq(
                Cat(
                    bit
                    for p in (weights, biases)
                    for bit in (p.short, core_ends & p.open & ~failed)
                )
            ),
        ]
        return m

    def _inputs(
        self, m: Module, machine: core.Core
    ) -> tuple[MapPackets, LayerPackets, LayerPackets]:
        """The input streams, each through its packets to the core."""
        bits = stream_bits(self._config)
        maps = MapPackets(bits["s_axis_acts"], self._config.act_depth)
        weights, biases = (LayerPackets(bits[f"s_axis_{name}"]) for name in ("weights", "biases"))
        for name, packets, sink in (
            ("acts", maps, machine.i_acts),
            ("weights", weights, machine.i_weights),
            ("biases", biases, machine.i_biases),
        ):
            m.submodules[name] = packets
            tdata, tlast, tvalid, tready = (
                getattr(self, f"s_axis_{name}_{end}")
                for end in ("tdata", "tlast", "tvalid", "tready")
            )
            last = [packets.i_last] if name == "acts" else []
            m.d.comb += [
                packets.i.payload.eq(tdata),
                packets.i.valid.eq(tvalid),
                packets.i_last.eq(tlast),
                tready.eq(packets.i.ready),
                sink.payload.eq(Cat(packets.o.payload, *last)),
                sink.valid.eq(packets.o.valid),
                packets.o.ready.eq(sink.ready),
            ]
        return maps, weights, biases

    def _output(
        self,
        m: Module,
        machine: core.Core,
        registers: RegisterFile,
        ended: Signal,
        closed: Value,
    ) -> Signal:
        """A register that holds a word until it is taken, whatever happens to the core. While
        `closed`, it takes none of the core's. Returns whether the layer's last word was put into
        it."""
        sent, free = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.m_axis_out_tvalid | self.m_axis_out_tready),
            machine.o.ready.eq(free & ~closed),
        ]
        with m.If(registers.start):
            m.d.sync += sent.eq(0)
        with m.If(free):
            m.d.sync += self.m_axis_out_tvalid.eq(0)
            with m.If(machine.o.ready & machine.o.valid):
                m.d.sync += [
                    self.m_axis_out_tvalid.eq(1),
                    self.m_axis_out_tdata.eq(machine.o.payload),
                    self.m_axis_out_tlast.eq(machine.o_last),
                    sent.eq(machine.o_last),
                ]
            with m.Elif(ended & ~sent):
                m.d.sync += [
                    self.m_axis_out_tvalid.eq(1),
                    self.m_axis_out_tdata.eq(0),
                    self.m_axis_out_tlast.eq(1),
                    sent.eq(1),
                ]
        with m.If(registers.clear):
            m.d.sync += self.m_axis_out_tvalid.eq(0)
        return sent


class CoreInstance(core.Core):
    """The core as a module that is defined elsewhere, reset by `reset`."""

    def __init__(self, config: CoreConfig, reset: Signal):
        super().__init__(config)
        self._reset = reset

    def elaborate(self, platform: object) -> Instance:
        pins = {
            f"{'i' if member.flow == In else 'o'}_{'__'.join(path)}": value
            for path, member, value in self.signature.flatten(self)
        }
        return Instance(core.MODULE, i_clk=ClockSignal(), i_rst=self._reset, **pins)
