"""Issue: which entry of which tile goes into the pipeline next.

A *front end* (`dense`, `sparse`, `bitmask`, `rows`) reads the weights, issues them and computes the
addresses of their activations; all are a `Front`. What follows the issue
is the same for all cores.
"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import sram
from rtl.activation import advance
from rtl.config import COUNT_BITS, CoreConfig
from rtl.lane import weight_shape
from rtl.layer import Error, descriptor
from rtl.weights import DoubleBuffer, Router


def front_signature(config: CoreConfig) -> dict[str, wiring.Member]:
    """Ports of a front end.

    layer, start, busy : the descriptor; a layer begins; the layer runs
    i : the weight stream
    may_end : the last entry of a tile may be issued
    In the cycle of the issue: running, ready, at_last (entries remain, the next one is there, it is
    a tile's last), last (it was issued) of a `tile_first`, `tile_last` tile of a pass, of the
    layer's `pass_last` pass.
    valid, address : reads of the activation memories, after edge 2, a bit and an address for each
        stream, stream 0 lowest
    operands : what the filters of a cycle send to their lanes (weights, zero in a bubble) two edges
        before the multipliers' operand registers
    nonzeros, fillers : entries issued with and without a weight, some cycles later
    fault : bits of `Error`
    """
    count = config.operands.bit_length()
    return {
        "layer": In(descriptor(config)),
        "start": In(1),
        "busy": In(1),
        "i": In(stream.Signature(config.stream_bits)),
        "may_end": In(1),
        "running": Out(1),
        "ready": Out(1),
        "at_last": Out(1),
        "last": Out(1),
        "tile_first": Out(1),
        "tile_last": Out(1),
        "pass_last": Out(1),
        "valid": Out(config.streams),
        "address": Out(config.streams * config.address_bits),
        "operands": Out(weight_shape(config)).array(config.parallel),
        "nonzeros": Out(count),
        "fillers": Out(count),
        "fault": Out(len(Error)),
    }


class Sequencer(wiring.Component):
    """Issue one entry a cycle unless it is not `ready`, or is a tile's last and may not end.

    A pass is issued once for each tile. In the cycle of `issue`: `first`/`last` entry of a tile,
    `tile_first`/`tile_last` of a pass, `pass_last` of the layer, and `base`, the byte address
    of the tile's first output pixel (as `rtl.activation.advance` has it). `pointer` counts the
    tile's issues with `step`, `side` the passes, `release` marks the side of a pass that ends.
    """

    def __init__(self, config: CoreConfig, depth: int):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "ready": In(1),
                "at_last": In(1),
                "may_end": In(1),
                "step": In(1, init=1),
                "running": Out(1),
                "side": Out(1),
                "pointer": Out(sram.address_bits(depth)),
                "issue": Out(1),
                "first": Out(1),
                "last": Out(1),
                "tile_first": Out(1),
                "tile_last": Out(1),
                "pass_last": Out(1),
                "release": Out(2),
                "base": Out(config.address_bits + 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tile, number, in_group = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(COUNT_BITS)
        group_base = Signal(len(self.base))
        next_group = Signal(len(self.base))
        pass_ends = Signal()
        layer = self.layer
        group_step = Mux(in_group == layer.last_in_group, layer.group_step, 0)
        m.d.comb += [
            self.issue.eq(self.running & self.ready & (~self.at_last | self.may_end)),
            self.last.eq(self.issue & self.at_last),
            self.tile_last.eq(tile == layer.last_tile),
            self.pass_last.eq(number == layer.last_pass),
            pass_ends.eq(self.last & self.tile_last),
            self.release.eq(pass_ends << self.side),
            next_group.eq(advance(group_base, group_step)),
        ]
        with m.If(self.issue):
            m.d.sync += [
                self.first.eq(self.at_last),
                self.pointer.eq(Mux(self.at_last, 0, self.pointer + self.step)),
            ]
        with m.If(self.last):
            m.d.sync += [
                tile.eq(tile + 1),
                self.tile_first.eq(0),
                self.base.eq(advance(self.base, Const(self._config.lanes))),
            ]
        with m.If(pass_ends):
            m.d.sync += [
                tile.eq(0),
                self.tile_first.eq(1),
                number.eq(number + 1),
                in_group.eq(Mux(in_group == layer.last_in_group, 0, in_group + 1)),
                group_base.eq(next_group),
                self.base.eq(next_group),
                self.side.eq(~self.side),
                self.running.eq(~self.pass_last),
            ]
        with m.If(self.start):
            m.d.sync += [
                self.running.eq(1),
                self.side.eq(0),
                self.pointer.eq(0),
                self.first.eq(1),
                self.tile_first.eq(1),
                tile.eq(0),
                number.eq(0),
                in_group.eq(0),
                group_base.eq(0),
                self.base.eq(0),
            ]
        return m


class Front(wiring.Component):
    """What all front ends share: the ports of `front_signature` (and `more`), and their wiring."""

    def __init__(self, config: CoreConfig, **more: wiring.Member):
        self._config = config
        super().__init__(front_signature(config) | more)

    def wire(self, m: Module, router: Router, sequencer: Sequencer) -> None:
        """The ports to the parts that sort the weight stream and issue what came of it."""
        connect(m, flipped(self.i), router.i)
        connect(m, flipped(self.layer), sequencer.layer)
        m.d.comb += [
            router.start.eq(self.start),
            router.busy.eq(self.busy),
            router.last_pass.eq(self.layer.last_pass),
            sequencer.start.eq(self.start),
            sequencer.may_end.eq(self.may_end),
        ]
        for name in ("running", "ready", "at_last", "last", "tile_first", "tile_last", "pass_last"):
            m.d.comb += getattr(self, name).eq(getattr(sequencer, name))

    def replay(
        self, m: Module, router: Router, buffer: DoubleBuffer, sequencer: Sequencer
    ) -> Value:
        """The weights of the stream into `buffer`, read where `sequencer` points; whether they are
        there."""
        connect(m, router.weights[0], buffer.i)
        m.d.comb += [
            buffer.start.eq(self.start),
            buffer.enable.eq(router.enable),
            buffer.ends.eq(router.ends),
            buffer.read.eq(1),
            buffer.side.eq(sequencer.side),
            buffer.pointer.eq(sequencer.pointer),
            buffer.release.eq(sequencer.release),
        ]
        return buffer.ready.bit_select(sequencer.side, 1)
