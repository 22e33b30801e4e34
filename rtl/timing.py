"""Pipeline timing of a core: numbers that the gateware keeps and the cycle model counts with.

Edges after the cycle t in which an entry is issued (0 ends that cycle), with one product register:

    0 weight SRAM samples      3 bank rows          6 activation and weight registers
    1 entry or increment       4 activation SRAM    7 product
    2 address                  5 rotated, coarse    8 accumulator        9 shadow

In `sparse-rows` the activations of edge 6 enter a window at edge 7; an entry's read is picked
from the window at its edge 7, its taps at edge 8, so that a window can be used from the cycle after
its last read was issued, and overwritten by reads issued after its last entry.

With the "window" coding a window's beats are read one after the other, and all are there
`beats` - 1 edges later than edge 6. They enter the multipliers' registers together then. Where
masks are windows, all that is behind the address comes an edge later: a tap is a difference of
addresses.

Where multipliers rest at zeros (`gate_zeros`) they have registers of their own, an edge later.

Everything after the issue runs without a stall: whether a tile may end is decided where entries
are issued, and the commands of the drain follow the data through the same delay.
"""

from rtl.config import CoreConfig

ADDRESS_EDGE = 2
ACT_EDGE = 6
"""The edge that loads the activations of an address into their registers."""
REQUANTIZE_STAGES = 4


def read_ahead(config: CoreConfig) -> int:
    """Cycles from the word that makes a buffer's contents complete to its first use, where words
    are read ahead of their issue (`rtl.weights.Ahead`), less one."""
    return 0 if config.packed else 2


def read_late(config: CoreConfig) -> int:
    """Cycles from the last issue of a pass to the last read of its weights: dense cores need none
    to compute an address, and read them as late as they can."""
    if config.structured:
        return ACT_EDGE - 3  # a cycle is left to tell the operands' channels
    if config.packed:
        return ACT_EDGE - 3  # a row is read before its first code is wanted
    return ACT_EDGE - 2 if config.dense else 0


def operand_edge(config: CoreConfig) -> int:
    """The edge that loads the multipliers' operands."""
    if config.windowed:
        return ACT_EDGE + config.beats - 1 + config.windows
    return ACT_EDGE + 2 if config.core == "sparse-rows" else ACT_EDGE


def command_edge(config: CoreConfig) -> int:
    """The edge that loads `snap` and `shift` into their last registers: they act one later."""
    return operand_edge(config) + config.gate_zeros + 1 + config.pipeline


def output_latency(config: CoreConfig) -> int:
    """Cycles from a drain command at the issue to its word on the output stream."""
    return command_edge(config) + 1 + REQUANTIZE_STAGES + 1


def bias_places(config: CoreConfig) -> int:
    """Words of the bias stream that wait: one a filter at most, and no more than it takes to drain
    filter after filter, when each keeps its place from its first group's command at the issue until
    that reaches the biases."""
    return min(config.filters, -(-(command_edge(config) + 2) // config.row_shifts))


def output_depth(config: CoreConfig) -> int:
    """Words of the output queue: those on their way, and those that may be back-pressured."""
    return output_latency(config) + 2
