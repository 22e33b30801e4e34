"""What the blocks of a core are made of: how many of each part, counted from its config alone.

`parts(config)` counts, for each block of synth.blocks, what takes area there: multipliers, copies
of the registers that feed them, multiplexers of the rotator, requantisers. A price list
(synth.prices) knows what one of each takes. A new kind of core has its own entry in `_ISSUES`, for
what issues its weights; all else is counted alike.
"""

import functools
from collections.abc import Callable

from rtl import rows, window
from rtl.activation import LOADS
from rtl.config import CoreConfig
from rtl.core import OPERAND_LOADS, followers, sharers
from rtl.fanout import BRANCHES
from rtl.timing import ACT_EDGE, bias_places, operand_edge
from synth.blocks import ADDRESS, BUFFERS, CONTROL, DECODER, DRAIN, LANES, READ_PATH, SHARED

Parts = dict[str, float]
"""Number of each part, by name."""


def parts(config: CoreConfig) -> dict[str, Parts]:
    """The parts of each block of `config`."""
    return {
        LANES: _lanes(config),
        READ_PATH: _read_path(config),
        DRAIN: _drain(config),
        CONTROL: {
            "control": 1,
            "turn": config.filters > 1,
            "tile": config.tiles - 1,
            "operand with its channel": config.operands if config.structured else 0,
        },
        SHARED: {"core": 1, "multiplier": config.multipliers},
        **_ISSUES[config.core](config),
    }


