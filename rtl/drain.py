"""Drain: results leave the lanes, get their bias, are requantised and queued for the output.

`DrainControl` works where entries are issued: it counts a tile's shifts, and lets the next tile
end only when they are done. Its commands reach the lanes through the same delay as the data,
so a tile costs max(entries, shifts of the previous tile) cycles. Shifts
are only issued against free words of the output queue, so nothing behind the issue ever waits.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import descriptor
from rtl.requantize import Requantizer
from rtl.timing import REQUANTIZE_STAGES, output_depth


class DrainControl(wiring.Component):
    """Count the drain of the tile that ended; `last` (a tile ends) starts it.

    `take` sends one group of `drain` results off, with `row_end` for the last group of a filter,
    `all_end` for that of the layer.
    `idle` is high when no result is on its way. `popped` returns a word of the output queue.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "last": In(1),
                "tile_last": In(1),
                "pass_last": In(1),
                "popped": In(1),
                "may_end": Out(1),
                "take": Out(1),
                "row_end": Out(1),
                "all_end": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        left = Signal(range(config.tile_shifts + 1))
        depth = output_depth(config)
        free = Signal(range(depth + 1), init=depth)
        final = Signal()  # the tile that is drained is the layer's last
        m.d.comb += [
            self.take.eq((left != 0) & (free != 0)),
            self.may_end.eq((left == 0) | ((left == 1) & self.take)),
            self.idle.eq((left == 0) & (free == depth)),
            self.all_end.eq(final & (left == 1)),
        ]
        m.d.sync += free.eq(free + self.popped - self.take)
        with m.If(self.take):
            m.d.sync += left.eq(left - 1)
        with m.If(self.last):
            m.d.sync += [
                left.eq(Mux(self.tile_last, self.layer.last_shifts + 1, config.tile_shifts)),
                final.eq(self.tile_last & self.pass_last),
            ]
        if config.filters > 1:
            row_shifts = config.tile_shifts // config.filters
            in_row = Signal(range(row_shifts))
            m.d.comb += self.row_end.eq(in_row == row_shifts - 1)
            with m.If(self.take):
                m.d.sync += in_row.eq(Mux(self.row_end, 0, in_row + 1))
        return m


class Biases(wiring.Component):
    """The biases of a pass: `filters` of them in use, and the next pass's behind them.

    `claim` (when a pass's first tile ends at the issue) takes the waiting biases, which must be
    `ready`; `swap` brings them into use when the tile has reached the lanes, and lets the
    stream refill unless this is the last pass (`more` low). `bias` is that of the filter being
    drained, `next_row` goes on to the next filter.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(signed(config.acc_bits))),
                "start": In(1),
                "claim": In(1),
                "swap": In(1),
                "more": In(1),
                "next_row": In(1),
                "ready": Out(1),
                "bias": Out(signed(config.acc_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        filters, width = self._config.filters, self._config.acc_bits
        waiting = Signal(filters * width, reset_less=True)
        current = Signal(filters * width, reset_less=True)
        missing = Signal(range(filters + 1))
        fire = Signal()
        m.d.comb += [
            self.i.ready.eq(missing != 0),
            fire.eq(self.i.valid & self.i.ready),
            self.bias.eq(current[:width]),
        ]
        with m.If(self.claim):
            m.d.sync += self.ready.eq(0)
        with m.If(fire):
            m.d.sync += [
                waiting.eq(Cat(waiting[width:], self.i.payload)),
                missing.eq(missing - 1),
                self.ready.eq(missing == 1),
            ]
        with m.If(self.swap):
            m.d.sync += current.eq(waiting)
        with m.Elif(self.next_row):
            m.d.sync += current.eq(current.rotate_right(width))
        with m.If(self.start | (self.swap & self.more)):
            m.d.sync += missing.eq(filters)
        return m


class Output(wiring.Component):
    """`drain` requantisers for each lockstep tile and the output queue, after the lanes.

    `take` marks the cycle in which `results` hold a group, `take_last` the layer's last one; its
    word can be read from `o`, with `o_last`, REQUANTIZE_STAGES + 1 cycles later. `popped` tells
    that a word has left.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "take": In(1),
                "take_last": In(1),
                "results": In(signed(config.acc_bits)).array(config.drain * config.tiles),
                "bias": In(signed(config.acc_bits)),
                "o": Out(stream.Signature(8 * config.drain * config.tiles)),
                "o_last": Out(1),
                "popped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        count = config.drain * config.tiles
        m.submodules.queue = queue = SyncFIFO(width=8 * count + 1, depth=output_depth(config))
        written = delay(m, self.take, REQUANTIZE_STAGES, "take")
        last = delay(m, self.take_last, REQUANTIZE_STAGES, "last")
        for n in range(count):
            m.submodules[f"requantizer_{n}"] = requantizer = Requantizer(config)
            m.d.comb += [
                requantizer.acc.eq(self.results[n]),
                requantizer.bias.eq(self.bias),
                requantizer.mul.eq(self.layer.mul),
                requantizer.last_shift.eq(self.layer.last_shift),
                requantizer.relu.eq(self.layer.relu),
                queue.w_data.word_select(n, 8).eq(requantizer.out),
            ]
        m.d.comb += [
            queue.w_en.eq(written),
            queue.w_data[-1].eq(last),
            Cat(self.o.payload, self.o_last).eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.popped.eq(self.o.valid & self.o.ready),
        ]
        return m
