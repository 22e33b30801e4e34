"""Bounded proofs: addresses are sums of whole numbers, and what is not in the memory is told.

Each part is compared with sums that have as many bits as they need, for any descriptor.
"""

from unittest import mock

import pytest
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import Assert, Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from formal import constant, solve, told

import rtl.activation
from rtl import sequence, sram, weights
from rtl.config import CoreConfig
from rtl.dense import DenseAddress
from rtl.fields import STEPS

SMALL = {"lanes": 2, "act_banks": 2, "bank_bytes": 2, "weight_bits": 3}
SPARSE = CoreConfig(coding="bitmask", mask_bits=5, tap_depth=32, act_depth=4, **SMALL)
DENSE = CoreConfig("dense-2d", filters=2, act_depth=3, **SMALL)
LOOPS = ("column", "row", "channel", "phase_x", "phase_y")


class SequencerHarness(wiring.Component):
    """Passes, tiles and groups of any number, by an exact base."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "ready": In(1),
                "at_last": In(1),
                "last_tile": In(2),
                "last_in_group": In(2),
                "group_step": In(config.address_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.sequencer = sequencer = sequence.Sequencer(config, 4)
        layer = sequencer.layer
        begun = Signal()
        m.d.sync += begun.eq(1)
        m.d.comb += [
            sequencer.start.eq(~begun),
            sequencer.ready.eq(self.ready),
            sequencer.at_last.eq(self.at_last),
            sequencer.may_end.eq(1),
            layer.last_pass.eq(0xFFFF),
        ]
        for name in ("last_tile", "last_in_group", "group_step"):
            m.d.comb += getattr(layer, name).eq(constant(m, getattr(self, name), name))
        wide = config.address_bits + 6
        base, group, tile, number = Signal(wide), Signal(wide), Signal(3), Signal(3)
        with m.If(sequencer.issue):
            m.d.comb += told(sequencer.base, base)
            with m.If(self.at_last & (tile != layer.last_tile)):
                m.d.sync += [base.eq(base + config.lanes), tile.eq(tile + 1)]
            with m.Elif(self.at_last & (number != layer.last_in_group)):
                m.d.sync += [base.eq(group), tile.eq(0), number.eq(number + 1)]
            with m.Elif(self.at_last):
                begins = group + layer.group_step
                m.d.sync += [base.eq(begins), group.eq(begins), tile.eq(0), number.eq(0)]
        return m


class TableHarness(wiring.Component):
    """Any base, period and word of the table in any cycle."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "go": In(1),
                "base": In(config.address_bits + 1),
                "period": In(config.address_bits + 1),
                "offset": In(config.address_bits),
                "missing": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        table = weights.TapTable(config)

        def memory(*_: int, q: Signal, **__: Value) -> Module:
            read = Module()
            read.d.comb += q.eq(self.offset)
            return read

        with mock.patch.object(sram, "instance", memory):
            m.submodules.table = Fragment.get(table, None)
        m.d.comb += [
            table.issue.eq(self.go),
            table.base.eq(self.base),
            table.period.eq(self.period),
            table.missing.eq(self.missing),
        ]
        # The word is there a cycle after the issue, and the sum two cycles after it.
        parts, begun, late = Signal(config.address_bits + 2), Signal(), Signal()
        total, issued, lost = Signal(config.address_bits + 3), Signal(), Signal()
        expected, valid, beyond = Signal.like(total), Signal(), Signal()
        m.d.sync += [
            *(parts.eq(self.base + self.period), begun.eq(self.go)),
            *(total.eq(parts + self.offset), issued.eq(begun), lost.eq(self.missing)),
            *(expected.eq(total), valid.eq(issued)),
            beyond.eq(lost | (total >= config.act_elements)),
        ]
        m.d.comb += [late.eq(valid), Assert(table.valid == valid)]
        with m.If(late):
            m.d.comb += Assert(table.beyond == beyond)
            with m.If(~beyond):
                m.d.comb += Assert(table.address == expected)
        return m


