"""Price lists: counted parts, the fit, and what is refused."""

import dataclasses
import math
from pathlib import Path

import pytest
from msgspec import structs

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.fit import feed
from synth import grid
from synth.blocks import BLOCKS
from synth.parts import parts
from synth.prices import PlacedLogic, PricedCore, PriceList, Prices, standard


def _invented(config: CoreConfig) -> PricedCore:
    """A core of which every part takes 3 um2 and one more for each letter of its name."""
    blocks = dict.fromkeys(BLOCKS, 0.0)
    for block, of_block in parts(config).items():
        blocks[block] += sum((3 + len(name)) * count for name, count in of_block.items())
    return PricedCore(
        config=dataclasses.asdict(config),
        logic_um2=sum(blocks.values()),
        fmax_hz=1e9,
        blocks_um2=blocks,
    )


def _core(**fields) -> CoreConfig:
    return standard(feed(CoreConfig(), **fields))


def test_the_grid_has_every_kind_and_no_core_twice():
    cores = grid.cores()
    assert len(cores) == len(set(cores)) >= 60
    kinds = {(core.core, core.coding if core.core == "sparse" else "") for core in cores}
    assert kinds == {
        ("dense-2d", ""),
        ("dense-scalar", ""),
        ("sparse", "relative"),
        ("sparse", "bitmask"),
        ("sparse", "window"),
        ("sparse-rows", ""),
        ("sparse-nm", ""),
        ("dense-packed", ""),
    }
    assert all(standard(core) == core for core in cores)
    assert max(core.multipliers for core in cores) >= 256
    assert {core.tiles for core in cores} >= {1, 2, 4}
    assert {core.streams for core in cores} >= {1, 2, 3, 4, 6, 8}


def test_areas_that_are_sums_of_parts_are_found_again():
    prices = Prices(map(_invented, grid.cores()))
    for fields in (
        {"core": "dense-2d", "lanes": 14, "filters": 7, "drain": 7},
        {"core": "dense-scalar", "lanes": 200, "tiles": 2},
        {"core": "sparse", "lanes": 91, "drain": 2, "index_bits": 10},
        {"core": "sparse", "lanes": 37, "drain": 4, "tiles": 4, "coding": "bitmask"},
        {"core": "sparse-rows", "lanes": 6, "filters": 5, "window_span": 3},
        {"core": "sparse", "lanes": 11, "drain": 2, "index_bits": 8, "streams": 5},
        {"core": "sparse", "lanes": 11, "drain": 2, "coding": "bitmask", "streams": 5},
        {"core": "sparse", "lanes": 14, "coding": "window", "window_span": 3, "beats": 2},
        {
            "core": "sparse",
            "lanes": 6,
            "filters": 5,
            "coding": "window",
            "window_span": 3,
            "streams": 2,
        },
        {"core": "dense-packed", "lanes": 5, "filters": 4, "mask_bits": 8},
        {"core": "sparse-nm", "lanes": 5, "filters": 3, "nm_keep": 2, "nm_group": 4},
    ):
        config = _core(**fields)
        price = prices.of(dataclasses.replace(config, weight_depth=77, act_depth=99))
        assert not price.measured
        assert price.logic_um2 == pytest.approx(_invented(config).logic_um2, rel=1e-3), fields
        assert price.fmax_hz == pytest.approx(1e9)
    assert prices.held_out.mean < 0.01


def test_a_core_of_the_list_costs_what_its_netlist_does():
    cores = [_invented(config) for config in grid.cores()]
    odd = cores[3].core
    cores[3] = PricedCore(
        config=cores[3].config, logic_um2=12345.0, fmax_hz=7e8, blocks_um2={"lanes": 12345.0}
    )
    prices = Prices(cores)
    assert prices.of(odd) == (12345.0, 7e8, True)
    assert prices.of(dataclasses.replace(odd, weight_depth=64)).measured


GROWTH = dict(zip(BLOCKS, (1.02, 1.1, 1.0, 1.05, 1.0, 1.03, 1.01, 1.2, 1.0), strict=False))


def _placed(core: PricedCore) -> PricedCore:
    """Grown by so much, and slower the more multipliers there are."""
    blocks = {block: GROWTH.get(block, 1.0) * area for block, area in core.blocks_um2.items()}
    period = 1 + 0.01 * math.log2(core.core.multipliers)
    placed = PlacedLogic(logic_um2=sum(blocks.values()), fmax_hz=1e9 / period, blocks_um2=blocks)
    return structs.replace(core, placed=placed)


