"""Numbers and names of the container's header as bytes, as few as their values allow."""

import math
from decimal import Decimal

from compress.file.limits import MOST_UNPACKED
from cosign import CosignError

_LONGEST = 10
"""Bytes of the longest varint: 64 bits need ten."""


class FieldWriter:
    """Appends fields to `data`."""

    def __init__(self) -> None:
        self.data = bytearray()

    def whole(self, value: int) -> None:
        """An integer >= 0, seven bits a byte, the least significant first (LEB128)."""
        while value > 127:
            self.data.append(value & 127 | 128)
            value >>= 7
        self.data.append(value)

    def integer(self, value: int) -> None:
        """Any integer: 0, -1, 1, -2... as 0, 1, 2, 3..."""
        self.whole(_zigzag(value))

    def text(self, value: str) -> None:
        raw = value.encode()
        self.whole(len(raw))
        self.data += raw

    def real(self, value: float) -> None:
        """A finite float64, exactly: m * 2**e or m * 10**e, whichever takes fewer bytes."""
        numerator, denominator = abs(value).as_integer_ratio()
        twos = (numerator & -numerator).bit_length() - 1 if numerator else 0
        binary = (numerator >> twos, twos - denominator.bit_length() + 1)
        _, digits, exponent = Decimal(repr(float(abs(value)))).normalize().as_tuple()
        decimal = (int("".join(map(str, digits))), int(exponent))
        _, base, (mantissa, power) = min(
            (_width(fraction), base, fraction) for base, fraction in enumerate((binary, decimal))
        )
        negative = math.copysign(1, value) < 0
        self.whole(_zigzag(power) << 2 | negative << 1 | base)
        self.whole(mantissa)


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _signed(zigzag: int) -> int:
    """Inverse of `_zigzag`."""
    return -(zigzag + 1 >> 1) if zigzag & 1 else zigzag >> 1


def _width(fraction: tuple[int, int]) -> int:
    mantissa, power = fraction
    return -(-mantissa.bit_length() // 7) + -(-(abs(power).bit_length() + 3) // 7)


class FieldReader:
    """Takes fields from `data`; raises CosignError when it ends within one."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position
        self._unpacked = 0

    def unpack(self, count: int) -> None:
        """Note that so many bytes come of fewer that are stored. Raises when it is enough."""
        self._unpacked += count
        if self._unpacked > MOST_UNPACKED:
            raise CosignError(f"tables and layouts hold more than {MOST_UNPACKED:,} bytes")

    def whole(self) -> int:
        value = 0
        for place in range(_LONGEST):
            if self.position >= len(self.data):
                raise CosignError("the header ends too early")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise CosignError("a number in the header has no end")

    def integer(self) -> int:
        return _signed(self.whole())

    def counted(self, most: int) -> tuple[int, ...]:
        """A count and so many integers, at most `most`."""
        count = self.whole()
        if count > most:
            raise CosignError(f"a list in the header has more than {most} numbers")
        return tuple(self.whole() for _ in range(count))

    def text(self) -> str:
        return self.raw(self.whole()).decode()

    def real(self) -> float:
        head = self.whole()
        mantissa = self.whole()
        power = _signed(head >> 2)
        value = float(f"{mantissa}e{power}") if head & 1 else math.ldexp(mantissa, power)
        if not math.isfinite(value):
            raise CosignError("a number in the header is too large")
        return -value if head & 2 else value

    def raw(self, count: int) -> bytes:
        part = self.data[self.position : self.position + count]
        if len(part) != count:
            raise CosignError("the header ends too early")
        self.position += count
        return bytes(part)
