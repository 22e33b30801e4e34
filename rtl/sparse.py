"""Front end of the sparse core: a non-zero of every stream a cycle, found by a distance or by an
address."""

from collections.abc import Sequence
from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.activation import advance, outside
from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import Error
from rtl.sequence import Front, Sequencer
from rtl.timing import ADDRESS_EDGE, operand_edge
from rtl.weights import DoubleBuffer, Router


class SparseFront(Front):
    """Entries {place, code} with pre-linearised places, one of each stream in a word.

    The streams are in lockstep, each with a decoder of its own. Ports: `front_signature`.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.router = router = Router(config)
        m.submodules.buffer = buffer = DoubleBuffer(config.weight_depth, config.entry_bits)
        m.submodules.sequencer = sequencer = Sequencer(config, config.weight_depth)
        several = config.streams > 1
        decoders = [self._decoder() for _ in range(config.streams)]
        for k, decoder in enumerate(decoders):
            m.submodules[f"address_{k}" if several else "address"] = decoder
        self.wire(m, router, sequencer)
        length = Mux(sequencer.side, buffer.lengths[1], buffer.lengths[0])
        ahead = operand_edge(config) - 2 - ADDRESS_EDGE
        weights = joined([decoder.weight for decoder in decoders])
        m.d.comb += [
            router.ends.eq(self.i.payload[-1]),
            sequencer.ready.eq(self.replay(m, router, buffer, sequencer)),
            sequencer.at_last.eq(sequencer.pointer == length),
        ]
        for decoder, entry in zip(decoders, parted(buffer.word, config.streams), strict=True):
            m.d.comb += [
                decoder.issue.eq(sequencer.issue),
                decoder.first.eq(sequencer.first),
                decoder.base.eq(sequencer.base),
                decoder.entry.eq(entry),
            ]
        m.d.comb += [
            self.valid.eq(joined([decoder.valid for decoder in decoders])),
            self.address.eq(joined([decoder.address for decoder in decoders])),
            self.operands[0].eq(delay(m, self._operand(weights, decoders), ahead, "weight")),
        ]
        present = [decoder.weight.any() for decoder in decoders]
        if several or config.windowed:
            nonzeros, fillers = counted(m, sequencer, present)
            beyond = joined([decoder.beyond for decoder in decoders]).any()
        else:
            nonzeros, fillers = present[0], decoders[0].valid & ~present[0]
            beyond = decoders[0].beyond
        self._connect(m, decoders)
        m.d.comb += [
            self.nonzeros.eq(nonzeros),
            self.fillers.eq(fillers),
            self.fault[Error.WEIGHTS].eq(buffer.overflow),
            self.fault[Error.ADDRESS].eq(beyond),
        ]
        return m

    def _operand(self, weights: Value, decoders: Sequence[Any]) -> Value:
        """What goes to the lanes."""
        return weights

    def _connect(self, m: Module, decoders: Sequence[Any]) -> None:
        """What the decoders of another coding have beside the same ports."""

    def _decoder(self) -> Any:
        """That of a stream."""
        return SparseAddress(self._config)


def joined(values: list[Value]) -> Value:
    """The streams' values side by side, stream 0 lowest."""
    return Cat(*values) if len(values) > 1 else values[0]


def parted(value: Value, streams: int) -> list[Value]:
    """The streams' values in one, each as wide as the others."""
    if streams == 1:
        return [value]
    return [value.word_select(k, len(value) // streams) for k in range(streams)]


def counted(m: Module, sequencer: Sequencer, present: list[Value]) -> tuple[Value, Value]:
    """(weights, fillers) of several streams' issues, a cycle later.

    present : of each stream, whether it has a weight, after edge 2
    """
    issued = delay(m, sequencer.issue, 4, "counted")
    found = sum(delay(m, Cat(present), 1, "present"))
    return found, Mux(issued, len(present), 0) - found


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
    """Index decoder of a stream: entries {place, code} to addresses and weights, one a cycle.

    Relative: the address is the sum of the distances since the tile's base. Absolute: the base plus
    the place. A place of all ones is a filler: its weight is zero, like that of a bubble; a
    relative one still moves the address. A stream that is through with its weights waits for the
    others with fillers of an odd code, which leave the address as it is.

    `address`, `weight` and `beyond` (the weight's address is not in the activation memory) are
    ready after edge 2. `valid`: the activation is to be read; of several streams each reads for its
    weights alone.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "issue": In(1),
                "first": In(1),
                "base": In(config.address_bits + 1),
                "entry": In(config.entry_bits // config.streams),
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
        several = config.streams > 1
        moves = issued & ~(place.all() & code[0]) if several else issued
        reads = present if several else issued
        reached = Signal(len(base))
        with m.If(moves):
            m.d.sync += reached.eq(advance(Mux(first, base, reached) if relative else base, place))
        m.d.sync += [self.valid.eq(reads), self.weight.eq(Mux(present, level, 0))]
        m.d.comb += [
            self.address.eq(reached),
            self.beyond.eq(self.weight.any() & outside(config, reached)),
        ]
        return m
