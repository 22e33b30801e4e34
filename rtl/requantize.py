"""Requantisation: from accumulator scale back to activations, pipelined."""

from functools import reduce
from typing import NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from compress.model.activations import bounds
from rtl.config import SHIFT_BITS, CoreConfig
from rtl.timing import REQUANTIZE_STAGES

MULTIPLY, SHIFT = 1, 2
"""Cycles after acc and bias in which a result's mul and last_shift must be there."""
PARTS = 3
"""Sums that a product is put together of."""


class _Digit(NamedTuple):
    """A multiplier's digit to the base of 4, -2..2: its magnitude, one hot, and its sign."""

    one: Value
    two: Value
    negative: Value


def _digits(mul: Value) -> list[_Digit]:
    """Those of an unsigned `mul` (Booth): -2 b[1] + b[0] + b[-1] of the bits from each one's place
    on, the lowest first; the highest is not negative.

    They are half as many as bits, and so are the products to be added up.
    """
    bits = Cat(Const(0, 1), mul, Const(0, 2))
    triples = [bits[n : n + 3] for n in range(0, len(mul) + 1, 2)]
    return [_Digit(b[0] ^ b[1], (b[0] == b[1]) & (b[1] != b[2]), b[2]) for b in triples]


class _Term(NamedTuple):
    """A sum of products of neighbouring digits.

    Parameters
    ----------
    place : bit of the whole product that the lowest one of `value` is
    value : the sum, but for `owed`
    owed : one bit, to be added at bit `at` of the whole product
    """

    place: int
    value: Value
    owed: Value
    at: int


def _term(total: Value, digit: _Digit, number: int) -> _Term:
    """total * digit. A negative product is the positive one's complement, and one is owed."""
    once, twice = Cat(total, total[-1]), Cat(Const(0, 1), total)
    size = len(once)
    magnitude = (once & digit.one.replicate(size)) | (twice & digit.two.replicate(size))
    value = (magnitude ^ digit.negative.replicate(size)).as_signed()
    return _Term(2 * number, value, digit.negative, 2 * number)


def _add(low: _Term, high: _Term) -> _Term:
    """The sum of two neighbours: what the lower one is owed fits the zeros below the higher one."""
    gap, at = high.place - low.place, low.at - low.place
    below = Cat(Const(0, at), low.owed, Const(0, gap - at - 1))
    value = low.value + Cat(below, high.value).as_signed()
    return _Term(low.place, value, high.owed, high.at)


class Requantizer(wiring.Component):
    """out = clamp((sum * mul + 2**(shift-1)) >> shift), sum = acc + bias.

    It saturates at the bounds of `act_bits`, below at 0 with `relu`.

    One result a cycle, REQUANTIZE_STAGES edges later. A result's mul (unsigned) and last_shift
    = shift - 1 come MULTIPLY and SHIFT cycles after it, when they are used; relu is static.
    acc + bias must fit acc_bits. The rounding is done as ((sum * mul >> (shift-1)) + 1) >> 1,
    which is the same and needs no adder of full width.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "acc": In(signed(config.acc_bits)),
                "bias": In(signed(config.acc_bits)),
                "mul": In(config.mul_bits),
                "last_shift": In(SHIFT_BITS),
                "relu": In(1),
                "out": Out(signed(config.act_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._config.acc_bits + self._config.mul_bits  # of the whole product
        stages = 0

        def register(value, name):  # type: ignore[no-untyped-def]
            signal = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        def keep(term: _Term, name: str) -> _Term:
            value = term.value[: bits - term.place].as_signed()
            owed = register(term.owed, f"{name}_owed")
            return term._replace(value=register(value, name), owed=owed)

        total = register((self.acc + self.bias)[: len(self.acc)].as_signed(), "sum")
        stages += 1
        assert stages == MULTIPLY
        # The products of a few digits are added up first, then these sums. Nothing is owed then,
        # because the highest digit is not negative.
        left = [_term(total, digit, n) for n, digit in enumerate(_digits(self.mul))]
        terms = []
        for part in range(PARTS):
            size = -(-len(left) // (PARTS - part))
            terms.append(keep(reduce(_add, left[:size]), f"partial_{part}"))
            del left[:size]
        stages += 1
        product = reduce(_add, terms).value[:bits].as_signed()
        assert stages == SHIFT
        shifted = register(product >> self.last_shift, "shifted")
        stages += 1
        # Two bits more are enough: what doesn't fit saturates anyway.
        wide = self._config.act_bits + 2
        least, top = bounds(self._config.act_bits)
        high, sign = shifted[wide - 1 :], shifted[-1]
        fits = high.all() | ~high.any()
        narrow = Mux(fits, shifted[:wide].as_signed(), Mux(sign, *bounds(wide)))
        rounded = (narrow + 1) >> 1
        low = Mux(self.relu, 0, least)
        clamped = Mux(rounded > top, top, Mux(rounded < low, low, rounded))
        register_out = register(clamped[: self._config.act_bits].as_signed(), "result")
        stages += 1
        assert stages == REQUANTIZE_STAGES
        m.d.comb += self.out.eq(register_out)
        return m
