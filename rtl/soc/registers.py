"""The register map of the SoC top: one description for hardware, documentation and software."""

from dataclasses import dataclass

import cosign
from rtl.config import CoreConfig
from rtl.fields import NUMBERED, TAPS
from rtl.layer import Error, descriptor

ADDRESS_BITS = 12
"""Width of an AXI4-Lite address: the registers take a block of 4 KiB."""
IDENTITY = int.from_bytes(b"CSGN", "little")
COUNTER_BITS = 48
_HIGH = "high part, as it was when the low half was read last"
COUNTERS_AT, DESCRIPTOR_AT = 0x040, 0x100
CORE_ERRORS_AT, STREAM_ERRORS_AT = 8, 16
"""Lowest STATUS bits of the core's errors, and of those that the top finds."""

ERRORS = {
    Error.WEIGHTS: "a filter of the weight stream is longer than its buffer",
    Error.ADDRESS: "a weight reads behind the end of the activation memory, or of the table",
    Error.ACTS: "the map has more rows than the activation memory",
    Error.LEVELS: "a filter's weights do not agree with its mask or its windows",
}
STREAM_ERRORS = {
    "weights_short": "TLAST of the weights came before the layer had all of them",
    "weights_long": "the layer ended before TLAST of the weights",
    "biases_short": "TLAST of the biases came before the layer had all of them",
    "biases_long": "the layer ended before TLAST of the biases",
    "start_busy": "start was written while busy, and ignored",
}
COUNTERS = {
    "busy": "cycles that the core worked or waited",
    "waiting": "of these, cycles that it waited for a map",
    "stall_weights": "cycles in which an entry was due and its weight was not there",
    "stall_bias": "cycles in which a tile could not end because the one before lacked a bias",
    "stall_drain": "cycles in which a tile could not end because the one before was still leaving",
    "nonzeros": "weights that were issued to the lanes",
    "fillers": "issues without a weight",
}
FIELDS = {
    "new_map": "1: wait for a map and take it; 0: use the last one again",
    "last_pass": "filter groups of the layer, less one",
    "last_tile": "tiles of a pass, less one",
    "last_in_group": "passes that read the same input channels, less one",
    "group_step": "bytes between the input channels of neighbouring convolution groups",
    "last_shifts": "output words of a pass's last tile, less one",
    "relu": "1: negative outputs become 0",
    "last_word": "taps of a filter, less one",
    "last_channel": "input channels of a group, less one",
    "last_column": "kernel width, less one",
    "last_row": "kernel height, less one",
    "last_phase_x": "horizontal stride, less one",
    "last_phase_y": "vertical stride, less one",
    "step_column": "bytes to the next column in the same phase plane",
    "step_phase_x": "bytes to the next column in the first phase plane",
    "step_row": "bytes to the first column of the next row in the same phase plane",
    "step_phase_y": "bytes to the first column of the next row in the first phase plane",
    "step_channel": "bytes to the first tap of the next channel",
    "last_slot": "words of the table of tap addresses, less one",
    "period_step": "bytes from one period's channels to the next one's",
    "last_mask": "mask words of a filter, or of a pass of a dense core, less one",
    "last_in_period": "mask words of a period, less one",
    "last_read": "activation reads of a tile, less one",
    "last_window": "windows of a tile, less one",
    **{step: f"bytes to the next window by {step}" for step in NUMBERED},
    **{tap: f"bytes from a tap to the next one of its window by {tap}" for tap in TAPS},
}
"""What each field of the layer descriptor means; those of a dense core's `step_*`
are two's complement."""


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    access : "ro" read only, "rw" read and write, "w1c" written ones clear, "pulse" a written one
        acts once and reads as zero
    """

    name: str
    shift: int
    bits: int
    access: str
    what: str

    @property
    def mask(self) -> int:
        return ((1 << self.bits) - 1) << self.shift


@dataclass(frozen=True)
class Register:
    """A word of 32 bits at byte `offset`; `value`: what it always reads as, if that is fixed."""

    name: str
    offset: int
    what: str
    fields: tuple[Field, ...]
    value: int | None = None

    @property
    def writable(self) -> bool:
        return any(field.access != "ro" for field in self.fields)


def register_map(config: CoreConfig) -> dict[str, Register]:
    """All registers of the config's top, by name, in the order of their offsets."""
    digest = int(config.hash, 16)
    major, minor, patch = (int(part) for part in cosign.__version__.split("."))
    registers = [
        _plain("id", 0x000, "reads as 'CSGN'", value=IDENTITY),
        _plain(
            "version", 0x004, "cosign's version, a byte a part", value=_version(major, minor, patch)
        ),
        _plain("config_low", 0x008, "hash of the CoreConfig, low half", value=digest & 0xFFFFFFFF),
        _plain("config_high", 0x00C, "hash of the CoreConfig, high part", value=digest >> 32),
        Register("control", 0x010, "start, interrupt and reset", _CONTROL),
        Register("status", 0x014, "what goes on, and what went wrong", _status()),
    ]
    for number, (name, what) in enumerate(COUNTERS.items()):
        offset = COUNTERS_AT + 8 * number
        registers += [
            _plain(f"{name}_low", offset, f"{what}; low half"),
            _plain(f"{name}_high", offset + 4, f"{what}; {_HIGH}", bits=COUNTER_BITS - 32),
        ]
    for number, (name, member) in enumerate(descriptor(config).members.items()):
        what = FIELDS[name]
        if config.structured:
            what = what.replace("bytes", f"elements of {config.nm_group} bytes")
        field = Field("value", 0, member.shape, "rw", what)
        registers.append(Register(f"layer_{name}", DESCRIPTOR_AT + 4 * number, what, (field,)))
    return {register.name: register for register in registers}


