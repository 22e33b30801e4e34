"""Small whole cores: bit for bit, to the cycle, and with full memories.

With Verilator, as `tests/sim/test_rtl.py` has larger ones, where that bench serves; in Amaranth's
simulator where ports change as the bench never lets them, or words are counted.
"""

import dataclasses
import operator

import numpy as np
import pytest
from compared import predicted, run_and_compare, spoil_and_compare
from malformed import is_right, run_of, too_many_rows
from random_layers import obeying, random_input, random_layer, words_of_a_channel
from rtl_models import simulate_core

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.layer import Error
from rtl.program.encode import work
from rtl.program.pack import pack_layer, stripes_of
from sim.run import simulators_dir
from sim.simulate import simulate_runs

SMALL = {"act_banks": 2, "act_depth": 32, "weight_depth": 32, "acc_bits": 24}
CORES = {
    "sparse": CoreConfig(lanes=3, index_bits=4, drain=2, act_buffers=2, **SMALL),
    "absolute": CoreConfig(lanes=2, tiles=2, act_bits=5, coding="absolute", pipeline=0, **SMALL),
    "bitmask": CoreConfig(
        lanes=3,
        coding="bitmask",
        weight_bits=4,
        mask_bits=6,
        tap_depth=32,
        mask_depth=8,
        pipeline=2,
        **SMALL,
    ),
    "dense-scalar": CoreConfig("dense-scalar", lanes=3, act_buffers=2, **SMALL),
    # Memories that do not end where their addresses do.
    "dense-2d": CoreConfig(
        "dense-2d",
        lanes=2,
        filters=3,
        drain=2,
        weight_bits=4,
        **SMALL | {"act_depth": 24, "weight_depth": 24},
    ),
    # Fewer words of the bias stream wait than there are filters.
    "dense-2d-wide": CoreConfig("dense-2d", lanes=5, filters=3, **SMALL),
    "dense-packed": CoreConfig(
        "dense-packed",
        lanes=2,
        filters=3,
        mask_bits=4,
        mask_depth=24,
        weight_bits=4,
        drain=2,
        **SMALL | {"act_depth": 24, "weight_depth": 24},
    ),
    # Multipliers that rest at zeros, one edge behind the others, with 0 to 2 product registers.
    "dense-2d-gated": CoreConfig(
        "dense-2d", lanes=2, filters=3, act_bits=6, gate_zeros=1, rest_sums=1, **SMALL
    ),
    "sparse-gated": CoreConfig(lanes=3, index_bits=4, pipeline=0, gate_zeros=1, **SMALL),
    "sparse-nm-gated": CoreConfig(
        "sparse-nm",
        lanes=1,
        filters=3,
        act_bits=4,
        pipeline=2,
        gate_zeros=1,
        **SMALL | {"act_banks": 4},
    ),
    # Passes that follow each other as fast as can be.
    "dense-packed-scalar": CoreConfig(
        "dense-packed",
        lanes=2,
        act_bits=7,
        drain=2,
        mask_bits=3,
        mask_depth=11,
        act_buffers=2,
        **SMALL,
    ),
    "sparse-rows": CoreConfig(
        "sparse-rows", lanes=2, filters=2, window_reads=2, window_span=2, tap_depth=32, **SMALL
    ),
    # Streams that wait for each other, of distances that take fillers and of addresses.
    "sparse-dot": CoreConfig(lanes=3, index_bits=4, drain=2, streams=3, **SMALL),
    "sparse-dot-tiles": CoreConfig(
        lanes=2,
        tiles=2,
        act_bits=6,
        index_bits=4,
        streams=2,
        act_buffers=2,
        pipeline=2,
        **SMALL,
    ),
    "sparse-dot-absolute": CoreConfig(
        lanes=2,
        coding="absolute",
        streams=4,
        pipeline=0,
        gate_zeros=1,
        weight_bits=4,
        **SMALL | {"act_depth": 24, "weight_depth": 24},
    ),
    # Masks that streams work off at their own pace.
    "bitmask-dot": CoreConfig(
        lanes=3,
        coding="bitmask",
        streams=3,
        mask_bits=4,
        tap_depth=32,
        mask_depth=12,
        drain=2,
        **SMALL | {"act_depth": 24, "weight_depth": 24},
    ),
    "bitmask-dot-tiles": CoreConfig(
        lanes=2,
        tiles=2,
        act_bits=4,
        coding="bitmask",
        streams=2,
        weight_bits=4,
        mask_bits=5,
        tap_depth=32,
        mask_depth=8,
        act_buffers=2,
        gate_zeros=1,
        **SMALL,
    ),
    # Masks of which some are not stored, of one stream and of several.
    "bitmask-runs": CoreConfig(
        lanes=3,
        coding="bitmask",
        mask_bits=2,
        run_bits=2,
        tap_depth=32,
        mask_depth=16,
        drain=2,
        act_buffers=2,
        **SMALL,
    ),
    "bitmask-dot-runs": CoreConfig(
        lanes=2,
        coding="bitmask",
        streams=3,
        mask_bits=3,
        run_bits=1,
        tap_depth=32,
        mask_depth=12,
        pipeline=0,
        **SMALL,
    ),
    # Masks that are windows, of one stream and of several.
    "bitmask-windows": CoreConfig(
        lanes=3,
        coding="bitmask",
        windows=1,
        window_span=14,
        beats=4,
        mask_bits=4,
        run_bits=1,
        tap_depth=128,
        mask_depth=64,
        drain=2,
        **SMALL,
    ),
    "bitmask-windows-dot": CoreConfig(
        lanes=2,
        tiles=2,
        coding="bitmask",
        windows=1,
        window_span=3,
        beats=2,
        streams=2,
        weight_bits=4,
        mask_bits=3,
        tap_depth=64,
        mask_depth=64,
        pipeline=0,
        act_buffers=2,
        gate_zeros=1,
        **SMALL | {"weight_depth": 64},
    ),
    # Windows of one read and of several, of one tap and of several.
    "window": CoreConfig(lanes=3, coding="window", window_span=3, step_bits=2, drain=2, **SMALL),
    "window-taps": CoreConfig(
        lanes=2,
        act_bits=7,
        coding="window",
        window_span=1,
        streams=3,
        weight_bits=4,
        pipeline=0,
        **SMALL,
    ),
    "window-beats": CoreConfig(
        lanes=3,
        tiles=2,
        coding="window",
        window_span=4,
        beats=2,
        streams=2,
        act_buffers=2,
        gate_zeros=1,
        **SMALL,
    ),
    "window-narrow": CoreConfig(
        lanes=4,
        coding="window",
        window_span=1,
        beats=4,
        step_bits=1,
        pipeline=2,
        **SMALL | {"bank_bytes": 1, "act_banks": 1, "act_depth": 256, "weight_depth": 64},
    ),
    # Windows of several kernel rows, read in more beats than most of them have weights.
    "window-rows": CoreConfig(
        lanes=3,
        coding="window",
        window_span=14,
        beats=5,
        step_bits=2,
        listed=1,
        streams=2,
        drain=2,
        **SMALL | {"weight_depth": 40},
    ),
    "window-rows-turns": CoreConfig(
        lanes=2,
        filters=2,
        coding="window",
        window_span=9,
        beats=8,
        weight_bits=4,
        pipeline=0,
        act_buffers=2,
        gate_zeros=1,
        **SMALL | {"weight_depth": 64},
    ),
    # Filters that take turns on a window, and on a tap alone.
    "window-turns": CoreConfig(
        lanes=4, filters=2, coding="window", window_span=3, beats=2, drain=2, **SMALL
    ),
    "window-turns-taps": CoreConfig(
        lanes=2,
        filters=2,
        tiles=2,
        coding="window",
        window_span=1,
        streams=2,
        weight_bits=4,
        pipeline=0,
        act_buffers=2,
        gate_zeros=1,
        **SMALL | {"weight_depth": 64},
    ),
    # More banks than elements of a read; elements wider than a bank; as many kept as there are.
    "sparse-nm": CoreConfig(
        "sparse-nm",
        lanes=3,
        filters=2,
        **SMALL | {"act_banks": 4, "act_depth": 24, "weight_depth": 24},
    ),
    "sparse-nm-2of8": CoreConfig(
        "sparse-nm", lanes=2, filters=3, nm_group=8, pipeline=2, **SMALL | {"act_banks": 4}
    ),
    "sparse-nm-1of2": CoreConfig(
        "sparse-nm",
        lanes=2,
        filters=3,
        tiles=2,
        drain=2,
        act_buffers=2,
        pipeline=0,
        weight_bits=4,
        nm_keep=1,
        nm_group=2,
        **SMALL,
    ),
    "sparse-nm-4of4": CoreConfig(
        "sparse-nm", lanes=1, filters=5, nm_keep=4, pipeline=2, **SMALL | {"bank_bytes": 8}
    ),
}
STALLED = (
    *("sparse", "dense-2d", "dense-packed", "sparse-rows", "sparse-nm", "sparse-dot"),
    *(
        "bitmask-dot",
        "bitmask-runs",
        "bitmask-windows-dot",
        "window-beats",
        "window-rows",
        "window-turns",
    ),
)
STREAMED = (
    *("sparse-dot", "sparse-dot-tiles", "bitmask-dot", "bitmask-dot-tiles", "bitmask-dot-runs"),
)
every_core = pytest.mark.parametrize("config", CORES.values(), ids=CORES)


