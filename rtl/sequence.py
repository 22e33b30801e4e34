"""Issue: which entry of which tile goes into the pipeline next, and the addresses it reads.

`Sequencer` runs through passes, tiles and entries; it is the only place where the core waits.
`SparseAddress` and `DenseAddress` follow it in the pipeline: the index decoder of the one core and
the loop counters of the other.
"""

import enum

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl import sram
from rtl.config import CoreConfig
from rtl.fanout import delay
from rtl.layer import COUNT_BITS, STEPS, descriptor


class Sequencer(wiring.Component):
    """Issue one entry a cycle unless its weights or the drain are not ready.

    A pass is issued once for each tile, and a tile's last entry only when `may_end`. In the
    cycle of `issue`: `first`/`last` entry of a tile, `tile_first`/`tile_last` of a pass,
    `pass_last` of the layer, and `base`, the byte address of the tile's first output pixel.
    `at_last` tells that `pointer` is at the last entry.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        pointer_bits = sram.address_bits(config.weight_depth)
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "ready": In(2),
                "at_last": In(1),
                "may_end": In(1),
                "running": Out(1),
                "side": Out(1),
                "pointer": Out(pointer_bits),
                "issue": Out(1),
                "first": Out(1),
                "last": Out(1),
                "tile_first": Out(1),
                "tile_last": Out(1),
                "pass_last": Out(1),
                "release": Out(1),
                "base": Out(config.address_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tile, number, in_group = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(COUNT_BITS)
        group_base = Signal(len(self.base))
        next_group = Signal(len(self.base))
        layer = self.layer
        m.d.comb += [
            self.issue.eq(
                self.running & self.ready.bit_select(self.side, 1) & (~self.at_last | self.may_end)
            ),
            self.last.eq(self.issue & self.at_last),
            self.tile_last.eq(tile == layer.last_tile),
            self.pass_last.eq(number == layer.last_pass),
            self.release.eq(self.last & self.tile_last),
            next_group.eq(Mux(in_group == layer.last_in_group, layer.group_step, 0) + group_base),
        ]
        with m.If(self.issue):
            m.d.sync += [
                self.first.eq(self.at_last),
                self.pointer.eq(Mux(self.at_last, 0, self.pointer + 1)),
            ]
        with m.If(self.last):
            m.d.sync += [
                tile.eq(tile + 1),
                self.tile_first.eq(0),
                self.base.eq(self.base + self._config.lanes),
            ]
        with m.If(self.release):
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


class SparseAddress(wiring.Component):
    """Index decoder: entries (delta, code) to addresses and weights, one a cycle.

    The address is the sum of the deltas since the tile's base. A delta of all ones is a filler: it
    moves the address and its weight is zero, like that of a bubble. The code is zero-free: sign bit
    and |level| - 1. `address` and `weight` are ready after edge 2.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "issue": In(1),
                "first": In(1),
                "base": In(config.address_bits),
                "entry": In(config.entry_bits),
                "valid": Out(1),
                "address": Out(config.address_bits),
                "weight": Out(signed(config.operand_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        issued = delay(m, self.issue, 2, "issued")
        first = delay(m, self.first, 2, "first", reset_less=True)
        base = delay(m, self.base, 2, "base", reset_less=True)
        entry = delay(m, self.entry, 1, "entry", reset_less=True)
        code, delta = entry[: config.weight_bits], entry[config.weight_bits :]
        negative = code[-1]
        magnitude, level = (
            Signal(signed(config.operand_bits), name=n) for n in ("magnitude", "level")
        )
        m.d.comb += [
            magnitude.eq(code[:-1]),
            level.eq(Mux(negative, ~magnitude, magnitude + 1)),
        ]
        with m.If(issued):
            m.d.sync += self.address.eq(Mux(first, base, self.address) + delta)
        m.d.sync += [
            self.valid.eq(issued),
            self.weight.eq(Mux(issued & ~delta.all(), level, 0)),
        ]
        return m


class Step(enum.IntEnum):
    """What was left behind by the previous tap: which step leads to the next one."""

    COLUMN = 0
    PHASE_X = 1
    ROW = 2
    PHASE_Y = 3
    CHANNEL = 4


class DenseAddress(wiring.Component):
    """Loop counters: the addresses of every tap, columns inside rows inside channels.

    `at_last` is high when the next entry to issue is the last tap. `address` is ready after
    edge 2.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "issue": In(1),
                "first": In(1),
                "base": In(config.address_bits),
                "at_last": Out(1),
                "valid": Out(1),
                "address": Out(config.address_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self.layer
        column, row, phase_x, phase_y = (Signal(8, name=n) for n in ("s", "r", "ps", "pr"))
        channel = Signal(COUNT_BITS, name="c")
        step = Signal(Step)
        ends_row = column == layer.last_column
        ends_channel = row == layer.last_row
        wraps_x = phase_x == layer.last_phase_x
        wraps_y = phase_y == layer.last_phase_y
        m.d.comb += self.at_last.eq(ends_row & ends_channel & (channel == layer.last_channel))
        with m.If(self.issue):
            with m.If(~ends_row):
                m.d.sync += [
                    column.eq(column + 1),
                    phase_x.eq(Mux(wraps_x, 0, phase_x + 1)),
                    step.eq(Mux(wraps_x, Step.PHASE_X, Step.COLUMN)),
                ]
            with m.Else():
                m.d.sync += [column.eq(0), phase_x.eq(0)]
                with m.If(~ends_channel):
                    m.d.sync += [
                        row.eq(row + 1),
                        phase_y.eq(Mux(wraps_y, 0, phase_y + 1)),
                        step.eq(Mux(wraps_y, Step.PHASE_Y, Step.ROW)),
                    ]
                with m.Else():
                    m.d.sync += [
                        row.eq(0),
                        phase_y.eq(0),
                        channel.eq(Mux(self.at_last, 0, channel + 1)),
                        step.eq(Step.CHANNEL),
                    ]
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (column, row, phase_x, phase_y, channel)]

        steps = Array(getattr(layer, f"step_{name}") for name in STEPS)
        issued = delay(m, self.issue, 2, "issued")
        first = delay(m, self.first, 2, "first", reset_less=True)
        base = delay(m, self.base, 2, "base", reset_less=True)
        kind = delay(m, step, 1, "kind", reset_less=True)
        increment = Signal(len(self.address), reset_less=True)
        m.d.sync += increment.eq(steps[kind])
        with m.If(issued):
            m.d.sync += self.address.eq(Mux(first, base, self.address + increment))
        m.d.sync += self.valid.eq(issued)
        return m
