"""Parts of the core in Amaranth's own simulator, against plain Python."""

import dataclasses

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_layers import layer_of
from rtl_models import with_models

from compress.model.graph import Geometry
from rtl.bitmask import MaskDecoder
from rtl.config import CoreConfig
from rtl.dense import DenseAddress
from rtl.drain import Biases, DrainControl
from rtl.lane import Rest
from rtl.packed import PackedBuffer
from rtl.program.layout import Layout
from rtl.program.pack import pack_layer
from rtl.requantize import MULTIPLY, SHIFT, Requantizer
from rtl.timing import REQUANTIZE_STAGES, bias_places, command_edge, output_depth

CONFIG = CoreConfig(lanes=8, act_banks=4, bank_bytes=4, acc_bits=24)


def simulate(component, testbench) -> None:
    simulator = Simulator(component)
    simulator.add_clock(1e-9)
    simulator.add_testbench(testbench)
    simulator.run()


WIDEST = 1 << 22
extremes = st.sampled_from([-WIDEST, -1, 0, 1, WIDEST - 1]) | st.integers(-WIDEST, WIDEST - 1)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(extremes, extremes, st.integers(0, (1 << 16) - 1), st.integers(1, 47)),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
    st.sampled_from([16, 16, 13, 12, 9, 8]),
    st.sampled_from([8, 8, 7, 6, 5, 4]),
)
@example([(600, 0, 1, 1), (-600, 0, 1, 1)], False, 16, 8)
@example([(36, 0, 1, 1), (-36, 0, 1, 1), (15, 0, 1, 1)], False, 16, 4)
@example([(WIDEST - 1, WIDEST - 1, 65535, 1), (-WIDEST, -WIDEST, 65535, 1)], False, 16, 8)
@example([(WIDEST - 1, WIDEST - 1, 65535, 1), (-WIDEST, -WIDEST, 65535, 1)], False, 16, 5)
def test_requantizer_rounds_half_up_and_saturates(sums, relu, mul_bits, act_bits):
    """Each result with a multiplier and a shift of its own."""
    config = dataclasses.replace(CONFIG, mul_bits=mul_bits, act_bits=act_bits)
    sums = [(acc, bias, mul >> 16 - mul_bits, shift) for acc, bias, mul, shift in sums]
    part = Requantizer(config)
    results = []

    async def testbench(ctx):
        ctx.set(part.relu, relu)
        for number in range(len(sums) + REQUANTIZE_STAGES):
            acc, bias, _, _ = sums[min(number, len(sums) - 1)]
            multiplied, shifted = (
                sums[min(max(number - late, 0), len(sums) - 1)] for late in (MULTIPLY, SHIFT)
            )
            ctx.set(part.acc, acc)
            ctx.set(part.bias, bias)
            ctx.set(part.mul, multiplied[2])
            ctx.set(part.last_shift, shifted[3] - 1)
            await ctx.tick()
            results.append(ctx.get(part.out))

    simulate(part, testbench)
    top = 1 << (act_bits - 1)
    expected = [
        min(max(((acc + bias) * mul + (1 << (shift - 1))) >> shift, 0 if relu else -top), top - 1)
        for acc, bias, mul, shift in sums
    ]
    assert results[REQUANTIZE_STAGES - 1 :][: len(sums)] == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (5, 7)])
