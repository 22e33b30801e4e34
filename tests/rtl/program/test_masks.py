"""Bitmasks of several streams: masks and levels, decoded word by word, are the layer."""

import numpy as np
import pytest
from dealt import Decoded, dealt
from hypothesis import given
from hypothesis import strategies as st
from random_layers import cases, layer_of, random_layer

from compress.model.graph import Geometry
from compress.model.levels import codes_to_levels
from rtl.config import CoreConfig
from rtl.program.encode import work
from rtl.program.fit import feed, fit
from rtl.program.pack import LayerProgram, pack_layer
from rtl.program.places import fullest

SMALL = {"lanes": 5, "acc_bits": 32, "act_depth": 8192, "mask_depth": 1 << 12}


def config_of(streams: int, mask_bits: int, **fields: int) -> CoreConfig:
    more = {"streams": streams, "mask_bits": mask_bits, **fields}
    return feed(
        CoreConfig(), coding="bitmask", weight_depth=1 << 16, tap_depth=1 << 12, **SMALL | more
    )


def decoded(program: LayerProgram, config: CoreConfig, filters: int) -> tuple[Decoded, list[int]]:
    """((stream, address, level) of each weight of each filter, words of levels of each)."""
    d, bits = program.descriptor, config.mask_bits
    width = bits + config.run_bits
    words = (int.from_bytes(word.tobytes(), "little") for word in program.weights)
    table = [next(words) for _ in range(d["last_slot"] + 1)]
    place_bits = (bits - 1).bit_length()
    found: Decoded = []
    lengths = []
    for _ in range(filters):
        masks: list[list[int]] = [[] for _ in range(config.streams)]
        while len(masks[0]) <= d["last_mask"]:
            word = next(words)
            for k, of_stream in enumerate(masks):
                run, mask = divmod(word >> k * width & (1 << width) - 1, 1 << bits)
                of_stream += [mask, *[(1 << bits) - 1] * run]
        assert {len(of_stream) for of_stream in masks} == {d["last_mask"] + 1}
        levels, last = [], 0
        while not last:
            levels.append(next(words))
            last = levels[-1] >> config.stream_bits - 1
        of_filter = []
        longest = 0
        for k in range(config.streams):
            issues: list[int | None] = []  # addresses
            for n, mask in enumerate(masks[k]):
                period, in_period = divmod(n, d["last_in_period"] + 1)
                slots = [in_period << place_bits | bit for bit in range(bits) if mask >> bit & 1]
                word = [table[slot] + period * d["period_step"] for slot in slots]
                issues += word or [None]
                if config.windows and word:
                    assert word == sorted(word)
                    assert word[-1] - word[0] < config.window_span
                    issues += [None] * (config.beats - len(word))
            longest = max(longest, len(issues))
            # The last issue waits for those of the other streams; one stream's levels have no gaps.
            at = [*range(len(issues) - 1), len(levels) - 1]
            if config.streams == 1:
                issues = [address for address in issues if address is not None]
                at = list(range(len(issues)))
            for address, place in zip(issues, at, strict=True):
                if address is not None:
                    code = levels[place] >> k * config.weight_bits & (1 << config.weight_bits) - 1
                    value = codes_to_levels(np.array([code], np.uint8), config.weight_bits)[0]
                    of_filter.append((k, address, int(value)))
        assert longest == len(levels) or config.streams == 1
        found.append(sorted(of_filter))
        lengths.append(len(levels))
    assert next(words, None) is None
    return found, lengths


@given(
    case=cases(),
    streams=st.integers(1, 8),
    mask_bits=st.integers(2, 64) | st.integers(2, 9),
    run_bits=st.integers(0, 4),
    full=st.sampled_from([None, 0.9, 1.0]),
    windows=st.none() | st.tuples(st.integers(2, 5) | st.integers(2, 64), st.integers(1, 8)),
)
def test_every_level_is_at_its_address_in_the_stream_of_its_channel(
    case, streams, mask_bits, run_bits, full, windows
):
    layer, x = case
    if full is not None:
        layer = random_layer(layer.geometry, full, bits=layer.bits)
    fields = {"run_bits": run_bits, "weight_bits": layer.bits}
    if windows is not None:
        fields |= {"windows": 1, "window_span": windows[0], "beats": windows[1]}
    config = config_of(streams, mask_bits, **fields)
    program = pack_layer(layer, config, len(x))
    layout = program.layout
    found, lengths = decoded(program, config, layer.geometry.out_channels)
    assert found == dealt(layer, layout, streams)
    cost = work(layer, layout, config)
    assert cost.stored.tolist() == lengths
    if streams > 1:
        assert cost.entries.tolist() == lengths
    assert cost.words.tolist() == (cost.stored + cost.mask_words).tolist()
    assert cost.words.sum() + cost.table_words == len(program.weights)
    assert np.all(cost.entries >= np.maximum(fullest(layer, streams), 1))
    assert program.traffic.masks.bits == streams * (mask_bits + run_bits)
    assert program.traffic.masks.count == cost.mask_words.sum()
    assert program.traffic.weights.bits == streams * layer.bits


def test_a_filter_takes_the_words_of_the_stream_with_the_most_issues():
    """A mask word without bits is an issue, too."""
    levels = np.zeros((3, 12), np.int8)
    levels[0, [0, 4, 8, 1]] = 1  # channels of streams 0, 0, 0 and 1
    levels[1, 3] = 1
    layer = layer_of(levels, Geometry("linear", 12, 3))
    for mask_bits, entries in ((3, [3, 1, 1]), (2, [3, 2, 2])):
        cost = work(
            layer, pack_layer(layer, config_of(4, mask_bits)).layout, config_of(4, mask_bits)
        )
        assert cost.entries.tolist() == entries


@pytest.mark.parametrize("streams", [1, 3])
def test_fitted_memories_hold_the_layer(streams):
    layer = random_layer(Geometry("conv", 9, 4, 12, 11, (3, 3), (1, 1), (1, 1)), 0.3)
    fitted = fit(config_of(streams, 9, act_depth=2), [layer])
    assert pack_layer(layer, fitted).stripes == 1
    assert fitted.mask_depth == fitted.tap_depth == 64
