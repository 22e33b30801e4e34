"""Front end of the sparse core: one non-zero a cycle, found by a distance or by an address."""

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.activation import advance, outside
from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import Error
from rtl.sequence import Front, Sequencer
from rtl.timing import ACT_EDGE, ADDRESS_EDGE
from rtl.weights import DoubleBuffer, Router


class SparseFront(Front):
    """Entries {place, code} with pre-linearised places. Ports: `front_signature`."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.router = router = Router(config)
        m.submodules.buffer = buffer = DoubleBuffer(config.weight_depth, config.entry_bits)
        m.submodules.sequencer = sequencer = Sequencer(config, config.weight_depth)
        m.submodules.address = address = SparseAddress(config)
        self.wire(m, router, sequencer)
        length = Mux(sequencer.side, buffer.lengths[1], buffer.lengths[0])
        m.d.comb += [
            router.ends.eq(self.i.payload[-1]),
            sequencer.ready.eq(self.replay(m, router, buffer, sequencer)),
            sequencer.at_last.eq(sequencer.pointer == length),
            address.issue.eq(sequencer.issue),
            address.first.eq(sequencer.first),
            address.base.eq(sequencer.base),
            address.entry.eq(buffer.word),
            self.valid.eq(address.valid),
            self.address.eq(address.address),
            self.operands[0].eq(delay(m, address.weight, ACT_EDGE - 2 - ADDRESS_EDGE, "weight")),
            self.nonzeros.eq(address.weight.any()),
            self.fillers.eq(address.valid & ~address.weight.any()),
            self.fault[Error.WEIGHTS].eq(buffer.overflow),
            self.fault[Error.ADDRESS].eq(address.beyond),
        ]
        return m


def level_of(m: Module, code: Value, name: str) -> Value:
    """The level of a zero-free code: sign bit and |level| - 1, as a two's complement operand."""
    magnitude, level = (
        Signal(signed(min(len(code) + 1, 8)), name=f"{name}_{part}")
        for part in ("magnitude", "level")
    )
    m.d.comb += [
        magnitude.eq(code[:-1]),
        level.eq(Mux(code[-1], ~magnitude, magnitude + 1)),
    ]
    return level


class SparseAddress(wiring.Component):
    """Index decoder: entries {place, code} to addresses and weights, one a cycle.

    Relative: the address is the sum of the distances since the tile's base. Absolute: the base plus
    the place. A place of all ones is a filler: its weight is zero, like that of a bubble; a
    relative one still moves the address. `address`, `weight` and `beyond` (the weight's address is
    not in the activation memory) are ready after edge 2.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "issue": In(1),
                "first": In(1),
                "base": In(config.address_bits + 1),
                "entry": In(config.entry_bits),
                "valid": Out(1),
                "address": Out(config.address_bits),
                "beyond": Out(1),
                "weight": Out(signed(config.operand_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        relative = config.coding == "relative"
        issued = delay(m, self.issue, 2, "issued")
        first = delay(m, self.first, 2, "first", reset_less=True)
        base = delay(m, self.base, 2, "base", reset_less=True)
        entry = delay(m, self.entry, 1, "entry", reset_less=True)
        code, place = entry[: config.weight_bits], entry[config.weight_bits :]
        level = level_of(m, code, "code")
        present = Signal()
        m.d.comb += present.eq(issued & ~place.all())
        reached = Signal(len(base))
        with m.If(issued):
            m.d.sync += reached.eq(advance(Mux(first, base, reached) if relative else base, place))
        m.d.sync += [self.valid.eq(issued), self.weight.eq(Mux(present, level, 0))]
        m.d.comb += [
            self.address.eq(reached),
            self.beyond.eq(self.weight.any() & outside(config, reached)),
        ]
        return m
