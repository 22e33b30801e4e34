import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.sram import macros
from synth.sram import area_by_purpose, area_um2, table, tile


def test_table_macros_cost_their_layout() -> None:
    for row in table():
        assert tile(row.words, row.bits).area_um2 <= row.area_um2
        assert row.access_ns > 0
        assert row.setup_ns > 0
    assert area_um2("openram", 256, 32) == 14870.2
    assert area_um2("openram", 64, 16) == 4595.3


def brute_force(words: int, bits: int) -> float:
    return min(unfolded(-(-words // fold), bits * fold) for fold in (1, 2, 4, 8))


def unfolded(words: int, bits: int) -> float:
    """Every column of up to three macros of one width, every row of up to five columns."""
    best = math.inf
    columns = []
    for width in {row.bits for row in table()}:
        rows = [row for row in table() if row.bits == width]
        for count in range(1, 4):
            for stack in itertools.combinations_with_replacement(rows, count):
                if sum(row.words for row in stack) >= words:
                    columns.append((width, sum(row.area_um2 for row in stack)))
    for count in range(1, 6):
        for grid in itertools.combinations_with_replacement(columns, count):
            if sum(width for width, _ in grid) >= bits:
                best = min(best, sum(cost for _, cost in grid))
    return best


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
