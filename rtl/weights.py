"""Double-buffered weights: one pass is replayed for every tile while the next one is loaded."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl import sram
from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import COUNT_BITS


class WeightBuffers(wiring.Component):
    """Two single-port buffers that are filled and read alternately, starting with buffer 0.

    `i` takes one word a cycle into a free buffer. A pass ends with the word that has `last`
    (sparse) or with word `last_word` (dense); from the next cycle on its buffer is in `ready`, and
    `length` is its length less one. `release` frees the buffer that is read. `pointer` addresses
    the buffer `side`; the word is in `entry` after edge 0 + `late`: a dense core needs no weight
    to compute an address, so it reads weights that much later instead of delaying them.
    """

    def __init__(self, config: CoreConfig, late: int):
        self._config = config
        self._late = late
        self._pointer_bits = sram.address_bits(config.weight_depth)
        super().__init__(
            {
                "i": In(stream.Signature(config.stream_bits)),
                "start": In(1),
                "busy": In(1),
                "last_pass": In(COUNT_BITS),
                "last_word": In(self._pointer_bits),
                "ready": Out(2),
                "length": Out(self._pointer_bits),
                "side": In(1),
                "pointer": In(self._pointer_bits),
                "release": In(1),
                "entry": Out(config.entry_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        write_side = Signal()
        write_pointer = Signal(self._pointer_bits)
        passes = Signal(COUNT_BITS)
        loaded_all = Signal()
        held = Signal(2)  # until the last read of a buffer has really been made
        lengths = [Signal(self._pointer_bits, name=f"length_{n}") for n in range(2)]
        fire, ends = Signal(), Signal()

        if config.core == "sparse":
            m.d.comb += ends.eq(self.i.payload[-1])
        else:
            m.d.comb += ends.eq(write_pointer == self.last_word)
        m.d.comb += [
            self.i.ready.eq(self.busy & ~loaded_all & ~held.bit_select(write_side, 1)),
            fire.eq(self.i.valid & self.i.ready),
            self.length.eq(Mux(self.side, lengths[1], lengths[0])),
        ]
        side = delay(m, self.side, self._late, "side")
        pointer = delay(m, self.pointer, self._late, "pointer", reset_less=True)
        release = delay(m, self.release, self._late, "release")

        with m.If(self.release):
            m.d.sync += self.ready.bit_select(self.side, 1).eq(0)
        with m.If(release):
            m.d.sync += held.bit_select(side, 1).eq(0)
        with m.If(fire):
            m.d.sync += write_pointer.eq(Mux(ends, 0, write_pointer + 1))
            with m.If(ends):
                m.d.sync += [
                    write_side.eq(~write_side),
                    self.ready.bit_select(write_side, 1).eq(1),
                    held.bit_select(write_side, 1).eq(1),
                    Cat(lengths).word_select(write_side, self._pointer_bits).eq(write_pointer),
                    passes.eq(passes + 1),
                    loaded_all.eq(passes == self.last_pass),
                ]
        with m.If(self.start):
            m.d.sync += [
                write_side.eq(0),
                write_pointer.eq(0),
                passes.eq(0),
                loaded_all.eq(0),
                self.ready.eq(0),
                held.eq(0),
            ]

        words = []
        for n in range(2):
            word = Signal(config.entry_bits, name=f"word_{n}")
            reading = held[n]
            m.submodules[f"buffer_{n}"] = sram.instance(
                config.weight_depth,
                config.entry_bits,
                ce=reading | (fire & (write_side == n)),
                we=~reading,
                addr=Mux(reading, pointer, write_pointer),
                d=self.i.payload[: config.entry_bits],
                q=word,
            )
            words.append(word)
        read_side = delay(m, side, 1, "read_side")
        m.d.comb += self.entry.eq(Mux(read_side, words[1], words[0]))
        return m