class WalkHarness(wiring.Component):
    """Loops of any bounds and steps, by exact addresses."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "go": In(1),
                "base": In(config.address_bits + 1),
                **{f"step_{name}": In(config.address_bits + 1) for name in STEPS},
                **{f"last_{name}": In(2) for name in LOOPS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.address = address = DenseAddress(config)
        steps = {name: constant(m, getattr(self, f"step_{name}"), f"step_{name}") for name in STEPS}
        lasts = {name: constant(m, getattr(self, f"last_{name}"), f"last_{name}") for name in LOOPS}
        for name, value in steps.items():
            m.d.comb += getattr(address.layer, f"step_{name}").eq(value)
        for name, value in lasts.items():
            m.d.comb += getattr(address.layer, f"last_{name}").eq(value)
        base, first, begun = Signal.like(self.base), Signal(init=1), Signal()
        m.d.sync += begun.eq(1)
        m.d.comb += [
            address.start.eq(~begun),
            address.issue.eq(self.go & begun),
            address.first.eq(first),
            address.base.eq(base),
        ]

        # Where the tap lies, and which step leads to the next one.
        at = {name: Signal(3, name=f"at_{name}") for name in LOOPS}
        ends = {name: at[name] == lasts[name] for name in LOOPS}
        tap = Signal(signed(config.address_bits + 6))
        step = Mux(ends["phase_x"], steps["phase_x"], steps["column"])
        to_row = Mux(ends["phase_y"], steps["phase_y"], steps["row"])
        step = Mux(ends["column"], Mux(ends["row"], steps["channel"], to_row), step)
        whole = ends["column"] & ends["row"] & ends["channel"]
        here = Mux(first, base, tap)
        with m.If(address.issue):
            m.d.comb += Assert(address.at_last == whole)
            m.d.sync += [first.eq(whole), tap.eq(here + step.as_signed())]
            moved = [("column", "phase_x")]
            with m.If(ends["column"]):
                m.d.sync += [at["column"].eq(0), at["phase_x"].eq(0)]
                with m.If(ends["row"]):
                    m.d.sync += [at["row"].eq(0), at["phase_y"].eq(0)]
                    m.d.sync += at["channel"].eq(Mux(whole, 0, at["channel"] + 1))
                moved = [*moved, ("row", "phase_y")]
            for loop, phase in moved:
                inner = Const(1) if loop == "column" else ends["column"]
                with m.If(inner & ~ends[loop]):
                    m.d.sync += at[loop].eq(at[loop] + 1)
                    m.d.sync += at[phase].eq(Mux(ends[phase], 0, at[phase] + 1))
            with m.If(whole):
                m.d.sync += base.eq(self.base)

        # What must be told, three cycles later, until a tile's first tap that is not in the memory.
        outside = Signal()
        strange = (here < 0) | (here >= config.act_elements)
        with m.If(address.issue):
            m.d.sync += outside.eq(~whole & (outside | strange))
        expected = Cat(address.issue & ~outside, strange, here[: config.address_bits])
        for _ in range(3):
            later = Signal(len(expected))
            m.d.sync += later.eq(expected)
            expected = later
        with m.If(expected[0]):
            m.d.comb += [Assert(address.valid), Assert(address.beyond == expected[1])]
            with m.If(~expected[1]):
                m.d.comb += Assert(address.address == expected[2:])
        return m


HARNESSES = {
    # Groups of a tile each leave the memory with the third, tiles of one group with the ninth.
    "sequencer": (lambda: SequencerHarness(SPARSE), 14),
    "table": (lambda: TableHarness(SPARSE), 6),
    # Two tiles of two taps in each loop, with the latency.
    "walk": (lambda: WalkHarness(DENSE), 14),
}


@pytest.mark.parametrize("name", HARNESSES)
def test_addresses_are_exact_or_said_to_be_beyond(name, tmp_path):
    make, steps = HARNESSES[name]
    done = solve(make(), steps, tmp_path)
    assert "Status: PASSED" in done.stdout, done.stdout + done.stderr


def wrapping(address: Value, distance: Value) -> Value:
    """A sum that forgets that it has left the memory."""
    return (address[:-1] + distance)[: len(address)]


@pytest.mark.parametrize("name", HARNESSES)
def test_the_proof_can_fail(name, tmp_path, monkeypatch):
    if name == "walk":
        monkeypatch.setattr(
            "rtl.dense.outside", lambda config, at: rtl.activation.outside(config, at[:-1])
        )
    monkeypatch.setattr(sequence, "advance", wrapping)
    monkeypatch.setattr(weights, "advance", wrapping)
    make, steps = HARNESSES[name]
    done = solve(make(), steps, tmp_path)
    assert "Status: FAILED" in done.stdout, done.stdout + done.stderr
