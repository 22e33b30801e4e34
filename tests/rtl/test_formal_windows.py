"""Bounded proofs of the "window" coding: its decoder reproduces any row, whatever the cycles in
which it waits, and reads every window whole."""

import dataclasses
import itertools

import pytest
from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.hdl import Assert, Assume
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from formal import constant, solve

from rtl.config import CoreConfig
from rtl.window import WindowAddress

NONZEROS, RESTS = 3, 1
WINDOW = CoreConfig(
    coding="window",
    window_span=2,
    step_bits=1,
    lanes=2,
    act_banks=2,
    bank_bytes=2,
    act_depth=4,
    weight_bits=3,
)


class WindowHarness(wiring.Component):
    """A row of up to NONZEROS weights, coded as the packer does, tile after tile; it rests behind
    them for up to RESTS cycles, and if it has no weight for one."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "go": In(1),
                "starts": In(config.address_bits).array(NONZEROS),
                "taps": In(1).array(NONZEROS),
                "codes": In(config.weight_bits).array(NONZEROS),
                "turns": In(config.turn_bits).array(NONZEROS),
                "count": In(range(NONZEROS + 1)),
                "bases": In(config.address_bits + 1),
                "rests": In(range(RESTS + 1)),
                "step": In(config.address_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, beats = self._config, self._config.beats
        m.submodules.decoder = decoder = WindowAddress(config)
        starts = Array(constant(m, s, f"start_{n}") for n, s in enumerate(self.starts))
        taps = Array(constant(m, t, f"tap_{n}") for n, t in enumerate(self.taps))
        codes = Array(constant(m, c, f"code_{n}") for n, c in enumerate(self.codes))
        turns = Array(constant(m, t, f"turn_{n}") for n, t in enumerate(self.turns))
        count = constant(m, self.count, "count")
        rests = constant(m, self.rests, "rests")
        step = constant(m, self.step, "step")
        m.d.comb += [Assume(count <= NONZEROS), Assume(rests <= RESTS)]
        m.d.comb += [Assume(starts[n] >= starts[n - 1]) for n in range(1, NONZEROS)]

        # The packer: a step where one fits, else a filler that moves, and others until all beats of
        # the window before are read.
        number, position = Signal(range(NONZEROS + 1)), Signal(config.address_bits)
        first, moved, through = Signal(init=1), Signal(), Signal()
        age = Signal(range(beats + 1), init=beats)  # entries since the last window was opened
        rested = Signal(range(RESTS + 2))
        base = Signal(config.address_bits + 1)
        distance = (starts[number] - position)[: config.address_bits]
        resting = through | (count == 0)
        elsewhere = first | (distance != 0)
        steps = (distance == step) & (distance != 0)
        direct = steps | (distance == 0)
        moves = ~resting & elsewhere & ~moved & ~direct
        opening = moved | elsewhere
        weighs = ~resting & ~moves & (~opening | (age >= beats))
        opens = weighs & opening
        value = Mux(moves, distance, 0)
        entry, given = Signal(config.entry_bits), Signal(config.entry_bits)
        leads, low, high = steps & ~moved, value[: config.weight_bits], value[config.weight_bits :]
        if config.listed:
            place = Cat(Mux(leads, 0, taps[number]), leads)
            filler = Cat(low, Const(3, 2))
            m.d.comb += Assert(~high.any())
        else:
            place = Cat(taps[number], Const(0, 1), leads)
            filler = Cat(low, Const(3, config.tap_bits), high)
        m.d.comb += entry.eq(Mux(weighs, Cat(codes[number], place, turns[number]), filler))
        old = Mux(opens, 1, Mux(age == beats, beats, age + 1))
        last_weight = weighs & (number == count - 1)
        waited = Mux(resting, rested + 1, 0) >= rests
        ends = (resting & waited & ((count == 0) | (old >= beats))) | (
            last_weight & (rests == 0) & (old >= beats)
        )
        with m.If(self.go):
            m.d.sync += [
                first.eq((first & ~weighs & ~moves) | ends),
                moved.eq((moved | moves) & ~weighs & ~ends),
                through.eq((through | last_weight) & ~ends),
                age.eq(old),
            ]
            with m.If(resting & (rested != RESTS + 1)):
                m.d.sync += rested.eq(rested + 1)
            with m.If(weighs | moves):
                m.d.sync += position.eq(starts[number])
            with m.If(weighs):
                m.d.sync += number.eq(number + 1)
            with m.If(ends):
                m.d.sync += [number.eq(0), position.eq(0), base.eq(self.bases), rested.eq(0)]
        begins = Signal(init=1)  # what the sequencer tells: the tile's first entry
        with m.If(self.go):
            m.d.sync += begins.eq(ends)
        m.d.sync += given.eq(entry)
        m.d.comb += [
            decoder.issue.eq(self.go),
            decoder.first.eq(begins),
            decoder.base.eq(base),
            decoder.entry.eq(given),
            decoder.layer.step_1.eq(step),
        ]
        if config.listed:
            m.d.comb += [decoder.layer.tap_0.eq(0), decoder.layer.tap_1.eq(1)]

        # What must come out, three cycles after the issue.
        wanted = Cat(self.go & weighs, self.go & opens, base + starts[number])
        expected = Cat(wanted, taps[number], codes[number], turns[number])
        for _ in range(3):
            later = Signal(len(expected))
            m.d.sync += later.eq(expected)
            expected = later
        weighs, opens = expected[0], expected[1]
        address, tap, code = (
            expected[2 : len(wanted)],
            expected[len(wanted)],
            expected[len(wanted) + 1 :][: config.weight_bits],
        )
        level = Mux(code[-1], -(code[:-1] + 1), code[:-1] + 1)
        beyond = address >= config.act_elements
        m.d.comb += [
            Assert(decoder.opened == opens),
            Assert(decoder.beyond == (weighs & beyond)),
            Assert(decoder.weight == Mux(weighs, level, 0)),
        ]
        m.d.comb += Assert(decoder.tap == Mux(weighs & ~opens, tap, 0))
        if config.turns > 1:
            with m.If(weighs):
                m.d.comb += Assert(decoder.turn == expected[-config.turn_bits :])
        with m.If(opens):
            m.d.comb += Assert(decoder.address == address[: config.address_bits])
        # The beats behind the first one, whatever is issued.
        left, next_beat = Signal(range(beats + 1)), Signal(config.address_bits)
        m.d.comb += Assert(decoder.valid == (opens | (left != 0)))
        m.d.sync += [
            left.eq(Mux(opens, beats - 1, Mux(left == 0, 0, left - 1))),
            next_beat.eq(decoder.address + config.read_bytes),
        ]
        with m.If(left != 0):
            m.d.comb += [Assert(~opens), Assert(decoder.address == next_beat)]
        return m


HARNESSES = {
    "one beat": (lambda: WindowHarness(WINDOW), 13),
    "two beats": (lambda: WindowHarness(dataclasses.replace(WINDOW, beats=2)), 13),
    "three beats": (lambda: WindowHarness(dataclasses.replace(WINDOW, beats=3)), 14),
    "listed taps": (
        lambda: WindowHarness(dataclasses.replace(WINDOW, beats=2, listed=1, weight_bits=4)),
        13,
    ),
    "three turns": (lambda: WindowHarness(dataclasses.replace(WINDOW, filters=3)), 13),
}


@pytest.mark.parametrize("name", HARNESSES)
def test_the_decoder_reproduces_any_row(name, tmp_path):
    make, steps = HARNESSES[name]
    done = solve(make(), steps, tmp_path)
    assert "Status: PASSED" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "lost"),
    [*itertools.product(HARNESSES, ("weight", "tap", "opened")), ("three turns", "turn")],
)
def test_the_proof_can_fail(name, lost, tmp_path, monkeypatch):
    """A decoder that spoils what it says of the third of every four issues is found out."""
    make, steps = HARNESSES[name]
    elaborate = WindowAddress.elaborate

    def broken(self, platform):
        m = elaborate(self, platform)
        issues = Signal(2)
        with m.If(self.issue):
            m.d.sync += issues.eq(issues + 1)
            with m.If(issues == 2):
                m.d.sync += getattr(self, lost).eq(getattr(self, lost) + 1)
        return m

    monkeypatch.setattr(WindowAddress, "elaborate", broken)
    done = solve(make(), steps, tmp_path)
    assert "Status: FAILED" in done.stdout, done.stdout + done.stderr
