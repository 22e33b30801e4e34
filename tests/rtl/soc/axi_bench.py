"""cocotb tests of `cosign_top`; `test_axi.py` compiles and starts it."""

import random

import cocotb
import numpy as np
from axi_soc import CONFIG, CONTROL, MAP, STATUS, Job, begin, discards, errors
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiResp, AxiStreamFrame

from compress.model.graph import Geometry
from rtl.program.encode import work
from sim.cycles import run_cycles

SHAPES = (
    Geometry("conv", 3, 4, 6, 5, (3, 3), (1, 1), (1, 1)),
    Geometry("conv", 2, 5, 7, 7, (2, 2), (2, 2), (0, 0)),
    Geometry("conv", 4, 2, 4, 4, (1, 1)),
)


@cocotb.test()
async def every_register_answers(dut) -> None:
    soc = await begin(dut, pauses=1)
    rng = random.Random(1)
    for name, register in MAP.items():
        if register.value is not None:
            assert await soc.read(name) == register.value
        if not register.writable:
            answer = await soc.lite.write(register.offset, b"\xff\xff\xff\xff")
            assert answer.resp == AxiResp.SLVERR
        if not name.startswith("layer_"):
            continue
        (field,) = register.fields
        value = rng.getrandbits(32)
        await soc.write(name, value)
        assert await soc.read(name) == value & field.mask
        # A strobe for each byte: only the second one is written.
        other = rng.getrandbits(8)
        answer = await soc.lite.write(register.offset + 1, bytes([other]))
        assert answer.resp == AxiResp.OKAY
        assert await soc.read(name) == (value & ~0xFF00 | other << 8) & field.mask
    for offset in (0x018, 0x03C, 0x0FC, 0xFFC):
        got = await soc.lite.read(offset, 4)
        assert (got.resp, got.data) == (AxiResp.SLVERR, bytes(4))
        assert (await soc.lite.write(offset, bytes(4))).resp == AxiResp.SLVERR
    assert not dut.interrupt.value


@cocotb.test()
async def layers_follow_each_other(dut) -> None:
    """Maps, weights and biases of all layers are on offer from the start."""
    soc = await begin(dut, pauses=20)
    jobs = [Job(shape, seed) for seed, shape in enumerate(SHAPES * 2)]
    for job in jobs:
        soc.send(job)
    await soc.start(jobs[0])
    for job, following in zip(jobs, [*jobs[1:], None], strict=True):
        if following is not None:
            await soc.describe(following)  # while the layer before it runs
        await soc.check(job)
        if following is not None:
            await soc.write("control", CONTROL["start"] | CONTROL["interrupt_enable"])
    await soc.idle()


@cocotb.test()
async def a_map_is_used_again(dut) -> None:
    soc = await begin(dut, pauses=40)
    job = Job(SHAPES[0], 7)
    await soc.rerun(job)
    soc.send_weights(job.program.weights)
    soc.send_biases(job.biases)
    await soc.start(job, new_map=0)
    await soc.check(job)


@cocotb.test()
async def counters_tell_what_the_layer_is(dut) -> None:
    """Without a stall anywhere, the counters are those of the exact cycle model."""
    soc = await begin(dut)
    for seed, shape in enumerate(SHAPES):
        job = Job(shape, seed)
        soc.send_map(job.map)
        soc.send_weights(job.program.weights)
        soc.send_biases(job.biases)
        await soc.describe(job)
        await ClockCycles(dut.aclk, len(job.map) + 4)
        await soc.start(job)
        await soc.check(job)
        program = job.program
        cost = work(job.layer, program.layout, CONFIG)
        assert await soc.counter("busy") == run_cycles(cost, program.layout, CONFIG)
        assert await soc.counter("waiting") == 0
        nonzeros = int(np.count_nonzero(job.layer.levels)) * program.tiles
        assert await soc.counter("nonzeros") == nonzeros
        if CONFIG.core == "sparse":
            issues = int(cost.entries.sum()) * program.tiles
            assert await soc.counter("fillers") == issues - nonzeros
    waits = Job(SHAPES[0], 0)
    soc.send_weights(waits.program.weights)
    soc.send_biases(waits.biases)
    await soc.start(waits)
    await ClockCycles(dut.aclk, 100)
    soc.send_map(waits.map)
    await soc.check(waits)
    assert await soc.counter("waiting") >= 100
    assert await soc.counter("stall_weights") > 0  # loading of the first pass


