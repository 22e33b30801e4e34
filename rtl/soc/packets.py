"""Between AXI4-Stream and the core: one packet (words up to TLAST) of each stream for a layer.

Every start takes one packet of weights, one of biases and, with `new_map`, one of activations,
whether the layer succeeds or not. What a layer that ended leaves of its packets is *owed*: words
are discarded up to and with TLAST before the next packet goes to the core.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

OWED_MAX = 3


class LayerPackets(wiring.Component):
    """Weights or biases: the packet that arrives after `start` is for that layer.

    `live`: the core may be fed. `ends`: the layer ends; `open` tells that TLAST is still to come.
    Where the core asks for a word after TLAST, it gets ones instead, so that the layer comes to its
    end (of weights, these are fillers that end their filter), and `short` is high for a cycle.
    `clear` forgets what is owed; `room`: a start is possible.
    """

    def __init__(self, bits: int):
        self._bits = bits
        super().__init__(
            {
                "i": In(stream.Signature(bits)),
                "i_last": In(1),
                "o": Out(stream.Signature(bits)),
                "start": In(1),
                "live": In(1),
                "ends": In(1),
                "clear": In(1),
                "open": Out(1),
                "short": Out(1),
                "discarding": Out(1),
                "room": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        owed = Signal(range(OWED_MAX + 1))
        forward, paid = Signal(), Signal()
        m.d.comb += [
            self.discarding.eq(owed != 0),
            self.room.eq(owed != OWED_MAX),
            forward.eq(self.live & self.open & ~self.discarding),
            self.o.valid.eq((forward & self.i.valid) | (self.live & ~self.open)),
            self.o.payload.eq(Mux(self.open, self.i.payload, (1 << self._bits) - 1)),
            self.i.ready.eq(self.discarding | (forward & self.o.ready)),
            self.short.eq(self.live & ~self.open & self.o.ready),
            paid.eq(self.discarding & self.i.valid & self.i_last),
        ]
        m.d.sync += owed.eq(owed + (self.ends & self.open) - paid)
        with m.If(self.start):
            m.d.sync += self.open.eq(1)
        with m.Elif(self.ends | (forward & self.i.valid & self.o.ready & self.i_last)):
            m.d.sync += self.open.eq(0)
        with m.If(self.clear):
            m.d.sync += [owed.eq(0), self.open.eq(0)]
        return m


class MapPackets(wiring.Component):
    """Activations: maps go to the core in their order, also ahead of their layers.

    A map of more than `rows` rows would be an error of whatever layer runs, so the row that is too
    many waits until its own layer is `waiting`; then the core takes it, and the rest is discarded.
    `reset` empties the core's memory: a map that is not complete, or that a layer waits for, is
    discarded. In the cycle after the last row of its map a layer is still `waiting`.
    """

    def __init__(self, bits: int, rows: int):
        self._rows = rows
        super().__init__(
            {
                "i": In(stream.Signature(bits)),
                "i_last": In(1),
                "o": Out(stream.Signature(bits)),
                "waiting": In(1),
                "live": In(1),
                "reset": In(1),
                "clear": In(1),
                "discarding": Out(1),
                "room": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        owed = Signal(range(OWED_MAX + 1))
        row = Signal(range(self._rows))
        forward, fire, too_long, paid = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.discarding.eq(owed != 0),
            self.room.eq(owed != OWED_MAX),
            too_long.eq((row == self._rows - 1) & ~self.i_last),
            forward.eq(self.live & ~self.discarding & (~too_long | self.waiting)),
            self.o.valid.eq(forward & self.i.valid),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.discarding | (forward & self.o.ready)),
            fire.eq(self.o.valid & self.o.ready),
            paid.eq(self.discarding & self.i.valid & self.i_last),
        ]
        arrived = Signal()  # the last row of a map, in the cycle before
        m.d.sync += arrived.eq(fire & (self.i_last | too_long))
        lost = self.reset & (row.any() | (self.waiting & ~arrived))
        m.d.sync += owed.eq(owed + (lost | (fire & too_long)) - paid)
        with m.If(fire):
            m.d.sync += row.eq(Mux(self.i_last | too_long, 0, row + 1))
        with m.If(self.reset):
            m.d.sync += row.eq(0)
        with m.If(self.clear):
            m.d.sync += owed.eq(0)
        return m
