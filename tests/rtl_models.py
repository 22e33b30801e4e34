"""Amaranth's simulator for parts that hold modules of their own: memories, register copies, lanes.

Starts in a second where Verilator takes ten to compile, and so is the place for single parts, and
for cores whose words or counters are looked at. Memories begin with random words.
"""

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth import Module, ResetInserter, Signal
from amaranth.hdl import Elaboratable, Fragment, Instance, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator
from streams import watch

from rtl import core, fanout, lane
from rtl.config import CoreConfig
from rtl.layer import Error
from rtl.program.words import from_bytes
from sim.simulate import Run, RunResult

PATIENCE = 3000
"""Cycles without an output word after which a core has hung."""
_SRAM = re.compile(r"cosign_sram_(\d+)x(\d+)")


def with_models(component: Elaboratable, config: CoreConfig, seed: int = 0) -> Fragment:
    """`component` with a model in the place of every module that Verilog defines elsewhere."""
    fragment = Fragment.get(component, None)
    rng = random.Random(seed)
    _replace(fragment, config, rng)
    return fragment


def _replace(fragment: Fragment, config: CoreConfig, rng: random.Random) -> None:
    for number, (part, name, at) in enumerate(fragment.subfragments):
        if isinstance(part, Instance):
            part = Fragment.get(_model(part, config, rng), None)
            fragment.subfragments[number] = (part, name, at)
        _replace(part, config, rng)


def _model(part: Instance, config: CoreConfig, rng: random.Random) -> Module:
    m = Module()
    pins: dict[str, Value] = {name: value for name, (value, _) in part.ports.items()}
    if part.type == fanout.MODULE:
        held = Signal(len(pins["q"]), reset_less=True)
        m.d.sync += held.eq(pins["d"])
        m.d.comb += pins["q"].eq(held)
    elif part.type == lane.MODULE:
        m.submodules.lane = model = lane.Lane(config)
        for name, member in model.signature.members.items():
            inner = getattr(model, name)
            m.d.comb += inner.eq(pins[name]) if member.flow == wiring.In else pins[name].eq(inner)
    elif part.type == core.MODULE:
        whole = core.Core(config)
        m.submodules.core = ResetInserter(pins["rst"])(whole)
        for path, member, value in whole.signature.flatten(whole):
            pin = pins["__".join(path)]
            m.d.comb += value.eq(pin) if member.flow == wiring.In else pin.eq(value)
    else:
        found = _SRAM.fullmatch(part.type)
        assert found, part.type
        words, bits = map(int, found.groups())
        init = [rng.getrandbits(bits) for _ in range(words)]
        m.submodules.memory = memory = Memory(shape=bits, depth=words, init=init)
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            *(port.addr.eq(pins["addr"]) for port in (write, read)),
            write.data.eq(pins["d"]),
            write.en.eq(pins["ce"] & pins["we"]),
            read.en.eq(pins["ce"] & ~pins["we"]),
            pins["q"].eq(read.data),
        ]
    return m


class _Feed:
    """Words for one stream; each stays on offer until it is taken."""

    def __init__(self, port: stream.Interface, words: list[int]):
        self._port, self.left = port, words

    def offer(self, ctx: Any) -> None:
        ctx.set(self._port.valid, bool(self.left))
        if self.left:
            ctx.set(self._port.payload, self.left[0])

    def go_on(self, ctx: Any) -> None:
        """Behind a word that is taken at the coming edge."""
        if self.left and ctx.get(self._port.ready):
            del self.left[0]


def _words(values: np.ndarray) -> list[int]:
    return [int.from_bytes(value.tobytes(), "little") for value in values]


def _rows(run: Run, config: CoreConfig) -> list[int]:
    """A map's words, `last` on top of the last one; none of a run that sends no map."""
    words = _words(run.acts)
    if words:
        words[-1] |= 1 << config.act_bits * config.act_word_bytes * config.tiles
    return words


def simulate_core(
    runs: list[Run],
    config: CoreConfig,
    seed: int = 0,
    pressure: float = 0.0,
) -> list[RunResult]:
    """What sim.simulate_runs answers, of runs without a reset; `left_over` counts the words.

    pressure : share of the cycles in which the output takes nothing
    Raises AssertionError when the core stops answering.
    """
    machine = core.Core(config)
    simulator = Simulator(with_models(machine, config, seed))
    simulator.add_clock(1e-9)
    watch(simulator, outputs=(machine.o, machine.o_last))
    watch(simulator, ~machine.busy, weights=(machine.i_weights, 0), biases=(machine.i_biases, 0))
    watch(simulator, machine.done & machine.error[Error.ACTS], activations=(machine.i_acts, 0))
    results: list[RunResult] = []

    async def testbench(ctx: Any) -> None:
        rng = random.Random(seed)
        maps = _Feed(machine.i_acts, [row for run in runs for row in _rows(run, config)])
        for number, run in enumerate(runs):
            for name, value in run.descriptor.items():
                ctx.set(getattr(machine.layer, name), value)
            feeds = (
                maps,
                _Feed(machine.i_weights, _words(run.weights)),
                _Feed(machine.i_biases, run.biases.tolist()),
            )
            answer = await _job(
                ctx,
                machine,
                run,
                feeds,
                lambda: rng.random() < pressure,
            )
            if answer.error == 1 << Error.ACTS:
                maps = _Feed(
                    machine.i_acts,
                    [row for run in runs[number + 1 :] for row in _rows(run, config)],
                )
            results.append(answer)

    simulator.add_testbench(testbench)
    simulator.run()
    return results


async def _job(
    ctx: Any,
    machine: core.Core,
    run: Run,
    feeds: tuple[_Feed, ...],
    waits_at_output: Callable[[], bool],
) -> RunResult:
    """From the start to done."""
    cycles = stalls = nonzeros = fillers = 0
    events = machine.events
    raw = bytearray()
    ended, patience = False, PATIENCE
    ctx.set(machine.start, 1)
    while not ctx.get(machine.done):
        for feed in feeds:
            feed.offer(ctx)
        ctx.set(machine.o.ready, not waits_at_output())
        for feed in feeds:
            feed.go_on(ctx)
        if ctx.get(machine.busy) and not ctx.get(events.waiting):
            cycles += 1
            waits = [events.stall_weights, events.stall_bias, events.stall_drain]
            stalled = sum(map(ctx.get, waits))
            assert stalled <= 1, "a cycle is counted twice"
            stalls += stalled
            nonzeros += ctx.get(events.nonzeros)
            fillers += ctx.get(events.fillers)
        patience -= 1
        if ctx.get(machine.o.valid) and ctx.get(machine.o.ready):
            assert not ended, "a word after the last one"
            raw += ctx.get(machine.o.payload).to_bytes(-(-len(machine.o.payload) // 8), "little")
            ended = bool(ctx.get(machine.o_last))
            patience = PATIENCE
        assert patience, "the core stopped answering"
        await ctx.tick()
        ctx.set(machine.start, 0)
    error = ctx.get(machine.error)
    assert error or ended, "no last word"
    left_over = sum(len(feed.left) for feed in feeds[1:])
    for feed in feeds[1:]:
        feed.left.clear()
        feed.offer(ctx)
    await ctx.tick()
    bits, values = machine.config.act_bits, machine.config.drain * machine.config.tiles
    words = np.frombuffer(bytes(raw), np.uint8).reshape(-1, -(-bits * values // 8))
    return RunResult(
        from_bytes(words, bits, values).reshape(-1),
        cycles,
        stalls,
        nonzeros,
        fillers,
        left_over,
        error,
    )
