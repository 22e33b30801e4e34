"""One lane: multiplier, accumulator, and the shadow register through which results leave."""

import contextlib
import functools
import operator
from typing import NamedTuple

from amaranth import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig
from rtl.fanout import delay

MODULE = "cosign_lane"


def weight_shape(config: CoreConfig) -> Shape:
    """What a filter sends to its lanes: a weight, one of each stream, or those of `sparse-nm`. On
    top of them there is of which channel each is, or of which of the filters that take turns."""
    if config.element * config.turns == 1:
        return signed(config.operand_bits)
    selects = config.select_bits if config.structured else config.turn_bits
    return unsigned(config.keep * (config.operand_bits + selects))


def sum_shape(config: CoreConfig) -> Shape:
    """What a lane has of a tile: a sum for each of the filters that take turns, 0 lowest."""
    if config.turns == 1:
        return signed(config.acc_bits)
    return unsigned(config.turns * config.acc_bits)


class _Addend(NamedTuple):
    """What is added to a sum, and the condition for it to be other than zero: None where there is
    none, or sums do not rest."""

    product: Value
    counts: Value | None


def _gated(products: list[Value], gates: list[Value]) -> list[Value]:
    """Zero in the place of products that do not count; all do where nothing says so."""
    if not gates:
        return products
    return [
        Mux(gate, product, 0).as_signed() for gate, product in zip(gates, products, strict=True)
    ]