def test_dense_counters_visit_every_tap_in_order(stride, kernel):
    config = dataclasses.replace(CONFIG, core="dense-scalar")
    geometry = Geometry("conv", 3, 1, 12, 12, kernel, (stride, stride), (1, 1))
    layout = Layout(geometry)
    zeros = np.zeros((1, geometry.columns), np.int8)
    program = pack_layer(layer_of(zeros, geometry), config)
    part = DenseAddress(config)
    visited, lasts = [], []
    base = 40

    async def testbench(ctx):
        for name in part.layer.signature.members:
            ctx.set(getattr(part.layer, name), program.descriptor[name])
        ctx.set(part.start, 1)
        await ctx.tick()
        ctx.set(part.start, 0)
        ctx.set(part.base, base)
        for number in range(2 * geometry.columns + 3):
            ctx.set(part.issue, number < 2 * geometry.columns)
            ctx.set(part.first, number % geometry.columns == 0)
            lasts.append(ctx.get(part.at_last))
            await ctx.tick()
            if ctx.get(part.valid):
                visited.append(ctx.get(part.address))

    simulate(part, testbench)
    taps = (layout.tap_addresses() + base).tolist()
    assert visited == taps * 2
    ends = [number for number, last in enumerate(lasts[: 2 * geometry.columns]) if last]
    assert ends == [geometry.columns - 1, 2 * geometry.columns - 1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_drain_never_has_more_words_on_their_way_than_the_queue_holds(seed):
    rng = np.random.default_rng(seed)
    part = DrainControl(CONFIG)

    async def testbench(ctx):
        under_way, taken, due = 0, 0, 0
        ctx.set(part.layer.last_shifts, 2)
        ctx.set(part.bias_ready, 1)
        for _ in range(300):
            end = bool(ctx.get(part.may_end)) and rng.random() < 0.5
            last_tile = rng.random() < 0.3
            pop = under_way > 0 and rng.random() < 0.4
            ctx.set(part.last, end)
            ctx.set(part.tile_last, last_tile)
            ctx.set(part.popped, pop)
            take = ctx.get(part.take)
            under_way += take - pop
            taken += take
            due += end * (3 if last_tile else CONFIG.tile_shifts)
            assert 0 <= under_way <= output_depth(CONFIG)
            await ctx.tick()
        ctx.set(part.last, 0)
        for _ in range(due + output_depth(CONFIG) + 2):
            if ctx.get(part.idle):
                break
            ctx.set(part.popped, under_way > 0)
            take = ctx.get(part.take)
            under_way += take - (under_way > 0)
            taken += take
            await ctx.tick()
        assert ctx.get(part.idle)
        assert taken == due

    simulate(part, testbench)


BIASES = {
    "one filter": {},
    "a place for each filter": {"core": "dense-2d", "filters": 3, "drain": 8},
    "fewer places than filters": {"core": "dense-2d", "filters": 5, "drain": 2},
    "one place": {"core": "dense-2d", "filters": 2, "lanes": 12},
}


@pytest.mark.parametrize("change", BIASES.values(), ids=BIASES)
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_each_filter_gets_its_own_bias_and_scale_however_fast_they_follow(change, seed):
    """A drain that claims words as early as it may, from a stream that rests at random."""
    config = dataclasses.replace(CONFIG, **change)
    rng = np.random.default_rng(seed)
    part = Biases(config)
    filters, passes, late = config.filters, 4, command_edge(config)
    words = [int(word) for word in rng.integers(0, 1 << config.bias_bits, passes * filters + 3)]
    tiles = rng.integers(1, 4, passes)
    # (filter's number in the stream, whether it is new, whether a new pass begins) of each row
    rows = [
        (n * filters + f, tile == 0, tile == 0 and f == 0)
        for n in range(passes)
        for tile in range(tiles[n])
        for f in range(filters)
    ]
    fed, most = 0, 0
    commands, used = [(0, 0)] * late, {}  # used: cycle -> the filter in use from then on

    async def testbench(ctx):
        nonlocal fed, most
        ctx.set(part.more, 1)
        await ctx.tick()
        left, entered, offered = list(rows), 0, False
        for cycle in range(2000):
            ready = ctx.get(part.ready)
            turn, claim, more = 0, 0, 0
            if left and (ready or not left[0][1]) and rng.random() < 0.8:
                number, claim, begins = left.pop(0)
                turn, more = 1, begins and number < (passes - 1) * filters
                used[cycle + late + 1] = number
            commands.append((turn, int(claim)))
            turn_now, enter_now = commands.pop(0)
            ctx.set(part.claim, int(claim))
            ctx.set(part.more, int(more))
            ctx.set(part.turn, turn_now if filters > 1 else enter_now)
            ctx.set(part.enter, enter_now)
            entered += enter_now
            offered = offered or rng.random() < 0.7
            ctx.set(part.i.valid, offered)
            ctx.set(part.i.payload, words[fed])
            if offered and ctx.get(part.i.ready):
                fed, offered = fed + 1, False
            most = max(most, fed - entered)
            if cycle in used:
                held = words[used[cycle]]
                low = (1 << config.acc_bits) - 1
                assert ctx.get(part.bias) & low == held & low
                assert ctx.get(part.mul) == held >> config.acc_bits & (1 << config.mul_bits) - 1
                assert ctx.get(part.last_shift) == held >> config.acc_bits + config.mul_bits
            await ctx.tick()

    simulate(part, testbench)
    assert len(used) == len(rows)
    assert fed == passes * filters
    assert most <= bias_places(config)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 2**6 - 1) | st.just(2**6 - 1), min_size=1, max_size=12),
    st.integers(1, 3),
    st.sampled_from([0, 2]),
    st.sampled_from([0, 1, 2, 5]),
)
def test_the_mask_decoder_visits_every_set_bit(masks, in_period, run_bits, beats):
    """beats : of windows, 0 where masks are none"""
    config = dataclasses.replace(CONFIG, coding="bitmask", mask_bits=6, tap_depth=32)
    windows = {"windows": 1, "beats": beats} if beats else {}
    part = MaskDecoder(dataclasses.replace(config, run_bits=run_bits, **windows))
    stored: list[list[int]] = []
    for mask in masks:
        if stored and mask == 63 and stored[-1][1] < (1 << run_bits) - 1:
            stored[-1][1] += 1
        else:
            stored.append([mask, 0])
    step = 50
    found = []

    async def testbench(ctx):
        ctx.set(part.last_in_period, in_period - 1)
        ctx.set(part.period_step, step)
        left = [*stored, *stored]  # two tiles: the second begins at the first period again
        while len(left) or ctx.get(part.valid):
            ctx.set(part.i_valid, bool(left))
            if left:
                ctx.set(part.i_mask, left[0][0])
                if run_bits:
                    ctx.set(part.i_run, left[0][1])
                ctx.set(part.i_last, len(left) in (1, len(stored) + 1))
            issue = ctx.get(part.valid)
            ctx.set(part.issue, issue)
            if issue:
                values = [part.present, part.slot, part.period, part.last]
                opened = ctx.get(part.opens) if beats else 0
                found.append((*map(ctx.get, values), opened))
            if ctx.get(part.take):
                left.pop(0)
            await ctx.tick()

    simulate(part, testbench)
    expected = []
    for number, mask in enumerate(masks):
        period, word = divmod(number, in_period)
        bits = [bit for bit in range(6) if mask >> bit & 1]
        for n, bit in enumerate(bits):
            expected.append((1, 8 * word + bit, step * period, 0, int(beats > 0 and n == 0)))
        resting = max(beats - len(bits), 0) if bits else 1
        expected += [(0, None, step * period, 0, 0)] * resting
    expected[-1] = (*expected[-1][:3], 1, expected[-1][4])
    assert len(found) == 2 * len(expected)
    for got, wanted in zip(found, expected * 2, strict=True):
        assert got[0] == wanted[0]
        assert got[1:] == wanted[1:] or not got[0]
        assert got[3:] == wanted[3:]


