"""Front end of `sparse-rows`, the conventional sparse array: an index decoder for every filter.

All rows (filters) work on the same *window* of activations: some reads of the activation
memory, each serving a few neighbouring taps. A row takes a cycle for each of its weights in the
window, or for one filler; the window moves on when all rows are through, while the next one is
filled. So a window costs max(reads of the next one, weights of its fullest row).
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import sram
from rtl.activation import advance
from rtl.config import COUNT_BITS, CoreConfig
from rtl.fanout import delay, tree
from rtl.layer import Error, descriptor
from rtl.sequence import Front, Sequencer
from rtl.sparse import level_of
from rtl.timing import ACT_EDGE, operand_edge
from rtl.weights import Ahead, DoubleBuffer, Router, TapTable

BYTES = 4
"""Bytes of a window that share one copy of their selects."""


class RowsFront(Front):
    """Entries {code, shift, read, last of its window} for each row. Ports: `front_signature`, and

    write, reads, shifts : where reads go, and what each row's entry selects, for `Windows`
    """

    def __init__(self, config: CoreConfig):
        read_bits = (2 * config.window_reads - 1).bit_length()
        super().__init__(
            config,
            write=Out(2 * config.window_reads),
            reads=Out(read_bits).array(config.filters),
            shifts=Out(config.shift_bits).array(config.filters),
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        m.submodules.router = router = Router(config)
        m.submodules.sequencer = sequencer = Sequencer(config, 1 << COUNT_BITS)
        m.submodules.filler = filler = WindowFill(config)
        rows = [Row(config) for _ in range(config.filters)]
        self.wire(m, router, sequencer)
        connect(m, flipped(layer), filler.layer)
        for n, row in enumerate(rows):
            m.submodules[f"row_{n}"] = row
            connect(m, router.weights[n], row.i)
            m.d.comb += [
                row.start.eq(self.start),
                row.enable.eq(router.enable),
                row.ends.eq(router.ends),
                row.last_tile.eq(layer.last_tile),
                row.release.eq(sequencer.release),
                row.go.eq(sequencer.running & filler.filled),
                row.at_last.eq(sequencer.at_last),
                row.advance.eq(sequencer.issue),
            ]
        m.d.comb += [
            router.last_slot.eq(layer.last_slot),
            router.ends.eq(self.i.payload[-1]),
            filler.start.eq(self.start),
            filler.enable.eq(router.tabled),
            filler.table_write.eq(router.slot_valid),
            filler.table_slot.eq(router.slot),
            filler.table_offset.eq(self.i.payload),
            filler.advance.eq(sequencer.issue),
            sequencer.ready.eq(filler.filled & Cat(row.finished for row in rows).all()),
            sequencer.at_last.eq(sequencer.pointer == layer.last_window),
            self.valid.eq(filler.valid),
            self.address.eq(filler.address),
            self.write.eq(filler.write),
            self.nonzeros.eq(sum(row.weight.any() for row in rows)),
            self.fillers.eq(sum(row.used & ~row.weight.any() for row in rows)),
            self.fault[Error.WEIGHTS].eq(Cat(row.overflow for row in rows).any()),
            self.fault[Error.ADDRESS].eq(filler.valid & filler.beyond),
            self.fault[Error.LEVELS].eq(Cat(row.wrong for row in rows).any()),
        ]
        side = Signal()  # of the window in use
        with m.If(sequencer.issue):
            m.d.sync += side.eq(~side)
        with m.If(self.start):
            m.d.sync += side.eq(0)
        ahead = operand_edge(config) - 2  # cycles from a row's registers to the operands' trees
        for n, row in enumerate(rows):
            m.d.comb += [
                row.side.eq(side),
                self.reads[n].eq(delay(m, row.read, ahead - 2, f"read_{n}", reset_less=True)),
                self.shifts[n].eq(delay(m, row.shift, ahead - 1, f"shift_{n}", reset_less=True)),
                self.operands[n].eq(delay(m, row.weight, ahead, f"weight_{n}")),
            ]
        return m


class Row(wiring.Component):
    """One row's buffer and decoder.

    While `go`, an entry a cycle is issued until the last one of its window; `finished` tells that
    this one is issued, or was. `advance` moves on to the next window; `side` is that of the window,
    and `at_last` that it is the tile's last. An entry's `weight` (zero without one), `read` and
    `shift` are in registers in the cycle after its issue. `wrong`: the entries do not end with the
    tile.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.entry_bits)),
                "ends": In(1),
                "enable": In(1),
                "start": In(1),
                "last_tile": In(COUNT_BITS),
                "release": In(2),
                "go": In(1),
                "side": In(1),
                "at_last": In(1),
                "advance": In(1),
                "finished": Out(1),
                "used": Out(1),
                "weight": Out(signed(config.operand_bits)),
                "read": Out((2 * config.window_reads - 1).bit_length()),
                "shift": Out(config.shift_bits),
                "overflow": Out(1),
                "wrong": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.buffer = buffer = DoubleBuffer(config.weight_depth, config.entry_bits)
        m.submodules.ahead = ahead = Ahead(config.weight_depth)
        connect(m, flipped(self.i), buffer.i)
        entry, last = Signal(config.entry_bits), Signal()
        valid, over, issue = Signal(), Signal(), Signal()
        code, place = entry[: config.weight_bits], entry[config.weight_bits :]
        shift, read, ends = place[: len(self.shift)], place[len(self.shift) : -1], place[-1]
        m.d.comb += [
            buffer.ends.eq(self.ends),
            buffer.enable.eq(self.enable),
            buffer.start.eq(self.start),
            buffer.release.eq(self.release),
            buffer.read.eq(ahead.read),
            buffer.side.eq(ahead.side),
            buffer.pointer.eq(ahead.pointer),
            ahead.start.eq(self.start),
            ahead.last_tile.eq(self.last_tile),
            ahead.ready.eq(buffer.ready),
            ahead.release.eq(self.release),
            *(ahead.lengths[n].eq(buffer.lengths[n]) for n in range(2)),
            ahead.take.eq(ahead.valid & (~valid | issue)),
            issue.eq(self.go & valid & ~over),
            self.finished.eq(over | (valid & ends)),
            self.overflow.eq(buffer.overflow),
            self.wrong.eq(issue & (last != (ends & self.at_last))),
        ]
        with m.If(ahead.take):
            m.d.sync += [entry.eq(buffer.word), last.eq(ahead.last), valid.eq(1)]
        with m.Elif(issue):
            m.d.sync += valid.eq(0)
        m.d.sync += [
            over.eq((over | (issue & ends)) & ~self.advance),
            self.used.eq(issue),
            self.weight.eq(Mux(issue & ~read.all(), level_of(m, code, "code"), 0)),
            self.read.eq(read + Mux(self.side, config.window_reads, 0)),
            self.shift.eq(shift),
        ]
        with m.If(self.start):
            m.d.sync += [valid.eq(0), over.eq(0)]
        return m


