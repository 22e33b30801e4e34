import dataclasses
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.sram import Macro, macros
from synth.sram import (
    area_by_purpose,
    area_um2,
    energy_per_access,
    held_out_errors,
    interpolate,
    table,
    tile,
)


def test_table_macros_cost_their_layout() -> None:
    for row in table():
        assert tile(row.words, row.bits).area_um2 <= row.area_um2
        assert row.access_ns > 0
        assert row.setup_ns > 0
        assert row.read_pj > 0
        assert row.write_pj > 0
        assert row.leakage_uw > 0
    assert len(table()) >= 12
    assert len({(row.words, row.bits) for row in table()}) == len(table())
    assert tile(256, 32).area_um2 == 14870.2
    assert tile(64, 16).area_um2 == 4595.3


def brute_force(words: int, bits: int) -> float:
    return min(unfolded(-(-words // fold), bits * fold) for fold in (1, 2, 4, 8))


def unfolded(words: int, bits: int) -> float:
    """For every width the cheapest column of up to three macros; rows of up to five columns."""
    columns = []
    for width in {row.bits for row in table()}:
        rows = [row for row in table() if row.bits == width]
        costs = [
            sum(row.area_um2 for row in stack)
            for count in range(1, 4)
            for stack in itertools.combinations_with_replacement(rows, count)
            if sum(row.words for row in stack) >= words
        ]
        if costs:
            columns.append((width, min(costs)))
    return min(
        (
            sum(cost for _, cost in grid)
            for count in range(1, 6)
            for grid in itertools.combinations_with_replacement(columns, count)
            if sum(width for width, _ in grid) >= bits
        ),
        default=math.inf,
    )


@pytest.mark.parametrize(
    ("words", "bits"), [(64, 16), (65, 16), (200, 20), (256, 17), (500, 8), (1100, 16), (40, 8)]
)
def test_tiling_is_the_cheapest(words: int, bits: int) -> None:
    tiling = tile(words, bits)
    assert tiling.area_um2 == pytest.approx(brute_force(words, bits))
    assert tiling.area_um2 == pytest.approx(sum(n * row.area_um2 for n, row in tiling.tiles))
    assert sum(n * row.words * row.bits for n, row in tiling.tiles) >= words * bits


def test_narrow_memories_are_folded() -> None:
    """Four bytes share a row: a deep byte-wide memory wastes no columns."""
    assert tile(4096, 8).area_um2 == tile(1024, 32).area_um2 == 48714.9
    assert tile(2048, 20).area_um2 < 0.8 * 2 * tile(1024, 32).area_um2


def test_of_equally_large_grids_that_of_the_least_energy() -> None:
    """Ten macros below each other, or five pairs: a word of the former is in one of them."""
    one = next(row for row in table() if (row.words, row.bits) == (1024, 32))
    assert tile(10240, 32).area_um2 == pytest.approx(10 * one.area_um2)
    assert tile(10240, 32).read_pj == pytest.approx(one.read_pj)


@settings(max_examples=40, deadline=None)
@given(words=st.integers(1, 3000), bits=st.integers(1, 100))
def test_area_grows_and_flat_is_the_lower_bound(words: int, bits: int) -> None:
    area = area_um2("openram", words, bits)
    assert area <= area_um2("openram", words + 1, bits)
    assert area <= area_um2("openram", words, bits + 1)
    assert area_um2("flat", words, bits) == pytest.approx(0.57 * words * bits)
    assert area > area_um2("flat", words, bits)


def test_purposes_add_up() -> None:
    config = CoreConfig()
    parts = area_by_purpose("flat", macros(config))
    assert set(parts) == {"activation", "weight"}
    assert parts["activation"] == pytest.approx(0.57 * 8 * config.act_bytes)
    assert parts["weight"] == pytest.approx(0.57 * 2 * config.weight_depth * config.entry_bits)


def test_unknown_model() -> None:
    with pytest.raises(CosignError, match="not one of openram, flat"):
        area_um2("cacti", 64, 16)


def test_choosing_among_macros_is_counted() -> None:
    """Two stacked macros: a multiplexer a bit, one select, one enable; one macro: nothing."""
    assert tile(512, 32).selection_um2 == 0
    stacked = tile(2048, 64)
    gates = stacked.selection_um2
    assert [row.words for _, row in stacked.tiles] == [1024]
    assert gates == pytest.approx(2 * (32 * 1.862 + 4.522 + 1.064))
    assert area_um2("openram", 2048, 64) == pytest.approx(stacked.area_um2 + gates)


def test_an_access_takes_one_macro_of_each_column() -> None:
    one = next(row for row in table() if (row.words, row.bits) == (1024, 32))
    both = tile(2048, 64)
    assert both.read_pj == pytest.approx(2 * one.read_pj)
    assert both.leakage_uw == pytest.approx(4 * one.leakage_uw)
    read, write = energy_per_access(Macro("weight", 2048, 64, 2))
    assert (read, write) == pytest.approx((both.read_pj, both.write_pj))


def test_held_out_macros_are_interpolated() -> None:
    """The worst macro of each quantity; areas jump where OpenRAM changes its column multiplexer."""
    errors = held_out_errors()
    bounds = {"area_um2": 0.25, "access_ns": 0.12, "read_pj": 0.07, "write_pj": 0.07}
    for name, bound in bounds.items():
        assert 0 < errors[name]["mean"] < errors[name]["worst"] < bound
    assert errors["area_um2"]["mean"] < 0.11
    assert errors["read_pj"]["mean"] < 0.02


def test_interpolation_recovers_a_power_law() -> None:
    rows = [dataclasses.replace(row, area_um2=3.0 * row.words * row.bits) for row in table()]
    assert interpolate(100, 24, rows)["area_um2"] == pytest.approx(3.0 * 100 * 24)


@pytest.mark.parametrize(("words", "bits"), [(16, 16), (4096, 16), (64, 4), (64, 128)])
def test_nothing_is_extrapolated(words: int, bits: int) -> None:
    with pytest.raises(CosignError, match="lies outside the OpenRAM table"):
        interpolate(words, bits)