operands = st.tuples(st.integers(-128, 127), st.integers(-128, 127))


@given(st.lists(operands | st.just((0, 5)) | st.just((-7, 0)), min_size=1, max_size=30))
@settings(max_examples=10, deadline=None)
def test_a_multiplier_rests_at_zeros(pairs):
    part = Rest(CONFIG)
    seen = []

    async def testbench(ctx):
        for act, weight in pairs:
            ctx.set(part.act, act)
            ctx.set(part.weight, weight)
            await ctx.tick()
            seen.append((ctx.get(part.counts), ctx.get(part.held_act), ctx.get(part.held_weight)))

    simulate(part, testbench)
    held = (0, 0)
    for pair, (counts, *found) in zip(pairs, seen, strict=True):
        held = pair if all(pair) else held
        assert (bool(counts), *found) == (all(pair), *held)


def test_a_pass_that_was_left_is_not_ready():
    """Two passes of one tap follow each other; the next one for the first side does not come."""
    config = dataclasses.replace(CONFIG, core="dense-packed", mask_bits=2, mask_depth=2)
    part = PackedBuffer(config)

    async def testbench(ctx):
        ctx.set(part.enable, 1)
        for _ in range(2):
            for stream, ends in ((part.masks, 0), (part.codes, 1)):
                ctx.set(part.ends, ends)
                ctx.set(stream.payload, 1)
                ctx.set(stream.valid, 1)
                assert ctx.get(stream.ready)
                await ctx.tick()
                ctx.set(stream.valid, 0)
        for side in range(2):
            ctx.set(part.side, side)
            assert ctx.get(part.ready)
            for port, value in ((part.issue, 1), (part.last, 1), (part.release, 1 << side)):
                ctx.set(port, value)
            await ctx.tick()
        for port in (part.issue, part.last, part.release, part.side):
            ctx.set(port, 0)
        found = []
        for _ in range(9):
            assert not ctx.get(part.ready)
            found += [ctx.get(weight) for weight in part.weights if ctx.get(weight)]
            assert not ctx.get(part.wrong)
            await ctx.tick()
        assert found == [1, 1]

    simulate(with_models(part, config), testbench)
