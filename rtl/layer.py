"""Pipeline timing and the layer descriptor: what the parts of a core agree on.

Edges after the cycle t in which an entry is issued (0 ends that cycle):

    0 weight SRAM samples      3 bank rows          6 activation and weight registers
    1 entry or increment       4 activation SRAM    7 product
    2 address                  5 rotated, coarse    8 accumulator        9 shadow

Everything after the issue runs without a stall: whether a tile may end is decided where entries
are issued, and the commands of the drain follow the data through the same delay.
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rtl.config import CoreConfig

ADDRESS_EDGE = 2
OPERAND_EDGE = 6
COMMAND_EDGE = 8
"""The edge that loads `snap` and `shift` into their last registers: they act at edge 9."""
REQUANTIZE_STAGES = 7
OUTPUT_LATENCY = COMMAND_EDGE + 1 + REQUANTIZE_STAGES + 1
"""Cycles from a drain command at the issue to its word on the output stream."""
OUTPUT_DEPTH = OUTPUT_LATENCY + 2
"""Words of the output queue: those on their way, and those that may be back-pressured."""

COUNT_BITS = 16


def descriptor(config: CoreConfig) -> wiring.Signature:
    """The layer descriptor, held stable while the core is busy. Counts are stored less one.

    last_pass : filter groups (of `filters` filters) of the layer
    last_tile : tiles of a pass
    last_in_group : passes that read the same input channels
    group_step : bytes between the input channels of one convolution group and the next
    last_shifts : drain cycles of a pass's last tile
    mul, last_shift, relu : requantisation; last_shift is shift - 1
    Dense cores also step through their taps:
    last_word : taps, channels x kernel area
    last_column, last_row, last_channel : kernel width, kernel height, channels of a group
    last_phase_x, last_phase_y : horizontal, vertical stride
    step_column, step_phase_x : to the next column, in the same / the first phase plane
    step_row, step_phase_y : to the first column of the next row, likewise
    step_channel : to the first tap of the next channel; bytes, modulo the memory's size
    """
    common = {
        "last_pass": Out(COUNT_BITS),
        "last_tile": Out(COUNT_BITS),
        "last_in_group": Out(COUNT_BITS),
        "group_step": Out(config.address_bits),
        "last_shifts": Out(max(1, (config.tile_shifts - 1).bit_length())),
        "mul": Out(config.mul_bits),
        "last_shift": Out(6),
        "relu": Out(1),
    }
    if config.core == "sparse":
        return wiring.Signature(common)
    return wiring.Signature(
        common
        | {"last_word": Out(max(1, (config.weight_depth - 1).bit_length()))}
        | {name: Out(COUNT_BITS) for name in ("last_channel",)}
        | {name: Out(8) for name in ("last_column", "last_row", "last_phase_x", "last_phase_y")}
        | {f"step_{name}": Out(config.address_bits) for name in STEPS}
    )


STEPS = ("column", "phase_x", "row", "phase_y", "channel")