def layers(config: CoreConfig) -> list[tuple[Layer, np.ndarray]]:
    """Padding, stride, groups; a word in every cycle; passes shorter than their drain; a pass and a
    map that fill the memories."""
    channels = config.weight_depth // words_of_a_channel(config)
    full = Geometry("linear", channels * config.element, 2 * config.filters)
    images = config.act_elements // channels * config.tiles
    layout = stripes_of(full, images, config)[1]
    dense = obeying(random_layer(full, 1.0, seed=3), config)
    assert layout.bytes == config.act_bytes
    assert work(dense, layout, config).stored.tolist() == [config.weight_depth] * 2
    shapes = (
        Geometry("conv", 2, 3, 4, 5, (3, 3), (1, 1), (1, 1)),
        Geometry("conv", 4, 6, 5, 4, (3, 2), (2, 2), (1, 0), groups=2),
        Geometry("conv", 1, 2, 6, 6, (1, 1)),
        *([Geometry("conv", 11, 3, 5, 3, (2, 2), (1, 1), (0, 1))] * (config.element > 1)),
        *([Geometry("conv", 4, 3 * config.filters, 4, 4, (1, 1))] * config.packed),
    )
    found = []
    for seed, shape in enumerate(shapes):
        layer = random_layer(shape, (0.4, 0.8, 1.0, 1.0)[seed], seed=seed, relu=seed == 1)
        found.append((obeying(layer, config), random_input(shape, 1, seed, config.act_bits)))
    short, batch = Geometry("linear", 1, 4 * config.filters), config.lanes * config.tiles
    for layer, count in (
        (obeying(random_layer(short, 1.0, seed=4), config), batch),
        (dense, images),
    ):
        found.append((layer, random_input(layer.geometry, count, act_bits=config.act_bits)))
    return found


