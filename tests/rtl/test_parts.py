"""Parts of the core in Amaranth's own simulator, against plain Python."""

import dataclasses

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import layer_of

from compress.model.graph import Geometry
from rtl.bitmask import MaskDecoder
from rtl.config import CoreConfig
from rtl.dense import DenseAddress
from rtl.drain import DrainControl
from rtl.program.layout import Layout
from rtl.program.pack import pack_layer
from rtl.requantize import Requantizer
from rtl.timing import REQUANTIZE_STAGES, output_depth

CONFIG = CoreConfig(lanes=8, act_banks=4, bank_bytes=4, acc_bits=24)


def simulate(component, testbench) -> None:
    simulator = Simulator(component)
    simulator.add_clock(1e-9)
    simulator.add_testbench(testbench)
    simulator.run()


extremes = st.sampled_from([-(1 << 22), -1, 0, 1, (1 << 22) - 1]) | st.integers(
    -(1 << 22), (1 << 22) - 1
)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(extremes, extremes), min_size=1, max_size=30),
    st.integers(0, (1 << 16) - 1),
    st.integers(1, 47),
    st.booleans(),
)
def test_requantizer_rounds_half_up_and_saturates(sums, mul, shift, relu):
    part = Requantizer(CONFIG)
    results = []

    async def testbench(ctx):
        ctx.set(part.mul, mul)
        ctx.set(part.last_shift, shift - 1)
        ctx.set(part.relu, relu)
        for number in range(len(sums) + REQUANTIZE_STAGES):
            acc, bias = sums[min(number, len(sums) - 1)]
            ctx.set(part.acc, acc)
            ctx.set(part.bias, bias)
            await ctx.tick()
            results.append(ctx.get(part.out))

    simulate(part, testbench)
    expected = [
        min(max(((acc + bias) * mul + (1 << (shift - 1))) >> shift, 0 if relu else -128), 127)
        for acc, bias in sums
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


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**6 - 1), min_size=1, max_size=12), st.integers(1, 3))
def test_the_mask_decoder_visits_every_set_bit(masks, in_period):
    part = MaskDecoder(dataclasses.replace(CONFIG, mask_bits=6, tap_depth=32))
    step = 50
    found = []

    async def testbench(ctx):
        ctx.set(part.last_in_period, in_period - 1)
        ctx.set(part.period_step, step)
        left = [*masks, *masks]  # two tiles: the second begins at the first period again
        while len(left) or ctx.get(part.valid):
            ctx.set(part.i_valid, bool(left))
            if left:
                ctx.set(part.i_mask, left[0])
                ctx.set(part.i_last, len(left) in (1, len(masks) + 1))
            issue = ctx.get(part.valid)
            ctx.set(part.issue, issue)
            if issue:
                values = [part.present, part.slot, part.period, part.last]
                found.append(tuple(map(ctx.get, values)))
            if ctx.get(part.take):
                left.pop(0)
            await ctx.tick()

    simulate(part, testbench)
    expected = []
    for number, mask in enumerate(masks):
        period, word = divmod(number, in_period)
        bits = [bit for bit in range(6) if mask >> bit & 1]
        expected += [(1, 8 * word + bit, step * period, 0) for bit in bits]
        if not bits:
            expected.append((0, None, step * period, 0))
    expected[-1] = (*expected[-1][:3], 1)
    assert len(found) == 2 * len(expected)
    for got, wanted in zip(found, expected * 2, strict=True):
        assert got[0] == wanted[0]
        assert got[1:] == wanted[1:] or not got[0]
        assert got[3] == wanted[3]
