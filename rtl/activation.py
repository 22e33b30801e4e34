"""Activation memory: banked SRAM that reads `lanes` neighbouring elements from any address.

An element is a byte, or `nm_group` bytes in `sparse-nm`, whose first is then the byte A below.
Byte A lies in bank (A / bank_bytes) mod act_banks, row A / row_bytes. A read at A takes the
row from the banks at or after A's bank and the next row from those before it; a barrel rotator
in two pipeline stages then moves byte A to lane 0.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl import sram
from rtl.config import CoreConfig
from rtl.fanout import delay, register_copy, tree

LOADS = 32
"""Multiplexers that one copy of a rotator select drives."""


def advance(address: Value, distance: Value) -> Value:
    """`address` moved on by `distance`, which is not negative.

    An address that is still to be added to has a bit more than one of the memory. The top one tells
    that the sum lies behind every address of the memory; it stays, whatever is added.
    """
    bits = len(address) - 1
    total = address[:bits] + distance[:bits]
    beyond = total[bits] | address[bits]
    if len(distance) > bits:
        beyond |= distance[bits:].any()
    return Cat(total[:bits], beyond)


def outside(config: CoreConfig, address: Value) -> Value:
    """Whether element `address` lies behind the memory's last row; it may have any width."""
    low_bits = (config.row_bytes // config.element_bytes).bit_length() - 1
    return address[low_bits:] >= config.act_depth


class ActivationMemory(wiring.Component):
    """Take maps row by row, read bytes at `address`.

    `i` takes rows (row_bytes bytes, byte 0 lowest; `last` on top) at one a cycle: from row 0
    on, until the `last` row of a map, then no more until `swap` takes the map into use. With two
    buffers the next map is loaded while the core is `busy`; with one only otherwise. `full`: a map
    waits. `bad`: it has more rows than the memory.

    `address` is a register's output; the bytes that it selects are in registers, ready for the
    multipliers, four edges later. `acts[copy]` are `read_bytes` bytes, `copies` times the same,
    so that several filters can share them. With 0 copies there is one that comes an edge earlier,
    for registers elsewhere.
    """

    def __init__(self, config: CoreConfig, copies: int):
        self._config = config
        self._copies = copies
        vector = signed(config.act_bits)
        super().__init__(
            {
                "i": In(stream.Signature(config.act_bits * config.row_bytes + 1)),
                "busy": In(1),
                "swap": In(1),
                "full": Out(1),
                "bad": Out(1),
                "address": In(config.address_bits),
                "valid": In(1),
                "acts": Out(vector).array(max(copies, 1), config.read_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        row_bits = sram.address_bits(config.act_depth)
        low_bits = config.row_bytes.bit_length() - 1
        bank_shift = config.bank_bytes.bit_length() - 1
        shift = config.element_bytes.bit_length() - 1
        double = config.act_buffers == 2

        # Loading: the row registers of the banks hold the next row to write.
        open_ = Signal()
        write_row = Signal(row_bits)
        next_write_row = Signal(row_bits)
        fire, last, overflow = Signal(), Signal(), Signal()
        side = Signal()  # the buffer in use
        m.d.comb += [
            last.eq(self.i.payload[-1]),
            self.i.ready.eq(open_ & ~self.full & (double | ~self.busy)),
            fire.eq(self.i.valid & self.i.ready),
            overflow.eq(fire & ~last & (write_row == config.act_depth - 1)),
            next_write_row.eq(Mux(fire, write_row + 1, write_row)),
        ]
        # A bank's row register needs a cycle after `busy` to point at the row to write.
        m.d.sync += [
            open_.eq((double | ~self.busy) & ~self.swap),
            write_row.eq(Mux(self.swap, 0, next_write_row)),
            self.full.eq((self.full | (fire & last) | overflow) & ~self.swap),
            self.bad.eq((self.bad | overflow) & ~self.swap),
        ]
        if double:
            m.d.sync += side.eq(side ^ self.swap)

        # Reading: stage 1, a row for each bank.
        address = Cat(Const(0, shift), self.address) if shift else self.address
        low = address[:low_bits]
        row = address[low_bits:]
        first_bank = low[bank_shift:]
        next_row = Signal(row_bits)
        m.d.comb += next_row.eq(row + 1)
        read = Signal()
        m.d.sync += read.eq(self.valid)
        words = []
        for bank in range(config.act_banks):
            wraps = bank < first_bank
            payload = self.i.payload.word_select(bank, config.act_bits * config.bank_bytes)
            parts = []
            for buffer in range(config.act_buffers):
                name = f"{bank}_{buffer}" if double else f"{bank}"
                loads = side != buffer if double else ~self.busy
                bank_row = Signal(row_bits, name=f"row_{name}", reset_less=True)
                m.d.sync += bank_row.eq(Mux(loads, next_write_row, Mux(wraps, next_row, row)))
                word = Signal(config.act_bits * config.bank_bytes, name=f"bank_{name}")
                writes = fire & loads
                m.submodules[f"bank_{name}"] = sram.instance(
                    config.act_depth,
                    config.act_bits * config.bank_bytes,
                    ce=writes | (read & ~loads if double else read),
                    we=writes,
                    addr=bank_row,
                    d=payload,
                    q=word,
                )
                parts.append(word)
            words.append(Mux(side, parts[-1], parts[0]))

        # Stages 3 and 4: rotate, large steps first so that the last steps need few bytes.
        memory = Cat(words)
        data = [memory.word_select(n, config.act_bits) for n in range(config.row_bytes)]
        split = shift + (low_bits - shift) // 2
        data = self._rotate(m, data, low, range(low_bits - 1, split - 1, -1), "coarse")
        middle = [
            Signal(config.act_bits, name=f"middle_{n}", reset_less=True) for n in range(len(data))
        ]
        m.d.sync += [register.eq(byte) for register, byte in zip(middle, data, strict=True)]
        late = delay(m, low[:split], 1, "low", reset_less=True)
        data = self._rotate(m, list(middle), late, range(split - 1, shift - 1, -1), "fine")
        for lane, byte in enumerate(data):
            if self._copies == 0:
                m.d.comb += self.acts[0][lane].eq(byte)
            elif self._copies == 1:
                register = Signal(signed(config.act_bits), name=f"act_{lane}", reset_less=True)
                m.d.sync += register.eq(byte)
                m.d.comb += self.acts[0][lane].eq(register)
            else:
                value = Signal(signed(config.act_bits), name=f"rotated_{lane}")
                m.d.comb += value.eq(byte)
                for copy in range(self._copies):
                    name = f"act_{copy}_{lane}"
                    m.d.comb += self.acts[copy][lane].eq(register_copy(m, value, name))
        return m

    def _rotate(
        self, m: Module, data: list[Value], amount: Value, steps: range, name: str
    ) -> list[Value]:
        """Rotate towards byte 0 by the bits `steps` of amount, which arrives two edges earlier."""
        config = self._config
        for step in steps:
            distance = 1 << step
            needed = config.read_bytes + distance - config.element_bytes
            needed = min(config.row_bytes, needed)
            loads = max(1, LOADS // config.act_bits)
            select = tree(m, amount[step], -(-needed // loads), f"{name}_{step}")
            data = [
                Mux(select[n // loads], data[(n + distance) % len(data)], data[n])
                for n in range(needed)
            ]
        return data
