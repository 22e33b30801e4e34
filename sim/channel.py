"""A layer whose streams share a channel of a few bytes a cycle to the memory outside.

The channel moves B bytes in every clock cycle, for all streams together, and nothing is lost while
any of them has something to move. First in turn is the map of the input, which the core waits for;
then come words of the output that are on offer, then biases, then weights, which use what is left
of a cycle. A word is taken by the core when all its bits have come, an output word when all have
gone. Of biases, weights and rows of the map up to two words wait outside, the one on offer
included, so that a core that is busy does not stop the channel at once.

Cycles count from the start of a run, before which nothing of it was moved, to `done`: loading the
map is part of them, which it is not where bandwidth has no limit. The same rules, in Verilog, are
`bench/channel.sv`.
"""

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cosign import CosignError, native
from rtl.config import CoreConfig
from rtl.program.encode import Work, shape_of
from rtl.program.layout import Layout
from rtl.program.traffic import traffic
from rtl.timing import (
    bias_places,
    command_edge,
    output_depth,
    output_latency,
    read_ahead,
    read_late,
)

_WIDEST = 1 << 20  # bytes a cycle


def channel_bits(bytes_per_cycle: float) -> int:
    """Bits that the channel moves in a cycle. Raises CosignError but for 0.125, 0.25, ... bytes."""
    bits = 8 * bytes_per_cycle
    if not 1 <= bits <= 8 * _WIDEST or bits != int(bits):
        raise CosignError(
            f"{bytes_per_cycle:g} bytes a cycle are not possible; give a multiple of 0.125, "
            f"{_WIDEST} at most."
        )
    return int(bits)


def run_cycles(cost: Work, layout: Layout, config: CoreConfig, bytes_per_cycle: float) -> int:
    """Cycles of one run of the core, in which every pass issues what `cost` says.

    Raises CosignError when that many bytes are not possible, or no compiler is installed.
    """
    moved = traffic(cost, layout, config)
    tiles, last_shifts = shape_of(layout, config)
    arrays = [
        np.ascontiguousarray(array, np.int64)
        for array in (
            *(cost.entries, cost.words, moved.mask_words),
            *(cost.reads, cost.windows, cost.rows, cost.first),
        )
    ]
    entries, words, masks, reads, windows, rows, first = (array.ctypes.data for array in arrays)
    run = _Run(
        width=channel_bits(bytes_per_cycle),
        passes=len(cost.words),
        tiles=tiles,
        filters=config.filters,
        row_shifts=config.row_shifts,
        last_shifts=last_shifts,
        bias_places=bias_places(config),
        bias_stay=command_edge(config) + 1,
        late=read_late(config),
        ahead=read_ahead(config),
        latency=output_latency(config),
        depth=output_depth(config),
        map_words=moved.inputs.count,
        map_bits=moved.inputs.bits,
        bias_words=moved.biases.count,
        bias_bits=moved.biases.bits,
        output_bits=moved.outputs.bits,
        table_words=moved.table.count,
        table_bits=moved.table.bits,
        mask_bits=moved.masks.bits,
        weight_bits=moved.weights.bits,
        entries=entries,
        words=words,
        masks=masks,
        windows=len(cost.reads),
        reads=reads,
        in_window=windows,
        row_words=rows,
        first=first,
    )
    return _kernel()(ctypes.byref(run))


@functools.cache
def _kernel() -> Callable[[object], int]:
    """`channel_cycles` of channel.cpp, which takes a `_Run` by reference."""
    kernel = native.library(Path(__file__).with_name("channel.cpp")).channel_cycles
    kernel.argtypes, kernel.restype = (ctypes.POINTER(_Run),), ctypes.c_int64
    return kernel


class _Run(ctypes.Structure):
    """`struct Run` of channel.cpp; its comments say what the fields are."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in (
                *("width", "passes", "tiles", "filters", "row_shifts", "last_shifts"),
                *("bias_places", "bias_stay", "late", "ahead", "latency", "depth"),
                *("map_words", "map_bits", "bias_words", "bias_bits", "output_bits"),
                *("table_words", "table_bits", "mask_bits", "weight_bits"),
            )
        ),
        ("entries", ctypes.c_void_p),
        ("words", ctypes.c_void_p),
        ("masks", ctypes.c_void_p),
        ("windows", ctypes.c_int64),
        ("reads", ctypes.c_void_p),
        ("in_window", ctypes.c_void_p),
        ("row_words", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
    )