@cocotb.test()
async def start_while_busy_is_refused(dut) -> None:
    soc = await begin(dut, pauses=60)
    job = Job(SHAPES[0], 3)
    await soc.start(job)
    await soc.describe(Job(SHAPES[1], 4))
    await soc.write("control", CONTROL["start"] | CONTROL["interrupt_enable"])
    assert await soc.read("status") & errors() == STATUS["error_start_busy"]
    await soc.write("status", STATUS["error_start_busy"])
    assert not await soc.read("status") & errors()
    soc.send(job)
    await soc.check(job)


@cocotb.test()
async def wrong_tlast_is_an_error(dut) -> None:
    """A packet that is too short or too long; the following layers' packets wait behind it."""
    soc = await begin(dut, pauses=80)
    for seed, shape in enumerate(SHAPES):
        job, following = Job(shape, seed), Job(SHAPES[seed - 1], seed + 10)
        weights, biases = job.program.weights, job.biases
        for name, sent_weights, sent_biases in (
            ("weights_short", weights[:-1], biases),
            ("weights_short", weights[:1], biases),
            ("biases_short", weights, biases[:-1]),
            ("weights_long", np.concatenate([weights, weights]), biases),
            ("biases_long", weights, np.concatenate([biases, biases[:1]])),
        ):
            soc.send_map(job.map)
            soc.send_weights(sent_weights)
            soc.send_biases(sent_biases)
            soc.send(following)
            await soc.start(job)
            found = await soc.finished() & errors()
            # Weights that are made up may also disagree with their masks.
            assert (
                found & ~STATUS["error_levels"] & ~STATUS["error_address"]
                == (STATUS[f"error_{name}"])
            )
            await with_timeout(soc.out.recv(), 200, "us")
            await soc.start(following)
            await soc.check(following)


@cocotb.test()
async def a_map_that_is_too_long_is_an_error(dut) -> None:
    """Its own layer ends with the error, not the one before; the map behind it is whole."""
    soc = await begin(dut, pauses=100)
    before, job, following = (Job(shape, seed) for seed, shape in enumerate(SHAPES))
    rows = np.zeros((CONFIG.act_depth + 9, job.map.shape[1]), np.uint8)
    soc.send(before)
    soc.send_map(rows)
    soc.send_weights(job.program.weights)
    soc.send_biases(job.biases)
    soc.send(following)
    await soc.start(before)
    await soc.check(before)
    await ClockCycles(dut.aclk, 3 * CONFIG.act_depth)
    assert not await soc.read("status") & (errors() | STATUS["busy"])
    await soc.start(job)
    assert await soc.finished() & errors() == STATUS["error_acts"]
    assert set((await with_timeout(soc.out.recv(), 200, "us")).tdata) == {0}
    await soc.start(following)
    await soc.check(following)


