"""Front end of the sparse core with a bitmask: a bit per column tells which weights are stored."""

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import TypeVar

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl import sram
from rtl.activation import advance
from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import Error
from rtl.sequence import Front, Sequencer
from rtl.sparse import counted, joined, level_of, parted
from rtl.timing import ADDRESS_EDGE, operand_edge
from rtl.weights import Ahead, DoubleBuffer, Router, TapTable
from rtl.window import read_in_beats, window_ports

_Part = TypeVar("_Part", bound=wiring.Component)


class BitmaskFront(Front):
    """Masks and levels in separate buffers; a set bit of every stream a cycle.

    Each stream walks its own masks at its own pace, and so has a buffer for them, a decoder and a
    table of its own. One whose last issue comes before the others' waits with it for theirs.
    Ports: `front_signature`, and where masks are windows `window_ports`.
    """

    def __init__(self, config: CoreConfig):
        super().__init__(config, **window_ports(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        layer = self.layer
        several = config.streams > 1
        reads_apart = several or config.windows > 0  # each stream, for its weights alone

        def each(name: str, parts: list[_Part]) -> list[_Part]:
            """A part for each stream."""
            if several:
                m.submodules[name] = group = Module()
                for k, part in enumerate(parts):
                    group.submodules[f"stream_{k}"] = part
            else:
                m.submodules[name] = parts[0]
            return parts

        streams = range(config.streams)
        m.submodules.router = router = Router(config)
        depth, bits = config.mask_depth, config.stored_mask_bits
        buffers = each("masks", [DoubleBuffer(depth, bits) for _ in streams])
        m.submodules.levels = levels = DoubleBuffer(config.weight_depth, config.entry_bits)
        readers = each("ahead", [Ahead(depth) for _ in streams])
        decoders = each("decoder", [MaskDecoder(config) for _ in streams])
        m.submodules.sequencer = sequencer = Sequencer(config, config.weight_depth)
        tables = each("table", [TapTable(config) for _ in streams])
        self.wire(m, router, sequencer)
        offered = parted(router.masks.payload, config.streams)
        for masks, word, ahead, decoder in zip(buffers, offered, readers, decoders, strict=True):
            m.d.comb += [
                masks.i.payload.eq(word),
                router.masks.ready.eq(masks.i.ready),  # all are filled together
                masks.i.valid.eq(router.masks.valid),
            ]
            for part in (masks, ahead, decoder):
                m.d.comb += part.start.eq(self.start)
        length = Mux(sequencer.side, levels.lengths[1], levels.lengths[0])
        there = self.replay(m, router, levels, sequencer)
        valid = reduce(and_, [decoder.valid for decoder in decoders])
        at_last, issues = lockstep(sequencer.issue, decoders)
        masks_end = buffers[0].write_pointer == layer.last_mask
        if config.run_bits:
            covered = Signal(len(layer.last_mask))  # by those before the one on offer
            through = covered + offered[0][config.mask_bits :]
            masks_end = through == layer.last_mask
            with m.If(router.masks.valid & router.masks.ready):
                m.d.sync += covered.eq(Mux(router.masks_end, 0, through + 1))
            with m.If(self.start):
                m.d.sync += covered.eq(0)
        m.d.comb += [
            router.last_slot.eq(layer.last_slot),
            router.masks_end.eq(masks_end),
            router.ends.eq(self.i.payload[-1]),
        ]
        for masks, ahead, decoder, issue in zip(buffers, readers, decoders, issues, strict=True):
            m.d.comb += [
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
                decoder.i_mask.eq(masks.word[: config.mask_bits]),
                decoder.last_in_period.eq(layer.last_in_period),
                decoder.period_step.eq(layer.period_step),
                decoder.issue.eq(issue),
            ]
            if config.run_bits:
                m.d.comb += decoder.i_run.eq(masks.word[config.mask_bits :])
        m.d.comb += [sequencer.ready.eq(valid & there), sequencer.at_last.eq(at_last)]
        if not several:
            m.d.comb += sequencer.step.eq(decoders[0].present)
        for table, decoder, issue in zip(tables, decoders, issues, strict=True):
            m.d.comb += [
                table.write.eq(router.slot_valid),
                table.write_slot.eq(router.slot),
                table.offset.eq(self.i.payload),
                table.issue.eq(issue & decoder.present if reads_apart else issue),
                table.slot.eq(decoder.slot),
                table.base.eq(sequencer.base),
                table.period.eq(decoder.period),
                table.missing.eq(
                    delay(m, decoder.slot, 1, "slot", reset_less=True) > layer.last_slot
                ),
            ]
        if config.windows:
            self._windows(m, tables, decoders, issues)
        else:
            m.d.comb += [
                self.valid.eq(joined([table.valid for table in tables])),
                self.address.eq(joined([table.address for table in tables])),
            ]
        for masks, ahead in zip(buffers, readers, strict=True):
            for i, n in enumerate(ahead.lengths):
                m.d.comb += n.eq(masks.lengths[i])

        present = [
            delay(m, issue & decoder.present, 2, "present")
            for issue, decoder in zip(issues, decoders, strict=True)
        ]
        codes = parted(delay(m, levels.word, 1, "code", reset_less=True), config.streams)
        weights = [Signal(signed(config.operand_bits), name="weight") for _ in streams]
        for weight, found, code in zip(weights, present, codes, strict=True):
            m.d.sync += weight.eq(Mux(found, level_of(m, code, "code"), 0))
        if reads_apart:
            nonzeros, fillers = counted(m, sequencer, [weight.any() for weight in weights])
        else:
            nonzeros, fillers = weights[0].any(), tables[0].valid & ~weights[0].any()
        if several:
            wrong = sequencer.last & (sequencer.pointer != length)
        else:
            wrong = miscounted(m, sequencer, decoders[0].present, length)
        beyond = [w.any() & table.beyond for w, table in zip(weights, tables, strict=True)]
        operands = delay(m, joined(weights), operand_edge(config) - 2 - ADDRESS_EDGE, "weight")
        m.d.comb += [
            self.operands[0].eq(operands),
            self.nonzeros.eq(nonzeros),
            self.fillers.eq(fillers),
            self.fault[Error.WEIGHTS].eq(levels.overflow | buffers[0].overflow),
            self.fault[Error.ADDRESS].eq(reduce(or_, beyond)),
            self.fault[Error.LEVELS].eq(wrong),
        ]
        return m

    def _windows(
        self,
        m: Module,
        tables: Sequence[TapTable],
        decoders: Sequence["MaskDecoder"],
        issues: Sequence[Value],
    ) -> None:
        """Reads of windows, at the addresses of their first weights; the others are as far behind
        the one before as their address is."""
        config = self._config
        later = operand_edge(config) - 4 - ADDRESS_EDGE
        found = []
        for table, decoder, issue in zip(tables, decoders, issues, strict=True):
            valid, address = Signal(), Signal(config.address_bits)
            opened, tap, before = Signal(), Signal(config.tap_bits), Signal(config.tap_bits)
            opens = delay(m, issue & decoder.opens, 3, "opens")
            read_in_beats(m, config, opens, table.address, valid, address)
            m.d.sync += [
                opened.eq(opens),
                tap.eq(Mux(table.valid & ~opens, table.address - before, 0)),
            ]
            with m.If(table.valid):
                m.d.sync += before.eq(table.address)
            found.append((valid, address, opened, tap))
        valids, addresses, opened, taps = (joined(list(each)) for each in zip(*found, strict=True))
        m.d.comb += [
            self.valid.eq(valids),
            self.address.eq(addresses),
            self.opened.eq(delay(m, opened, later, "opened")),
            self.taps.eq(delay(m, taps, later, "taps")),
        ]


def miscounted(m: Module, sequencer: Sequencer, present: Value, length: Value) -> Value:
    """Whether a filter of one stream has more or fewer levels than its masks have bits.

    One without weights has a level that nothing reads, so that its buffer is filled. Behind the
    last level the pointer may be at 0 again.
    """
    spent, at_end = Signal(), Signal()
    m.d.comb += at_end.eq(spent | (present & (sequencer.pointer == length)))
    with m.If(sequencer.issue):
        m.d.sync += spent.eq(at_end & ~sequencer.at_last)
    some = present | sequencer.pointer.any() | length.any()
    return (sequencer.issue & present & spent) | (sequencer.last & ~at_end & some)


def lockstep(issue: Value, decoders: Sequence["MaskDecoder"]) -> tuple[Value, list[Value]]:
    """(whether all streams are at their filter's last issue, the issues of each when all `issue`).

    A stream that is there before the others waits for them.
    """
    if len(decoders) == 1:
        return decoders[0].last, [issue]
    at_last = reduce(and_, [decoder.last for decoder in decoders])
    return at_last, [issue & (at_last | ~decoder.last) for decoder in decoders]


class MaskDecoder(wiring.Component):
    """Mask words to table slots, lowest bit first, one an `issue`.

    A word holds `mask_bits` columns, bit n at slot word_in_period * 2**k + n of the table (k bits
    hold n), which may lie behind the table's end; after a period of words the table is moved by
    `period_step`. A word without bits takes
    one issue that is not `present`. `last` marks the last issue of a filter. Words come from
    `i_mask`, taken with `take`; behind each, `i_run` words follow of which all bits are set (cores
    with `run_bits`).

    Where masks are windows, a word's first bit `opens` one, and a word with bits takes `beats`
    issues at least, those behind its last bit not `present`.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        slot_bits = sram.address_bits(config.tap_depth)
        run = {"i_run": In(config.run_bits)} if config.run_bits else {}
        opens = {"opens": Out(1)} if config.windows else {}
        super().__init__(
            {
                "start": In(1),
                "last_in_period": In(slot_bits),
                "period_step": In(config.address_bits),
                "i_mask": In(config.mask_bits),
                **run,
                **opens,
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
        config = self._config
        bits = config.mask_bits
        mask, rest = Signal(bits), Signal(bits)
        last_word, word_ends, wraps = Signal(), Signal(), Signal()
        word = Signal(len(self.last_in_period))
        lowest = mask & ~rest
        place_bits = (bits - 1).bit_length()
        place = Signal(place_bits)
        run = Signal(config.run_bits)
        through: Value = word_ends  # with the run behind it, too
        if config.run_bits:
            through = word_ends & ~run.any()
        begun = Signal()  # the word's window was opened
        left = Signal(range(config.beats), init=config.beats - 1)  # issues that its beats ask for
        state = [self.valid, word, self.period]
        ends: Value = ~rest.any()
        if config.windows:
            m.d.comb += self.opens.eq(mask.any() & ~begun)
            state.append(begun)
        if config.windows and config.beats > 1:
            ends &= ~left.any() | ~(begun | mask.any())
            state.append(left)
        m.d.comb += [
            rest.eq(mask & (mask - 1)),
            word_ends.eq(ends),
            self.present.eq(mask.any()),
            self.last.eq(last_word & through),
            self.take.eq(self.i_valid & (~self.valid | (self.issue & through))),
            place.eq(Cat(_any(lowest, bit) for bit in range(place_bits))),
            self.slot.eq(Cat(place, word)),
            wraps.eq(word == self.last_in_period),
        ]
        with m.If(self.issue):
            m.d.sync += mask.eq(rest)
            if config.windows:
                m.d.sync += begun.eq(~word_ends)
                if config.beats > 1:
                    m.d.sync += left.eq(Mux(word_ends, config.beats - 1, left - left.any()))
            with m.If(word_ends):
                m.d.sync += self.valid.eq(0)
                if config.run_bits:
                    with m.If(run.any()):
                        m.d.sync += [mask.eq(~0), run.eq(run - 1), self.valid.eq(1)]
                with m.If(self.last):
                    m.d.sync += [word.eq(0), self.period.eq(0)]
                with m.Elif(wraps):
                    m.d.sync += [word.eq(0), self.period.eq(advance(self.period, self.period_step))]
                with m.Else():
                    m.d.sync += word.eq(word + 1)
        with m.If(self.take):
            m.d.sync += [mask.eq(self.i_mask), last_word.eq(self.i_last), self.valid.eq(1)]
            if config.run_bits:
                m.d.sync += run.eq(self.i_run)
        with m.If(self.start):
            m.d.sync += [s.eq(s.init) for s in state]
        return m


def _any(one_hot: Value, bit: int) -> Value:
    """Bit `bit` of the place of the set bit."""
    return Cat(one_hot[n] for n in range(len(one_hot)) if n >> bit & 1).any()
