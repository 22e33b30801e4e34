"""What the parts of a core agree on: events, error bits and the layer descriptor.

When what happens is in `rtl.timing`.
"""

import enum

from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from rtl.config import CoreConfig
from rtl.fields import widths


class Error(enum.IntEnum):
    """Bits of a core's `error` port."""

    WEIGHTS = 0
    """A filter of the weight stream is longer than its buffer."""
    ADDRESS = 1
    """A weight reads behind the end of the activation memory, or its column is not in the table."""
    ACTS = 2
    """The map that the layer takes has more rows than the memory."""
    LEVELS = 3
    """A filter's bitmask and its levels have different lengths."""


def events(config: CoreConfig) -> data.StructLayout:
    """What happens in a cycle, for counters outside the core.

    waiting : for a map
    stall_weights, stall_bias, stall_drain : an entry was due, and this was not ready
    nonzeros, fillers : entries with, and without, a weight that reached the multipliers
    """
    count = config.operands.bit_length()
    stalls = dict.fromkeys(("waiting", "stall_weights", "stall_bias", "stall_drain"), 1)
    return data.StructLayout(stalls | {"nonzeros": count, "fillers": count})


def descriptor(config: CoreConfig) -> wiring.Signature:
    """The layer descriptor as ports; its fields are those of `rtl.fields`."""
    return wiring.Signature({name: Out(width) for name, width in widths(config).items()})
