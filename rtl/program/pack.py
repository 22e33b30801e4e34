"""Compile a layer for a core: descriptor, weight stream and biases.

Everything that the core could not execute is refused here, before anything runs.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compress.model import activations
from compress.model.graph import Geometry, Layer
from compress.model.levels import max_level
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.fields import NUMBERED, TAPS
from rtl.program.encode import Work, encode, passes_of, rows_order, shape_of, work
from rtl.program.fields import check_fields
from rtl.program.layout import Layout
from rtl.program.masks import mask_plan
from rtl.program.reads import read_plan
from rtl.program.stripes import cut, join, stripe
from rtl.program.structured import check_pattern
from rtl.program.traffic import Traffic, traffic
from rtl.program.windows import window_steps, window_taps
from rtl.program.words import to_bytes


@dataclass(frozen=True, eq=False)
class LayerProgram:
    """What one layer is for one core.

    Parameters
    ----------
    geometry, batch : the layer, and the images that are the pixels of a linear one
    stripes : parts of the map, `tiles` of them in one run of the core
    layout : addresses of a stripe's input map
    order : int64 [filters], the filter that is computed in each place, within its group
    descriptor : values of the core's `layer` ports, by name
    weights : uint8 [words, bytes], the weight stream of a run, each word little-endian
    biases : int64 [passes * filters], the bias stream of a run, a word of `filter_words` each
    tiles : lane tiles of each pass
    traffic : what the streams of a run take in the memory outside
    """

    geometry: Geometry
    batch: int
    stripes: int
    layout: Layout
    order: np.ndarray
    descriptor: dict[str, int]
    weights: np.ndarray
    biases: np.ndarray
    tiles: int
    traffic: Traffic

    @property
    def output_words(self) -> int:
        """Words of the output stream of a run."""
        return self.traffic.outputs.count

    def runs(self, config: CoreConfig) -> int:
        """Runs of the core that one input map takes."""
        return self.stripes // config.tiles

    def maps(self, x: np.ndarray, config: CoreConfig) -> list[np.ndarray]:
        """The activation stream of each run, uint8 [rows, bytes], each row little-endian: its
        tiles * act_word_bytes values of act_bits each.

        x : int8 [C, H, W], or [batch, C] for a linear layer
        """
        words = [
            _dealt(self.layout.pack(part, config.act_word_bytes), config)
            for part in cut(x, self.geometry, self.stripes)
        ]
        return [
            to_bytes(np.concatenate(words[n : n + config.tiles], axis=1), config.act_bits)
            for n in range(0, self.stripes, config.tiles)
        ]


def _dealt(words: np.ndarray, config: CoreConfig) -> np.ndarray:
    """uint8 [rows, act_word_bytes] with an element's channels each in the memory of its stream."""
    if config.streams == 1:
        return words
    memories = words.reshape(len(words), -1, config.streams).swapaxes(1, 2)
    return np.ascontiguousarray(memories).reshape(words.shape)


