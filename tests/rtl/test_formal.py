"""Bounded proofs: the decoders reproduce any row, whatever the cycles in which they wait.

A harness holds an arbitrary row, feeds its coding to the decoder, and asserts that what comes out
is the row. The solver looks for a row and a sequence of waits that break an assertion.
"""

import dataclasses
import itertools

import pytest
from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from formal import constant, solve, told

from rtl.bitmask import MaskDecoder, lockstep
from rtl.config import CoreConfig
from rtl.packed import Expander
from rtl.sparse import SparseAddress

NONZEROS, RESTS, WORDS, TAPS = 3, 2, 3, 3
SMALL = {"lanes": 2, "act_banks": 2, "bank_bytes": 2, "act_depth": 4, "weight_bits": 3}
RELATIVE = CoreConfig(index_bits=2, **SMALL)
ABSOLUTE = CoreConfig(coding="absolute", **SMALL)
STREAM = dataclasses.replace(RELATIVE, streams=2)
ABSOLUTE_STREAM = dataclasses.replace(ABSOLUTE, streams=2)
BITMASK = CoreConfig(coding="bitmask", mask_bits=5, tap_depth=32, **SMALL)
BITMASK_RUNS = dataclasses.replace(BITMASK, mask_bits=3, run_bits=2)
BITMASK_WINDOWS = dataclasses.replace(
    BITMASK, mask_bits=3, windows=1, window_span=3, beats=2, run_bits=2
)
BITMASK_STREAMS = dataclasses.replace(BITMASK, mask_bits=3, streams=2)
PACKED = CoreConfig("dense-packed", filters=3, **SMALL | {"weight_bits": 2})