class Rest(wiring.Component):
    """A multiplier's own operand registers: they keep what they have while one of the next operands
    is zero, `counts` is then low."""

    def __init__(self, config: CoreConfig):
        act, weight = signed(config.act_bits), signed(config.operand_bits)
        super().__init__(
            {
                "act": In(act),
                "weight": In(weight),
                "held_act": Out(act),
                "held_weight": Out(weight),
                "counts": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        act = Signal(self.act.shape(), name="held_act_register", reset_less=True)
        weight = Signal(self.weight.shape(), name="held_weight_register", reset_less=True)
        both = self.act.any() & self.weight.any()
        m.d.sync += self.counts.eq(both)
        with m.If(both):
            m.d.sync += [act.eq(self.act), weight.eq(self.weight)]
        m.d.comb += [self.held_act.eq(act), self.held_weight.eq(weight)]
        return m


class Lane(wiring.Component):
    """A multiply-accumulate lane, one product a cycle, in `sparse-nm` `nm_keep` of them, with
    several streams one of each.

    `act` and `weight` come from registers and reach the accumulator `pipeline` + 1 edges later.
    With `gate_zeros` it is one more: then a multiplier's operands keep their values while one of
    the next ones is zero, and its product is not added.
    `snap` marks the cycle after a tile's last product was added: the sum moves to the shadow
    register, and the accumulator starts anew with whatever product arrives then (a bubble is a
    product with weight zero). `shift` passes the shadow registers along the chain.

    Filters that take turns have an accumulator and a shadow register each; a product is added to
    the one of its weight's filter.

    With `rest_sums` an accumulator is written when a product counts for it, or at `snap`, and the
    product of a multiplier that rests is not written again.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        element = unsigned(config.act_bits * config.element)
        super().__init__(
            {
                "act": In(element if config.element > 1 else signed(config.act_bits)),
                "weight": In(weight_shape(config)),
                "snap": In(1),
                "shift": In(1),
                "chain": In(sum_shape(config)),
                "shadow": Out(sum_shape(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, turns = self._config.acc_bits, self._config.turns
        for turn, (product, counts) in enumerate(self._addends(m)):
            mark = f"_{turn}" * (turns > 1)
            acc, shadow = (
                Signal(signed(bits), name=f"{name}{mark}", reset_less=True)
                for name in ("acc", "shadow")
            )
            chain = self.chain.word_select(turn, bits) if turns > 1 else self.chain
            with contextlib.nullcontext() if counts is None else m.If(self.snap | counts):
                m.d.sync += acc.eq(Mux(self.snap, 0, acc) + product)
            m.d.sync += shadow.eq(Mux(self.snap, acc, Mux(self.shift, chain, shadow)))
            into = self.shadow.word_select(turn, bits) if turns > 1 else self.shadow
            m.d.comb += into.eq(shadow)
        return m

    def _addends(self, m: Module) -> list[_Addend]:
        """For each of the filters that take turns act * weight, or the sum of several, `pipeline`
        edges later; the second register adds half products."""

        rests = self._config.rest_sums

        def register(value: Value, name: str, written: Value | None = None) -> Value:
            signal = Signal(value.shape(), name=name, reset_less=True)
            with contextlib.nullcontext() if written is None else m.If(written):
                m.d.sync += signal.eq(value)
            return signal

        def total(values: list[Value]) -> Value:
            return functools.reduce(operator.add, values)

        pairs, stages = self._pairs(m), self._config.pipeline
        counts: list[Value] = []  # whether both operands of each are not zero, when it is added
        moves: list[Value | None] = [None] * len(pairs)  # and when they are multiplied
        if self._config.gate_zeros:
            for n, (act, weight) in enumerate(pairs):
                m.submodules[f"rest_{n}"] = rest = Rest(self._config)
                m.d.comb += [rest.act.eq(act), rest.weight.eq(weight)]
                pairs[n] = rest.held_act, rest.held_weight
                moves[n] = rest.counts if rests else None
                counts.append(delay(m, rest.counts, min(stages, 1), f"counts_{n}", reset_less=True))
        half = self._config.operand_bits // 2
        marks = [f"_{n}" * (len(pairs) > 1) for n in range(len(pairs))]
        products: list[Value] = [act * weight for act, weight in pairs]
        gates = self._gates(m, counts)
        late = stages == 2 and half > 0
        sums = [
            delay(m, Cat(each).any(), late, f"counts_of_{turn}", reset_less=True) if rests else None
            for turn, each in enumerate(gates)
        ]
        if late:
            whole = []
            for (act, weight), product, mark, move in zip(
                pairs, products, marks, moves, strict=True
            ):
                low = register(act * weight[:half], f"product_low{mark}", move)
                high = register(act * weight[half:].as_signed(), f"product_high{mark}", move)
                whole.append((low + (high << half))[: len(product)].as_signed())
            products = [
                register(total(_gated(whole, each)), "product_0" + f"_of_{turn}" * (len(gates) > 1))
                for turn, each in enumerate(gates)
            ]
            return list(map(_Addend, products, sums))
        for stage in range(stages):
            products = [
                register(product, f"product_{stage}{mark}", move)
                for product, mark, move in zip(products, marks, moves, strict=True)
            ]
        return list(map(_Addend, (total(_gated(products, each)) for each in gates), sums))

    def _gates(self, m: Module, counts: list[Value]) -> list[list[Value]]:
        """For each of the filters that take turns which products are added to its sum; nothing
        where all are."""
        config = self._config
        if config.turns == 1:
            return [counts]
        turns = delay(
            m,
            self.weight[config.keep * config.operand_bits :],
            config.gate_zeros + min(config.pipeline, 1),
            "turns",
            reset_less=True,
        )
        of_product = [turns.word_select(n, config.turn_bits) for n in range(config.keep)]
        return [
            [
                (of_product[n] == turn) & (counts[n] if counts else Const(1))
                for n in range(config.keep)
            ]
            for turn in range(config.turns)
        ]

    def _pairs(self, m: Module) -> list[tuple[Value, Value]]:
        """Each weight, and the activation that it is multiplied with.

        The kept channels of a pattern ascend, so that operand n's is one of n..n + M - N; that of a
        stream is its own.
        """
        config = self._config
        if config.element == 1:
            return [(self.act, self.weight[: config.operand_bits].as_signed())]
        pairs: list[tuple[Value, Value]] = []
        selects = self.weight[config.keep * config.operand_bits :]
        spare = config.element - config.keep
        for n in range(config.keep):
            weight = self.weight.word_select(n, config.operand_bits).as_signed()
            channels = [
                self.act.word_select(channel, config.act_bits)
                for channel in range(n, n + spare + 1)
            ]
            act = Signal(signed(config.act_bits), name=f"act_{n}")
            if spare:
                m.d.comb += act.eq(Array(channels)[selects.word_select(n, config.select_bits)])
            else:
                m.d.comb += act.eq(channels[0])
            pairs.append((act, weight))
        return pairs
