"""One lane: multiplier, accumulator, and the shadow register through which results leave."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig

MODULE = "cosign_lane"


class Lane(wiring.Component):
    """A multiply-accumulate lane, one product a cycle.

    `act` and `weight` come from registers and reach the accumulator two edges later. `snap`
    marks the cycle after a tile's last product was added: the sum moves to the shadow register,
    and the accumulator starts anew with whatever product arrives then (a bubble is a
    product with weight zero). `shift` passes the shadow registers along the chain.
    """

    def __init__(self, config: CoreConfig):
        self._acc_bits = config.acc_bits
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
        product = Signal(signed(len(self.act) + len(self.weight)), reset_less=True)
        acc = Signal(signed(self._acc_bits), reset_less=True)
        shadow = Signal(signed(self._acc_bits), reset_less=True)
        m.d.sync += [
            product.eq(self.act * self.weight),
            acc.eq(Mux(self.snap, 0, acc) + product),
            shadow.eq(Mux(self.snap, acc, Mux(self.shift, self.chain, shadow))),
        ]
        m.d.comb += self.shadow.eq(shadow)
        return m
