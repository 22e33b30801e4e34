"""The "window" coding: its entries, decoded word by word, are the layer."""

import dataclasses

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
from rtl.program.windows import window_steps, window_taps

CONFIGS = st.fixed_dictionaries(
    {
        "streams": st.integers(1, 8),
        "window_span": st.integers(1, 8) | st.integers(9, 64),
        "beats": st.integers(1, 8),
        "step_bits": st.integers(1, 5),
        "filters": st.integers(1, 5),
        "listed": st.integers(0, 1),
    }
)


def config_of(**fields: int) -> CoreConfig:
    common = {"lanes": 5, "acc_bits": 32, "act_depth": 8192, "weight_depth": 1 << 16}
    return feed(CoreConfig(), coding="window", **common | fields)


def decoded(program: LayerProgram, config: CoreConfig) -> tuple[Decoded, list[int]]:
    """((stream, address, level) of each weight of each filter, words of each pass).

    Checks that a window's beats are read before the next one is opened, also in the next tile.
    """
    g = program.geometry
    members = g.out_channels // g.groups
    wide, high = config.entry_bits // config.streams, config.weight_bits + config.tap_bits
    taps = [program.descriptor[f"tap_{n}"] for n in range((1 << config.step_bits) * config.listed)]
    steps = [0, *(program.descriptor[f"step_{n}"] for n in range(1, 1 << config.step_bits))]
    found: Decoded = []
    lengths = []
    words = (int.from_bytes(word.tobytes(), "little") for word in program.weights)
    for number in range(program.descriptor["last_pass"] + 1):
        of_pass = [[] for _ in range(config.filters)]
        window, closed = [0] * config.streams, [True] * config.streams
        address = [0] * config.streams
        opened = [-config.beats] * config.streams
        last = length = 0
        while not last:
            word = next(words)
            last = word >> config.stream_bits - 1
            for k in range(config.streams):
                entry = word >> k * wide & (1 << wide) - 1
                code, step = entry & (1 << config.weight_bits) - 1, entry >> high
                turn, step = divmod(step, 1 << config.step_bits)
                tap = entry >> config.weight_bits & (1 << config.tap_bits) - 1
                filler = tap == (1 << config.tap_bits) - 1
                if config.listed:
                    turn, place = divmod(entry >> config.weight_bits, 2 << config.step_bits)
                    leads, which = divmod(place, 1 << config.step_bits)
                    filler = place == (2 << config.step_bits) - 1
                    tap, step = (0, which + 1) if leads else (taps[which], 0)
                    if closed[k] and not filler:
                        assert leads or which == 0
                        tap = 0
                    step *= not filler
                if filler:
                    moved = step << config.weight_bits | code
                    window[k] += moved
                    closed[k] |= moved != 0
                    continue
                assert tap < config.window_span
                if closed[k] or step:
                    assert length - opened[k] >= config.beats
                    window[k] += steps[step]
                    opened[k], closed[k] = length, False
                    assert tap == 0
                    address[k] = window[k]
                address[k] += tap
                assert address[k] - window[k] < config.window_span
                level = int(codes_to_levels(np.array([code], np.uint8), config.weight_bits)[0])
                of_pass[turn].append((k, address[k], level))
            length += 1
        assert all(length - at >= config.beats for at in opened)
        in_group = number % (program.descriptor["last_in_group"] + 1) * config.filters
        here = min(config.filters, members - in_group)
        found += [sorted(each) for each in of_pass[:here]]
        assert not any(of_pass[here:])
        lengths.append(length)
    assert next(words, None) is None
    return found, lengths


@given(case=cases(), fields=CONFIGS)
def test_every_level_is_at_its_address_in_the_stream_of_its_channel(case, fields):
    layer, x = case
    config = config_of(**fields, weight_bits=layer.bits)
    program = pack_layer(layer, config, len(x))
    layout = program.layout
    found, lengths = decoded(program, config)
    assert found == dealt(layer, layout, config.streams)
    cost = work(layer, layout, config)
    assert cost.words.tolist() == cost.entries.tolist() == cost.stored.tolist() == lengths


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(
            "conv", 1, 1, 4, 3, (4, 3), (1, 3)
        ),  # a plane is as narrow as a row's taps are apart
        Geometry(
            "conv", 2, 3, 1, 1, (3, 3), (1, 1), (1, 1)
        ),  # a channel's taps lie among another's
        Geometry("conv", 4, 2, 5, 5, (5, 5), (1, 1), (2, 2)),  # rows longer than the span
    ],
)
@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("density", [1.0, 0.4])
def test_windows_are_as_few_as_can_be(geometry: Geometry, streams: int, density: float) -> None:
    """Those of a walk along the addresses, told by their distances, all of which have steps."""
    layer = random_layer(geometry, density)
    config = config_of(streams=streams, window_span=4, step_bits=5)
    program = pack_layer(layer, config)
    found, _ = decoded(program, config)
    assert found == dealt(layer, program.layout, streams)
    # Any window serves four neighbouring addresses: the first not yet served opens the next one.
    distances = []
    for filter_ in found:
        for k in range(streams):
            window = end = 0
            for address in (at for stream, at, _ in filter_ if stream == k):
                if address >= end:
                    distances.append(address - window)
                    window, end = address, address + 4
    steps = window_steps(layer, program.layout, config)
    assert set(steps) == {d for d in distances if d > 0}


