"""cocotb tests of `cosign_top`, driven by cocotbext-axi; `test_axi.py` compiles and starts it."""

import json
import os
import random
from collections.abc import Iterator

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from compress.container import Geometry, Layer, max_level
from rtl.config import CoreConfig
from rtl.encode import work
from rtl.pack import LayerProgram, pack_layer, unpack_outputs
from rtl.registers import register_map
from sim.cycles import run_cycles
from sim.golden import layer_output

CONFIG = CoreConfig.from_json(json.loads(os.environ["COSIGN_AXI_CONFIG"]))
MAP = register_map(CONFIG)
STATUS = {field.name: field.mask for field in MAP["status"].fields}
CONTROL = {field.name: field.mask for field in MAP["control"].fields}
PERIOD_NS = 10
SHAPES = (
    Geometry("conv", 3, 4, 6, 5, (3, 3), (1, 1), (1, 1)),
    Geometry("conv", 2, 5, 7, 7, (2, 2), (2, 2), (0, 0)),
    Geometry("conv", 4, 2, 4, 4, (1, 1)),
)


def random_layer(geometry: Geometry, seed: int) -> Layer:
    rng = np.random.default_rng(seed)
    bits = CONFIG.weight_bits
    levels = rng.integers(1, max_level(bits) + 1, (geometry.out_channels, geometry.columns))
    levels *= rng.choice([-1, 1], levels.shape)
    levels[rng.random(levels.shape) < 0.5] = 0
    return Layer.from_dense(
        levels.astype(np.int8),
        name=f"layer {seed}",
        input="input",
        geometry=geometry,
        bits=bits,
        q=0.1,
        bias=rng.integers(-999, 999, geometry.out_channels),
        mul=20000,
        shift=21,
        relu=bool(seed % 2),
        in_scale=1.0,
        out_scale=1.0,
    )


class Job:
    """A layer, an input, and what the machine must make of it."""

    def __init__(self, geometry: Geometry, seed: int):
        g = geometry
        rng = np.random.default_rng(seed + 100)
        self.layer = random_layer(g, seed)
        self.x = rng.integers(-128, 128, (g.in_channels, g.in_height, g.in_width), np.int8)
        self.program: LayerProgram = pack_layer(self.layer, CONFIG)
        (self.map,) = self.program.maps(self.x, CONFIG)
        self.expected = layer_output(self.layer, self.x[None])[0]
        self.biases = self.program.biases.astype("<i8").view(np.uint8).reshape(-1, 8)

    def outputs(self, frame: AxiStreamFrame) -> np.ndarray:
        raw = np.frombuffer(bytes(frame.tdata), np.int8)
        return unpack_outputs(self.program, CONFIG, [raw])


