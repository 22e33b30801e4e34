"""Front end of the dense cores: loop counters walk through every (c, r, s) of a filter."""

import enum

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import pattern
from rtl.activation import outside
from rtl.config import COUNT_BITS, CoreConfig
from rtl.fanout import delay
from rtl.fields import STEPS
from rtl.layer import Error, descriptor
from rtl.sequence import Front, Sequencer
from rtl.timing import ADDRESS_EDGE, read_late
from rtl.weights import DoubleBuffer, Router


class TapFront(Front):
    """What dense front ends share: `address` walks through the taps that `sequencer` issues."""

    def walk(
        self,
        m: Module,
        sequencer: Sequencer,
        address: "DenseAddress",
        ready: Value,
        overflow: Value,
    ) -> None:
        """Issue tap after tap while the weights are `ready`; `overflow` is their error."""
        m.d.comb += [
            sequencer.ready.eq(ready),
            sequencer.at_last.eq(address.at_last),
            address.start.eq(self.start),
            address.issue.eq(sequencer.issue),
            address.first.eq(sequencer.first),
            address.base.eq(sequencer.base),
            self.valid.eq(address.valid),
            self.address.eq(address.address),
            self.fault[Error.WEIGHTS].eq(overflow),
            self.fault[Error.ADDRESS].eq(address.valid & address.beyond),
        ]


AT_ONCE = 24
"""Operands whose weights are counted in one cycle; for more, counting would set the clock."""


class DenseFront(TapFront):
    """A word of weights, one for each filter, for every tap in turn. Ports: `front_signature`."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        late = read_late(config)  # just in time for the broadcast tree
        m.submodules.router = router = Router(config)
        m.submodules.buffer = buffer = DoubleBuffer(config.weight_depth, config.entry_bits, late)
        m.submodules.sequencer = sequencer = Sequencer(config, config.weight_depth)
        m.submodules.address = address = DenseAddress(config)
        self.wire(m, router, sequencer)
        connect(m, flipped(self.layer), address.layer)
        ready = self.replay(m, router, buffer, sequencer)
        m.d.comb += router.ends.eq(buffer.write_pointer == self.layer.last_word)
        self.walk(m, sequencer, address, ready, buffer.overflow)
        issued = delay(m, self.valid, late - ADDRESS_EDGE, "issued")
        sent, levels = self._send(m, buffer.word, issued)
        present, counted = Signal(len(levels)), delay(m, sent, 1, "counted")
        for n, level in enumerate(levels):
            m.d.sync += present[n].eq(level.any())
        found = Value.cast(sum(present))
        if len(levels) > AT_ONCE:
            found, counted = delay(m, found, 1, "found"), delay(m, counted, 1, "counted_late")
        m.d.comb += [
            self.nonzeros.eq(found),
            self.fillers.eq(Mux(counted, len(levels), 0) - found),
        ]
        return m

    def _send(self, m: Module, word: Value, issued: Value) -> tuple[Value, list[Value]]:
        """A word to the operands; returns whether they are of an entry, and their levels."""
        for n, operand in enumerate(self.operands):
            level = word.word_select(n, self._config.operand_bits)
            m.d.comb += operand.eq(Mux(issued, level, 0))
        return issued, list(self.operands)


class StructuredFront(DenseFront):
    """The same for `sparse-nm`: a filter's part of a word is `nm_keep` levels and the number of
    their pattern, which becomes the operands' selects a cycle before both are sent."""

    def _send(self, m: Module, word: Value, issued: Value) -> tuple[Value, list[Value]]:
        config, levels = self._config, []
        patterns = pattern.choices(config.nm_keep, config.nm_group)
        for n, operand in enumerate(self.operands):
            part = word.word_select(n, config.filter_bits)
            width = config.keep * config.operand_bits
            m.d.sync += operand[:width].eq(Mux(issued, part[:width], 0))
            if len(patterns) > 1:
                selects = [
                    Cat(
                        Const(channel - k, config.select_bits) for k, channel in enumerate(channels)
                    )
                    for channels in patterns
                ]
                m.d.sync += operand[width:].eq(Array(selects)[part[width:]])
            levels += [operand.word_select(k, config.operand_bits) for k in range(config.keep)]
        return delay(m, issued, 1, "sent"), levels


class Step(enum.IntEnum):
    """What was left behind by the previous tap: which step leads to the next one."""

    COLUMN = 0
    PHASE_X = 1
    ROW = 2
    PHASE_Y = 3
    CHANNEL = 4


class DenseAddress(wiring.Component):
    """Loop counters: the addresses of every tap, columns inside rows inside channels.

    `at_last` is high when the next entry to issue is the last tap. `address` is ready after
    edge 2, and `beyond`: it is not in the activation memory. Only the first tap that is not is sure
    to be told.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "issue": In(1),
                "first": In(1),
                "base": In(config.address_bits + 1),
                "at_last": Out(1),
                "valid": Out(1),
                "address": Out(config.address_bits),
                "beyond": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self.layer
        column, row, phase_x, phase_y = (Signal(8, name=n) for n in ("s", "r", "ps", "pr"))
        channel = Signal(COUNT_BITS, name="c")
        step = Signal(Step)
        ends_row = column == layer.last_column
        ends_channel = row == layer.last_row
        wraps_x = phase_x == layer.last_phase_x
        wraps_y = phase_y == layer.last_phase_y
        m.d.comb += self.at_last.eq(ends_row & ends_channel & (channel == layer.last_channel))
        with m.If(self.issue):
            with m.If(~ends_row):
                m.d.sync += [
                    column.eq(column + 1),
                    phase_x.eq(Mux(wraps_x, 0, phase_x + 1)),
                    step.eq(Mux(wraps_x, Step.PHASE_X, Step.COLUMN)),
                ]
            with m.Else():
                m.d.sync += [column.eq(0), phase_x.eq(0)]
                with m.If(~ends_channel):
                    m.d.sync += [
                        row.eq(row + 1),
                        phase_y.eq(Mux(wraps_y, 0, phase_y + 1)),
                        step.eq(Mux(wraps_y, Step.PHASE_Y, Step.ROW)),
                    ]
                with m.Else():
                    m.d.sync += [
                        row.eq(0),
                        phase_y.eq(0),
                        channel.eq(Mux(self.at_last, 0, channel + 1)),
                        step.eq(Step.CHANNEL),
                    ]
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (column, row, phase_x, phase_y, channel)]

        steps = Array(getattr(layer, f"step_{name}") for name in STEPS)
        issued = delay(m, self.issue, 2, "issued")
        first = delay(m, self.first, 2, "first", reset_less=True)
        base = delay(m, self.base, 2, "base", reset_less=True)
        kind = delay(m, step, 1, "kind", reset_less=True)
        # A step may go back, and has a sign: one from an address of the memory to a place that is
        # none gives a sum with the top bit set, or behind the last row.
        reached = Signal(len(base))
        increment = Signal(len(base), reset_less=True)
        m.d.sync += increment.eq(steps[kind])
        with m.If(issued):
            m.d.sync += reached.eq(Mux(first, base, reached + increment))
        m.d.sync += self.valid.eq(issued)
        m.d.comb += [self.address.eq(reached), self.beyond.eq(outside(self._config, reached))]
        return m
