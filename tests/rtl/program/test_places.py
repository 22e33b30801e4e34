"""Streams of input channels: their entries, decoded word by word, and the maps beside them."""

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
from rtl.program.pack import LayerProgram, pack_layer, stripes_of
from rtl.program.places import fullest

SMALL = {"lanes": 5, "acc_bits": 32, "act_depth": 8192, "weight_depth": 1 << 16}
CODINGS = st.one_of(
    st.fixed_dictionaries({"coding": st.just("relative"), "index_bits": st.integers(1, 12)}),
    st.just({"coding": "absolute"}),
)


def config_of(streams: int, coding: dict[str, object]) -> CoreConfig:
    return feed(CoreConfig(), streams=streams, **SMALL, **coding)


def decoded(program: LayerProgram, config: CoreConfig, filters: int) -> tuple[Decoded, list[int]]:
    """((stream, address, level) of each weight of each filter, words of each filter)."""
    relative = config.coding == "relative"
    filler, width = (1 << config.place_bits) - 1, config.place_bits + 8
    found: Decoded = []
    lengths = []
    words = (int.from_bytes(word.tobytes(), "little") for word in program.weights)
    for _ in range(filters):
        of_filter = []
        address, through = [0] * config.streams, [False] * config.streams
        last = length = 0
        while not last:
            word, length = next(words), length + 1
            last = word >> config.stream_bits - 1
            for k in range(config.streams):
                entry = word >> k * width & (1 << width) - 1
                place, code = entry >> 8, entry & 255
                if place == filler and code:
                    assert code == 1
                    through[k] = True
                    continue
                assert not through[k]
                address[k] = address[k] + place if relative else place
                if place != filler:
                    level = int(codes_to_levels(np.array([code], np.uint8), 8)[0])
                    of_filter.append((k, address[k], level))
        found.append(sorted(of_filter))
        lengths.append(length)
    assert next(words, None) is None
    return found, lengths


@given(case=cases(), streams=st.integers(2, 8), coding=CODINGS)
def test_every_level_is_at_its_address_in_the_stream_of_its_channel(case, streams, coding):
    layer, x = case
    config = config_of(streams, coding)
    program = pack_layer(layer, config, len(x))
    g, layout = layer.geometry, program.layout
    found, lengths = decoded(program, config, g.out_channels)
    assert found == dealt(layer, layout, streams)
    cost = work(layer, layout, config)
    assert cost.words.tolist() == cost.entries.tolist() == cost.stored.tolist() == lengths
    # Nothing is longer than the fullest stream and its fillers.
    if coding["coding"] == "absolute":
        assert lengths == np.maximum(fullest(layer, streams), 1).tolist()
    else:
        assert np.all(np.array(lengths) >= fullest(layer, streams))


@given(case=cases(), streams=st.integers(2, 8), coding=CODINGS)
def test_a_channel_lies_in_the_memory_of_its_stream(case, streams, coding):
    layer, x = case
    config = config_of(streams, coding)
    g = layer.geometry
    program = pack_layer(layer, config, len(x))
    (rows,) = program.maps(x[:, :, 0, 0] if g.kind == "linear" else x[0], config)
    memories = rows.view(np.int8).reshape(len(rows), streams, config.row_bytes)
    layout, per_group = program.layout, g.in_channels // g.groups
    height, width = layout.out_shape
    at = np.arange(height)[:, None] * layout.pitch + np.arange(width)
    for c in range(g.in_channels):
        group, number = divmod(c, per_group)
        memory = memories[:, number % streams].reshape(-1)
        start = group * layout.group_step + int(layout.tap_address(number // streams, 0, 0))
        if g.kind == "linear":
            plane = x[:, c, 0, 0][None]
        else:
            padded = np.pad(x[0, c], [(p, p) for p in g.padding])
            plane = padded[:: g.stride[0], :: g.stride[1]][:height, :width]
        assert np.array_equal(memory[start + at], plane)


@pytest.mark.parametrize("coding", ["relative", "absolute"])
def test_a_filter_takes_the_words_of_its_fullest_stream(coding):
    levels = np.zeros((3, 12), np.int8)
    levels[0, [0, 4, 8, 1]] = 1  # channels of streams 0, 0, 0 and 1
    levels[1, 3] = 1
    layer = layer_of(levels, Geometry("linear", 12, 3))
    config = config_of(4, {"coding": coding})
    layout = stripes_of(layer.geometry, 1, config)[1]
    assert work(layer, layout, config).entries.tolist() == [3, 1, 1]
    assert fullest(layer, 4).tolist() == [3, 1, 0]


@given(streams=st.integers(1, 8), seed=st.integers(0, 99))
def test_fitted_memories_hold_the_layer_and_no_less_would_do(streams, seed):
    layer = random_layer(Geometry("conv", 9, 4, 12, 11, (3, 3), (1, 1), (1, 1)), 0.3, seed=seed)
    for coding in ("relative", "absolute"):
        config = feed(CoreConfig(), lanes=5, streams=streams, coding=coding, acc_bits=32)
        fitted = fit(config, [layer])
        program = pack_layer(layer, fitted)
        assert program.stripes == 1
        assert 0 <= fitted.act_bytes - program.layout.bytes < 65 * fitted.act_word_bytes
