"""Around `cosign_top` in its tests: buses of cocotbext-axi, layers to run, a monitor."""

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
from random_layers import obeying, random_input, random_layer
from streams import Steady

from compress.model.graph import Geometry
from rtl.config import CoreConfig
from rtl.program.pack import LayerProgram, pack_layer, unpack_outputs
from rtl.soc.registers import register_map
from sim.golden import layer_output

CONFIG = CoreConfig.from_json(json.loads(os.environ["COSIGN_AXI_CONFIG"]))
MAP = register_map(CONFIG)
STATUS = {field.name: field.mask for field in MAP["status"].fields}
CONTROL = {field.name: field.mask for field in MAP["control"].fields}
PERIOD_NS = 10
STREAMS = ("s_axis_acts_t", "s_axis_weights_t", "s_axis_biases_t", "m_axis_out_t")
CHANNELS = dict.fromkeys(STREAMS, ("data", "last")) | {
    "s_axi_aw": ("addr", "prot"),
    "s_axi_w": ("data", "strb"),
    "s_axi_b": ("resp",),
    "s_axi_ar": ("addr", "prot"),
    "s_axi_r": ("data", "resp"),
}
"""All channels, and what they carry."""


class Job:
    """A layer, an input, and what the machine must make of it."""

    def __init__(self, geometry: Geometry, seed: int):
        layer = random_layer(geometry, 0.5, CONFIG.weight_bits, seed, relu=bool(seed % 2))
        self.layer = obeying(layer, CONFIG)
        x = random_input(geometry, seed=seed + 100)
        self.program: LayerProgram = pack_layer(self.layer, CONFIG)
        (self.map,) = self.program.maps(x[0], CONFIG)
        self.expected = layer_output(self.layer, x)[0]
        self.biases = self.program.biases.astype("<i8").view(np.uint8).reshape(-1, 8)

    def outputs(self, frame: AxiStreamFrame) -> np.ndarray:
        raw = np.frombuffer(bytes(frame.tdata), np.int8)
        return unpack_outputs(self.program, CONFIG, [raw])


class Soc:
    """The buses around the top."""

    def __init__(self, dut, pauses: int | None):
        self.dut = dut
        self.watchers: dict[str, Task[None]] = {}
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

    async def reset_streams(self, *control: str) -> None:
        """Reset the DMA in the middle of all packets, and write `control` meanwhile."""
        for channel in STREAMS:
            self.watchers[channel].cancel()  # the one case in which offers are taken back
        buses = (self.acts, self.weights, self.biases, self.out)
        for bus in buses:
            bus.assert_reset(True)
            bus.clear()
        await ClockCycles(self.dut.aclk, 4)
        await self.write("control", sum(CONTROL[name] for name in control))
        for bus in buses:
            bus.assert_reset(False)
            bus.pause = False
        for channel in STREAMS:
            self.watchers[channel] = cocotb.start_soon(watch(self.dut, channel, "data", "last"))

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


async def watch(dut, channel: str, *parts: str) -> None:
    """Whoever offers something on the channel leaves it there until it is taken."""
    steady = Steady(channel)
    valid, ready, *carried = (getattr(dut, channel + part) for part in ("valid", "ready", *parts))
    while True:
        await RisingEdge(dut.aclk)
        steady.cycle(valid.value, ready.value, [int(signal.value) for signal in carried])


async def begin(dut, pauses: int | None = None) -> Soc:
    dut.aresetn.value = 0
    Clock(dut.aclk, PERIOD_NS, unit="ns").start()
    soc = Soc(dut, pauses)
    await ClockCycles(dut.aclk, 2)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    for channel, parts in CHANNELS.items():
        soc.watchers[channel] = cocotb.start_soon(watch(dut, channel, *parts))
    return soc