class PlaceHarness(wiring.Component):
    """A row of up to NONZEROS (place, code) pairs, coded as the packer does, tile after tile.

    One of several streams then rests for up to RESTS cycles, and if it has no weight for one.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "go": In(1),
                "places": In(config.address_bits).array(NONZEROS),
                "codes": In(config.weight_bits).array(NONZEROS),
                "count": In(range(NONZEROS + 1)),
                "bases": In(config.address_bits + 1),
                "rests": In(range(RESTS + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        several = config.streams > 1
        m.submodules.decoder = decoder = SparseAddress(config)
        places = Array(constant(m, p, f"place_{n}") for n, p in enumerate(self.places))
        codes = Array(constant(m, c, f"code_{n}") for n, c in enumerate(self.codes))
        count = constant(m, self.count, "count")
        rests = constant(m, self.rests, "rests")
        m.d.comb += [Assume(count <= NONZEROS), Assume(rests <= RESTS)]
        for n in range(NONZEROS):
            m.d.comb += Assume(places[n] < (1 << config.address_bits) - 1)
            if n:
                m.d.comb += Assume(places[n] >= places[n - 1])  # taps may share an address

        # The packer: fillers while the distance is too long, one filler for an empty row.
        filler = (1 << config.place_bits) - 1
        number, position = Signal(range(NONZEROS + 1)), Signal(config.address_bits)
        first = Signal(init=1)
        base = Signal(config.address_bits + 1)
        place, present = Signal(config.place_bits), Signal()
        through, rested = Signal(), Signal(range(RESTS + 1))  # with the weights, so often since
        resting = through | (count == 0) if several else Const(0, 1)
        distance = places[number] - position
        if config.coding == "relative":
            m.d.comb += [
                present.eq((count != 0) & ~resting & (distance < filler)),
                place.eq(Mux(present, distance, filler)),
            ]
        else:
            m.d.comb += [
                present.eq((count != 0) & ~resting),
                place.eq(Mux(present, places[number], filler)),
            ]
        weights_end = present & (number == count - 1)
        ends = Mux(count == 0, 1, weights_end)
        if several:
            ends = Mux(resting, rested + 1 >= rests, weights_end & (rests == 0))
        with m.If(self.go):
            m.d.sync += [first.eq(ends), through.eq((through | weights_end) & ~ends)]
            with m.If(resting):
                m.d.sync += rested.eq(rested + 1)
            with m.If(ends):
                m.d.sync += [number.eq(0), position.eq(0), base.eq(self.bases), rested.eq(0)]
            with m.Elif(present):
                m.d.sync += [number.eq(number + 1), position.eq(places[number])]
            with m.Else():
                m.d.sync += position.eq(position + filler)
        entry = Signal(config.entry_bits // config.streams)
        code = Mux(present, codes[number], resting) if several else codes[number]
        m.d.sync += entry.eq(Cat(code, place))
        m.d.comb += [
            decoder.issue.eq(self.go),
            decoder.first.eq(first),
            decoder.base.eq(base),
            decoder.entry.eq(entry),
        ]

        # What must come out, three cycles after the issue.
        reads = self.go & present if several else self.go
        stays = self.go & resting
        expected = Cat(reads, self.go & present, stays, base + places[number], codes[number])
        for _ in range(3):
            later = Signal(len(expected))
            m.d.sync += later.eq(expected)
            expected = later
        valid, weighs, stays, rest = (*(expected[n] for n in range(3)), expected[3:])
        before = Signal(config.address_bits)
        m.d.sync += before.eq(decoder.address)
        with m.If(stays):
            m.d.comb += Assert(decoder.address == before)
        address, code = rest[: -config.weight_bits], rest[-config.weight_bits :]
        level = Mux(code[-1], -(code[:-1] + 1), code[:-1] + 1)
        m.d.comb += Assert(decoder.valid == valid)
        with m.If(weighs):
            m.d.comb += [
                Assert(decoder.weight == level),
                Assert(decoder.beyond == (address >= config.act_elements)),
                Assert(decoder.address == address[: config.address_bits]),
            ]
        with m.Else():
            m.d.comb += [Assert(decoder.weight == 0), Assert(~decoder.beyond)]
        return m


class MaskHarness(wiring.Component):
    """A row of WORDS mask words, tile after tile; of several streams each has its own, and all end
    together. Of those with all bits set some are not stored, where the core knows runs; those that
    are windows rest until all beats of theirs are read."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "go": In(1),
                "offer": In(config.streams),
                "masks": In(config.mask_bits).array(config.streams, WORDS),
                "left_out": In(WORDS),
                "last_in_period": In(2),
                "period_step": In(config.address_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        decoders = [MaskDecoder(self._config) for _ in self.masks]
        period = constant(m, self.last_in_period, "period")
        step = constant(m, self.period_step, "step")
        ready = Cat(decoder.valid for decoder in decoders).all()
        at_last, issues = lockstep(self.go & ready, decoders)
        for k, (decoder, issue) in enumerate(zip(decoders, issues, strict=True)):
            m.submodules += decoder
            m.d.comb += [
                decoder.i_valid.eq(self.offer[k]),
                decoder.last_in_period.eq(period),
                decoder.period_step.eq(step),
                decoder.issue.eq(issue),
                Assert(~decoder.take | self.offer[k]),
                # No stream begins with a tile before all are through with the last one.
                Assert(~(decoder.issue & decoder.last) | at_last),
            ]
            masks = [constant(m, mask, f"mask_{k}_{n}") for n, mask in enumerate(self.masks[k])]
            self._row(m, decoder, Array(masks), period, step)
        with m.If(self.go & ready):
            m.d.comb += Assert(Cat(issues).any())
        return m

    def _row(
        self, m: Module, decoder: MaskDecoder, masks: Array, period: Value, step: Value
    ) -> None:
        """A stream's row to its decoder, and what must come out."""
        config = self._config
        bits = config.mask_bits
        sent = Signal(range(WORDS))
        runs = [Signal(range(WORDS), name=f"run_{n}") for n in range(WORDS)]
        if config.run_bits:
            left_out = constant(m, self.left_out, "left_out")
            for n, (run, following) in enumerate(itertools.pairwise(runs), 1):
                with m.If(left_out[n] & masks[n].all()):
                    m.d.comb += run.eq(following + 1)
        through = sent + Array(runs)[sent]
        m.d.comb += [
            decoder.i_mask.eq(masks[sent]),
            decoder.i_last.eq(through == WORDS - 1),
        ]
        if config.run_bits:
            m.d.comb += decoder.i_run.eq(Array(runs)[sent])
        with m.If(decoder.take):
            m.d.sync += sent.eq(Mux(through == WORDS - 1, 0, through + 1))

        # Bit by bit: `word` is worked off up to bit `done`, in so many issues before this one.
        beats = config.beats if config.windows else 1
        issues = Signal(range(beats + 1))
        word, in_period, periods = Signal(range(WORDS)), Signal(2), Signal(config.address_bits + 2)
        done = Signal(range(bits + 1))
        left = masks[word] & ~((1 << done) - 1)
        place_bits = (bits - 1).bit_length()
        place = decoder.slot[:place_bits]
        skipped = left & ((1 << place) - 1)
        after = left & ~((2 << place) - 1)
        ends_word = Mux(decoder.present, ~after.any(), 1)
        if config.windows:
            ends_word &= (issues >= beats - 1) | ~masks[word].any()
            with m.If(decoder.issue):
                m.d.comb += Assert(decoder.opens == (decoder.present & (done == 0)))
                m.d.sync += issues.eq(Mux(ends_word, 0, Mux(issues == beats, beats, issues + 1)))
        with m.If(decoder.issue):
            with m.If(decoder.present):
                m.d.comb += [
                    Assert(left.bit_select(place, 1)),
                    Assert(skipped == 0),
                    Assert(decoder.slot[place_bits:] == in_period),
                    told(decoder.period, periods),
                ]
                m.d.sync += done.eq(place + 1)
            with m.Else():
                m.d.comb += Assert(left == 0)
                if not config.windows:
                    m.d.comb += Assert(done == 0)
            m.d.comb += Assert(decoder.last == (ends_word & (word == WORDS - 1)))
            with m.If(ends_word):
                m.d.sync += [done.eq(0), word.eq(Mux(word == WORDS - 1, 0, word + 1))]
                with m.If(word == WORDS - 1):
                    m.d.sync += [in_period.eq(0), periods.eq(0)]
                with m.Elif(in_period == period):
                    m.d.sync += [in_period.eq(0), periods.eq(periods + step)]
                with m.Else():
                    m.d.sync += in_period.eq(in_period + 1)


class TapHarness(wiring.Component):
    """A tile of TAPS masks and their codes, again and again; codes lie in rows without gaps."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "go": In(1),
                "masks": In(config.filters).array(TAPS),
                "codes": In(config.weight_bits).array(TAPS * config.filters),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        filters = self._config.filters
        m.submodules.expander = expander = Expander(self._config)
        masks = Array(constant(m, mask, f"mask_{n}") for n, mask in enumerate(self.masks))
        codes = Array(constant(m, code, f"code_{n}") for n, code in enumerate(self.codes))
        tap, used = Signal(range(TAPS)), Signal(range(TAPS * filters + 1))
        mask, last = Signal(filters), tap == TAPS - 1
        m.d.comb += mask.eq(Mux(self.go, masks[tap], 0))
        with m.If(self.go):
            m.d.sync += [
                tap.eq(Mux(last, 0, tap + 1)),
                used.eq(Mux(last, 0, used + _ones(mask))),
            ]
        whole = sum(_ones(each) for each in masks)
        rows = Mux(whole > 2 * filters, 3, Mux(whole > filters, 2, 1))
        row = Signal(range(TAPS))
        m.d.comb += [
            expander.row.eq(Cat(codes[row * filters + n] for n in range(filters))),
            expander.row_last.eq(row == rows - 1),
        ]
        with m.If(expander.take):
            m.d.sync += row.eq(Mux(expander.row_last, 0, row + 1))
        given, ends = Signal(filters), Signal()
        m.d.sync += [given.eq(mask), ends.eq(self.go & last)]
        m.d.comb += [expander.mask.eq(given), expander.last.eq(ends)]

        # What must come out, four cycles after the issue.
        wanted = [codes[used + _ones(mask[:n])] for n in range(filters)]
        expected = Cat(mask, *wanted)
        for _ in range(4):
            later = Signal(len(expected))
            m.d.sync += later.eq(expected)
            expected = later
        m.d.comb += [Assert(expander.present == expected[:filters]), Assert(~expander.wrong)]
        for n in range(filters):
            with m.If(expected[n]):
                code = expected[filters:].word_select(n, self._config.weight_bits)
                m.d.comb += Assert(expander.codes[n] == code)
        return m


def _ones(mask: Value) -> Value:
    return Const(0, 1) + sum(mask[n] for n in range(len(mask)))


HARNESSES = {
    # Up to 15 bytes in steps of at most 3: with its latency the longest row takes 11 cycles.
    "relative": (lambda: PlaceHarness(RELATIVE), 13),
    "absolute": (lambda: PlaceHarness(ABSOLUTE), 13),
    "stream": (lambda: PlaceHarness(STREAM), 14),
    "absolute stream": (lambda: PlaceHarness(ABSOLUTE_STREAM), 13),
    "bitmask": (lambda: MaskHarness(BITMASK), 14),
    "bitmask streams": (lambda: MaskHarness(BITMASK_STREAMS), 12),
    "bitmask runs": (lambda: MaskHarness(BITMASK_RUNS), 14),
    "bitmask windows": (lambda: MaskHarness(BITMASK_WINDOWS), 14),
    # Two tiles of three taps, with some waits and the latency.
    "packed": (lambda: TapHarness(PACKED), 12),
}


@pytest.mark.parametrize("name", HARNESSES)
def test_the_decoder_reproduces_any_row(name, tmp_path):
    make, steps = HARNESSES[name]
    done = solve(make(), steps, tmp_path)
    assert "Status: PASSED" in done.stdout, done.stdout + done.stderr


BROKEN = {
    "bitmask": (MaskDecoder, "issue", "period"),
    "bitmask streams": (MaskDecoder, "issue", "period"),
    "bitmask runs": (MaskDecoder, "issue", "period"),
    "bitmask windows": (MaskDecoder, "issue", "period"),
    "packed": (Expander, "mask", "present"),
}


@pytest.mark.parametrize("name", HARNESSES)
def test_the_proof_can_fail(name, tmp_path, monkeypatch):
    """A decoder that loses the third of every four issues is found out."""
    make, steps = HARNESSES[name]
    part, issue, lost = BROKEN.get(name, (SparseAddress, "issue", "weight"))
    elaborate = part.elaborate

    def broken(self, platform):
        m = elaborate(self, platform)
        issues = Signal(2)
        with m.If(getattr(self, issue).any()):
            m.d.sync += issues.eq(issues + 1)
            with m.If(issues == 2):
                m.d.sync += getattr(self, lost).eq(getattr(self, lost) + 1)
        return m

    monkeypatch.setattr(part, "elaborate", broken)
    done = solve(make(), steps, tmp_path)
    assert "Status: FAILED" in done.stdout, done.stdout + done.stderr
