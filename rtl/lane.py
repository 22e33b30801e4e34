"""One lane: multiplier, accumulator, and the shadow register through which results leave."""

import functools
import operator

from amaranth import Array, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig

MODULE = "cosign_lane"


def weight_shape(config: CoreConfig) -> Shape:
    """What a filter sends to its lanes: a weight, or those of `sparse-nm` and, on top of them, of
    which channel each is."""
    if config.structured:
        return unsigned(config.keep * (config.operand_bits + config.select_bits))
    return signed(config.operand_bits)


class Lane(wiring.Component):
    """A multiply-accumulate lane, one product a cycle, in `sparse-nm` `nm_keep` of them.

    `act` and `weight` come from registers and reach the accumulator `pipeline` + 1 edges later.
    `snap` marks the cycle after a tile's last product was added: the sum moves to the shadow
    register, and the accumulator starts anew with whatever product arrives then (a bubble is a
    product with weight zero). `shift` passes the shadow registers along the chain.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        element = unsigned(config.act_bits * config.element_bytes)
        super().__init__(
            {
                "act": In(element if config.structured else signed(config.act_bits)),
                "weight": In(weight_shape(config)),
                "snap": In(1),
                "shift": In(1),
                "chain": In(signed(config.acc_bits)),
                "shadow": Out(signed(config.acc_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = signed(self._config.acc_bits)
        acc, shadow = (Signal(width, name=name, reset_less=True) for name in ("acc", "shadow"))
        product = self._product(m)
        m.d.sync += [
            acc.eq(Mux(self.snap, 0, acc) + product),
            shadow.eq(Mux(self.snap, acc, Mux(self.shift, self.chain, shadow))),
        ]
        m.d.comb += self.shadow.eq(shadow)
        return m

    def _product(self, m: Module) -> Value:
        """act * weight, or the sum of several, `pipeline` edges later; the second register adds
        half products."""

        def register(value: Value, name: str) -> Value:
            signal = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        def total(values: list[Value]) -> Value:
            return functools.reduce(operator.add, values)

        pairs, stages = self._pairs(m), self._config.pipeline
        half = self._config.operand_bits // 2
        marks = [f"_{n}" * (len(pairs) > 1) for n in range(len(pairs))]
        products: list[Value] = [act * weight for act, weight in pairs]
        if stages == 2 and half:
            whole = []
            for (act, weight), product, mark in zip(pairs, products, marks, strict=True):
                low = register(act * weight[:half], f"product_low{mark}")
                high = register(act * weight[half:].as_signed(), f"product_high{mark}")
                whole.append((low + (high << half))[: len(product)].as_signed())
            return register(total(whole), "product_0")
        for stage in range(stages):
            products = [
                register(product, f"product_{stage}{mark}")
                for product, mark in zip(products, marks, strict=True)
            ]
        return total(products)

    def _pairs(self, m: Module) -> list[tuple[Value, Value]]:
        """Each weight, and the activation that it is multiplied with.

        The kept channels of a pattern ascend, so that operand n's is one of n..n + M - N.
        """
        config = self._config
        if not config.structured:
            return [(self.act, self.weight)]
        pairs: list[tuple[Value, Value]] = []
        selects = self.weight[config.keep * config.operand_bits :]
        spare = config.nm_group - config.nm_keep
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