@cocotb.test()
async def a_fault_of_the_core_leaves_the_next_map_alone(dut) -> None:
    """A filter without an end overflows its buffer while the next layer's map is loaded."""
    if not CONFIG.compresses:
        return  # its filters have no end mark
    soc = await begin(dut, pauses=120)
    for seed, more in enumerate((0, 3, 2 * CONFIG.weight_depth)):
        job, following = Job(SHAPES[seed], seed), Job(SHAPES[seed - 1], seed + 10)
        cost = work(job.layer, job.program.layout, CONFIG)
        count = cost.table_words + int(cost.mask_words[0]) + CONFIG.weight_depth + more
        endless = job.program.weights[:1].copy()
        end = CONFIG.stream_bits - 1
        endless[:, end // 8] &= ~(1 << end % 8) & 0xFF
        soc.send_map(job.map)
        soc.send_weights(np.repeat(endless, count, axis=0))
        soc.send_biases(job.biases)
        soc.send(following)
        await soc.start(job)
        assert await soc.finished() & errors() == STATUS["error_weights"]
        frame = await with_timeout(soc.out.recv(), 200, "us")
        assert len(frame.tdata) < job.program.output_words * soc.out.byte_lanes
        await soc.start(following)
        await soc.check(following)


@cocotb.test()
async def soft_reset_ends_a_layer(dut) -> None:
    """At any moment; the rest of its packets is discarded, and its output packet closed."""
    soc = await begin(dut, pauses=140)
    for cycles in (0, 1, 2, 3, 7, 20, 45, 80, 150):
        job, following = Job(SHAPES[0], 1), Job(SHAPES[1], 2)
        soc.send(job)
        await soc.start(job)
        await ClockCycles(dut.aclk, cycles)
        busy = await soc.read("status") & STATUS["busy"]
        await soc.write("control", CONTROL["soft_reset"])
        await soc.idle()
        assert busy
        assert not await soc.read("status") & (errors() | STATUS["done"])
        frame = await with_timeout(soc.out.recv(), 200, "us")
        assert len(frame.tdata) <= job.program.output_words * soc.out.byte_lanes
        await soc.rerun(following)
        assert soc.out.empty()


@cocotb.test()
async def soft_reset_ends_a_layer_that_waits(dut) -> None:
    """For a map of which none, one or all but one of the rows have come: the rest is discarded."""
    soc = await begin(dut)
    job, following = Job(SHAPES[0], 1), Job(SHAPES[1], 2)
    for rows in (0, 1, len(job.map) - 1):
        soc.acts.pause = True
        soc.send(job)
        soc.send_map(following.map)
        await soc.start(job)
        for _ in range(rows):
            soc.acts.pause = False
            await RisingEdge(dut.aclk)
            soc.acts.pause = True
            await ClockCycles(dut.aclk, 3)
        await soc.write("control", CONTROL["soft_reset"])
        status = await soc.read("status")
        assert status & discards() == discards()
        soc.acts.pause = False
        await soc.idle()
        assert set((await with_timeout(soc.out.recv(), 200, "us")).tdata) == {0}
        soc.send_weights(following.program.weights)
        soc.send_biases(following.biases)
        await soc.start(following)
        await soc.check(following)


@cocotb.test()
async def streams_can_be_cleared(dut) -> None:
    """The DMA is reset together with the core, in the middle of all packets."""
    soc = await begin(dut)
    job, following = Job(SHAPES[0], 1), Job(SHAPES[1], 2)
    soc.out.pause = True
    soc.send(job)
    soc.send_map(following.map)
    await soc.start(job)
    await ClockCycles(dut.aclk, 30)
    await soc.reset_streams("soft_reset", "clear_streams")
    await soc.idle()
    await soc.rerun(following)


@cocotb.test()
async def a_clear_forgets_what_is_owed(dut) -> None:
    """A soft reset leaves packets to throw away; the DMA's reset says that they never come."""
    soc = await begin(dut)
    job, following = Job(SHAPES[0], 1), Job(SHAPES[1], 2)
    for bus in (soc.acts, soc.weights, soc.biases):
        bus.pause = True
    soc.send(job)
    await soc.start(job)
    await soc.write("control", CONTROL["soft_reset"])
    assert await soc.read("status") & discards() == discards()
    await with_timeout(soc.out.recv(), 200, "us")  # the layer's packet is closed
    await soc.reset_streams("soft_reset", "clear_streams")
    await soc.idle()
    await soc.rerun(following)


@cocotb.test()
async def a_map_as_long_as_the_memory_follows_one_that_a_soft_reset_cut(dut) -> None:
    soc = await begin(dut)
    cut, job = Job(SHAPES[0], 1), Job(SHAPES[1], 2)
    for rows in (1, len(cut.map) // 2):
        soc.send_map(cut.map)
        while rows:
            await RisingEdge(dut.aclk)
            rows -= int(dut.s_axis_acts_tvalid.value and dut.s_axis_acts_tready.value)
        soc.acts.pause = True
        await soc.write("control", CONTROL["soft_reset"])
        assert await soc.read("status") & STATUS["discard_acts"]
        soc.acts.pause = False
        await soc.idle()
        assert not await soc.read("status") & errors()
        unread = np.zeros((CONFIG.act_depth - len(job.map), job.map.shape[1]), np.uint8)
        soc.send_map(np.concatenate([job.map, unread]))
        soc.send_weights(job.program.weights)
        soc.send_biases(job.biases)
        await soc.start(job)
        await soc.check(job)


@cocotb.test(expect_fail=True)
async def an_offer_that_is_taken_back_fails_the_test(dut) -> None:
    """The bench breaks the promise: a word of weights is gone before the core takes it."""
    soc = await begin(dut)
    soc.weights.send_nowait(AxiStreamFrame(bytes(8)))
    await ClockCycles(dut.aclk, 4)
    assert dut.s_axis_weights_tvalid.value
    soc.weights.assert_reset(True)
    await ClockCycles(dut.aclk, 4)