def stripes_of(geometry: Geometry, batch: int, config: CoreConfig) -> tuple[int, Layout]:
    """(number of stripes, a stripe's layout): the fewest, in multiples of `tiles`, that fit the
    activation memory; as many as there are rows if none do."""
    rows = batch if geometry.kind == "linear" else geometry.out_height
    most = -(-rows // config.tiles) * config.tiles
    count = config.tiles
    while True:
        layout = layout_of(geometry, batch, count, config.element)
        if layout.bytes <= config.act_bytes or count >= most:
            return count, layout
        count += config.tiles


@functools.lru_cache(maxsize=4096)
def layout_of(geometry: Geometry, batch: int, stripes: int, element: int = 1) -> Layout:
    """Layout of one of the stripes."""
    if geometry.kind == "linear":
        return Layout(geometry, -(-batch // stripes), element)
    return Layout(stripe(geometry, stripes), batch, element)


def pack_layer(
    layer: Layer,
    config: CoreConfig,
    batch: int = 1,
    input_range: tuple[int, int] | None = None,
) -> LayerProgram:
    """Compile `layer` for `config`; `batch` images at once if it is linear.

    input_range : smallest and largest input activation, for the proof that no sum overflows
        (behind a ReLU from 0 on); None for all that act_bits can say

    Raises CosignError, naming the parameter to change, when the layer does not fit the core.
    """
    g = layer.geometry
    stripes, layout = stripes_of(g, batch, config)
    passes = passes_of(layout, config)
    tiles, last_shifts = shape_of(layout, config)
    cost = work(layer, layout, config)
    _check(layer, layout, config, cost, input_range)
    descriptor = {
        "new_map": 1,
        "last_pass": g.groups * passes - 1,
        "last_tile": tiles - 1,
        "last_in_group": passes - 1,
        "group_step": layout.group_step if g.groups > 1 else 0,
        "last_shifts": last_shifts - 1,
        "relu": int(layer.relu),
    }
    if config.dense:
        descriptor |= _loops(layer, layout, config)
        if config.packed:
            descriptor["last_mask"] = int(cost.mask_words[0]) - 1
        else:
            descriptor["last_word"] = layout.taps - 1
    elif config.masked:
        plan = mask_plan(layout, config)
        descriptor |= {"last_mask": plan.words - 1, "last_in_period": plan.in_period - 1}
        descriptor |= {"last_slot": len(plan.table) - 1, "period_step": plan.step}
    elif config.core == "sparse-rows":
        cover = read_plan(layout, config)
        descriptor |= {"last_read": cover.reads - 1, "last_window": cover.windows - 1}
        descriptor |= {"last_slot": len(cover.table) - 1, "period_step": cover.step}
    elif config.stepped:
        descriptor |= dict.fromkeys(NUMBERED[: (1 << config.step_bits) - 1], 0)
        descriptor |= dict(zip(NUMBERED, window_steps(layer, layout, config), strict=False))
        if config.listed:
            descriptor |= dict.fromkeys(TAPS[: 1 << config.step_bits], 0)
            descriptor |= dict(zip(TAPS, window_taps(layer, layout, config), strict=False))
    check_fields(layer.name, descriptor, config)
    order = rows_order(layer, layout, config)
    per_filter = np.zeros((g.groups, passes * config.filters), np.int64)
    words = filter_words(layer.bias, layer.mul, layer.shift, config)[order]
    per_filter[:, : g.out_channels // g.groups] = words.reshape(g.groups, -1)
    return LayerProgram(
        geometry=g,
        batch=batch,
        stripes=stripes,
        layout=layout,
        order=order,
        descriptor=descriptor,
        weights=encode(layer, layout, config),
        biases=per_filter.reshape(-1),
        tiles=tiles,
        traffic=traffic(cost, layout, config),
    )


def filter_words(
    bias: np.ndarray, mul: np.ndarray, shift: np.ndarray, config: CoreConfig
) -> np.ndarray:
    """int64 [filters]: a word of the bias stream each, not negative.

    From the lowest bit: bias (acc_bits, two's complement), mul (mul_bits, unsigned), shift - 1
    (SHIFT_BITS). At most 40 + 16 + 6 bits.
    """
    scale = mul | (shift - 1) << config.mul_bits
    words: np.ndarray = bias & (1 << config.acc_bits) - 1 | scale << config.acc_bits
    return words


def unpack_outputs(
    program: LayerProgram, config: CoreConfig, streams: Sequence[np.ndarray]
) -> np.ndarray:
    """The output streams of all runs as a map [K, Ho, Wo] (linear: [batch, K]).

    streams : int8 [output_words * tiles * drain] each
    """
    stripes = [
        _unpack_stripe(program, config, raw.reshape(-1, config.tiles, config.drain)[:, n])
        for raw in streams
        for n in range(config.tiles)
    ]
    return join(np.stack(stripes), program.geometry, program.batch)


def _unpack_stripe(program: LayerProgram, config: CoreConfig, raw: np.ndarray) -> np.ndarray:
    g = program.geometry
    rows = config.row_shifts * config.drain  # of a filter, padding included
    last = program.descriptor["last_shifts"] + 1
    passes = program.descriptor["last_pass"] + 1
    per_pass = raw.reshape(passes, -1)
    missing = program.tiles * config.tile_shifts - ((program.tiles - 1) * config.tile_shifts + last)
    per_pass = np.pad(per_pass, ((0, 0), (0, missing * config.drain)))
    tiles = per_pass.reshape(passes, program.tiles, config.filters, rows)[..., : config.lanes]
    maps = tiles.transpose(0, 2, 1, 3).reshape(g.groups, -1, program.tiles * config.lanes)
    values = maps[:, : g.out_channels // g.groups].reshape(g.out_channels, -1)
    return program.layout.unpack(values[np.argsort(program.order)])


def largest_batch(layer: Layer, config: CoreConfig) -> int:
    """Images of a linear layer that fit the activation memories at once; at least 1."""
    return max(1, images_within(layer.geometry, config)) * config.tiles


def images_within(geometry: Geometry, config: CoreConfig) -> int:
    """Images of a linear layer that fit the activation memory of a tile."""
    return config.act_bytes // Layout(geometry, element=config.element).bytes


def _check(
    layer: Layer,
    layout: Layout,
    config: CoreConfig,
    cost: Work,
    input_range: tuple[int, int] | None,
) -> None:
    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise CosignError(f"layer {layer.name!r} does not fit the core: {what}.")

    demand(
        layer.act_bits == config.act_bits,
        f"its activations have {layer.act_bits} bits, those of the core {config.act_bits}; set "
        f"act_bits to {layer.act_bits}, or export the network with --act-bits {config.act_bits}",
    )
    largest = int(np.abs(layer.levels.astype(np.int64)).max(initial=0))
    demand(
        largest <= max_level(config.weight_bits),
        f"its levels reach {largest}, weight_bits = {config.weight_bits} holds "
        f"+-{max_level(config.weight_bits)}; raise weight_bits",
    )
    relative = config.core == "sparse" and config.coding == "relative"
    together = f"{config.turns} filters that take turns take"
    if config.turns == 1:
        together = "a filter takes"
    demand(
        int(cost.stored.max()) <= config.weight_depth,
        f"{together} {int(cost.stored.max())} weight words, the buffer has "
        f"{config.weight_depth}; raise weight_depth"
        + " (or index_bits, if fillers are many)"
        * relative,
    )
    demand(
        int(cost.mask_words.max()) <= config.mask_depth,
        f"a filter takes {int(cost.mask_words.max())} mask words, the buffer has "
        f"{config.mask_depth}; raise mask_depth or mask_bits",
    )
    demand(
        cost.table_words <= config.tap_depth,
        f"its kernel takes {cost.table_words} words of the table of tap addresses, there are "
        f"{config.tap_depth}; raise tap_depth",
    )
    if config.structured:
        check_pattern(layer, config)
    last_tap = int(layout.tap_addresses().max())
    demand(
        config.core != "sparse"
        or config.coding != "absolute"
        or last_tap < (1 << config.address_bits) - 1,
        f"a weight reads byte {last_tap}, whose address means a filler; raise act_depth",
    )
    words = -(-layout.bytes // config.act_word_bytes)
    demand(
        words <= config.act_depth,
        f"one row of its output reads {words} words of activation memory, there are "
        f"{config.act_depth}; raise act_depth",
    )
    demand(
        int(layer.mul.max()) < 1 << config.mul_bits,
        f"mul = {layer.mul.max()} needs more than mul_bits = {config.mul_bits}; raise mul_bits",
    )
    bits = accumulator_bits(layer, input_range)
    demand(
        bits <= config.acc_bits,
        f"its sums may need {bits} bits, acc_bits is {config.acc_bits}; raise acc_bits",
    )


def accumulator_bits(layer: Layer, input_range: tuple[int, int] | None = None) -> int:
    """Two's complement width that provably holds every filter's sum and its bias.

    Sums wrap on the way without harm, because only the final value is used.

    input_range : as for `pack_layer`
    """
    low, high = input_range or activations.bounds(layer.act_bits)
    levels = layer.levels.astype(np.int64)
    row = layer.row_idx
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


def _loops(layer: Layer, layout: Layout, config: CoreConfig) -> dict[str, int]:
    """Loop bounds and address steps of a dense core."""
    g = layer.geometry
    address = layout.tap_addresses().reshape(layout.channels, *g.kernel)
    modulus = 2 << config.address_bits  # two's complement
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
        "last_channel": layout.channels - 1,
        "last_column": g.kernel[1] - 1,
        "last_row": g.kernel[0] - 1,
        "last_phase_x": g.stride[1] - 1,
        "last_phase_y": g.stride[0] - 1,
    } | {
        name: int(values.flat[0]) % modulus if values.size else 0 for name, values in steps.items()
    }