def test_placed_cores_tell_what_others_would_take_placed():
    cores = [_invented(config) for config in grid.cores()]
    some = [_placed(core) if number % 5 == 0 else core for number, core in enumerate(cores)]
    prices = Prices(some, placed=True)
    assert prices.size == len(cores[::5])
    known = prices.of(cores[5].core)
    assert known == (some[5].placed.logic_um2, some[5].placed.fmax_hz, True)
    for core in cores[6:10]:  # each has a netlist, whose blocks grow
        price = prices.of(core.core)
        assert (price.measured, prices.mapped(core.core)) == (False, True)
        assert price.logic_um2 == pytest.approx(_placed(core).placed.logic_um2, rel=1e-6)
    for fields in ({"core": "dense-2d", "lanes": 14, "filters": 7, "drain": 7}, {"lanes": 91}):
        config = _core(**fields)
        whole = _placed(_invented(config)).placed
        price = prices.of(config)
        assert price.logic_um2 == pytest.approx(whole.logic_um2, rel=1e-3)
        assert price.fmax_hz == pytest.approx(whole.fmax_hz)
    assert Prices(some).of(cores[5].core).logic_um2 == cores[5].logic_um2
    assert prices.held_out.mean < 0.01
    with pytest.raises(CosignError, match="has no placed cores; write one by"):
        Prices(cores, placed=True)


def test_what_the_list_does_not_know_is_refused():
    prices = Prices(map(_invented, [c for c in grid.cores() if c.core != "sparse-rows"]))
    with pytest.raises(CosignError, match="no sparse-rows core"):
        prices.of(_core(core="sparse-rows", lanes=4, filters=4))
    assert prices.find(_core(core="sparse-rows", lanes=4, filters=4)) is None
    beats = _core(coding="window", window_span=3, beats=2, lanes=8)
    whole = Prices(map(_invented, [c for c in grid.cores() if c.beats == 1]))
    assert prices.find(beats) is not None
    assert whole.find(beats) is None  # no core of that list keeps a part of a window
    with pytest.raises(CosignError, match="no core with all that sparse-8-window3x2 is made of"):
        whole.of(beats)
    with pytest.raises(CosignError, match="weight_bits"):
        prices.of(_core(weight_bits=5))
    with pytest.raises(CosignError, match="gate_zeros"):
        prices.of(_core(gate_zeros=1))
    with pytest.raises(CosignError, match=r"knows no core with the weight_bits, act_bits, .*-a6"):
        prices.of(_core(act_bits=6))
    with pytest.raises(CosignError, match="at least one"):
        Prices([])


def test_a_list_of_other_activations_prices_those_alone():
    cores = [core.for_activations(6) for core in grid.cores()]
    prices = Prices(map(_invented, cores))
    assert prices.act_bits == 6
    core = _core(core="dense-2d", lanes=14, filters=7, drain=7, act_bits=6)
    assert prices.of(core).logic_um2 == pytest.approx(_invented(core).logic_um2)
    with pytest.raises(CosignError, match="knows no core with the weight_bits, act_bits"):
        prices.of(_core(core="dense-2d", lanes=14, filters=7, drain=7))


def test_a_list_is_read_as_it_was_written(tmp_path: Path):
    cores = [_invented(config) for config in grid.cores()[:4]]
    written = PriceList(
        cores=(*cores[:3], _placed(cores[3])), provenance={"recipe": "r", "pdk": {"n": 1}}
    )
    written.write(tmp_path / "list.json")
    assert PriceList.read(tmp_path / "list.json") == written
    text = (tmp_path / "list.json").read_text()
    (tmp_path / "list.json").write_text(text.replace('"lanes":', '"lions":'))
    with pytest.raises(CosignError, match="lions is no field"):
        Prices(PriceList.read(tmp_path / "list.json").cores)


def test_the_built_in_list_prices_cores_that_it_has_not_seen():
    prices = Prices(PriceList.read().cores)
    assert prices.held_out.mean < 0.02
    assert prices.kinds >= {"dense-2d", "dense-scalar", "sparse", "sparse-rows"}


def test_the_built_in_list_has_placed_cores():
    mapped = Prices(PriceList.read().cores)
    placed = Prices(PriceList.read().cores, placed=True)
    assert 6 <= placed.size < mapped.size
    assert placed.held_out.mean < 0.03
    config = _core(core="dense-2d", lanes=14, filters=7, drain=7)
    assert 1 < placed.of(config).logic_um2 / mapped.of(config).logic_um2 < 1.1
