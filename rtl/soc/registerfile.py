"""The registers of the SoC top behind AXI4-Lite: descriptor, control, status and counters."""

from collections.abc import Callable

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig
from rtl.layer import Error, descriptor, events
from rtl.soc.axilite import AxiLite, axi_lite
from rtl.soc.registers import (
    CORE_ERRORS_AT,
    COUNTER_BITS,
    COUNTERS,
    STREAM_ERRORS,
    STREAM_ERRORS_AT,
    register_map,
)


class RegisterFile(wiring.Component):
    """All of `register_map`. `layer` is a copy of the descriptor that a start makes.

    start, reset, clear : a start that was accepted, a soft reset, one that also clears the streams
    busy : starts are refused
    ended : the layer has ended (a pulse); `core_errors` and `stream_errors` are set bit by bit
    discarding : of weights, biases, activations
    working, events : what the counters count
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                **axi_lite("s_axi"),
                "interrupt": Out(1),
                "layer": Out(descriptor(config)),
                "start": Out(1),
                "reset": Out(1),
                "clear": Out(1),
                "busy": In(1),
                "ended": In(1),
                "core_errors": In(len(Error)),
                "stream_errors": In(len(STREAM_ERRORS) - 1),  # but for start_busy
                "discarding": In(3),
                "working": In(1),
                "events": In(events(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slave = slave = AxiLite()
        for name, member in axi_lite("s_axi").items():
            inner, outer = getattr(slave, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        registers = register_map(self._config)
        written = Signal(32)  # the ones among the strobed bits
        m.d.comb += written.eq(slave.write_data & slave.write_mask)

        def writes(name: str) -> Value:
            return slave.write & (slave.write_index == registers[name].offset // 4)

        def reads(name: str) -> Value:
            return slave.read & (slave.read_index == registers[name].offset // 4)

        values: dict[str, Value] = self._counters(m, reads)
        values |= self._control(m, writes("control"), written, slave.write_mask)
        values |= self._status(m, writes("status"), written)
        for name, member in descriptor(self._config).members.items():
            held = Signal(member.shape, name=f"next_{name}")
            values[f"layer_{name}"] = held
            mask = slave.write_mask
            with m.If(writes(f"layer_{name}")):
                m.d.sync += held.eq((held & ~mask) | written)
            with m.If(self.start):
                m.d.sync += getattr(self.layer, name).eq(held)

        with m.Switch(slave.read_index):
            for name, register in registers.items():
                with m.Case(register.offset // 4):
                    value = values[name] if register.value is None else register.value
                    m.d.comb += [slave.read_data.eq(value), slave.read_ok.eq(1)]
        writable = [r.offset // 4 for r in registers.values() if r.writable]
        m.d.comb += slave.write_ok.eq(slave.write_index.matches(*writable))
        return m

    def _control(self, m: Module, write: Value, written: Value, mask: Value) -> dict[str, Value]:
        enable = Signal()
        started = Signal()
        m.d.comb += [
            started.eq(write & written[0]),
            self.reset.eq(write & written[2]),
            self.clear.eq(self.reset & written[3]),
            self.start.eq(started & ~self.busy & ~self.reset),
        ]
        with m.If(write & mask[1]):
            m.d.sync += enable.eq(written[1])
        self._enable, self._refused = enable, started & ~self.start
        return {"control": enable << 1}

    def _status(self, m: Module, write: Value, written: Value) -> dict[str, Value]:
        done = Signal()
        core_errors, stream_errors = Signal(len(Error)), Signal(len(STREAM_ERRORS))
        happened = Cat(self.stream_errors, self._refused)
        for held, low, news in (
            (done, 1, self.ended),
            (core_errors, CORE_ERRORS_AT, self.core_errors),
            (stream_errors, STREAM_ERRORS_AT, happened),
        ):
            cleared = write.replicate(len(held)) & written[low : low + len(held)]
            kept = held & ~cleared & ~self.start.replicate(len(held))
            m.d.sync += held.eq(kept | news)
        m.d.comb += self.interrupt.eq(done & self._enable)
        status = Signal(32)
        m.d.comb += [
            status[0].eq(self.busy),
            status[1].eq(done),
            status[4:7].eq(self.discarding),
            status[CORE_ERRORS_AT : CORE_ERRORS_AT + len(Error)].eq(core_errors),
            status[STREAM_ERRORS_AT : STREAM_ERRORS_AT + len(STREAM_ERRORS)].eq(stream_errors),
        ]
        return {"status": status}

    def _counters(self, m: Module, reads: Callable[[str], Value]) -> dict[str, Value]:
        """A counter goes on while it is read: the high part is that of the moment in which the low
        half was."""
        values: dict[str, Value] = {}
        for name in COUNTERS:
            step = self.working if name == "busy" else getattr(self.events, name)
            count = Signal(COUNTER_BITS, name=f"count_{name}")
            m.d.sync += count.eq(count + step)
            with m.If(self.start):
                m.d.sync += count.eq(0)
            high = Signal(COUNTER_BITS - 32, name=f"high_{name}")
            with m.If(reads(f"{name}_low")):
                m.d.sync += high.eq(count[32:])
            values |= {f"{name}_low": count[:32], f"{name}_high": high}
        return values
