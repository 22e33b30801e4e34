"""Streams that no packer makes, and the error that a core must raise at each."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from random_layers import random_input

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.fields import STEPS
from rtl.layer import Error
from rtl.program.pack import pack_layer, unpack_outputs
from sim.golden import layer_output
from sim.simulate import Run

Spoil = Callable[[Run, CoreConfig], Run]


def malformed(config: CoreConfig) -> Iterator[tuple[Geometry, Spoil, Error]]:
    """(a layer's shape, what spoils a run of it, the error) of all that can go wrong."""
    many_tiles = Geometry("conv", 2, 4, 6, 6, (3, 3))
    channels = 24 * (config.streams if config.masked else 1)  # three masks of each stream
    one_tile = Geometry("linear", channels, 6)
    # A tap at every tile's first address and no other: nothing lies beyond but the tile.
    one_tap = Geometry("linear", 1, 12 * config.filters)
    yield many_tiles, too_many_rows, Error.ACTS
    yield many_tiles, a_row_too_many, Error.ACTS
    yield one_tap, tiles_beyond_the_memory, Error.ADDRESS
    yield one_tap, groups_beyond_the_memory, Error.ADDRESS
    if config.dense:
        yield one_tile, channels_beyond_the_memory, Error.ADDRESS
        yield many_tiles, columns_beyond_the_memory, Error.ADDRESS
        yield many_tiles, rows_beyond_the_memory, Error.ADDRESS
        yield many_tiles, rows_before_the_memory, Error.ADDRESS
        if config.packed:
            yield many_tiles, without_ends, Error.WEIGHTS
            for geometry in (many_tiles, one_tile):
                yield geometry, a_weight_less, Error.LEVELS
                yield geometry, a_weight_more, Error.LEVELS
        elif config.weight_depth & (config.weight_depth - 1):
            yield many_tiles, a_pass_that_is_too_long, Error.WEIGHTS
        yield many_tiles, beyond_the_memory, Error.ADDRESS
        return
    if config.core == "sparse" and config.coding in ("relative", "window"):
        yield many_tiles, fillers_beyond_the_memory, Error.ADDRESS
    yield many_tiles, without_ends, Error.WEIGHTS
    yield many_tiles, beyond_the_memory, Error.ADDRESS
    if config.table:
        yield one_tile, periods_beyond_the_memory, Error.ADDRESS
        if config.masked:
            yield one_tile, columns_beyond_the_table, Error.ADDRESS
            in_mask = 1 if config.windows else config.mask_bits
            two_masks = Geometry("linear", config.streams * in_mask + 1, 2)
            yield two_masks, sums_beyond_the_memory, Error.ADDRESS
        for geometry in (many_tiles, one_tile):
            yield geometry, a_weight_less, Error.LEVELS
            yield geometry, a_weight_more, Error.LEVELS


def run_of(layer: Layer, config: CoreConfig) -> Run:
    """The one run of a layer on a random map."""
    program = pack_layer(layer, config)
    (rows,) = program.maps(_map(layer), config)
    return Run(program.descriptor, rows, program.weights, program.biases)


def is_right(raw: np.ndarray, layer: Layer, config: CoreConfig) -> bool:
    """Whether these are the outputs of `run_of`, whatever lanes beside the map have computed."""
    outputs = unpack_outputs(pack_layer(layer, config), config, [raw])
    expected = layer_output(layer, random_input(layer.geometry, act_bits=layer.act_bits))
    return np.array_equal(outputs.ravel(), expected.ravel())


def _map(layer: Layer) -> np.ndarray:
    x: np.ndarray = random_input(layer.geometry, act_bits=layer.act_bits)[0]
    return x[:, :, 0].T if layer.geometry.kind == "linear" else x


def bits_of(words: np.ndarray, bits: int) -> np.ndarray:
    return np.unpackbits(words, axis=1, bitorder="little")[:, :bits]


def without_ends(run: Run, config: CoreConfig) -> Run:
    """No filter ever ends."""
    bits = bits_of(run.weights, config.stream_bits)
    bits[:, -1] = 0
    times = config.weight_depth // len(bits) + 2
    endless = np.tile(np.packbits(bits, axis=1, bitorder="little"), (times, 1))
    return dataclasses.replace(run, weights=endless)


def a_pass_that_is_too_long(run: Run, config: CoreConfig) -> Run:
    """The descriptor tells of one tap more than the buffer has words."""
    weights = np.tile(run.weights, (config.weight_depth, 1))
    descriptor = run.descriptor | {"last_word": config.weight_depth}
    return dataclasses.replace(run, weights=weights, descriptor=descriptor)


def fillers_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """Fillers pass the memory's end; only the weight behind them is beyond it. Of several streams
    the last one's alone."""
    moved = config.place_bits
    if config.windowed:
        moved = config.weight_bits + (0 if config.listed else config.step_bits)
    filler = (1 << moved) - 1
    count = -(-config.act_elements // filler)
    bits = np.zeros((count + 2, config.stream_bits), np.uint8)
    ones = config.entry_bits // config.streams if config.windowed else config.place_bits
    bits[:-1, config.entry_bits - ones : config.entry_bits] = 1
    bits[-1, -1] = 1
    weights = np.packbits(bits, axis=1, bitorder="little")
    return dataclasses.replace(run, weights=weights)


def with_fields(run: Run, **fields: int) -> Run:
    """The descriptor says these."""
    return dataclasses.replace(run, descriptor=run.descriptor | fields)


def tiles_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """So many that the last ones begin behind every address."""
    return with_fields(run, last_tile=config.act_elements // config.lanes + 1)


def groups_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """Each pass is a group, and the third one begins behind every address."""
    return with_fields(run, last_in_group=0, group_step=config.act_elements // 2 + 1)


def channels_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """The third channel lies behind every address."""
    return with_fields(run, step_channel=config.act_elements // 2 + 1)


def columns_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    far = config.act_elements // 2 + 1
    return with_fields(run, step_column=far, step_phase_x=far)


def rows_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    far = config.act_elements // 2 + 1
    return with_fields(run, step_row=far, step_phase_y=far)


def rows_before_the_memory(run: Run, config: CoreConfig) -> Run:
    """The second row lies below address zero."""
    back = (2 << config.address_bits) - 8  # with a sign
    return with_fields(run, step_row=back, step_phase_y=back)


def periods_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """The third period lies behind every address, whatever the table says: it is all zeros."""
    weights = run.weights.copy()
    weights[: run.descriptor["last_slot"] + 1] = 0
    run = dataclasses.replace(run, weights=weights)
    return with_fields(run, period_step=config.act_elements // 2 + 1)


def columns_beyond_the_table(run: Run, config: CoreConfig) -> Run:
    """A period has more mask words than the table."""
    return with_fields(run, last_in_period=run.descriptor["last_mask"])


def sums_beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """The second filter's base, period and place are each as large as can be, so that their sum has
    two bits more than an address; the first filter reads one place. Of several streams the last
    one alone has weights."""
    far, places = (1 << config.address_bits) - 1, run.descriptor["last_slot"] + 1
    table = np.tile(np.arange(config.stream_bits) < config.address_bits, (places, 1))
    columns = [(0, [1, 0]), (1, [0, 1])]  # a mask of the first period, one of the second
    words = 3  # of several streams a level for each issue
    if config.streams > 1:
        words += config.beats if config.windows else 1
    filters = np.zeros((2, words, config.stream_bits), bool)
    for number, masks in columns:
        filters[number, :2, (config.streams - 1) * config.stored_mask_bits] = masks
        filters[number, -1, -1] = True
    bits = np.concatenate([table, filters.reshape(2 * words, -1)])
    weights = np.packbits(bits, axis=1, bitorder="little")
    run = dataclasses.replace(run, weights=weights)
    return with_fields(
        run, last_tile=0, last_in_group=0, group_step=far, last_in_period=0, period_step=far
    )


def beyond_the_memory(run: Run, config: CoreConfig) -> Run:
    """Places, the addresses in the table, or a dense core's steps are as large as can be."""
    bits = bits_of(run.weights, config.stream_bits)
    descriptor = run.descriptor
    if config.dense:
        step = config.act_elements
        descriptor = descriptor | dict.fromkeys((f"step_{name}" for name in STEPS), step)
    elif config.table:
        bits[: descriptor["last_slot"] + 1, : config.address_bits] = 1
        descriptor = descriptor | {"period_step": config.act_elements - 1}
    else:
        bits = np.tile(bits[:1], (config.weight_depth, 1))  # one long filter
        bits[:, config.weight_bits + 1 : config.entry_bits] = 1
        bits[:, config.weight_bits] = 0  # not a filler; those of further streams are
        bits[:-1, -1], bits[-1, -1] = 0, 1
        if config.windowed:
            farthest = (1 << config.step_bits) - 1
            descriptor = descriptor | {f"step_{farthest}": config.act_elements - 1}
    weights = np.packbits(bits, axis=1, bitorder="little")
    return dataclasses.replace(run, weights=weights, descriptor=descriptor)


def too_many_rows(run: Run, config: CoreConfig) -> Run:
    return dataclasses.replace(run, acts=np.tile(run.acts[:1], (config.act_depth + 3, 1)))


def a_row_too_many(run: Run, config: CoreConfig) -> Run:
    return dataclasses.replace(run, acts=np.tile(run.acts[:1], (config.act_depth + 1, 1)))


def a_weight_less(run: Run, config: CoreConfig) -> Run:
    """A filter ends before its mask does, a row before its last window does."""
    dropped = -2
    if config.core == "sparse-rows":
        ends_window = bits_of(run.weights, config.stream_bits)[:, config.entry_bits - 1]
        dropped = np.flatnonzero(ends_window)[-2]
    return dataclasses.replace(run, weights=np.delete(run.weights, dropped, axis=0))


def a_weight_more(run: Run, config: CoreConfig) -> Run:
    """The last filter goes on when its mask has, or its last window."""
    bits = bits_of(run.weights[-1:], config.stream_bits)
    bits[:, -1] = 0  # not the filter's last word
    more = np.packbits(bits, axis=1, bitorder="little")
    return dataclasses.replace(run, weights=np.insert(run.weights, -1, more, axis=0))
