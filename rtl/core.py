"""`cosign_core`: the whole machine."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from amaranth import Cat, Const, Instance, Module, ResetInserter, Signal, signed
from amaranth.hdl import ClockSignal, ResetSignal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import lane
from rtl.activation import ActivationMemory
from rtl.bitmask import BitmaskFront
from rtl.config import CoreConfig
from rtl.dense import DenseFront, StructuredFront
from rtl.drain import Biases, DrainControl, Output
from rtl.fanout import delay, tree
from rtl.layer import Error, descriptor, events
from rtl.packed import PackedFront
from rtl.rows import RowsFront, Windows
from rtl.sequence import Front
from rtl.sparse import SparseFront, joined
from rtl.timing import command_edge, output_latency
from rtl.window import Taps, WindowFront

MODULE = "cosign_core"
OPERAND_LOADS = 4
"""Multipliers that share one copy of a weight or of an activation."""
CONTROL_LOADS = 2
"""Sums that share one copy of `snap` and `shift` (each drives acc_bits multiplexers)."""


Part = TypeVar("Part", bound=wiring.Component)


class _Parts(NamedTuple):
    """What a core consists of, but for its lanes."""

    front: Front
    drain: DrainControl
    biases: Biases
    output: Output
    memories: list[ActivationMemory]
    """Tile by tile, one for each stream."""


def front(config: CoreConfig) -> Front:
    """What issues the weights and addresses their activations: the difference between cores."""
    if config.packed:
        return PackedFront(config)
    if config.structured:
        return StructuredFront(config)
    if config.dense:
        return DenseFront(config)
    if config.core == "sparse-rows":
        return RowsFront(config)
    if config.stepped:
        return WindowFront(config)
    return BitmaskFront(config) if config.coding == "bitmask" else SparseFront(config)


def sharers(config: CoreConfig) -> int:
    """Filters that share one copy of the activations.

    In `sparse-nm` an activation feeds the multiplexers of some of a filter's operands, each less
    than a fourth of a multiplier's load.
    """
    if not config.structured or config.dot:
        return OPERAND_LOADS
    return 4 * OPERAND_LOADS // min(config.nm_keep, config.nm_group - config.nm_keep + 1)


def followers(config: CoreConfig) -> int:
    """Lanes that share one copy of `snap` and `shift`."""
    return -(-CONTROL_LOADS // config.turns)


class Core(wiring.Component):
    """Output-stationary core: one weight a cycle (per stream, and per filter where they do not take
    turns), broadcast to `lanes` output pixels.

    Send the input map to `i_acts`, hold the descriptor in `layer`, raise `start` for a cycle, and
    feed `i_weights` and `i_biases`, a word a filter (`rtl.drain.Biases`). Outputs leave
    by `o`, filter by filter (of a pass: tile by tile, filter by filter), `drain` bytes of each
    lockstep tile a word, lane 0 first, `o_last` with the last word. `done` is high for the cycle
    after it was taken; the core can start again.

    A map's rows carry a row for each activation memory, tile by tile and in it stream by stream,
    the first lowest, and `last` on top of the last one. The layer begins when its map is complete,
    or at once if it takes no new one.

    A bit of `error` (see `Error`) stays until the next start; the layer is then given up, and when
    the words that wait at `o` were taken the core can start again. `busy` lasts until `done`, in
    either case. Reset must last 4 cycles.
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "error": Out(len(Error)),
                "events": Out(events(config)),
                "i_acts": In(
                    stream.Signature(config.act_bits * config.act_word_bytes * config.tiles + 1)
                ),
                "i_weights": In(stream.Signature(config.stream_bits)),
                "i_biases": In(stream.Signature(config.bias_bits)),
                "o": Out(stream.Signature(config.act_bits * config.drain * config.tiles)),
                "o_last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        # Nothing waits behind the issue. All that an entry may have to wait for is asked where it
        # is issued; from there it takes a fixed number of cycles through memory, multiplier and
        # accumulator (`rtl.timing`). What is to be done with a sum is known at the issue as well,
        # and follows the data through as many registers.
        m = Module()
        flush = Signal()
        parts = self._assemble(m, flush)
        go = self._run(m, parts, flush)
        m.d.comb += self.o_last.eq(parts.output.o_last)
        self._hold_back(m, parts, go, flush)
        snap, shift = self._follow(m, parts, go)
        for n in range(self.config.tiles):
            acts = self._fetch(m, parts, n)
            self._multiply(m, parts, n, acts, snap, shift)
        return m

    def _assemble(self, m: Module, flush: Signal) -> _Parts:
        """All parts but the lanes, joined to the core's streams.

        An error's `flush` resets them, but for the output, which keeps what it offers.
        """
        config = self.config
        # Only a map that is too long empties the memories: others may hold the next layer's rows.
        spill = Signal()
        m.d.comb += spill.eq(flush & self.error[Error.ACTS])

        def add(name: str, part: Part, reset: Signal = flush) -> Part:
            m.submodules[name] = ResetInserter(reset)(part)
            return part

        m.submodules.output = output = Output(config)
        copies = 1 if config.core == "sparse-rows" else -(-config.filters // sharers(config))
        if config.kept:
            copies = 0
        parts = _Parts(
            add("front", front(config)),
            add("drain", DrainControl(config)),
            add("biases", Biases(config)),
            output,
            [
                add(f"activations_{n}", ActivationMemory(config, copies), spill)
                for n in range(config.memories)
            ],
        )
        connect(m, flipped(self.i_weights), parts.front.i)
        connect(m, flipped(self.i_biases), parts.biases.i)
        connect(m, parts.output.o, flipped(self.o))
        for part in (parts.front, parts.drain, parts.output):
            connect(m, flipped(self.layer), part.layer)
        return parts

    def _run(self, m: Module, parts: _Parts, flush: Signal) -> Signal:
        """Start, done, and giving up after an error. Returns the cycle in which a layer begins."""
        waiting, running, giving_up = Signal(), Signal(), Signal()
        left = Signal(range(output_latency(self.config) + 2))
        accepted, go, finished = Signal(), Signal(), Signal()
        fault = Signal(len(Error))
        full = Cat(memory.full for memory in parts.memories).all()
        bad = Cat(memory.bad for memory in parts.memories).any()
        takes_map = go & self.layer.new_map
        m.d.comb += [
            accepted.eq(self.start & ~self.busy),
            go.eq((accepted | waiting) & (full | ~self.layer.new_map)),
            finished.eq(running & ~parts.front.running & parts.drain.idle & ~giving_up),
            self.busy.eq(waiting | running),
            self.events.waiting.eq(waiting),
            fault.eq(parts.front.fault | ((takes_map & bad) << Error.ACTS)),
            flush.eq(giving_up),
            parts.output.flush.eq(flush),
        ]
        self._load_maps(m, parts.memories, busy=running, swap=takes_map)
        m.d.sync += self.done.eq(finished)
        with m.If(accepted):
            m.d.sync += self.error.eq(0)
        with m.If(go):
            m.d.sync += [running.eq(1), waiting.eq(0)]
        with m.Elif(accepted):
            m.d.sync += waiting.eq(1)
        with m.If(finished):
            m.d.sync += running.eq(0)
        with m.If(giving_up):  # until nothing is left in the pipeline and in the queue behind it
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
            with m.Elif(~parts.output.o.valid):
                m.d.sync += [giving_up.eq(0), running.eq(0), waiting.eq(0), self.done.eq(1)]
        with m.Elif(fault.any()):
            m.d.sync += [self.error.eq(self.error | fault), giving_up.eq(1)]
            m.d.sync += [running.eq(1), left.eq(output_latency(self.config))]
        return go

    def _load_maps(
        self, m: Module, memories: list[ActivationMemory], busy: Value, swap: Value
    ) -> None:
        """The map's rows into all memories in the same cycle, to each its own bytes of a row."""
        ready = Cat(memory.i.ready for memory in memories).all()
        payload = self.i_acts.payload
        m.d.comb += self.i_acts.ready.eq(ready)
        for n, memory in enumerate(memories):
            word = payload[:-1].word_select(n, self.config.act_bits * self.config.row_bytes)
            m.d.comb += [
                memory.i.payload.eq(Cat(word, payload[-1])),
                memory.i.valid.eq(self.i_acts.valid & ready),
                memory.busy.eq(busy),
                memory.swap.eq(swap),
            ]

    def _hold_back(self, m: Module, parts: _Parts, go: Signal, flush: Signal) -> None:
        """At the issue: a tile's last entry waits for the drain of the tile before it, and that for
        biases where its filters are new. `events` tell what is waited for."""
        front, drain, biases = parts.front, parts.drain, parts.biases
        held = front.running & front.at_last & front.ready & ~drain.may_end
        new_pass = front.last & front.tile_first & ~front.pass_last
        m.d.comb += [
            self.events.stall_weights.eq(front.running & ~front.ready),
            self.events.stall_drain.eq(held & ~drain.starved),
            self.events.stall_bias.eq(held & drain.starved),
            self.events.nonzeros.eq(front.nonzeros),
            self.events.fillers.eq(front.fillers),
            front.start.eq(go),
            front.busy.eq(self.busy & ~self.events.waiting & ~flush),
            front.may_end.eq(drain.may_end),
            drain.last.eq(front.last),
            drain.tile_first.eq(front.tile_first),
            drain.tile_last.eq(front.tile_last),
            drain.pass_last.eq(front.pass_last),
            drain.bias_ready.eq(biases.ready),
            drain.popped.eq(parts.output.popped),
            # A pass's words are let in when the first tile of the pass before it ends: by its next
            # one all of that pass's words have been claimed.
            biases.more.eq(go | new_pass),
            biases.claim.eq(drain.claim),
        ]

    def _follow(self, m: Module, parts: _Parts, go: Signal) -> tuple[Value, Value]:
        """Behind the issue: the commands that travel with the data, each for as long as it does.

        Returns those of the lanes: `snap` keeps their sums, `shift` moves the kept ones on.
        """
        front, drain, biases, output = parts.front, parts.drain, parts.biases, parts.output
        lanes = command_edge(self.config) - 1  # cycles to the trees that lead to the lanes
        results = lanes + 2  # and to the sums that have left them
        snap = delay(m, front.last | go, lanes, "snap")
        shift = delay(m, drain.take, lanes, "take")
        enter = turn = delay(m, drain.claim, results - 1, "enter")
        if self.config.filters > 1:
            turn = delay(m, drain.turn, results - 1, "turn")
        m.d.comb += [
            biases.enter.eq(enter),
            biases.turn.eq(turn),
            output.take.eq(delay(m, shift, results - lanes, "taken")),
            output.take_last.eq(delay(m, drain.take & drain.all_end, results, "taken_last")),
            output.bias.eq(biases.bias),
            output.mul.eq(biases.mul),
            output.last_shift.eq(biases.last_shift),
        ]
        return snap, shift

    def _fetch(self, m: Module, parts: _Parts, n: int) -> Sequence[Sequence[Value]]:
        """Tile n's activations: for each filter those of its lanes."""
        config, front = self.config, parts.front
        memories = parts.memories[n * config.streams : (n + 1) * config.streams]
        if config.streams > 1 or config.windowed:
            return [self._streamed(m, front, memories, n)]
        (memory,) = memories
        m.d.comb += [memory.address.eq(front.address), memory.valid.eq(front.valid)]
        if config.core != "sparse-rows":
            size = config.element_bytes
            elements = [
                [
                    Cat(acts[n : n + size]) if size > 1 else acts[n]
                    for n in range(0, len(acts), size)
                ]
                for acts in memory.acts
            ]
            return [elements[f // sharers(config)] for f in range(config.filters)]
        m.submodules[f"windows_{n}"] = windows = Windows(config)
        m.d.comb += windows.write.eq(front.write)
        for inputs, outputs in (
            (windows.reads, front.reads),
            (windows.shifts, front.shifts),
            (windows.read, memory.acts[0]),
        ):
            m.d.comb += [i.eq(o) for i, o in zip(inputs, outputs, strict=True)]
        return list(windows.acts)

    def _streamed(
        self, m: Module, front: Front, memories: list[ActivationMemory], n: int
    ) -> Sequence[Value]:
        """Tile n's activations of all streams: those of a lane side by side, stream 0 lowest."""
        config = self.config
        streams: list[Sequence[Value]] = []
        for k, memory in enumerate(memories):
            m.d.comb += [
                memory.address.eq(front.address.word_select(k, config.address_bits)),
                memory.valid.eq(front.valid[k]),
            ]
            streams.append(list(memory.acts[0]))
            if config.kept:
                taps = Taps(config)
                m.submodules[f"windows_{n * config.streams + k}"] = taps
                m.d.comb += [
                    taps.load.eq(front.opened[k]),
                    taps.tap.eq(front.taps.word_select(k, config.tap_bits)),
                    *(i.eq(o) for i, o in zip(taps.read, memory.acts[0], strict=True)),
                ]
                streams[-1] = list(taps.acts)
        if config.streams == 1:
            return streams[0]
        return [Cat(*acts) for acts in zip(*streams, strict=True)]

    def _multiply(
        self,
        m: Module,
        parts: _Parts,
        n: int,
        acts: Sequence[Sequence[Value]],
        snap: Value,
        shift: Value,
    ) -> None:
        """Tile n's lanes. Lane l of filter f is number f * lanes + l of the chain that drains them,
        `drain` results a cycle. Filters that take turns share their lanes."""
        config = self.config
        prefix = f"{n}_" if config.tiles > 1 else ""
        total = config.lanes * config.filters
        lanes = config.lanes * config.parallel
        loads = followers(config)
        snaps = tree(m, snap, -(-lanes // loads), f"{prefix}snap")
        shifts = tree(m, shift, -(-lanes // loads), f"{prefix}shift")
        weights = [
            tree(m, operand, -(-config.lanes // OPERAND_LOADS), f"{prefix}weight_{f}")
            for f, operand in enumerate(parts.front.operands)
        ]
        shadows = [
            Signal(signed(config.acc_bits), name=f"{prefix}shadow_{number}")
            for number in range(total)
        ]
        rest = Const(0, config.acc_bits)
        for number in range(lanes):
            f, column = divmod(number, config.lanes)
            own = range(number, total, lanes)
            behind = [shadows[n + config.drain] if n + config.drain < total else rest for n in own]
            m.submodules[f"lane_{prefix}{number}"] = Instance(
                lane.MODULE,
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_act=acts[f][column],
                i_weight=weights[f][column // OPERAND_LOADS],
                i_snap=snaps[number // loads],
                i_shift=shifts[number // loads],
                i_chain=joined(behind),
                o_shadow=joined([shadows[n] for n in own]),
            )
        for place in range(config.drain):
            result = parts.output.results[n * config.drain + place]
            m.d.comb += result.eq(shadows[place] if place < total else 0)
