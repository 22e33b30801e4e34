"""One lane: multiplier, accumulator, and the shadow register through which results leave."""

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig

MODULE = "cosign_lane"


class Lane(wiring.Component):
    """A multiply-accumulate lane, one product a cycle.

    `act` and `weight` come from registers and reach the accumulator `pipeline` + 1 edges later.
    `snap` marks the cycle after a tile's last product was added: the sum moves to the shadow
    register, and the accumulator starts anew with whatever product arrives then (a bubble is a
    product with weight zero). `shift` passes the shadow registers along the chain.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "act": In(signed(config.act_bits)),
                "weight": In(signed(config.operand_bits)),
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
        """act * weight, `pipeline` edges later; the second register adds two half products."""

        def register(value: Value, name: str) -> Value:
            signal = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        stages, half = self._config.pipeline, len(self.weight) // 2
        product: Value = self.act * self.weight
        if stages == 2 and half:
            low = register(self.act * self.weight[:half], "product_low")
            high = register(self.act * self.weight[half:].as_signed(), "product_high")
            product = (low + (high << half))[: len(product)].as_signed()
            stages = 1
        for stage in range(stages):
            product = register(product, f"product_{stage}")
        return product
