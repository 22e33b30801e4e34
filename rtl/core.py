"""`cosign_core`: the whole machine."""

from amaranth import Cat, Const, Instance, Module, ResetInserter, Signal, signed
from amaranth.hdl import ClockSignal, ResetSignal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import lane
from rtl.activation import ActivationMemory
from rtl.bitmask import BitmaskFront
from rtl.config import CoreConfig
from rtl.dense import DenseFront
from rtl.drain import Biases, DrainControl, Output
from rtl.fanout import delay, tree
from rtl.layer import Error, command_edge, descriptor, events, output_latency
from rtl.rows import RowsFront, Windows
from rtl.sparse import SparseFront

MODULE = "cosign_core"
OPERAND_LOADS = 4
"""Multipliers that share one copy of a weight or of an activation."""
CONTROL_LOADS = 2
"""Lanes that share one copy of `snap` and `shift` (each drives acc_bits multiplexers)."""


def front(config: CoreConfig) -> wiring.Component:
    """What issues the weights and addresses their activations: the difference between cores."""
    if config.dense:
        return DenseFront(config)
    if config.core == "sparse-rows":
        return RowsFront(config)
    return BitmaskFront(config) if config.coding == "bitmask" else SparseFront(config)


class Core(wiring.Component):
    """Output-stationary core: one weight a cycle (per filter), broadcast to `lanes` output pixels.

    Send the input map to `i_acts`, hold the descriptor in `layer`, raise `start` for a cycle, and
    feed `i_weights` and `i_biases`; outputs leave by `o`, filter by filter (of a pass: tile by
    tile, filter by filter), `drain` bytes of each lockstep tile a word, lane 0 first, `o_last`
    with the last word. `done` is high for the cycle after it was taken; the core can start again.

    A map's rows carry a row for each lockstep tile, tile 0 lowest, and `last` on top of the last
    one. The layer begins when its map is complete, or at once if it takes no new one.

    A bit of `error` (see `Error`) stays until the next start; the layer is then given up and the
    core can start again. `busy` lasts until `done`, in either case. Reset must last 4 cycles.
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
                "i_acts": In(stream.Signature(8 * config.act_word_bytes * config.tiles + 1)),
                "i_weights": In(stream.Signature(config.stream_bits)),
                "i_biases": In(stream.Signature(signed(config.acc_bits))),
                "o": Out(stream.Signature(8 * config.drain * config.tiles)),
                "o_last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        rows = config.core == "sparse-rows"
        copies = 1 if rows else -(-config.filters // OPERAND_LOADS)
        flush = Signal()
        # Only a map that is too long empties the memories: others may hold the next layer's rows.
        spill = Signal()
        m.d.comb += spill.eq(flush & self.error[Error.ACTS])

        def control(name: str, part: wiring.Component, reset: Signal = flush) -> wiring.Component:
            """A part that an error resets."""
            m.submodules[name] = ResetInserter(reset)(part)
            return part

        source = control("front", front(config))
        drain = control("drain", DrainControl(config))
        biases = control("biases", Biases(config))
        output = control("output", Output(config))
        memories = [
            control(f"activations_{n}", ActivationMemory(config, copies), spill)
            for n in range(config.tiles)
        ]
        connect(m, flipped(self.i_weights), source.i)
        connect(m, flipped(self.i_biases), biases.i)
        connect(m, output.o, flipped(self.o))
        for part in (source, drain, output):
            connect(m, flipped(self.layer), part.layer)
        go = self._control(m, source, drain, memories, flush)

        may_drain, may_bias = drain.may_end, biases.ready | ~source.tile_first
        due = source.running & source.at_last & source.ready
        m.d.comb += [
            self.o_last.eq(output.o_last),
            self.events.stall_weights.eq(source.running & ~source.ready),
            self.events.stall_drain.eq(due & ~may_drain),
            self.events.stall_bias.eq(due & may_drain & ~may_bias),
            self.events.nonzeros.eq(source.nonzeros),
            self.events.fillers.eq(source.fillers),
            source.start.eq(go),
            source.busy.eq(self.busy & ~self.events.waiting & ~flush),
            source.may_end.eq(may_drain & may_bias),
            drain.last.eq(source.last),
            drain.tile_last.eq(source.tile_last),
            drain.pass_last.eq(source.pass_last),
            drain.popped.eq(output.popped),
            biases.start.eq(go),
            biases.claim.eq(source.last & source.tile_first),
        ]

        # The drain's commands travel with the data.
        ahead = command_edge(config) - 1
        snap = delay(m, source.last | go, ahead, "snap")
        take = delay(m, drain.take, ahead, "take")
        m.d.comb += [
            biases.swap.eq(delay(m, source.last & source.tile_first, ahead + 2, "swap")),
            biases.more.eq(delay(m, ~source.pass_last, ahead + 2, "more", reset_less=True)),
            biases.next_row.eq(delay(m, drain.take & drain.row_end, ahead + 2, "next_row")),
            output.take.eq(delay(m, take, 2, "taken")),
            output.take_last.eq(delay(m, drain.take & drain.all_end, ahead + 2, "taken_last")),
            output.bias.eq(biases.bias),
        ]
        for n, memory in enumerate(memories):
            m.d.comb += [memory.address.eq(source.address), memory.valid.eq(source.valid)]
            if rows:
                m.submodules[f"windows_{n}"] = windows = Windows(config)
                m.d.comb += windows.write.eq(source.write)
                m.d.comb += [i.eq(o) for i, o in zip(windows.reads, source.reads, strict=True)]
                m.d.comb += [i.eq(o) for i, o in zip(windows.shifts, source.shifts, strict=True)]
                m.d.comb += [i.eq(o) for i, o in zip(windows.read, memory.acts[0], strict=True)]
                acts = list(windows.acts)
            else:
                acts = [memory.acts[f // OPERAND_LOADS] for f in range(config.filters)]
            results = output.results[n * config.drain : (n + 1) * config.drain]
            self._lanes(m, f"{n}_" if config.tiles > 1 else "", acts, source, snap, take, results)
        return m

    def _control(self, m, source, drain, memories, flush) -> Value:  # type: ignore[no-untyped-def]
        """Start, done, and giving up after an error. Returns the cycle in which a layer begins."""
        config = self.config
        waiting, running, giving_up = Signal(), Signal(), Signal()
        left = Signal(range(output_latency(config) + 2))
        full = Cat(memory.full for memory in memories).all()
        bad = Cat(memory.bad for memory in memories).any()
        accepted, go, finished = Signal(), Signal(), Signal()
        fault = Signal(len(Error))
        m.d.comb += [
            accepted.eq(self.start & ~self.busy),
            go.eq((accepted | waiting) & (full | ~self.layer.new_map)),
            finished.eq(running & ~source.running & drain.idle & ~giving_up),
            self.busy.eq(waiting | running),
            self.events.waiting.eq(waiting),
            fault.eq(source.fault | ((go & self.layer.new_map & bad) << Error.ACTS)),
            flush.eq(giving_up),
        ]
        ready = Cat(memory.i.ready for memory in memories).all()
        m.d.comb += self.i_acts.ready.eq(ready)
        payload = self.i_acts.payload
        for n, memory in enumerate(memories):
            word = payload[:-1].word_select(n, 8 * config.act_word_bytes)
            m.d.comb += [
                memory.i.payload.eq(Cat(word, payload[-1])),
                memory.i.valid.eq(self.i_acts.valid & ready),
                memory.busy.eq(running),
                memory.swap.eq(go & self.layer.new_map),
            ]
        m.d.sync += self.done.eq(finished)
        with m.If(accepted):
            m.d.sync += self.error.eq(0)
        with m.If(go):
            m.d.sync += [running.eq(1), waiting.eq(0)]
        with m.Elif(accepted):
            m.d.sync += waiting.eq(1)
        with m.If(finished):
            m.d.sync += running.eq(0)
        with m.If(giving_up):  # until nothing is left in the pipeline
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [giving_up.eq(0), running.eq(0), waiting.eq(0), self.done.eq(1)]
        with m.Elif(fault.any()):
            m.d.sync += [self.error.eq(self.error | fault), giving_up.eq(1)]
            m.d.sync += [running.eq(1), left.eq(output_latency(config))]
        return go

    def _lanes(self, m, prefix, acts, source, snap, take, results) -> None:  # type: ignore[no-untyped-def]
        """The lane array; lane l of filter f is number f * lanes + l of the drain's chain."""
        config = self.config
        total = config.lanes * config.filters
        snaps = tree(m, snap, -(-total // CONTROL_LOADS), f"{prefix}snap")
        shifts = tree(m, take, -(-total // CONTROL_LOADS), f"{prefix}shift")
        weights = [
            tree(m, operand, -(-config.lanes // OPERAND_LOADS), f"{prefix}weight_{f}")
            for f, operand in enumerate(source.operands)
        ]
        shadows = [
            Signal(signed(config.acc_bits), name=f"{prefix}shadow_{n}") for n in range(total)
        ]
        for number in range(total):
            f, column = divmod(number, config.lanes)
            follower = number + config.drain
            m.submodules[f"lane_{prefix}{number}"] = Instance(
                lane.MODULE,
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_act=acts[f][column],
                i_weight=weights[f][column // OPERAND_LOADS],
                i_snap=snaps[number // CONTROL_LOADS],
                i_shift=shifts[number // CONTROL_LOADS],
                i_chain=shadows[follower] if follower < total else Const(0, config.acc_bits),
                o_shadow=shadows[number],
            )
        for n, result in enumerate(results):
            m.d.comb += result.eq(shadows[n] if n < total else 0)
