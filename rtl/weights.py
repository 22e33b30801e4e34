"""Weights on chip: double buffers, what reads them ahead, and what sorts the stream into them.

A pass (the weights of the filters computed together) is replayed for every tile while the next one
is loaded.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl import sram
from rtl.activation import advance, outside
from rtl.config import COUNT_BITS, CoreConfig
from rtl.fanout import delay


class DoubleBuffer(wiring.Component):
    """Two single-port memories that are filled and read alternately, starting with memory 0.

    `i` takes one word a cycle into a free memory. A pass ends with the word that comes with
    `ends`; from the next cycle on its memory is in `ready`, and `lengths` has its length less
    one. `release` frees memories that were read. While `read`, `pointer` addresses memory `side`
    and the other one rests; the word is in `word` after edge 0 + `late`, and stays there: a dense
    core needs no weight to compute an address, so it reads weights that much later instead of
    delaying them.
    `overflow` tells that a pass is longer than the memory.
    """

    def __init__(self, depth: int, bits: int, late: int = 0):
        self._depth, self._bits, self._late = depth, bits, late
        self._pointer_bits = sram.address_bits(depth)
        super().__init__(
            {
                "i": In(stream.Signature(bits)),
                "ends": In(1),
                "start": In(1),
                "enable": In(1),
                "write_pointer": Out(self._pointer_bits),
                "ready": Out(2),
                "lengths": Out(self._pointer_bits).array(2),
                "overflow": Out(1),
                "read": In(1),
                "side": In(1),
                "pointer": In(self._pointer_bits),
                "release": In(2),
                "word": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write_side, fire = Signal(), Signal()
        held = Signal(2)  # until the last read of a memory has really been made
        m.d.comb += [
            self.i.ready.eq(self.enable & ~held.bit_select(write_side, 1)),
            fire.eq(self.i.valid & self.i.ready),
            self.overflow.eq(fire & ~self.ends & (self.write_pointer == self._depth - 1)),
        ]
        with m.If(fire):
            m.d.sync += self.write_pointer.eq(Mux(self.ends, 0, self.write_pointer + 1))
            with m.If(self.ends):
                m.d.sync += write_side.eq(~write_side)

        side = delay(m, self.side, self._late, "side")
        pointer = delay(m, self.pointer, self._late, "pointer", reset_less=True)
        read = delay(m, self.read, self._late, "read")
        release = delay(m, self.release, self._late, "release")
        words = []
        for n in range(2):
            with m.If(self.release[n]):
                m.d.sync += self.ready[n].eq(0)
            with m.If(release[n]):
                m.d.sync += held[n].eq(0)
            with m.If(fire & self.ends & (write_side == n)):
                m.d.sync += [
                    self.ready[n].eq(1),
                    held[n].eq(1),
                    self.lengths[n].eq(self.write_pointer),
                ]
            word = Signal(self._bits, name=f"word_{n}")
            m.submodules[f"memory_{n}"] = sram.instance(
                self._depth,
                self._bits,
                ce=Mux(held[n], read & (side == n), fire & (write_side == n)),
                we=~held[n],
                addr=Mux(held[n], pointer, self.write_pointer),
                d=self.i.payload,
                q=word,
            )
            words.append(word)
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (write_side, self.write_pointer, self.ready, held)]
        read_side = Signal()
        with m.If(read):
            m.d.sync += read_side.eq(side)
        m.d.comb += self.word.eq(Mux(read_side, words[1], words[0]))
        return m


class Ahead(wiring.Component):
    """Read a DoubleBuffer ahead of its use: each pass once for every tile, a word a `take`.

    The buffer's `word` is good while `valid`, and the last of a pass while `last`. `release` is the
    buffer's.
    """

    def __init__(self, depth: int):
        pointer_bits = sram.address_bits(depth)
        super().__init__(
            {
                "start": In(1),
                "last_tile": In(COUNT_BITS),
                "ready": In(2),
                "lengths": In(pointer_bits).array(2),
                "release": In(2),
                "read": Out(1),
                "side": Out(1),
                "pointer": Out(pointer_bits),
                "valid": Out(1),
                "last": Out(1),
                "take": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tile = Signal(COUNT_BITS)
        done = Signal(2)  # read for the last time, and not yet released
        ends, pass_ends = Signal(), Signal()
        there = (self.ready & ~done).bit_select(self.side, 1)
        m.d.comb += [
            self.read.eq(there & (~self.valid | self.take)),
            ends.eq(self.pointer == Mux(self.side, self.lengths[1], self.lengths[0])),
            pass_ends.eq(ends & (tile == self.last_tile)),
        ]
        m.d.sync += done.eq((done | (self.read & pass_ends) << self.side) & ~self.release)
        with m.If(self.read):
            m.d.sync += [
                self.pointer.eq(Mux(ends, 0, self.pointer + 1)),
                self.valid.eq(1),
                self.last.eq(ends),
                self.side.eq(self.side ^ pass_ends),
            ]
            with m.If(ends):
                m.d.sync += tile.eq(Mux(pass_ends, 0, tile + 1))
        with m.Elif(self.take):
            m.d.sync += self.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (self.pointer, self.side, self.valid, tile, done)]
        return m


class Router(wiring.Component):
    """Sort the weight stream into the memories that it fills, in this order.

    - the table of tap addresses, words 0..`last_slot` (cores with a table)
    - for each pass: mask words until `masks_end` (bitmask), then weights until `ends`, in
      `sparse-rows` once for each of the filters' buffers

    Each part takes a word's lowest bits. `masks_end` and `ends` qualify the word on offer.
    The stream stops after pass `last_pass`.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        self._buffers = config.filters if config.core == "sparse-rows" else 1
        slot_bits = sram.address_bits(config.tap_depth)
        super().__init__(
            {
                "i": In(stream.Signature(config.stream_bits)),
                "start": In(1),
                "busy": In(1),
                "last_pass": In(COUNT_BITS),
                "last_slot": In(slot_bits),
                "masks_end": In(1),
                "ends": In(1),
                "enable": Out(1),
                "tabled": Out(1),
                "slot": Out(slot_bits),
                "slot_valid": Out(1),
                "masks": Out(stream.Signature(config.mask_word_bits)),
                "weights": Out(stream.Signature(config.entry_bits)).array(self._buffers),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        passes, loaded_all = Signal(COUNT_BITS), Signal()
        tabled = Signal(init=not config.table)
        m.d.comb += self.tabled.eq(tabled)
        masked = Signal(init=not config.masked)
        row = Signal(range(max(2, self._buffers)))
        word = self.i.payload
        offered = Signal()
        m.d.comb += [
            self.enable.eq(self.busy & ~loaded_all),
            offered.eq(self.i.valid & self.enable),
        ]
        if config.table:
            m.d.comb += self.slot_valid.eq(offered & ~tabled)
            with m.If(self.slot_valid):
                m.d.sync += [self.slot.eq(self.slot + 1), tabled.eq(self.slot == self.last_slot)]
                m.d.comb += self.i.ready.eq(1)
        if config.masked:
            m.d.comb += [
                self.masks.payload.eq(word[: config.mask_word_bits]),
                self.masks.valid.eq(offered & tabled & ~masked),
            ]
            with m.If(self.masks.valid):
                m.d.comb += self.i.ready.eq(self.masks.ready)
                with m.If(self.masks.ready):
                    m.d.sync += masked.eq(self.masks_end)
        for n, weights in enumerate(self.weights):
            m.d.comb += [
                weights.payload.eq(word[: config.entry_bits]),
                weights.valid.eq(offered & tabled & masked & (row == n)),
            ]
            with m.If(weights.valid):
                m.d.comb += self.i.ready.eq(weights.ready)
                with m.If(weights.ready & self.ends):
                    m.d.sync += row.eq(Mux(row == self._buffers - 1, 0, row + 1))
                    if n == self._buffers - 1:
                        m.d.sync += [
                            passes.eq(passes + 1),
                            loaded_all.eq(passes == self.last_pass),
                            masked.eq(not config.masked),
                        ]
        with m.If(self.start):
            m.d.sync += [s.eq(s.init) for s in (passes, loaded_all, tabled, masked, row, self.slot)]
        return m


class TapTable(wiring.Component):
    """Table of tap addresses: `address` = base + period + table[slot], ready after edge 2.

    `base` and `period` come from registers; their sum moves the whole table. `offset` is written to
    `write_slot` while `write`. `beyond` tells that `address` is not in the activation memory, or
    that `missing` was high in the cycle after the issue.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        slot_bits = sram.address_bits(config.tap_depth)
        super().__init__(
            {
                "write": In(1),
                "write_slot": In(slot_bits),
                "offset": In(config.address_bits),
                "issue": In(1),
                "slot": In(slot_bits),
                "base": In(config.address_bits + 1),
                "period": In(config.address_bits + 1),
                "missing": In(1),
                "valid": Out(1),
                "address": Out(config.address_bits),
                "beyond": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        word = Signal(config.address_bits)
        m.submodules.memory = sram.instance(
            config.tap_depth,
            config.address_bits,
            ce=self.issue | self.write,
            we=self.write,
            addr=Mux(self.write, self.write_slot, self.slot),
            d=self.offset,
            q=word,
        )
        start = Signal(len(self.base), reset_less=True)
        m.d.sync += start.eq(advance(self.base, self.period))
        start = delay(m, Cat(start[:-1], start[-1] | self.missing), 1, "start", reset_less=True)
        offset = delay(m, word, 1, "offset", reset_less=True)
        valid = delay(m, self.issue, 2, "issued")
        total = Signal(len(self.base))
        with m.If(valid):
            m.d.sync += total.eq(advance(start, offset))
        m.d.sync += self.valid.eq(valid)
        m.d.comb += [self.address.eq(total), self.beyond.eq(outside(config, total))]
        return m
