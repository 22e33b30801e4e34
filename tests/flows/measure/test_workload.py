"""Random masks: their streams are shared by cores that read the same one."""

import pytest

from compress.model.graph import Geometry
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.coreset import base
from rtl.program.encode import work
from rtl.program.fit import feed
from rtl.program.pack import layout_of
from sim import cycles

CONV = Geometry("conv", 6, 14, 9, 9, kernel=(3, 3), padding=(1, 1))
LINEAR = Geometry("linear", 300, 40)
SPARSE = [
    feed(base("sparse"), lanes=lanes, tiles=tiles, coding=coding, drain=drain)
    for lanes, tiles, drain in ((5, 1, 1), (16, 1, 2), (7, 2, 3))
    for coding in ("relative", "absolute", "bitmask")
]
OTHERS = [
    feed(base("sparse-rows"), filters=filters, lanes=lanes)
    for filters, lanes in ((2, 8), (4, 8), (4, 16))
]
PACKED = [
    feed(base("dense-packed"), filters=filters, lanes=8, tiles=tiles, mask_bits=bits)
    for filters, tiles, bits in ((2, 1, 16), (8, 2, 8), (3, 1, 5))
]


@pytest.mark.parametrize("geometry", [CONV, LINEAR], ids=["conv", "linear"])
def test_every_core_is_counted_as_if_alone(geometry: Geometry) -> None:
    masks = RandomMasks(geometry, 3 if geometry.kind == "linear" else 1, 0)
    short = [feed(base("sparse"), lanes=5, index_bits=bits) for bits in (1, 2)]
    narrow = [
        feed(base("sparse"), coding="bitmask", mask_bits=bits, streams=streams)
        for bits, streams in ((4, 1), (9, 1), (9, 4))
    ]
    for portion in (0.0, 0.6, 0.95):
        layer = masks.layer(portion)
        for core in (*SPARSE, *short, *narrow, *OTHERS, *PACKED):
            layout = layout_of(geometry, masks.batch, core.tiles, core.element)
            alone = work(layer, layout, core)
            assert masks.cycles(core, portion) == cycles.run_cycles(alone, layout, core)
            stored = masks.stored(core, portion)
            assert stored.filter == alone.stored.max()
            assert stored.layer + stored.layer_masks == alone.words.sum()


def test_a_dense_core_knows_no_portion() -> None:
    masks = RandomMasks(LINEAR, 3, 0)
    dense = CoreConfig("dense-2d", lanes=8, filters=4)
    assert (
        masks.cycles(dense, 0.9)
        == masks.cycles(dense, 0.0)
        == cycles.dense_cycles(LINEAR, dense, 3)
    )


def test_a_packed_core_is_as_fast_as_a_dense_one_and_stores_less() -> None:
    """But for what a first pass takes less time to load: all other loading is behind the tiles."""
    dense = CoreConfig("dense-2d", lanes=8, filters=4)
    packed = feed(dense, core="dense-packed", mask_bits=8)
    masks = RandomMasks(CONV, 1, 0)
    whole = masks.cycles(dense, 0.0)
    for portion in (0.0, 0.5, 0.9):
        cycles_, stored = masks.cycles(packed, portion), masks.stored(packed, portion)
        first = work(masks.layer(portion), layout_of(CONV, 1, 1), packed).words[0]
        assert cycles_ == whole - CONV.columns + first
        nonzeros = round((1 - portion) * CONV.weights)
        assert 4 * stored.layer == pytest.approx(nonzeros, abs=4 * 4)
        assert stored.layer_masks == 4 * -(-CONV.columns // 8)
