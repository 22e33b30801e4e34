"""Front end of the sparse core with a bitmask: a bit per column tells which weights are stored."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from rtl import sram
from rtl.activation import advance
from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import Error
from rtl.sequence import Front, Sequencer
from rtl.sparse import level_of
from rtl.timing import ACT_EDGE, ADDRESS_EDGE
from rtl.weights import Ahead, DoubleBuffer, Router, TapTable


class BitmaskFront(Front):
    """Masks and levels in separate buffers; one set bit a cycle. Ports: `front_signature`."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        layer = self.layer
        m.submodules.router = router = Router(config)
        m.submodules.masks = masks = DoubleBuffer(config.mask_depth, config.mask_bits)
        m.submodules.levels = levels = DoubleBuffer(config.weight_depth, config.entry_bits)
        m.submodules.ahead = ahead = Ahead(config.mask_depth)
        m.submodules.decoder = decoder = MaskDecoder(config)
        m.submodules.sequencer = sequencer = Sequencer(config, config.weight_depth)
        m.submodules.table = table = TapTable(config)
        self.wire(m, router, sequencer)
        connect(m, router.masks, masks.i)
        for part in (masks, ahead, decoder):
            m.d.comb += part.start.eq(self.start)
        length = Mux(sequencer.side, levels.lengths[1], levels.lengths[0])
        there = self.replay(m, router, levels, sequencer)
        m.d.comb += [
            router.last_slot.eq(layer.last_slot),
            router.masks_end.eq(masks.write_pointer == layer.last_mask),
            router.ends.eq(self.i.payload[-1]),
            masks.enable.eq(router.enable),
            masks.ends.eq(router.masks_end),
            masks.release.eq(sequencer.release),
            ahead.last_tile.eq(layer.last_tile),
            ahead.ready.eq(masks.ready),
            ahead.release.eq(sequencer.release),
            masks.read.eq(ahead.read),
            masks.side.eq(ahead.side),
            masks.pointer.eq(ahead.pointer),
            ahead.take.eq(decoder.take),
            decoder.i_valid.eq(ahead.valid),
            decoder.i_last.eq(ahead.last),
            decoder.i_mask.eq(masks.word),
            decoder.last_in_period.eq(layer.last_in_period),
            decoder.period_step.eq(layer.period_step),
            decoder.issue.eq(sequencer.issue),
            sequencer.ready.eq(decoder.valid & there),
            sequencer.at_last.eq(decoder.last),
            sequencer.step.eq(decoder.present),
            table.write.eq(router.slot_valid),
            table.write_slot.eq(router.slot),
            table.offset.eq(self.i.payload),
            table.issue.eq(sequencer.issue),
            table.slot.eq(decoder.slot),
            table.base.eq(sequencer.base),
            table.period.eq(decoder.period),
            table.missing.eq(delay(m, decoder.slot, 1, "slot", reset_less=True) > layer.last_slot),
            self.valid.eq(table.valid),
            self.address.eq(table.address),
        ]
        for i, n in enumerate(ahead.lengths):
            m.d.comb += n.eq(masks.lengths[i])

        present = delay(m, sequencer.issue & decoder.present, 2, "present")
        code = delay(m, levels.word, 1, "code", reset_less=True)
        weight = Signal(self.operands[0].shape())
        m.d.sync += weight.eq(Mux(present, level_of(m, code, "code"), 0))
        # A filter without weights has a level that nothing reads, so that its buffer is filled.
        used = sequencer.pointer + decoder.present
        wrong = (used != length + 1) & (used.any() | length.any())
        m.d.comb += [
            self.operands[0].eq(delay(m, weight, ACT_EDGE - 2 - ADDRESS_EDGE, "weight")),
            self.nonzeros.eq(weight.any()),
            self.fillers.eq(table.valid & ~weight.any()),
            self.fault[Error.WEIGHTS].eq(levels.overflow | masks.overflow),
            self.fault[Error.ADDRESS].eq(weight.any() & table.beyond),
            self.fault[Error.LEVELS].eq(sequencer.last & wrong),
        ]
        return m


class MaskDecoder(wiring.Component):
    """Mask words to table slots, lowest bit first, one an `issue`.

    A word holds `mask_bits` columns, bit n at slot word_in_period * 2**k + n of the table (k bits
    hold n), which may lie behind the table's end; after a period of words the table is moved by
    `period_step`. A word without bits takes
    one issue that is not `present`. `last` marks the last issue of a filter. Words come from
    `i_mask`, taken with `take`.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        slot_bits = sram.address_bits(config.tap_depth)
        super().__init__(
            {
                "start": In(1),
                "last_in_period": In(slot_bits),
                "period_step": In(config.address_bits),
                "i_mask": In(config.mask_bits),
                "i_last": In(1),
                "i_valid": In(1),
                "take": Out(1),
                "issue": In(1),
                "valid": Out(1),
                "present": Out(1),
                "last": Out(1),
                "slot": Out(slot_bits + (config.mask_bits - 1).bit_length()),
                "period": Out(config.address_bits + 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._config.mask_bits
        mask, rest = Signal(bits), Signal(bits)
        last_word, word_ends, wraps = Signal(), Signal(), Signal()
        word = Signal(len(self.last_in_period))
        lowest = mask & ~rest
        place_bits = (bits - 1).bit_length()
        place = Signal(place_bits)
        m.d.comb += [
            rest.eq(mask & (mask - 1)),
            word_ends.eq(~rest.any()),
            self.present.eq(mask.any()),
            self.last.eq(last_word & word_ends),
            self.take.eq(self.i_valid & (~self.valid | (self.issue & word_ends))),
            place.eq(Cat(_any(lowest, bit) for bit in range(place_bits))),
            self.slot.eq(Cat(place, word)),
            wraps.eq(word == self.last_in_period),
        ]
        with m.If(self.issue):
            m.d.sync += mask.eq(rest)
            with m.If(word_ends):
                m.d.sync += self.valid.eq(0)
                with m.If(self.last):
                    m.d.sync += [word.eq(0), self.period.eq(0)]
                with m.Elif(wraps):
                    m.d.sync += [word.eq(0), self.period.eq(advance(self.period, self.period_step))]
                with m.Else():
                    m.d.sync += word.eq(word + 1)
        with m.If(self.take):
            m.d.sync += [mask.eq(self.i_mask), last_word.eq(self.i_last), self.valid.eq(1)]
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (self.valid, word, self.period)]
        return m


def _any(one_hot: Value, bit: int) -> Value:
    """Bit `bit` of the place of the set bit."""
    return Cat(one_hot[n] for n in range(len(one_hot)) if n >> bit & 1).any()