class WindowFill(wiring.Component):
    """Read the activations of one window after the other, at most two windows ahead of `advance`.

    A tile's reads are the table's slots, repeated with `period_step` between the repetitions.
    `filled`: the window to be used next has all its reads issued. `valid`, `address`, `beyond` are
    those of a read after edge 2, `write` (one hot) tells where its activations of edge 6 belong.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "enable": In(1),
                "table_write": In(1),
                "table_slot": In(sram.address_bits(config.tap_depth)),
                "table_offset": In(config.address_bits),
                "advance": In(1),
                "filled": Out(1),
                "valid": Out(1),
                "address": Out(config.address_bits),
                "beyond": Out(1),
                "write": Out(2 * config.window_reads),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        m.submodules.sequencer = sequencer = Sequencer(config, 1 << COUNT_BITS)
        m.submodules.table = table = TapTable(config)
        connect(m, flipped(layer), sequencer.layer)
        windows = Signal(range(3))  # filled and not yet done with
        place = Signal(2 * config.window_reads, init=1)
        slot, period = Signal(len(table.slot)), Signal(len(table.period))
        completes = Signal()
        second = config.window_reads
        ends_window = place[second - 1] | place[-1] | sequencer.at_last
        m.d.comb += [
            sequencer.start.eq(self.start),
            sequencer.ready.eq(self.enable & (windows != 2)),
            sequencer.at_last.eq(sequencer.pointer == layer.last_read),
            sequencer.may_end.eq(1),
            completes.eq(sequencer.issue & ends_window),
            self.filled.eq(windows != 0),
            table.write.eq(self.table_write),
            table.write_slot.eq(self.table_slot),
            table.offset.eq(self.table_offset),
            table.issue.eq(sequencer.issue),
            table.slot.eq(slot),
            table.base.eq(sequencer.base),
            table.period.eq(period),
            self.valid.eq(table.valid),
            self.address.eq(table.address),
            self.beyond.eq(table.beyond),
        ]
        m.d.sync += windows.eq(windows + completes - self.advance)
        with m.If(sequencer.issue):
            m.d.sync += place.eq(
                Mux(ends_window, Mux(place[:second].any(), 1 << second, 1), place << 1)
            )
            with m.If(sequencer.at_last):
                m.d.sync += [slot.eq(0), period.eq(0)]
            with m.Elif(slot == layer.last_slot):
                m.d.sync += [slot.eq(0), period.eq(advance(period, layer.period_step))]
            with m.Else():
                m.d.sync += slot.eq(slot + 1)
        with m.If(self.start):
            m.d.sync += [s.eq(s.init) for s in (windows, place, slot, period)]
        written = Mux(sequencer.issue, place, 0)
        m.d.comb += self.write.eq(delay(m, written, ACT_EDGE - 1, "write"))
        return m


class Windows(wiring.Component):
    """The two windows, and the selection of every row's activations from them.

    `read` are the activation memory's bytes of edge 6, `write`, `reads` and `shifts` come two edges
    before they act, through a tree of registers. `acts` of row n reach the multipliers' registers
    at the operand edge: lane l has byte l + shift of its read.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        act = signed(config.act_bits)
        super().__init__(
            {
                "read": In(act).array(config.read_bytes),
                "write": In(2 * config.window_reads),
                "reads": In((2 * config.window_reads - 1).bit_length()).array(config.filters),
                "shifts": In(config.shift_bits).array(config.filters),
                "acts": Out(act).array(config.filters, config.lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        act = signed(config.act_bits)
        groups = -(-config.read_bytes // BYTES)
        window = []
        for n in range(2 * config.window_reads):
            write = tree(m, self.write[n], groups, f"write_{n}")
            held = [Signal(act, name=f"w{n}_{i}", reset_less=True) for i in range(len(self.read))]
            for i, byte in enumerate(held):
                with m.If(write[i // BYTES]):
                    m.d.sync += byte.eq(self.read[i])
            window.append(held)
        for row in range(config.filters):
            reads = tree(m, self.reads[row], groups, f"read_{row}")
            picked = [Signal(act, name=f"p{row}_{i}", reset_less=True) for i in range(len(held))]
            for i, byte in enumerate(picked):
                m.d.sync += byte.eq(Array(held[i] for held in window)[reads[i // BYTES]])
            lane_groups = -(-config.lanes // BYTES)
            shifts: list[Value] = [Const(0, 1)] * lane_groups
            if config.window_span > 1:
                shifts = tree(m, self.shifts[row], lane_groups, f"shift_{row}")
            for lane in range(config.lanes):
                taps = Array(picked[lane : lane + config.window_span])
                operand = Signal(act, name=f"a{row}_{lane}", reset_less=True)
                m.d.sync += operand.eq(taps[shifts[lane // BYTES]])
                m.d.comb += self.acts[row][lane].eq(operand)
        return m