def test_a_dense_layer_takes_an_entry_a_weight_and_no_filler() -> None:
    """The steps are those to the next row of a kernel and to the next channel."""
    layer = random_layer(Geometry("conv", 8, 3, 9, 9, (3, 3), (1, 1), (1, 1)), 1.0)
    for beats in (1, 2, 3):
        config = config_of(streams=2, window_span=3, beats=beats, step_bits=2)
        program = pack_layer(layer, config)
        assert work(layer, program.layout, config).entries.tolist() == [4 * 9] * 3
        steps = window_steps(layer, program.layout, config)
        layout = program.layout
        assert set(steps) == {layout.pitch, layout.plane - 2 * layout.pitch}


@pytest.mark.parametrize("beats", [1, 2, 3, 4])
def test_a_window_takes_an_entry_for_each_of_its_beats(beats: int) -> None:
    """Of two streams, one with a window of two weights and one of a single weight, one without."""
    levels = np.zeros((2, 2 * 9), np.int8)
    levels[0, [0, 1, 3]] = 1
    layer = layer_of(levels, Geometry("conv", 2, 2, 5, 5, (3, 3)))
    config = config_of(streams=2, window_span=3, beats=beats)
    program = pack_layer(layer, config)
    assert work(layer, program.layout, config).entries.tolist() == [max(2, beats) + beats, 1]


def test_filters_that_take_turns_share_their_windows() -> None:
    """Two filters of three weights in two windows: the second one of a pass opens none of its own.

    The third filter of the group has a pass for itself.
    """
    levels = np.zeros((3, 2 * 9), np.int8)
    levels[0, [0, 2, 3]] = levels[1, [0, 1, 2]] = levels[2, [4]] = 1
    layer = layer_of(levels, Geometry("conv", 2, 3, 5, 5, (3, 3)))
    for beats, entries in ((1, [5 + 1, 1]), (3, [5 + 3, 3])):
        config = config_of(filters=2, window_span=3, beats=beats)
        program = pack_layer(layer, config)
        assert work(layer, program.layout, config).entries.tolist() == entries
        found, _ = decoded(program, config)
        assert found == dealt(layer, program.layout, 1)


def test_a_tap_that_is_not_listed_opens_a_window() -> None:
    """Of a 3 x 3 kernel in one window the steps to the right and to the next row are listed."""
    levels = np.zeros((2, 9), np.int8)
    levels[0] = 1
    levels[1, [0, 2, 3, 4]] = 1
    layer = layer_of(levels, Geometry("conv", 1, 2, 7, 9, (3, 3)))
    config = config_of(window_span=24, beats=3, step_bits=1, listed=1)
    program = pack_layer(layer, config)
    pitch = program.layout.pitch
    assert window_taps(layer, program.layout, config) == (1, pitch - 2)
    found, lengths = decoded(program, config)
    assert found == dealt(layer, program.layout, 1)
    assert lengths == [9, 3 + 3]  # the second weight is two bytes behind the first one


def test_weights_at_one_address_have_a_listed_tap() -> None:
    """However few: no step leads from one to the other."""
    levels = np.ones((2, 9), np.int8)
    levels[1, 1:] = 0
    layer = layer_of(levels, Geometry("conv", 1, 2, 7, 9, (3, 3)))
    config = config_of(filters=2, window_span=24, step_bits=1, listed=1)
    program = pack_layer(layer, config)
    assert window_taps(layer, program.layout, config) == (0, 1)
    found, _ = decoded(program, config)
    assert found == dealt(layer, program.layout, 1)


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 99))
def test_fillers_make_every_distance_that_is_no_step(step_bits, weight_bits, seed):
    levels = np.zeros((1, 3000), np.int8)
    levels[0, np.random.default_rng(seed).choice(3000, 40, replace=False)] = 1
    layer = layer_of(levels, Geometry("linear", 3000, 1), bits=weight_bits)
    config = config_of(window_span=1, step_bits=step_bits, weight_bits=weight_bits)
    program = pack_layer(layer, config)
    (found,), _ = decoded(program, config)
    assert [address for _, address, _ in found] == np.flatnonzero(levels[0]).tolist()


def test_fitted_memories_hold_the_layer() -> None:
    layer = random_layer(Geometry("conv", 9, 4, 12, 11, (3, 3), (1, 1), (1, 1)), 0.3)
    config = dataclasses.replace(config_of(streams=3, window_span=3, beats=2), act_depth=2)
    assert pack_layer(layer, fit(config, [layer])).stripes == 1