def markdown(config: CoreConfig) -> str:
    """The register map as a Markdown document."""
    lines = [
        f"# Registers of cosign_top, config {config.hash}",
        "",
        "AXI4-Lite, 32 bits, byte offsets. Other offsets, and writes to a register without a",
        "writable field, answer SLVERR. Counters are those of the layer that was started last;",
        "they go on while they are read: a read of the low half keeps the high part to it.",
        "",
        "| offset | register | bits | field | access | reset | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for register in register_map(config).values():
        for field in register.fields:
            top = field.shift + field.bits - 1
            bits = f"{top}:{field.shift}" if field.bits > 1 else f"{top}"
            cells = [
                *(f"0x{register.offset:03X}", f"`{register.name}`", bits, f"`{field.name}`"),
                *(field.access, f"0x{register.value or 0:X}", field.what),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def c_header(config: CoreConfig) -> str:
    """The register map as a C header: offsets, and shift and mask of every field."""
    guard = "COSIGN_REGISTERS_H"
    lines = [
        f"/* Registers of cosign_top, CoreConfig {config.hash}: byte offsets, shifts and masks. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
    ]
    for register in register_map(config).values():
        name = f"COSIGN_{register.name.upper()}"
        lines += [f"/* {register.what} */", f"#define {name} 0x{register.offset:03X}u"]
        if register.value is not None:
            lines.append(f"#define {name}_RESET 0x{register.value:08X}u")
        for field in register.fields:
            part = f"{name}_{field.name.upper()}"
            lines += [
                f"#define {part}_SHIFT {field.shift}",
                f"#define {part}_MASK 0x{field.mask:08X}u /* {field.access}: {field.what} */",
            ]
        lines.append("")
    return "\n".join([*lines, f"#endif /* {guard} */"]) + "\n"


_CONTROL = (
    Field(
        "start", 0, 1, "pulse", "run a layer: the descriptor is copied, counters and errors cleared"
    ),
    Field("interrupt_enable", 1, 1, "rw", "raise `interrupt` while `done`"),
    Field("soft_reset", 2, 1, "pulse", "give the layer up, reset the core, forget the maps in it"),
    Field(
        "clear_streams",
        3,
        1,
        "pulse",
        "with soft_reset, if the DMA was reset too: the next words begin packets",
    ),
)


def _status() -> tuple[Field, ...]:
    fields = [
        Field("busy", 0, 1, "ro", "a layer runs, or the core is being reset"),
        Field("done", 1, 1, "w1c", "the layer has ended, well or not"),
        Field("discard_weights", 4, 1, "ro", "weights are thrown away until TLAST"),
        Field("discard_biases", 5, 1, "ro", "biases are thrown away until TLAST"),
        Field("discard_acts", 6, 1, "ro", "activations are thrown away until TLAST"),
    ]
    for error, what in ERRORS.items():
        fields.append(Field(f"error_{error.name.lower()}", CORE_ERRORS_AT + error, 1, "w1c", what))
    for number, (name, what) in enumerate(STREAM_ERRORS.items()):
        fields.append(Field(f"error_{name}", STREAM_ERRORS_AT + number, 1, "w1c", what))
    return tuple(fields)


def _plain(
    name: str, offset: int, what: str, *, bits: int = 32, value: int | None = None
) -> Register:
    return Register(name, offset, what, (Field("value", 0, bits, "ro", what),), value)


def _version(major: int, minor: int, patch: int) -> int:
    return major << 16 | minor << 8 | patch
