"""Compile a layer for a core: descriptor, weight stream and biases.

Everything that the core could not execute is refused here, before anything runs.
"""

from dataclasses import dataclass

import numpy as np

from compress.container import Layer, level_codes, max_level
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.layer import COUNT_BITS
from rtl.layout import Layout


@dataclass(frozen=True, eq=False)
class LayerProgram:
    """What one layer is for one core.

    Parameters
    ----------
    layout : addresses of its input map
    descriptor : values of the core's `layer` ports, by name
    weights : uint8 [words, bytes], the weight stream, each word little-endian
    biases : int64 [passes * filters], the bias stream
    entries : int64 [passes], weight words of each pass
    tiles : tiles of each pass
    output_words : words of the output stream
    """

    layout: Layout
    descriptor: dict[str, int]
    weights: np.ndarray
    biases: np.ndarray
    entries: np.ndarray
    tiles: int
    output_words: int


def shape_of(layout: Layout, config: CoreConfig) -> tuple[int, int, int]:
    """(passes of a group, tiles, drain cycles of a pass's last tile)."""
    g = layout.geometry
    passes = -(-(g.out_channels // g.groups) // config.filters)
    tiles = -(-layout.positions // config.lanes)
    last = layout.positions - (tiles - 1) * config.lanes
    last_shifts = -(-last // config.drain) if config.filters == 1 else config.tile_shifts
    return passes, tiles, last_shifts


def entry_counts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [passes]: weight words of each pass, fillers included."""
    if config.core == "dense":
        passes, _, _ = shape_of(layout, config)
        return np.full(layer.geometry.groups * passes, layer.geometry.columns, np.int64)
    row, _, _, fillers = _deltas(layer, layout, config.index_bits)
    counts = np.bincount(row, weights=fillers + 1, minlength=layer.geometry.out_channels)
    return np.maximum(counts.astype(np.int64), 1)


def pack_layer(
    layer: Layer,
    config: CoreConfig,
    batch: int = 1,
    input_range: tuple[int, int] = (-128, 127),
) -> LayerProgram:
    """Compile `layer` for `config`; `batch` images at once if it is linear.

    input_range : smallest and largest input activation, for the proof that no sum overflows
        (after ReLU: 0, 127)

    Raises CosignError, naming the parameter to change, when the layer does not fit the core.
    """
    layout = Layout(layer.geometry, batch)
    passes, tiles, last_shifts = shape_of(layout, config)
    entries = entry_counts(layer, layout, config)
    _check(layer, layout, config, entries, tiles, input_range)
    g = layer.geometry
    descriptor = {
        "last_pass": g.groups * passes - 1,
        "last_tile": tiles - 1,
        "last_in_group": passes - 1,
        "group_step": layout.group_step if g.groups > 1 else 0,
        "last_shifts": last_shifts - 1,
        "mul": layer.mul,
        "last_shift": layer.shift - 1,
        "relu": int(layer.relu),
    }
    per_filter = np.zeros((g.groups, passes * config.filters), np.int64)
    per_filter[:, : g.out_channels // g.groups] = layer.bias.reshape(g.groups, -1)
    if config.core == "dense":
        descriptor |= _loops(layer, layout, config)
        weights = _dense_words(layer, config, passes)
    else:
        weights = _sparse_words(layer, layout, config)
    return LayerProgram(
        layout=layout,
        descriptor=descriptor,
        weights=weights,
        biases=per_filter.reshape(-1),
        entries=entries,
        tiles=tiles,
        output_words=g.groups * passes * ((tiles - 1) * config.tile_shifts + last_shifts),
    )


def unpack_outputs(program: LayerProgram, config: CoreConfig, raw: np.ndarray) -> np.ndarray:
    """The output stream, int8 [output_words * drain], as a map [K, Ho, Wo] (linear: [batch, K])."""
    g = program.layout.geometry
    rows = config.tile_shifts // config.filters * config.drain  # of a filter, padding included
    last = program.descriptor["last_shifts"] + 1
    passes = program.descriptor["last_pass"] + 1
    per_pass = raw.reshape(passes, -1)
    missing = program.tiles * config.tile_shifts - ((program.tiles - 1) * config.tile_shifts + last)
    per_pass = np.pad(per_pass, ((0, 0), (0, missing * config.drain)))
    tiles = per_pass.reshape(passes, program.tiles, config.filters, rows)[..., : config.lanes]
    maps = tiles.transpose(0, 2, 1, 3).reshape(g.groups, -1, program.tiles * config.lanes)
    values = maps[:, : g.out_channels // g.groups].reshape(g.out_channels, -1)
    return program.layout.unpack(values)


def largest_batch(layer: Layer, config: CoreConfig) -> int:
    """Images of a linear layer that fit the activation memory at once; at least 1."""
    return max(1, config.act_bytes // layer.geometry.in_channels)


def _check(
    layer: Layer,
    layout: Layout,
    config: CoreConfig,
    entries: np.ndarray,
    tiles: int,
    input_range: tuple[int, int],
) -> None:
    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise CosignError(f"layer {layer.name!r} does not fit the core: {what}.")

    largest = int(np.abs(layer.levels.astype(np.int64)).max(initial=0))
    demand(
        largest <= max_level(config.weight_bits),
        f"its levels reach {largest}, weight_bits = {config.weight_bits} holds "
        f"+-{max_level(config.weight_bits)}; raise weight_bits",
    )
    demand(
        int(entries.max()) <= config.weight_depth,
        f"a filter takes {int(entries.max())} weight words, the buffer has "
        f"{config.weight_depth}; raise weight_depth (or index_bits, if fillers are many)",
    )
    words = -(-layout.bytes // config.act_word_bytes)
    demand(
        words <= config.act_depth,
        f"its input map takes {words} words of activation memory, there are "
        f"{config.act_depth}; raise act_depth",
    )
    counts = {
        "passes": len(entries),
        "tiles": tiles,
        "channels": layer.geometry.in_channels // layer.geometry.groups,
    }
    for what, count in counts.items():
        demand(count <= 1 << COUNT_BITS, f"{count} {what} are more than {1 << COUNT_BITS}")
    demand(
        layer.mul < 1 << config.mul_bits,
        f"mul = {layer.mul} needs more than mul_bits = {config.mul_bits}; raise mul_bits",
    )
    bits = accumulator_bits(layer, input_range)
    demand(
        bits <= config.acc_bits,
        f"its sums may need {bits} bits, acc_bits is {config.acc_bits}; raise acc_bits",
    )


def accumulator_bits(layer: Layer, input_range: tuple[int, int] = (-128, 127)) -> int:
    """Two's complement width that provably holds every filter's sum and its bias.

    Sums wrap on the way without harm, because only the final value is used.
    """
    low, high = input_range
    levels = layer.levels.astype(np.int64)
    row = np.repeat(np.arange(layer.geometry.out_channels), np.diff(layer.row_ptr))
    products = np.stack([levels * low, levels * high])
    bounds = [
        layer.bias + np.bincount(row, extreme, minlength=len(layer.bias)).astype(np.int64)
        for extreme in (products.min(axis=0), products.max(axis=0))
    ]
    smallest, largest = int(bounds[0].min()), int(bounds[1].max())
    return 1 + max(
        largest.bit_length() if largest > 0 else 0,
        (-smallest - 1).bit_length() if smallest < 0 else 0,
    )


def _deltas(
    layer: Layer, layout: Layout, index_bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(filter, order into the layer's levels, remaining delta, fillers before) of each non-zero.

    Within a filter, non-zeros are visited by address.
    """
    row = np.repeat(np.arange(layer.geometry.out_channels), np.diff(layer.row_ptr))
    address = layout.tap_addresses()[layer.col_idx]
    order = np.lexsort((address, row))
    row, address = row[order], address[order]
    delta = np.diff(address, prepend=0)
    first = np.diff(row, prepend=-1) != 0
    delta[first] = address[first]
    fillers, delta = np.divmod(delta, (1 << index_bits) - 1)
    return row, order, delta, fillers


def _sparse_words(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """Entries {last, delta, code}; a filter without weights is a single filler."""
    filler = ((1 << config.index_bits) - 1) << config.weight_bits
    row, order, delta, fillers = _deltas(layer, layout, config.index_bits)
    empty = np.flatnonzero(np.diff(layer.row_ptr) == 0)
    counts = np.concatenate([fillers + 1, np.ones(len(empty), np.int64)])
    rows = np.concatenate([row, empty])
    codes = level_codes(layer.levels[order], config.weight_bits).astype(np.int64)
    values = np.concatenate([delta << config.weight_bits | codes, np.full(len(empty), filler)])
    by_row = np.argsort(rows, kind="stable")
    ends = np.cumsum(counts[by_row])
    words = np.full(int(ends[-1]), filler, np.int64)
    words[ends - 1] = values[by_row]
    last_of_row = np.diff(rows[by_row], append=-1) != 0
    words[ends[last_of_row] - 1] |= 1 << config.entry_bits
    return _to_bytes(words[:, None], config.stream_bits)


def _dense_words(layer: Layer, config: CoreConfig, passes: int) -> np.ndarray:
    """One word per tap: the levels of the pass's filters, filter 0 lowest."""
    g = layer.geometry
    shape = (g.groups * passes, config.filters, g.columns)
    levels = np.zeros(shape, np.int64).reshape(g.groups, -1, g.columns)
    levels[:, : g.out_channels // g.groups] = layer.dense_levels().reshape(g.groups, -1, g.columns)
    words = levels.reshape(shape).transpose(0, 2, 1).reshape(-1, config.filters)
    return _to_bytes(words, config.operand_bits)


def _to_bytes(fields: np.ndarray, bits: int) -> np.ndarray:
    """int64 [words, fields] of `bits` bits each to uint8 [words, bytes], little-endian."""
    if bits == 8:
        return fields.astype(np.uint8)
    planes = (fields[..., None] >> np.arange(bits)) & 1
    flat = planes.reshape(len(fields), -1).astype(np.uint8)
    return np.packbits(flat, axis=1, bitorder="little")


def _loops(layer: Layer, layout: Layout, config: CoreConfig) -> dict[str, int]:
    """Loop bounds and address steps of a dense core."""
    g = layer.geometry
    channels = g.in_channels // g.groups
    address = layout.tap_addresses().reshape(channels, *g.kernel)
    modulus = 1 << config.address_bits
    along_row = np.diff(address, axis=2)  # [c, r, s]: from column s to s + 1
    next_row = address[:, 1:, 0] - address[:, :-1, -1]  # [c, r]
    next_channel = address[1:, 0, 0] - address[:-1, -1, -1]
    column = np.arange(g.kernel[1] - 1) % g.stride[1] == g.stride[1] - 1
    row = np.arange(g.kernel[0] - 1) % g.stride[0] == g.stride[0] - 1
    steps = {
        "step_column": along_row[..., ~column],
        "step_phase_x": along_row[..., column],
        "step_row": next_row[:, ~row],
        "step_phase_y": next_row[:, row],
        "step_channel": next_channel,
    }
    for values in steps.values():
        if values.size and np.any(values != values.flat[0]):
            raise CosignError(
                f"layer {layer.name!r} does not fit the core: a dense core cannot step "
                f"through dilation {g.dilation} at stride {g.stride}; use the sparse core."
            )
    return {
        "last_word": g.columns - 1,
        "last_channel": channels - 1,
        "last_column": g.kernel[1] - 1,
        "last_row": g.kernel[0] - 1,
        "last_phase_x": g.stride[1] - 1,
        "last_phase_y": g.stride[0] - 1,
    } | {
        name: int(values.flat[0]) % modulus if values.size else 0 for name, values in steps.items()
    }