def _tree(leaves: int) -> int:
    """Registers of a broadcast tree, for each bit."""
    return leaves + -(-leaves // BRANCHES)


def _lanes(config: CoreConfig) -> Parts:
    of_tile = config.lanes * config.parallel
    lanes = config.tiles * of_tile
    copies = config.tiles * config.operands * _tree(-(-config.lanes // OPERAND_LOADS))
    found: Parts = {
        "lane": lanes,
        "weight copy": copies,
        "command copy": 2 * config.tiles * _tree(-(-of_tile // followers(config))),
    }
    if config.element > 1:
        found |= {"further product": lanes * (config.keep - 1)}
    if config.turns > 1:
        found |= {
            "further sum": lanes * (config.turns - 1),
            "product of a sum": lanes * config.keep * config.turns,
            "choice copy bit": copies * config.turn_bits,
        }
    if config.structured:
        others = config.nm_group - config.nm_keep
        found |= {
            "channel choice": lanes * config.keep * others,
            "choice copy bit": copies * config.select_bits,
        }
    return found


def _read_path(config: CoreConfig) -> Parts:
    """Row registers, the rotator (rtl.activation), windows of `sparse-rows` and the "window"
    coding."""
    muxes, selects, middle = _rotator(
        config.row_bytes, config.read_bytes, config.element_bytes, LOADS // config.act_bits
    )
    copies = 1
    found: Parts = {}
    if config.core == "sparse-rows":
        registers = 2 * config.window_reads * config.read_bytes
        groups = -(-config.read_bytes // rows.BYTES) + -(-config.lanes // rows.BYTES)
        found = {
            "window byte": registers,
            "window choice": config.filters * config.read_bytes * 2 * config.window_reads,
            "tap choice": config.filters * config.lanes * config.window_span,
            "window copy": config.filters * _tree(groups),
        }
    else:
        copies = -(-config.filters // sharers(config))
    if config.kept:
        copies = config.beats - 1  # of a beat, until the last one is there
        groups = _tree(-(-config.window_bytes // window.BYTES))
        found |= {
            "kept byte": config.window_bytes,
            "tap byte": _tap_bytes(config),
            "window copy": groups * (1 + config.tap_bits * (config.window_span > 1)),
        }
    counts = {
        "bank": config.act_banks,
        "rotator byte": muxes,
        "rotator copy": selects,
        "byte": middle + copies * config.read_bytes,
        "memory": 1,
        **found,
    }
    return {name: config.memories * count for name, count in counts.items()}


@functools.cache
def _rotator(row: int, read: int, element: int, loads: int) -> tuple[int, int, int]:
    """(2:1 multiplexers of a byte, registers of their selects' trees, bytes kept in the middle).

    row, read, element : bytes of a row of the banks, of a read and of an element
    loads : multiplexers that a register selects
    """
    low_bits, shift = row.bit_length() - 1, element.bit_length() - 1
    muxes = selects = 0
    middle = row
    for step in reversed(range(shift, low_bits)):
        needed = min(row, read + (1 << step) - element)
        muxes += needed
        selects += _tree(-(-needed // loads))
        if step == shift + (low_bits - shift) // 2:
            middle = needed
    return muxes, selects, middle


def _tap_bytes(config: CoreConfig) -> int:
    """2:1 multiplexers of a byte that move a window."""
    if config.window_span <= window.CHOICE:
        return config.window_bytes * (config.window_span - 1)
    return sum(max(0, config.window_bytes - (1 << level)) for level in range(config.shift_bits))


def _drain(config: CoreConfig) -> Parts:
    ring, waiting = config.filters, bias_places(config)
    return {
        "requantiser": config.drain * config.tiles,
        "filter": ring,
        "waiting bias": waiting,
        "output": 1,
    }


def _dense(config: CoreConfig) -> dict[str, Parts]:
    return {
        BUFFERS: {"dense": 1, "weight bit": config.entry_bits},
        ADDRESS: {"dense": 1},
    }


def _packed(config: CoreConfig) -> dict[str, Parts]:
    """All that expands the weights is in their buffers."""
    steps = (config.filters - 1).bit_length() + 1
    return {
        BUFFERS: {
            "packed": 1,
            "packed mask bit": config.mask_word_bits,
            "packed code bit": config.entry_bits * steps,
        },
        ADDRESS: {"dense": 1},
    }


def _sparse(config: CoreConfig) -> dict[str, Parts]:
    if config.masked:
        streams, bits = config.streams, config.mask_word_bits
        windows = {"mask window": streams, "later weight": streams * _later(config)}
        return {
            BUFFERS: {"bitmask": 1, "mask buffer": streams, "mask bit": bits},
            DECODER: {
                "bitmask": streams,
                "mask bit": bits,
                **(windows if config.windows else {}),
            },
            ADDRESS: {"bitmask": 1, "table": streams},
        }
    if config.stepped:
        steps = config.address_bits * ((1 << config.step_bits) - 1)
        steps += config.tap_bits * (config.listed << config.step_bits)
        decoder = {
            "window": 1,
            "place bit": config.place_bits,
            "step choice": steps,
            "beats": config.beats > 1,
            "later weight": _later(config),
        }
        return {
            BUFFERS: {"distance": 1, "weight bit": config.entry_bits},
            DECODER: {name: config.streams * count for name, count in decoder.items()},
            ADDRESS: {"distance": 1},
        }
    return {
        BUFFERS: {"distance": 1, "weight bit": config.entry_bits},
        DECODER: {
            "distance": config.streams,
            "place bit": config.streams * config.place_bits,
        },
        ADDRESS: {"distance": 1},
    }


def _later(config: CoreConfig) -> int:
    """Cycles by which weights wait for a window."""
    return operand_edge(config) - ACT_EDGE


def _rows(config: CoreConfig) -> dict[str, Parts]:
    return {
        BUFFERS: {"rows": 1, "row": config.filters},
        DECODER: {"row": config.filters},
        ADDRESS: {"rows": 1},
    }


_ISSUES: dict[str, Callable[[CoreConfig], dict[str, Parts]]] = {
    "dense-scalar": _dense,
    "dense-2d": _dense,
    "dense-packed": _packed,
    "sparse": _sparse,
    "sparse-nm": _dense,
    "sparse-rows": _rows,
}
