"""Front end of `dense-packed`: every tap is issued, but only weights that are not zero are stored.

A tap is a mask, a bit for each filter, and a code for each bit that is set. Masks and codes have
buffers of their own. Codes lie without gaps, `filters` in a row, so that a tap takes its own from
where the one before it stopped, out of two neighbouring rows at most.
"""

from amaranth import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import sram
from rtl.config import COUNT_BITS, CoreConfig
from rtl.dense import DenseAddress, TapFront
from rtl.fanout import delay
from rtl.layer import Error
from rtl.sequence import Sequencer
from rtl.sparse import level_of
from rtl.timing import read_late
from rtl.weights import Ahead, DoubleBuffer, Router


class PackedFront(TapFront):
    """A mask and its codes for every tap in turn. Ports: `front_signature`."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        m.submodules.router = router = Router(config)
        m.submodules.buffer = buffer = PackedBuffer(config)
        m.submodules.sequencer = sequencer = Sequencer(config, config.mask_depth)
        m.submodules.address = address = DenseAddress(config)
        self.wire(m, router, sequencer)
        connect(m, flipped(layer), address.layer)
        self.walk(m, sequencer, address, buffer.ready, buffer.overflow)
        connect(m, router.masks, buffer.masks)
        connect(m, router.weights[0], buffer.codes)
        counted = delay(m, sequencer.issue, 3, "counted")
        m.d.comb += [
            router.masks_end.eq(buffer.masks_end),
            router.ends.eq(self.i.payload[-1]),
            buffer.start.eq(self.start),
            buffer.enable.eq(router.enable),
            buffer.last_mask.eq(layer.last_mask),
            buffer.last_tile.eq(layer.last_tile),
            buffer.ends.eq(router.ends),
            buffer.issue.eq(sequencer.issue),
            buffer.last.eq(sequencer.last),
            buffer.side.eq(sequencer.side),
            buffer.pointer.eq(sequencer.pointer),
            buffer.release.eq(sequencer.release),
            sequencer.step.eq(buffer.step),
            self.nonzeros.eq(buffer.count),
            self.fillers.eq(Mux(counted, config.filters, 0) - buffer.count),
            self.fault[Error.LEVELS].eq(buffer.wrong),
        ]
        m.d.comb += [
            operand.eq(weight)
            for operand, weight in zip(self.operands, buffer.weights, strict=True)
        ]
        return m


class PackedBuffer(wiring.Component):
    """A pass's masks and codes on chip, and every tap's weights made of them.

    `masks` takes a pass's words up to `masks_end`, then `codes` its rows up to the one with `ends`;
    `ready` tells that all of pass `side` are there. A tap that is issued takes the next bits of
    mask word `pointer`, which goes on with `step`; `last` marks a tile's last tap and `release`
    that of a pass. The tap's `weights` follow when ACT_EDGE wants them, their `count` two cycles
    earlier. `wrong`: a tile's masks and codes do not end together.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        mask_pointer = sram.address_bits(config.mask_depth)
        super().__init__(
            {
                "start": In(1),
                "masks": In(stream.Signature(config.mask_word_bits)),
                "codes": In(stream.Signature(config.entry_bits)),
                "enable": In(1),
                "last_mask": In(mask_pointer),
                "masks_end": Out(1),
                "ends": In(1),
                "last_tile": In(COUNT_BITS),
                "side": In(1),
                "pointer": In(mask_pointer),
                "release": In(2),
                "issue": In(1),
                "last": In(1),
                "step": Out(1),
                "ready": Out(1),
                "weights": Out(signed(config.operand_bits)).array(config.filters),
                "count": Out(range(config.filters + 1)),
                "overflow": Out(1),
                "wrong": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.masks = masks = DoubleBuffer(config.mask_depth, config.mask_word_bits)
        m.submodules.codes = codes = DoubleBuffer(config.weight_depth, config.entry_bits)
        m.submodules.ahead = ahead = Ahead(config.weight_depth)
        m.submodules.expander = expander = Expander(config)
        connect(m, flipped(self.masks), masks.i)
        connect(m, flipped(self.codes), codes.i)
        # Rows of codes are read when the taps before them are through with the last ones: for some
        # cycles after its last issue a pass is not `ready` any more, but still there.
        released = delay(m, self.release, read_late(config), "released")
        leaving = Signal(2)
        m.d.sync += leaving.eq((leaving | self.release) & ~released)
        place = Signal(range(config.mask_bits))  # of the next tap in its mask word
        m.d.comb += [
            self.step.eq(place == config.mask_bits - 1),
            self.masks_end.eq(masks.write_pointer == self.last_mask),
            self.ready.eq((codes.ready & ~leaving).bit_select(self.side, 1)),
            self.overflow.eq(masks.overflow | codes.overflow),
            masks.ends.eq(self.masks_end),
            masks.read.eq(place == 0),
            masks.side.eq(self.side),
            masks.pointer.eq(self.pointer),
            masks.release.eq(self.release),
            codes.ends.eq(self.ends),
            codes.read.eq(ahead.read),
            codes.side.eq(ahead.side),
            codes.pointer.eq(ahead.pointer),
            codes.release.eq(released),
            ahead.last_tile.eq(self.last_tile),
            ahead.ready.eq(codes.ready),
            ahead.release.eq(released),
            ahead.take.eq(expander.take),
            expander.row.eq(codes.word),
            expander.row_last.eq(ahead.last),
            self.count.eq(expander.count),
            self.wrong.eq(expander.wrong),
        ]
        for part in (masks, codes, ahead):
            m.d.comb += part.start.eq(self.start)
        for part in (masks, codes):
            m.d.comb += part.enable.eq(self.enable)
        for side in range(2):
            m.d.comb += ahead.lengths[side].eq(codes.lengths[side])
        with m.If(self.issue):
            m.d.sync += place.eq(Mux(self.last | self.step, 0, place + 1))

        of_word = masks.word.word_select(delay(m, place, 1, "place"), config.filters)
        mask = Signal(config.filters)
        m.d.sync += mask.eq(Mux(delay(m, self.issue, 1, "issued"), of_word, 0))
        m.d.comb += [expander.mask.eq(mask), expander.last.eq(delay(m, self.last, 2, "last"))]
        for n, weight in enumerate(self.weights):
            code: Value = expander.codes[n]
            if config.weight_bits < config.operand_bits:
                code = level_of(m, code, f"code_{n}")
            m.d.comb += weight.eq(Mux(expander.present[n], code, 0))
        return m


class Expander(wiring.Component):
    """The codes of each tap to the filters that its mask names, a tap a cycle.

    `row` has the next row of codes, ready in the cycle after a `take`; `row_last` tells that it is
    the tile's last one. `mask` (zero in a cycle without a tap) and `last` (of its tile) come from
    registers; `count` follows after one edge, `take` after two, `codes` and `present` after three.
    A tile begins with a new row, and takes one even if all its masks are zero. `wrong`: a tap lacks
    a code, or the tile ends before its rows do.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "mask": In(config.filters),
                "last": In(1),
                "row": In(config.entry_bits),
                "row_last": In(1),
                "take": Out(1),
                "count": Out(range(config.filters + 1)),
                "codes": Out(config.weight_bits).array(config.filters),
                "present": Out(config.filters),
                "wrong": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        filters = self._config.filters

        # How many codes, and so which lanes of `kept`, the row taken last, are used up: 0..`used`.
        # A tap that wants more than are left takes the next row; what is left of it is kept.
        used = Signal(range(max(2, filters)), init=filters - 1)
        total = used + self.count
        beyond = total >= filters
        ends = delay(m, self.last, 1, "ends")
        m.d.sync += [
            self.count.eq(sum(self.mask[n] for n in range(filters))),
            used.eq(Mux(ends, filters - 1, total - Mux(beyond, filters, 0))),
        ]

        # The codes in their order, from the first one that is not used.
        shift = delay(m, used, 1, "used", reset_less=True)
        wanted = delay(m, beyond, 1, "beyond")
        ended = delay(m, ends, 1, "ended")
        begun, over = Signal(), Signal()  # the tile has taken a row, has taken its last one
        through = over | (self.take & self.row_last)
        m.d.comb += [
            self.take.eq(wanted | (ended & ~begun)),
            self.wrong.eq((wanted & over) | (ended & ~through)),
        ]
        m.d.sync += [begun.eq((begun | self.take) & ~ended), over.eq(through & ~ended)]
        kept = Signal(len(self.row), reset_less=True)
        with m.If(self.take):
            m.d.sync += kept.eq(self.row)
        bits = self._config.weight_bits
        rows = [[word.word_select(n, bits) for n in range(filters)] for word in (kept, self.row)]
        # Lane 0 is never left: a row is kept because it was used.
        lanes = [rows[1][0]]
        lanes += [Mux(shift < n, rows[0][n], rows[1][n]) for n in range(1, filters)]
        lanes = lanes[1:] + lanes[:1]
        for bit in range(len(shift)):
            lanes = [
                Mux(shift[bit], lanes[(n + (1 << bit)) % filters], lanes[n]) for n in range(filters)
            ]
        in_order = [Signal(bits, name=f"in_order_{n}", reset_less=True) for n in range(filters)]
        m.d.sync += [register.eq(lane) for register, lane in zip(in_order, lanes, strict=True)]

        # A filter's code is the one behind those of the filters before it.
        mask = delay(m, self.mask, 2, "mask")
        m.d.sync += self.present.eq(mask)
        m.d.comb += self.codes[0].eq(in_order[0])
        for n in range(1, filters):
            before = Signal(range(n + 1), name=f"before_{n}", reset_less=True)
            m.d.sync += before.eq(sum(mask[k] for k in range(n)))
            m.d.comb += self.codes[n].eq(Array(in_order[: n + 1])[before])
        return m
