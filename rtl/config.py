"""CoreConfig: everything a generated core is a function of."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from cosign import CosignError

SCHEMA = 1
CORES = ("sparse", "dense")


@dataclass(frozen=True)
class CoreConfig:
    """One machine. Equal configs generate equal Verilog; `hash` names build directories.

    Parameters
    ----------
    core : "sparse" decodes one non-zero a cycle and broadcasts it to all lanes;
        "dense" steps through every (c, r, s) instead
    lanes : output pixels computed in parallel, 1..256
    filters : filters computed in parallel on the same activation vector (dense only;
        1 is the `dense-scalar` core, more is `dense-2d`); multipliers = lanes * filters
    weight_bits : n of the widest levels that the core takes, 2..8; the operand that carries
        them has `operand_bits` bits, because +2**(n-1) does not fit n bits
    act_bits : activations, two's complement; 8
    index_bits : width of an address delta in the sparse entry stream
    acc_bits : accumulator, two's complement
    weight_depth : entries in each of the two weight buffers
    act_banks, bank_bytes : activation memory is act_banks macros, each bank_bytes wide; a
        read returns act_banks * bank_bytes neighbouring bytes from any multiple of
        bank_bytes, so act_banks * bank_bytes >= lanes + bank_bytes - 1 (bytes)
    act_depth : words in each activation bank
    drain : requantisers, outputs leaving per cycle
    mul_bits : requantisation multiplier, unsigned
    clock_ns : synthesis clock target, nanoseconds
    """

    core: Literal["sparse", "dense"] = "sparse"
    lanes: int = 61
    filters: int = 1
    weight_bits: int = 8
    act_bits: int = 8
    index_bits: int = 12
    acc_bits: int = 24
    weight_depth: int = 2048
    act_banks: int = 16
    bank_bytes: int = 4
    act_depth: int = 2560
    drain: int = 1
    mul_bits: int = 16
    clock_ns: float = 1.0

    def __post_init__(self) -> None:
        def demand(condition: bool, what: str) -> None:
            if not condition:
                raise CosignError(f"CoreConfig: {what}.")

        demand(self.core in CORES, f"core {self.core!r} is not one of {', '.join(CORES)}")
        for name, low, high in (
            ("lanes", 1, 256),
            ("filters", 1, 64),
            ("weight_bits", 2, 8),
            ("act_bits", 8, 8),
            ("index_bits", 1, 24),
            ("acc_bits", 12, 40),
            ("weight_depth", 2, 1 << 22),
            ("act_depth", 2, 1 << 22),
            ("drain", 1, 64),
            ("mul_bits", 8, 16),
        ):
            value = getattr(self, name)
            demand(isinstance(value, int), f"{name} must be a whole number, not {value!r}")
            demand(low <= value <= high, f"{name} is {value}, must be {low}..{high}")
        for name in ("act_banks", "bank_bytes"):
            value = getattr(self, name)
            demand(
                isinstance(value, int) and value > 0 and value & (value - 1) == 0,
                f"{name} is {value}, must be a power of two",
            )
        span = self.lanes + self.bank_bytes - 1
        demand(
            self.act_banks * self.bank_bytes >= span,
            f"{self.lanes} lanes read up to {span} bytes at once, but act_banks x bank_bytes is "
            f"{self.act_banks * self.bank_bytes}",
        )
        demand(self.core == "dense" or self.filters == 1, "the sparse core computes one filter")
        demand(
            self.filters == 1 or self.lanes % self.drain == 0,
            f"drain is {self.drain}, must divide the {self.lanes} lanes of several filters",
        )
        demand(self.clock_ns > 0, f"clock_ns is {self.clock_ns}, must be positive")

    @property
    def multipliers(self) -> int:
        return self.lanes * self.filters

    @property
    def operand_bits(self) -> int:
        """Width of a weight operand, two's complement: holds +-max_level(weight_bits)."""
        return min(self.weight_bits + 1, 8)

    @property
    def entry_bits(self) -> int:
        """Width of a word of the weight buffers."""
        if self.core == "sparse":
            return self.index_bits + self.weight_bits
        return self.filters * self.operand_bits

    @property
    def stream_bits(self) -> int:
        """Width of a word of the weight stream: a sparse entry also carries `last`."""
        return self.entry_bits + (self.core == "sparse")

    @property
    def address_bits(self) -> int:
        """Width of a byte address of the activation memory."""
        return (self.act_bytes - 1).bit_length()

    @property
    def tile_shifts(self) -> int:
        """Drain cycles of a whole tile."""
        return self.filters * -(-self.lanes // self.drain)

    @property
    def act_word_bytes(self) -> int:
        """Bytes that the activation memory delivers in a cycle."""
        return self.act_banks * self.bank_bytes

    @property
    def act_bytes(self) -> int:
        """Capacity of the activation memory."""
        return self.act_word_bytes * self.act_depth

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CoreConfig":
        """Raises CosignError on another schema, an unknown or a missing field."""
        fields = dict(value)
        schema = fields.pop("schema", None)
        if schema != SCHEMA:
            raise CosignError(f"CoreConfig has schema {schema}, this version reads {SCHEMA}.")
        names = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != names:
            odd = ", ".join(sorted(set(fields) ^ names))
            raise CosignError(f"CoreConfig: unknown or missing fields: {odd}.")
        return cls(**fields)

    @property
    def hash(self) -> str:
        """12 hex digits that name this config's build directory."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
