"""The packer: its streams, decoded word by word, are the layer; what does not fit is refused."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_layers import cases, layer_of, obeying, random_input, random_layer

from compress.model.graph import Geometry, Layer
from compress.model.levels import codes_to_levels, max_level
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.encode import encode, work
from rtl.program.fit import feed
from rtl.program.layout import Layout
from rtl.program.pack import (
    LayerProgram,
    accumulator_bits,
    filter_words,
    layout_of,
    pack_layer,
    stripes_of,
)
from rtl.program.stripes import cut, join, stripe
from sim.golden import layer_output

SPARSE = CoreConfig(lanes=13, act_banks=4, bank_bytes=4, index_bits=5, acc_bits=32)
ABSOLUTE = dataclasses.replace(SPARSE, coding="absolute")
BITMASK = dataclasses.replace(SPARSE, coding="bitmask", mask_bits=10, tap_depth=256)
ROWS = dataclasses.replace(
    SPARSE, core="sparse-rows", lanes=9, filters=4, window_reads=2, window_span=3
)
DENSE = dataclasses.replace(SPARSE, core="dense-2d", lanes=8, filters=4, weight_bits=4)
CONV = Geometry("conv", 6, 10, 9, 7, (3, 2), (2, 1), (1, 1), (1, 1), 2)


def words(program: LayerProgram) -> Iterator[int]:
    return (int.from_bytes(word.tobytes(), "little") for word in program.weights)


def level(code: int, bits: int = 8) -> int:
    return int(codes_to_levels(np.array([code], np.uint8), bits)[0])


def field(word: int, low: int, width: int) -> int:
    return word >> low & (1 << width) - 1


def decode_places(program: LayerProgram, config: CoreConfig, filters: int) -> list[dict[int, int]]:
    """{address: level} of each filter."""
    stream, decoded = words(program), []
    for _ in range(filters):
        found, address, last = {}, 0, 0
        while not last:
            word = next(stream)
            place, last = field(word, 8, config.place_bits), word >> (config.stream_bits - 1)
            address = address + place if config.coding == "relative" else place
            if place != (1 << config.place_bits) - 1:
                found[address] = level(word & 255)
        decoded.append(found)
    assert next(stream, None) is None
    return decoded


def decode_masks(program: LayerProgram, config: CoreConfig, filters: int) -> list[dict[int, int]]:
    """{address: level} of each filter."""
    stream, decoded, d = words(program), [], program.descriptor
    table = [next(stream) for _ in range(d["last_slot"] + 1)]
    place_bits = (config.mask_bits - 1).bit_length()
    for _ in range(filters):
        places = []
        for n in range(d["last_mask"] + 1):
            mask, (period, word) = next(stream), divmod(n, d["last_in_period"] + 1)
            for bit in range(config.mask_bits):
                if mask >> bit & 1:
                    places.append(period * d["period_step"] + table[(word << place_bits) + bit])
        levels, last = [], 0
        while not last:
            word = next(stream)
            last = word >> (config.stream_bits - 1)
            levels.append(level(word & 255))
        decoded.append(dict(zip(places, levels, strict=bool(places))))
    assert next(stream, None) is None
    return decoded


def decode_rows(program: LayerProgram, config: CoreConfig, filters: int) -> list[dict[int, int]]:
    """{address: level} of each filter in the network's order; those that pad a pass have no
    weights and are left out."""
    stream, d = words(program), program.descriptor
    table = [next(stream) for _ in range(d["last_slot"] + 1)]
    shift_bits = (config.window_span - 1).bit_length()
    read_bits = config.window_reads.bit_length()
    per_group = filters // ((d["last_pass"] + 1) // (d["last_in_group"] + 1))
    decoded = []
    for number in range((d["last_pass"] + 1) * config.filters):
        found, window, last = {}, 0, 0
        while not last:
            word = next(stream)
            last = word >> (config.stream_bits - 1)
            read = field(word, 8 + shift_bits, read_bits)
            if read < config.window_reads:
                period, slot = divmod(window * config.window_reads + read, len(table))
                shift = field(word, 8, shift_bits)
                assert shift < config.window_span
                found[period * d["period_step"] + table[slot] + shift] = level(word & 255)
            window += field(word, config.entry_bits - 1, 1)
        assert window == d["last_window"] + 1
        if number % ((d["last_in_group"] + 1) * config.filters) < per_group:
            decoded.append(found)
        else:
            assert found == {}
    assert next(stream, None) is None
    return [decoded[place] for place in np.argsort(program.order)]


@pytest.mark.parametrize(
    ("config", "decode"),
    [
        (SPARSE, decode_places),
        (ABSOLUTE, decode_places),
        (BITMASK, decode_masks),
        (ROWS, decode_rows),
    ],
    ids=["relative", "absolute", "bitmask", "rows"],
)
@given(case=cases())
def test_a_sparse_stream_holds_every_level_at_its_address(config, decode, case):
    layer, x = case
    program = pack_layer(layer, config, len(x))
    taps = program.layout.tap_addresses()
    expected = [
        {int(taps[c]): int(row[c]) for c in np.flatnonzero(row)} for row in layer.dense_levels()
    ]
    assert decode(program, config, layer.geometry.out_channels) == expected
    cost = work(layer, program.layout, config)
    assert int(cost.words.sum()) + cost.table_words == len(program.weights)


def decode_packed(program: LayerProgram, config: CoreConfig, filters: int) -> list[dict[int, int]]:
    """{column: level} of each filter, tap by tap and filter by filter."""
    stream, d, count = words(program), program.descriptor, config.filters
    per_group = filters // ((d["last_pass"] + 1) // (d["last_in_group"] + 1))
    decoded: list[dict[int, int]] = []
    for number in range(d["last_pass"] + 1):
        masks = [next(stream) for _ in range(d["last_mask"] + 1)]
        codes, last = [], 0
        while not last:
            row = next(stream)
            last = row >> (config.stream_bits - 1)
            codes += [field(row, n * config.weight_bits, config.weight_bits) for n in range(count)]
        found: list[dict[int, int]] = [{} for _ in range(count)]
        used = 0
        for column in range(config.mask_bits * len(masks)):
            word, place = divmod(column, config.mask_bits)
            for n in range(count):
                if masks[word] >> (place * count + n) & 1:
                    code = codes[used]
                    whole = config.weight_bits == 8
                    found[n][column] = (code ^ 128) - 128 if whole else level(code, 5)
                    used += 1
        assert len(codes) == count * max(1, -(-used // count))
        real = min(count, per_group - number % (d["last_in_group"] + 1) * count)
        decoded += found[:real]
        assert not any(found[real:])
    assert next(stream, None) is None
    return decoded


@pytest.mark.parametrize("bits", [5, 8])
@given(case=cases())
def test_a_packed_stream_holds_every_level_in_its_column(bits, case):
    layer, x = case
    config = dataclasses.replace(
        DENSE, core="dense-packed", weight_bits=bits, mask_bits=3, mask_depth=256
    )
    assume(np.abs(layer.levels.astype(np.int16)).max(initial=0) <= max_level(bits))
    assume(layer.geometry.dilation == (1, 1))
    program = pack_layer(layer, config, len(x))
    expected = [{int(c): int(row[c]) for c in np.flatnonzero(row)} for row in layer.dense_levels()]
    assert decode_packed(program, config, layer.geometry.out_channels) == expected
    cost = work(layer, program.layout, config)
    assert int(cost.words.sum()) == len(program.weights)
    assert (cost.words - cost.mask_words).tolist() == cost.stored.tolist()
    assert np.all(cost.entries == layer.geometry.columns)


@pytest.mark.parametrize("config", [SPARSE, ABSOLUTE, ROWS], ids=["relative", "absolute", "rows"])
@given(case=cases())
def test_a_pass_fills_its_buffer_as_far_as_is_told(config, case):
    """The fullest one, where every filter has its own."""
    layer, x = case
    program = pack_layer(layer, config, len(x))
    cost = work(layer, program.layout, config)
    entries = list(words(program))[cost.table_words :]
    ends = np.flatnonzero([word >> (config.stream_bits - 1) for word in entries])
    lengths = np.diff(ends, prepend=-1).reshape(-1, config.filters)
    assert cost.stored.tolist() == lengths.max(axis=1).tolist()


@given(st.integers(3, 14), st.integers(0, 99))
def test_fillers_bridge_long_distances(index_bits, seed):
    config = dataclasses.replace(SPARSE, index_bits=index_bits)
    layer = random_layer(CONV, 0.1, 8, seed)
    program = pack_layer(layer, config)
    taps = program.layout.tap_addresses()
    expected = [
        {int(taps[c]): int(row[c]) for c in np.flatnonzero(row)} for row in layer.dense_levels()
    ]
    assert decode_places(program, config, 10) == expected


def test_a_dense_word_holds_the_same_tap_of_several_filters():
    layer = random_layer(CONV, 0.5, 4)
    program = pack_layer(layer, DENSE)
    stream = list(words(program))
    passes = 2 * 2  # five filters a group, four at once
    assert len(stream) == passes * CONV.columns
    of_filters = filter_words(layer.bias, layer.mul, layer.shift, DENSE).tolist()
    assert program.biases.tolist() == [*of_filters[:5], 0, 0, 0, *of_filters[5:], 0, 0, 0]
    for number, word in enumerate(stream):
        group_pass, column = divmod(number, CONV.columns)
        group, part = divmod(group_pass, 2)
        for f in range(4):
            found = (word >> (5 * f) & 31) - 32 * (word >> (5 * f + 4) & 1)
            row = part * 4 + f
            expected = int(layer.dense_levels()[group * 5 + row, column]) if row < 5 else 0
            assert found == expected


NM = [(2, 4, 8), (1, 4, 8), (2, 8, 3), (4, 8, 8), (1, 2, 5), (8, 8, 8)]


def decode_patterns(stream: np.ndarray, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int [filters, channels, kernel area], filters and channels with those that fill up."""
    chosen = list(itertools.combinations(range(config.nm_group), config.nm_keep))
    bits, area = config.operand_bits, layout.taps // layout.channels
    passes = len(stream) // layout.taps
    found = np.zeros((passes, config.filters, layout.channels * config.nm_group, area), int)
    places = np.ndindex(passes, layout.channels, area)
    for word, (number, element, tap) in zip(stream, places, strict=True):
        together = int.from_bytes(word.tobytes(), "little")
        for f in range(config.filters):
            part = field(together, f * config.filter_bits, config.filter_bits)
            for k, channel in enumerate(chosen[part >> config.nm_keep * bits]):
                value = field(part, k * bits, bits)
                value -= value >> (bits - 1) << bits
                found[number, f, element * config.nm_group + channel, tap] = value
    return found.reshape(passes * config.filters, -1, area)