STREAMS = [(name, None) for name in CORES] + [(name, 5) for name in STALLED]


@pytest.mark.parametrize(
    ("name", "stall_seed"), STREAMS, ids=[name + "-stalled" * bool(seed) for name, seed in STREAMS]
)
def test_small_cores_bit_for_bit(name: str, stall_seed: int | None) -> None:
    """All layers in one simulator, without a reset between them."""
    config = CORES[name]
    batch = layers(config)
    cycles = run_and_compare(batch, config, stall_seed)
    least = predicted(batch, config)
    assert cycles == least or (stall_seed and all(map(operator.gt, cycles, least)))


MANY = dataclasses.replace(CORES["sparse-nm"], filters=13)
"""26 operands are too many to be counted in a cycle."""


@pytest.mark.parametrize(
    "config",
    [
        *(CORES[name] for name in (*STREAMED, "sparse", "window-beats", "dense-2d", "sparse-nm")),
        MANY,
    ],
    ids=lambda config: config.name,
)
def test_every_entry_counts_as_a_weight_or_a_filler(config: CoreConfig) -> None:
    layer = obeying(random_layer(Geometry("conv", 5, 3, 6, 5, (2, 2)), 0.4), config)
    program = pack_layer(layer, config)
    entries = int(work(layer, program.layout, config).entries.sum())
    (answer,) = simulate_core([run_of(layer, config)], config)
    assert answer.nonzeros == layer.nnz * program.tiles
    operands = config.operands if config.dense else config.streams
    assert answer.nonzeros + answer.fillers == operands * entries * program.tiles


