"""Requantisation: from accumulator scale back to int8, pipelined."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import CoreConfig
from rtl.timing import REQUANTIZE_STAGES

DIGIT_BITS = 4


class Requantizer(wiring.Component):
    """out = clamp((sum * mul + 2**(shift-1)) >> shift, relu ? 0 : -128, 127), sum = acc + bias.

    One result a cycle, REQUANTIZE_STAGES edges later; mul (unsigned), last_shift = shift - 1
    and relu are static. acc + bias must fit acc_bits. The rounding is done as
    ((sum * mul >> (shift-1)) + 1) >> 1, which is the same and needs no adder of full width.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "acc": In(signed(config.acc_bits)),
                "bias": In(signed(config.acc_bits)),
                "mul": In(config.mul_bits),
                "last_shift": In(6),
                "relu": In(1),
                "out": Out(signed(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = 0

        def register(value, name):  # type: ignore[no-untyped-def]
            signal = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        total = register((self.acc + self.bias)[: len(self.acc)].as_signed(), "sum")
        stages += 1
        # Multiply by digits of four bits, then add the partial products in pairs.
        terms = [
            register(total * self.mul[n : n + DIGIT_BITS], f"partial_{n}")
            for n in range(0, len(self.mul), DIGIT_BITS)
        ]
        stages += 1
        place = DIGIT_BITS
        for level in range(2):
            pairs = [terms[n : n + 2] for n in range(0, len(terms), 2)]
            terms = [
                register(
                    pair[0] + (pair[1] << place) if len(pair) > 1 else pair[0], f"pair_{level}_{n}"
                )
                for n, pair in enumerate(pairs)
            ]
            stages += 1
            place *= 2
        (product,) = terms
        coarse, fine = self.last_shift[3:], self.last_shift[:3]
        shifted = register(_shift_right(product, coarse, 8), "shifted")
        stages += 1
        # Ten bits are enough: what doesn't fit saturates anyway.
        shifted = _shift_right(shifted, fine, 1)
        high, sign = shifted[9:], shifted[-1]
        fits = high.all() | ~high.any()
        narrow = register(Mux(fits, shifted[:10].as_signed(), Mux(sign, -512, 511)), "narrow")
        stages += 1
        rounded = (narrow + 1) >> 1
        low = Mux(self.relu, 0, -128)
        clamped = Mux(rounded > 127, 127, Mux(rounded < low, low, rounded))
        register_out = register(clamped[:8].as_signed(), "result")
        stages += 1
        assert stages == REQUANTIZE_STAGES
        m.d.comb += self.out.eq(register_out)
        return m


def _shift_right(value, amount, unit: int):  # type: ignore[no-untyped-def]
    """Arithmetic shift by amount * unit; keeps the width."""
    for bit in range(len(amount)):
        value = Mux(amount[bit], value >> (unit << bit), value)
    return value
