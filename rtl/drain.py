"""Drain: results leave the lanes, get their bias, are requantised and queued for the output.

`DrainControl` works where entries are issued: it counts a tile's shifts, and lets the next tile
end only when they are done. Its commands reach the lanes through the same delay as the data,
so a tile costs max(entries, shifts of the previous tile) cycles. Shifts
are only issued against free words of the output queue, so nothing behind the issue ever waits.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from rtl.config import SHIFT_BITS, CoreConfig
from rtl.fanout import delay, register_copy
from rtl.layer import descriptor
from rtl.requantize import MULTIPLY, SHIFT, Requantizer
from rtl.timing import REQUANTIZE_STAGES, bias_places, output_depth

MUL_LOADS = 2
"""Requantisers that share one copy of a filter's multiplier."""


class DrainControl(wiring.Component):
    """Count the drain of the tile that ended; `last` (a tile ends) starts it.

    `take` sends one group of `drain` results off, with `turn` for the first group of a filter,
    `all_end` for the last one of the layer. The first group of a filter in a pass's first tile
    claims the filter's bias (`claim`), and waits for it (`starved`) until it is there
    (`bias_ready`). `idle` is high when no result is on its way. `popped` returns a word of the
    output queue.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "last": In(1),
                "tile_first": In(1),
                "tile_last": In(1),
                "pass_last": In(1),
                "bias_ready": In(1),
                "popped": In(1),
                "may_end": Out(1),
                "starved": Out(1),
                "take": Out(1),
                "turn": Out(1),
                "claim": Out(1),
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
        begins = Signal()  # the next group is a filter's first
        first, final = Signal(), Signal()  # the tile is its pass's first, the layer's last
        row_end: Value = Const(0)
        m.d.comb += [
            self.starved.eq((left != 0) & begins & first & ~self.bias_ready),
            self.take.eq((left != 0) & (free != 0) & ~self.starved),
            self.turn.eq(self.take & begins),
            self.claim.eq(self.turn & first),
            self.may_end.eq((left == 0) | ((left == 1) & self.take)),
            self.idle.eq((left == 0) & (free == depth)),
            self.all_end.eq(final & (left == 1)),
        ]
        m.d.sync += free.eq(free + self.popped - self.take)
        if config.filters > 1:
            in_row = Signal(range(config.row_shifts))
            row_end = in_row == config.row_shifts - 1
            with m.If(self.take):
                m.d.sync += in_row.eq(Mux(row_end, 0, in_row + 1))
        with m.If(self.take):
            m.d.sync += [left.eq(left - 1), begins.eq(row_end)]
        with m.If(self.last):
            m.d.sync += [
                left.eq(Mux(self.tile_last, self.layer.last_shifts + 1, config.tile_shifts)),
                begins.eq(1),
                first.eq(self.tile_first),
                final.eq(self.tile_last & self.pass_last),
            ]
        return m


class Biases(wiring.Component):
    """Bias and requantisation (mul, last_shift = shift - 1) of each filter of a pass.

    A word of the stream is {last_shift, mul, bias}, bias lowest; `more` lets those of a pass in.
    `ready` tells that one waits that no `claim` was made for. Claimed words come into use by
    `enter`, in the order in which they came. Those of a pass are kept in a ring: `turn` goes on
    to the next filter, with `enter` to the one that comes from the stream, else to the one that
    was used longest ago. The outputs are the filter's from the next cycle on.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.bias_bits)),
                "more": In(1),
                "claim": In(1),
                "enter": In(1),
                "turn": In(1),
                "ready": Out(1),
                "bias": Out(signed(config.acc_bits)),
                "mul": Out(config.mul_bits),
                "last_shift": Out(SHIFT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        width, places = config.bias_bits, bias_places(config)
        waiting = Signal(places * width, reset_less=True)  # the newest lowest
        missing = Signal(range(2 * config.filters + 1))
        count, unclaimed = Signal(range(places + 1)), Signal(range(places + 1))
        fire = Signal()
        m.d.comb += [
            self.i.ready.eq((missing != 0) & (count != places)),
            fire.eq(self.i.valid & self.i.ready),
            self.ready.eq(unclaimed != 0),
        ]
        m.d.sync += [
            missing.eq(missing + Mux(self.more, config.filters, 0) - fire),
            count.eq(count + fire - self.enter),
            unclaimed.eq(unclaimed + fire - self.claim),
        ]
        with m.If(fire):
            m.d.sync += waiting.eq(Cat(self.i.payload, waiting))

        oldest = (count - 1)[: len(count)]
        entering = waiting.word_select(oldest, width) if places > 1 else waiting
        ring = Signal(config.filters * width, reset_less=True)  # in use lowest, the oldest on top
        with m.If(self.turn):
            m.d.sync += ring.eq(Cat(Mux(self.enter, entering, ring[-width:]), ring))
        m.d.comb += Cat(self.bias, self.mul, self.last_shift).eq(ring[:width])
        return m


class Output(wiring.Component):
    """`drain` requantisers for each lockstep tile and the output queue, after the lanes.

    `take` marks the cycle in which `results` hold a group, and `bias`, `mul` and `last_shift` are
    theirs, `take_last` the layer's last one; its word can be read from `o`, with `o_last`,
    REQUANTIZE_STAGES + 1 cycles later. `popped` tells that a word has left. While `flush`, groups
    are dropped; words that are in the queue stay there until they are taken.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "take": In(1),
                "take_last": In(1),
                "flush": In(1),
                "results": In(signed(config.acc_bits)).array(config.drain * config.tiles),
                "bias": In(signed(config.acc_bits)),
                "mul": In(config.mul_bits),
                "last_shift": In(SHIFT_BITS),
                "o": Out(stream.Signature(config.act_bits * config.drain * config.tiles)),
                "o_last": Out(1),
                "popped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        count = config.drain * config.tiles
        m.submodules.queue = queue = SyncFIFO(
            width=config.act_bits * count + 1, depth=output_depth(config)
        )
        written = delay(m, self.take, REQUANTIZE_STAGES, "take")
        last = delay(m, self.take_last, REQUANTIZE_STAGES, "last")
        last_shift = delay(m, self.last_shift, SHIFT, "shift", reset_less=True)
        assert MULTIPLY == 1
        groups = -(-count // MUL_LOADS)
        multipliers = [register_copy(m, self.mul, f"mul_{n}") for n in range(groups)]
        for n in range(count):
            m.submodules[f"requantizer_{n}"] = requantizer = Requantizer(config)
            m.d.comb += [
                requantizer.acc.eq(self.results[n]),
                requantizer.bias.eq(self.bias),
                requantizer.mul.eq(multipliers[n // MUL_LOADS]),
                requantizer.last_shift.eq(last_shift),
                requantizer.relu.eq(self.layer.relu),
                queue.w_data.word_select(n, config.act_bits).eq(requantizer.out),
            ]
        m.d.comb += [
            queue.w_en.eq(written & ~self.flush),
            queue.w_data[-1].eq(last),
            Cat(self.o.payload, self.o_last).eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.popped.eq(self.o.valid & self.o.ready),
        ]
        return m