@every_core
def test_every_malformed_stream_raises_its_error_and_no_other(config: CoreConfig) -> None:
    spoil_and_compare(config, 0.4)


@pytest.mark.parametrize("name", STALLED)
def test_a_layer_that_is_given_up_takes_back_no_offer(name: str) -> None:
    """An address is wrong in the last pass alone, while words of those before it wait at the output
    (`simulate_core` watches that they stay); the next layer's words are its own."""
    config = CORES[name]
    layer = obeying(random_layer(Geometry("linear", 1, 6 * config.filters), 1.0), config)
    run = run_of(layer, config)
    passes = run.descriptor["last_pass"] + 1
    step = (config.act_elements - 1) // (passes - 2)  # the last group alone lies beyond
    bad = dataclasses.replace(
        run, descriptor=run.descriptor | {"last_in_group": 0, "group_step": step}
    )
    for seed in range(3):
        first, second = simulate_core([bad, run], config, seed=seed, pressure=0.85)
        assert (first.error, second.error) == (1 << Error.ADDRESS, 0)
        assert is_right(second.raw, layer, config)


def test_a_map_that_is_too_long_fails_only_the_layer_that_takes_it() -> None:
    """It arrives while the map before is used, and the next layer uses that once more."""
    config = CORES["sparse"]
    layer = random_layer(Geometry("conv", 2, 4, 6, 6, (3, 3)), 0.4)
    run = run_of(layer, config)
    again = dataclasses.replace(
        run, descriptor=run.descriptor | {"new_map": 0}, acts=too_many_rows(run, config).acts
    )
    answers = simulate_core([run, again, dataclasses.replace(run, acts=run.acts[:0]), run], config)
    assert [answer.error for answer in answers] == [0, 0, 1 << Error.ACTS, 0]
    assert all(answer.error or is_right(answer.raw, layer, config) for answer in answers)


@every_core
def test_only_new_map_acts_in_the_cycle_of_the_start(config: CoreConfig) -> None:
    """The rest of the descriptor has two cycles to arrive, as synthesis believes, whether the layer
    waits for its map or takes none: a bench that stalls has it all wrong in the first."""
    layer = obeying(random_layer(Geometry("conv", 2, 4, 6, 6, (3, 3)), 0.4), config)
    run = run_of(layer, config)
    again = dataclasses.replace(run, descriptor=run.descriptor | {"new_map": 0}, acts=run.acts[:0])
    runs = [run, again, run, again]
    answers = simulate_runs(runs, config, simulators_dir(), stall_seed=2)
    assert all(is_right(answer.raw, layer, config) for answer in answers)
    assert not any(answer.error for answer in answers)


@every_core
def test_no_word_is_taken_that_the_layer_does_not_need(config: CoreConfig) -> None:
    layer = obeying(random_layer(Geometry("linear", 9, 2 * config.filters), 0.5), config)
    run = run_of(layer, config)
    weights = np.concatenate([run.weights, run.weights])
    biases = np.concatenate([run.biases, run.biases])
    (answer,) = simulate_core([dataclasses.replace(run, weights=weights, biases=biases)], config)
    assert answer.left_over == len(run.weights) + len(run.biases)
    assert is_right(answer.raw, layer, config)