class Soc:
    """The buses around the top."""

    def __init__(self, dut, pauses: int | None):
        self.dut = dut
        self.out_is_steady: Task[None] | None = None
        around = (dut.aclk, dut.aresetn)
        self.lite = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axi"), *around, reset_active_level=False
        )
        self.acts, self.weights, self.biases = (
            AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{n}"), *around, False)
            for n in ("acts", "weights", "biases")
        )
        self.out = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_out"), *around, False)
        self.bias_bytes = len(dut.s_axis_biases_tdata) // 8
        if pauses is not None:
            channels = [self.acts, self.weights, self.biases, self.out]
            channels += [getattr(self.lite.write_if, f"{n}_channel") for n in ("aw", "w", "b")]
            channels += [getattr(self.lite.read_if, f"{n}_channel") for n in ("ar", "r")]
            for number, channel in enumerate(channels):
                channel.set_pause_generator(noise(pauses + number))

    async def write(self, name: str, value: int) -> None:
        done = await self.lite.write(MAP[name].offset, value.to_bytes(4, "little"))
        assert done.resp == AxiResp.OKAY

    async def read(self, name: str) -> int:
        got = await self.lite.read(MAP[name].offset, 4)
        assert got.resp == AxiResp.OKAY
        return int.from_bytes(got.data, "little")

    async def counter(self, name: str) -> int:
        return await self.read(f"{name}_low") | await self.read(f"{name}_high") << 32

    async def describe(self, job: Job, **changes: int) -> None:
        for name, value in (job.program.descriptor | changes).items():
            await self.write(f"layer_{name}", value)

    async def start(self, job: Job, **changes: int) -> None:
        await self.describe(job, **changes)
        await self.write("control", CONTROL["start"] | CONTROL["interrupt_enable"])

    def send(self, job: Job) -> None:
        self.send_map(job.map)
        self.send_weights(job.program.weights)
        self.send_biases(job.biases)

    def send_map(self, rows: np.ndarray) -> None:
        self.acts.send_nowait(AxiStreamFrame(rows.tobytes()))

    def send_weights(self, words: np.ndarray) -> None:
        self.weights.send_nowait(AxiStreamFrame(words.tobytes()))

    def send_biases(self, biases: np.ndarray) -> None:
        self.biases.send_nowait(AxiStreamFrame(biases[:, : self.bias_bytes].tobytes()))

    async def finished(self) -> int:
        """Wait for the interrupt and clear it; the status that it came with."""
        if not self.dut.interrupt.value:
            await with_timeout(RisingEdge(self.dut.interrupt), 200, "us")
        status = await self.read("status")
        assert status & STATUS["done"]
        await self.write("status", 0xFFFFFFFF)
        assert not await self.read("status") & (STATUS["done"] | errors())
        assert not self.dut.interrupt.value
        return status

    async def check(self, job: Job) -> None:
        """The layer's packet comes, and is right; nothing went wrong."""
        frame = await with_timeout(self.out.recv(), 200, "us")
        assert np.array_equal(job.outputs(frame), job.expected)
        assert not await self.finished() & errors()

    async def rerun(self, job: Job) -> None:
        """Run `job` from its first word to its last."""
        self.send(job)
        await self.start(job)
        await self.check(job)

    async def idle(self) -> None:
        """Wait until nothing is discarded and nothing runs."""
        wait = STATUS["busy"] | discards()
        for _ in range(100):
            if not await self.read("status") & wait:
                return
        raise AssertionError("the top stays busy")


def errors() -> int:
    return sum(mask for name, mask in STATUS.items() if name.startswith("error"))


def discards() -> int:
    return sum(mask for name, mask in STATUS.items() if name.startswith("discard"))


def noise(seed: int) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < 0.5


async def steady(dut, prefix: str, *parts: str) -> None:
    """What a channel of the top offers stays until it is taken."""
    valid, ready, *carried = (getattr(dut, prefix + part) for part in ("valid", "ready", *parts))
    offered = None
    while True:
        await RisingEdge(dut.aclk)
        now = [int(signal.value) for signal in carried] if valid.value else None
        assert offered in (None, now), f"{prefix} takes an offer back"
        offered = None if ready.value else now


async def begin(dut, pauses: int | None = None) -> Soc:
    dut.aresetn.value = 0
    Clock(dut.aclk, PERIOD_NS, unit="ns").start()
    soc = Soc(dut, pauses)
    await ClockCycles(dut.aclk, 2)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    cocotb.start_soon(steady(dut, "s_axi_b", "resp"))
    cocotb.start_soon(steady(dut, "s_axi_r", "data", "resp"))
    soc.out_is_steady = cocotb.start_soon(steady(dut, "m_axis_out_t", "data", "last"))
    return soc


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
    if CONFIG.dense:
        return  # its filters have no end mark
    soc = await begin(dut, pauses=120)
    for seed, more in enumerate((0, 3, 2 * CONFIG.weight_depth)):
        job, following = Job(SHAPES[seed], seed), Job(SHAPES[seed - 1], seed + 10)
        cost = work(job.layer, job.program.layout, CONFIG)
        count = cost.table_words + cost.mask_words + CONFIG.weight_depth + more
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
    soc.out_is_steady.cancel()  # this is the one case in which an offer is taken back
    buses = (soc.acts, soc.weights, soc.biases, soc.out)
    for bus in buses:
        bus.assert_reset(True)
        bus.clear()
    await ClockCycles(dut.aclk, 4)
    await soc.write("control", CONTROL["soft_reset"] | CONTROL["clear_streams"])
    for bus in buses:
        bus.assert_reset(False)
    soc.out.pause = False
    await soc.idle()
    await soc.rerun(following)
