"""The "window" coding: weights share the window of activations that was read for their neighbours.

A window is `lanes` + `window_span` - 1 neighbouring bytes, which serve as many taps as the span
has. It is read once, in `beats` reads of a share of it each, and so from a memory narrower than
the lanes. Nothing waits for a read: an entry opens its window, those behind it use it, and the
packer lets no entry open another one before all beats have been read.

With several `filters` a window serves as many of them, one after the other: a weight brings the
number of its filter, and every lane has an accumulator for each. So a memory is read less often by
as much, and no filter waits for another one.
"""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl.activation import advance, outside
from rtl.config import CoreConfig
from rtl.fanout import delay, tree
from rtl.fields import NUMBERED, TAPS
from rtl.layer import descriptor
from rtl.sparse import SparseFront, joined, level_of
from rtl.timing import ADDRESS_EDGE, operand_edge

BYTES = 4
"""Bytes of a window that share one copy of their selects."""
CHOICE = 3
"""Taps up to which each byte of a window chooses among all; more are reached by powers of two."""


class WindowAddress(wiring.Component):
    """Decoder of a stream: entries {turn, step, tap, code} to windows and weights, one a cycle.

    A step other than 0 leads to another window, as far behind the one before as the descriptor
    tells; the first window of a tile begins at its base. The entry that opens a window is for its
    first byte, those behind it for the byte `tap` further on than the one before. A tap of all ones
    is a filler: its weight is zero, and {step, code} is a distance to which the next weight's step
    is added. That opens a window, too. `turn` is the weight's filter, where several take turns.
    Where taps are listed, entries are {turn, opens, number, code}: the number is that of a step,
    less one, or else of a tap, and both of all ones are a filler, by `code` alone.

    After edge 2 there are `valid` and `address` of a beat's read, `opened` (it is the first of a
    window), `weight`, its `turn` and its `tap`, 0 where there is none to move on to, and `beyond`:
    the weight's window begins behind the activation memory.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "layer": In(descriptor(config)),
                "issue": In(1),
                "first": In(1),
                "base": In(config.address_bits + 1),
                "entry": In(config.entry_bits // config.streams),
                "valid": Out(1),
                "address": Out(config.address_bits),
                "opened": Out(1),
                "tap": Out(config.tap_bits),
                "beyond": Out(1),
                "weight": Out(signed(config.operand_bits)),
                **({"turn": Out(config.turn_bits)} if config.turns > 1 else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        issued = delay(m, self.issue, 2, "issued")
        first = delay(m, self.first, 2, "first", reset_less=True)
        base = delay(m, self.base, 2, "base", reset_less=True)
        entry = delay(m, self.entry, 1, "entry", reset_less=True)
        code, place = entry[: config.weight_bits], entry[config.weight_bits :]
        level = level_of(m, code, "code")
        filler, present, opens = Signal(), Signal(), Signal()
        closed = Signal()  # the next weight opens a window, whatever its step
        unopened = first | closed
        places = self._listed if config.listed else self._told
        is_filler, leads, moves, step, tap = places(code, place)
        reached, total = Signal(len(base)), Signal(len(base))
        further = Mux(filler, moves, step)
        m.d.comb += [
            filler.eq(is_filler),
            present.eq(issued & ~filler),
            opens.eq(present & (unopened | leads)),
            total.eq(advance(Mux(first, base, reached), further)),
        ]
        with m.If(issued):
            m.d.sync += [
                reached.eq(total),
                closed.eq(filler & (unopened | moves.any())),
            ]
        m.d.sync += [
            self.opened.eq(opens),
            self.tap.eq(Mux(present & ~opens, tap, 0)),
            self.weight.eq(Mux(present, level, 0)),
        ]
        if config.turns > 1:
            m.d.sync += self.turn.eq(entry[-config.turn_bits :])
        m.d.comb += self.beyond.eq(self.weight.any() & outside(config, reached))
        if config.beats == 1:
            m.d.comb += [self.valid.eq(self.opened), self.address.eq(reached)]
            return m
        read_in_beats(m, config, opens, total, self.valid, self.address)
        return m

    def _told(self, code: Value, place: Value) -> tuple[Value, Value, Value, Value, Value]:
        """(whether an entry is a filler, leads to another window; how far it moves as a filler;
        its step, its tap) where it tells the tap."""
        config = self._config
        tap, number = place[: config.tap_bits], place[config.tap_bits :][: config.step_bits]
        steps = Array([Const(0, config.address_bits), *self._steps()])
        return tap.all(), number.any(), Cat(code, number), steps[number], tap

    def _listed(self, code: Value, place: Value) -> tuple[Value, Value, Value, Value, Value]:
        """The same where an entry has the number of a step or of a tap."""
        config = self._config
        number, leads = place[: config.step_bits], place[config.step_bits]
        steps = Array([*self._steps(), Const(0, config.address_bits)])
        taps = Array(getattr(self.layer, name) for name in TAPS[: 1 << config.step_bits])
        return number.all() & leads, leads, code, Mux(leads, steps[number], 0), taps[number]

    def _steps(self) -> list[Value]:
        several = NUMBERED[: (1 << self._config.step_bits) - 1]
        return [getattr(self.layer, name) for name in several]


def read_in_beats(
    m: Module, config: CoreConfig, opens: Value, first: Value, valid: Signal, address: Signal
) -> None:
    """The reads of a window's beats from the next cycle on, the first at address `first`.

    opens : a window begins; no other one before all its beats are read
    valid, address : of the reads, registers
    """
    if config.beats == 1:
        m.d.sync += valid.eq(opens)
        with m.If(opens):
            m.d.sync += address.eq(first)
        return
    left = Signal(range(config.beats))
    m.d.sync += valid.eq(opens | (left != 0))
    with m.If(opens):
        m.d.sync += [left.eq(config.beats - 1), address.eq(first)]
    with m.Elif(left != 0):
        m.d.sync += [left.eq(left - 1), address.eq(address + config.read_bytes)]


def window_ports(config: CoreConfig) -> dict[str, wiring.Member]:
    """What a front end has beside `front_signature` where the core has windows.

    opened, taps : of each stream, for `Taps`
    """
    if not config.windowed:
        return {}
    taps = Out(config.streams * config.tap_bits)
    return {"opened": Out(config.streams), "taps": taps}


class WindowFront(SparseFront):
    """Entries {turn, step, tap, code} of each stream. Ports: `front_signature`, `window_ports`."""

    def __init__(self, config: CoreConfig):
        super().__init__(config, **window_ports(config))

    def _decoder(self) -> WindowAddress:
        return WindowAddress(self._config)

    def _operand(self, weights: Value, decoders: Sequence[WindowAddress]) -> Value:
        if self._config.turns == 1:
            return weights
        return Cat(weights, *(decoder.turn for decoder in decoders))

    def _connect(self, m: Module, decoders: Sequence[WindowAddress]) -> None:
        config = self._config
        ahead = operand_edge(config) - 3 - ADDRESS_EDGE
        opened = joined([decoder.opened for decoder in decoders])
        taps = joined([decoder.tap for decoder in decoders])
        m.d.comb += [
            self.opened.eq(delay(m, opened, ahead, "opened")),
            self.taps.eq(delay(m, taps, ahead, "taps")),
        ]
        for decoder in decoders:
            connect(m, flipped(self.layer), decoder.layer)


class Taps(wiring.Component):
    """A stream's window in a tile: it moves along the lanes from tap to tap.

    `read` is a beat as it comes from the activation memory, before a register. `load` and `tap`
    come two edges before they act, through a tree of registers: at the operand edge all beats of a
    window enter its registers, or what is in them moves `tap` bytes on. `acts` are those of the
    lanes, the window's first bytes.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        act = signed(config.act_bits)
        super().__init__(
            {
                "read": In(act).array(config.read_bytes),
                "load": In(1),
                "tap": In(config.tap_bits),
                "acts": Out(act).array(config.lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        beats: list[list[Value]] = [list(self.read)]  # the last one first
        for n in range(1, config.beats):
            earlier = [
                Signal(config.act_bits, name=f"beat_{n}_{i}", reset_less=True)
                for i in range(config.read_bytes)
            ]
            m.d.sync += [to.eq(byte) for to, byte in zip(earlier, beats[-1], strict=True)]
            beats.append(list(earlier))
        ready = [byte for beat in reversed(beats) for byte in beat][: config.window_bytes]
        groups = -(-config.window_bytes // BYTES)
        loads = tree(m, self.load, groups, "load")
        taps = tree(m, self.tap, groups, "tap") if config.window_span > 1 else []
        window = [
            Signal(signed(config.act_bits), name=f"window_{i}", reset_less=True)
            for i in range(config.window_bytes)
        ]
        moved = self._moved(m, window, taps) if taps else []
        for i, byte in enumerate(window):
            with m.If(loads[i // BYTES]):
                m.d.sync += byte.eq(ready[i])
            if taps:
                with m.Else():
                    m.d.sync += byte.eq(moved[i])
        m.d.comb += [act.eq(byte) for act, byte in zip(self.acts, window, strict=False)]
        return m

    def _moved(self, m: Module, window: Sequence[Value], taps: Sequence[Value]) -> list[Value]:
        """What each byte of `window` becomes as that moves on. Where a byte from behind its end
        would be wanted no lane uses what is there.

        taps : how far, of every BYTES bytes
        """
        span = self._config.window_span
        if span <= CHOICE:
            return [Array(window[i : i + span])[taps[i // BYTES]] for i in range(len(window))]
        for level in reversed(range(self._config.shift_bits)):
            further = [
                Signal(byte.shape(), name=f"moved_{1 << level}_{i}")
                for i, byte in enumerate(window)
            ]
            for i, byte in enumerate(further):
                at = i + (1 << level)
                far = taps[i // BYTES][level]
                m.d.comb += byte.eq(
                    Mux(far, window[at], window[i]) if at < len(window) else window[i]
                )
            window = further
        return list(window)