@pytest.mark.parametrize(("keep", "group", "bits"), NM)
@settings(max_examples=15)
@given(case=cases())
def test_a_structured_word_holds_what_is_kept_of_several_channels(keep, group, bits, case):
    config = feed(DENSE, core="sparse-nm", nm_keep=keep, nm_group=group, weight_bits=bits)
    layer, x = case
    most = max_level(bits)
    layer = dataclasses.replace(layer, levels=np.clip(layer.levels, -most, most))
    layer = obeying(layer, config)
    g = layer.geometry
    _, layout = stripes_of(g, len(x), config)
    stream = encode(layer, layout, config)
    assert stream.shape == (work(layer, layout, config).words.sum(), -(-config.stream_bits // 8))
    found = decode_patterns(stream, layout, config)
    decoded = found.reshape(g.groups, -1, *found.shape[1:])
    channels, filters = g.in_channels // g.groups, g.out_channels // g.groups
    expected = layer.dense_levels().reshape(g.groups, filters, channels, -1)
    assert np.array_equal(decoded[:, :filters, :channels], expected)
    assert not decoded[:, filters:].any()
    assert not decoded[:, :, channels:].any()


def test_a_layer_that_does_not_obey_the_pattern_is_refused():
    config = feed(DENSE, core="sparse-nm")
    geometry = dataclasses.replace(CONV, in_channels=14)  # 7 in a group
    levels = np.zeros((10, 7, 3, 2), np.int8)
    levels[7, [0, 3], 1, 1] = levels[8, [3, 4], 1, 1] = levels[9, 4:6, 2, 0] = 1

    def packed():
        return pack_layer(layer_of(levels.reshape(10, -1), geometry), config)

    assert len(packed().weights) == 2 * 2 * 2 * 6
    levels[9, 6, 2, 0] = 1
    sentence = (
        "layer 'layer' does not fit the core: filter 9 keeps more than 2 of the input channels 11 "
        r"to 13 at kernel position \(2, 0\); prune it to 2:4, or take another core\.$"
    )
    with pytest.raises(CosignError, match=sentence):
        packed()


def test_a_word_of_the_bias_stream_holds_bias_multiplier_and_shift():
    scales = {"mul": range(65526, 65536), "shift": range(38, 48)}
    layer = random_layer(CONV, 0.5, 4, bias=[-(1 << 31), (1 << 31) - 1, *range(-4, 4)], **scales)
    words = filter_words(layer.bias, layer.mul, layer.shift, SPARSE).tolist()
    for word, bias, mul, shift in zip(words, layer.bias, layer.mul, layer.shift, strict=True):
        assert (word & 0xFFFFFFFF) - (word >> 31 & 1) * (1 << 32) == bias
        assert word >> 32 & 0xFFFF == mul
        assert word >> 48 == shift - 1
    widest = dataclasses.replace(SPARSE, acc_bits=40)
    assert filter_words(layer.bias, layer.mul, layer.shift, widest).min() >= 0


def test_an_empty_filter_is_one_filler():
    layer = random_layer(CONV, 0.0)
    program = pack_layer(layer, SPARSE)
    assert work(layer, program.layout, SPARSE).entries.tolist() == [1] * 10
    assert list(words(program)) == [(1 << 13) + (31 << 8)] * 10


@given(cases(), st.integers(1, 5))
def test_stripes_of_a_map_give_the_outputs_of_the_map(case, count):
    layer, x = case
    g = layer.geometry
    if g.kind == "linear":
        parts = cut(x[:, :, 0, 0], g, count)
        outputs = np.stack([layer_output(layer, p[..., None, None])[:, :, 0, 0] for p in parts])
        assert np.array_equal(join(outputs, g, len(x)), layer_output(layer, x)[:, :, 0, 0])
        return
    one = dataclasses.replace(layer, geometry=stripe(g, count))
    outputs = np.concatenate([layer_output(one, part[None]) for part in cut(x[0], g, count)])
    assert np.array_equal(join(outputs, g, 1), layer_output(layer, x)[0])


def test_the_fewest_stripes_that_fit_are_taken():
    config = dataclasses.replace(SPARSE, act_depth=32, tiles=2)
    geometry = Geometry("conv", 4, 4, 40, 9, (3, 3), (1, 1), (1, 1))
    count, layout = stripes_of(geometry, 1, config)
    assert count % 2 == 0
    assert layout.bytes <= config.act_bytes < layout_of(geometry, 1, count - 2).bytes
    x = random_input(geometry)[0]
    program = pack_layer(random_layer(geometry, 0.5), config)
    maps = program.maps(x, config)
    assert len(maps) == count // 2
    assert {m.shape[1] for m in maps} == {2 * config.act_word_bytes}


@given(st.integers(0, 999), st.sampled_from([(-128, 127), (0, 127)]))
def test_the_accumulator_bound_is_reached_and_never_passed(seed, input_range):
    layer = random_layer(Geometry("linear", 9, 4), 0.7, 8, seed)
    dense = layer.dense_levels().astype(np.int64)
    low, high = input_range
    sums = [
        (dense * np.where(sign * dense > 0, high, low)).sum(axis=1) + layer.bias for sign in (1, -1)
    ]
    bits = accumulator_bits(layer, input_range)
    extremes = np.concatenate(sums)
    assert -(1 << (bits - 1)) <= extremes.min()
    assert extremes.max() < 1 << (bits - 1)
    assert extremes.min() < -(1 << (bits - 2)) or extremes.max() >= 1 << (bits - 2)


BASE = {"sparse": SPARSE, "bitmask": BITMASK, "rows": ROWS}


@pytest.mark.parametrize(
    ("core", "change", "parameter"),
    [
        ("sparse", {"weight_bits": 4}, "raise weight_bits"),
        ("sparse", {"weight_depth": 8}, "raise weight_depth"),
        ("sparse", {"act_depth": 2}, "raise act_depth"),
        ("sparse", {"acc_bits": 16}, "raise acc_bits"),
        ("sparse", {"mul_bits": 12}, "raise mul_bits"),
        ("bitmask", {"mask_depth": 2, "mask_bits": 4}, "raise mask_depth or mask_bits"),
        ("bitmask", {"tap_depth": 4}, "raise tap_depth"),
        ("rows", {"tap_depth": 2}, "raise tap_depth"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_parameter_to_change(core, change, parameter):
    layer = random_layer(CONV, 1.0, 8, mul=30000, shift=22)
    pack_layer(layer, BASE[core])
    with pytest.raises(CosignError, match=parameter):
        pack_layer(layer, dataclasses.replace(BASE[core], **change))


def test_an_address_that_would_read_as_a_filler_is_refused():
    config = dataclasses.replace(ABSOLUTE, act_depth=2)
    layer: Layer = random_layer(Geometry("linear", 32, 1), 1.0)
    with pytest.raises(CosignError, match="raise act_depth"):
        pack_layer(layer, config)


def test_a_dense_core_refuses_dilation_that_it_cannot_step_through():
    config = dataclasses.replace(DENSE, weight_bits=8)
    geometry = Geometry("conv", 1, 4, 20, 20, (3, 3), (3, 3), (0, 0), (2, 2))
    with pytest.raises(CosignError, match="use the sparse core"):
        pack_layer(random_layer(geometry, 1.0), config)
    pack_layer(random_layer(geometry, 1.0), SPARSE)
