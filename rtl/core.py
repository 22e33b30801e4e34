"""`cosign_core`: the whole machine."""

from amaranth import Const, Instance, Module, Mux, Signal, signed
from amaranth.hdl import ClockSignal, ResetSignal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl import lane
from rtl.activation import ActivationMemory
from rtl.config import CoreConfig
from rtl.drain import Biases, DrainControl, Output
from rtl.fanout import delay, tree
from rtl.layer import COMMAND_EDGE, OPERAND_EDGE, descriptor
from rtl.sequence import DenseAddress, Sequencer, SparseAddress
from rtl.weights import WeightBuffers

MODULE = "cosign_core"
OPERAND_LOADS = 4
"""Multipliers that share one copy of a weight or of an activation."""
CONTROL_LOADS = 2
"""Lanes that share one copy of `snap` and `shift` (each drives acc_bits multiplexers)."""


class Core(wiring.Component):
    """Output-stationary core: one weight a cycle (per filter), broadcast to `lanes` output pixels.

    Load the input map through `i_acts` while not `busy`, hold the descriptor in `layer`, raise
    `start` for a cycle, and feed `i_weights` and `i_biases`; outputs leave by `o`, filter by
    filter (of a pass: tile by tile, filter by filter), `drain` bytes a word, lane 0
    first. `done` is high for the cycle after the last word was taken, and the core can start again.
    A new map is loaded from row 0 after every layer; without loading the old one is used.

    `cycles` counts busy cycles since start, `stalls` those of them in which an entry was due
    and its weights, its bias or the drain were not ready.
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "cycles": Out(32),
                "stalls": Out(32),
                "i_acts": In(stream.Signature(8 * config.act_word_bytes)),
                "i_weights": In(stream.Signature(config.stream_bits)),
                "i_biases": In(stream.Signature(signed(config.acc_bits))),
                "o": Out(stream.Signature(8 * config.drain)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        sparse = config.core == "sparse"
        # A dense core's weights are read just in time for the broadcast tree.
        late = 0 if sparse else OPERAND_EDGE - 2
        copies = -(-config.filters // OPERAND_LOADS)

        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.weights = weights = WeightBuffers(config, late)
        m.submodules.activations = activations = ActivationMemory(config, copies)
        m.submodules.drain = drain = DrainControl(config)
        m.submodules.biases = biases = Biases(config)
        m.submodules.output = output = Output(config)
        connect(m, flipped(self.i_acts), activations.i)
        connect(m, flipped(self.i_weights), weights.i)
        connect(m, flipped(self.i_biases), biases.i)
        connect(m, output.o, flipped(self.o))
        for part in (sequencer, drain, output):
            connect(m, flipped(self.layer), part.layer)

        start = Signal()
        m.d.comb += start.eq(self.start & ~self.busy)
        finished = self.busy & ~sequencer.running & drain.idle
        m.d.sync += self.done.eq(finished)
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.If(sequencer.running & ~sequencer.issue):
            m.d.sync += self.stalls.eq(self.stalls + 1)
        with m.If(finished):
            m.d.sync += self.busy.eq(0)
        with m.If(start):
            m.d.sync += [self.busy.eq(1), self.cycles.eq(0), self.stalls.eq(0)]

        m.d.comb += [
            sequencer.start.eq(start),
            sequencer.ready.eq(weights.ready),
            sequencer.may_end.eq(drain.may_end & (biases.ready | ~sequencer.tile_first)),
            weights.start.eq(start),
            weights.busy.eq(self.busy),
            weights.last_pass.eq(self.layer.last_pass),
            weights.side.eq(sequencer.side),
            weights.pointer.eq(sequencer.pointer),
            weights.release.eq(sequencer.release),
            drain.last.eq(sequencer.last),
            drain.tile_last.eq(sequencer.tile_last),
            drain.popped.eq(output.popped),
            biases.start.eq(start),
            biases.claim.eq(sequencer.last & sequencer.tile_first),
            activations.loading.eq(~self.busy),
            activations.rewind.eq(start),
        ]

        # Addresses, and the weight that meets them at the multipliers.
        m.submodules.address = address = SparseAddress(config) if sparse else DenseAddress(config)
        m.d.comb += [
            address.issue.eq(sequencer.issue),
            address.first.eq(sequencer.first),
            address.base.eq(sequencer.base),
            activations.address.eq(address.address),
            activations.valid.eq(address.valid),
        ]
        if isinstance(address, SparseAddress):
            m.d.comb += [
                address.entry.eq(weights.entry),
                sequencer.at_last.eq(sequencer.pointer == weights.length),
            ]
            operands = [delay(m, address.weight, OPERAND_EDGE - 4, "weight")]
        else:
            connect(m, flipped(self.layer), address.layer)
            m.d.comb += [
                address.start.eq(start),
                weights.last_word.eq(self.layer.last_word),
                sequencer.at_last.eq(address.at_last),
            ]
            issued = delay(m, address.valid, OPERAND_EDGE - 4, "issued")
            operands = [
                Mux(issued, weights.entry.word_select(n, config.operand_bits), 0).as_signed()
                for n in range(config.filters)
            ]

        # The drain's commands travel with the data.
        ahead = COMMAND_EDGE - 1
        snap = delay(m, sequencer.last | start, ahead, "snap")
        take = delay(m, drain.take, ahead, "take")
        m.d.comb += [
            biases.swap.eq(delay(m, sequencer.last & sequencer.tile_first, ahead + 2, "swap")),
            biases.more.eq(delay(m, ~sequencer.pass_last, ahead + 2, "more", reset_less=True)),
            biases.next_row.eq(delay(m, drain.take & drain.row_end, ahead + 2, "next_row")),
            output.take.eq(delay(m, take, 2, "taken")),
            output.bias.eq(biases.bias),
        ]
        self._lanes(m, activations.acts, operands, snap, take, output.results)
        return m

    def _lanes(self, m, acts, operands, snap, take, results) -> None:  # type: ignore[no-untyped-def]
        """The lane array; lane l of filter f is number f * lanes + l of the drain's chain."""
        config = self.config
        total = config.lanes * config.filters
        snaps = tree(m, snap, -(-total // CONTROL_LOADS), "snap")
        shifts = tree(m, take, -(-total // CONTROL_LOADS), "shift")
        weights = [
            tree(m, operand, -(-config.lanes // OPERAND_LOADS), f"weight_{f}")
            for f, operand in enumerate(operands)
        ]
        shadows = [Signal(signed(config.acc_bits), name=f"shadow_{n}") for n in range(total)]
        for number in range(total):
            f, column = divmod(number, config.lanes)
            follower = number + config.drain
            m.submodules[f"lane_{number}"] = Instance(
                lane.MODULE,
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_act=acts[f // OPERAND_LOADS][column],
                i_weight=weights[f][column // OPERAND_LOADS],
                i_snap=snaps[number // CONTROL_LOADS],
                i_shift=shifts[number // CONTROL_LOADS],
                i_chain=shadows[follower] if follower < total else Const(0, config.acc_bits),
                o_shadow=shadows[number],
            )
        for n, result in enumerate(results):
            m.d.comb += result.eq(shadows[n] if n < total else 0)
