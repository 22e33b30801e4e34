"""Descriptors that the fields cannot hold are refused by the packer, whichever field it is."""

import numpy as np
import pytest
from random_layers import layer_of

from compress.model.graph import Geometry
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.fields import widths
from rtl.program.fields import DISTANCES, NEEDS, check_fields
from rtl.program.pack import pack_layer

DEEP = {"act_depth": 1 << 16, "weight_depth": 1 << 17}
CORES = {
    "sparse": CoreConfig(**DEEP),
    "bitmask": CoreConfig(coding="bitmask", mask_bits=2, tap_depth=512, mask_depth=1 << 16, **DEEP),
    "sparse-dot": CoreConfig(lanes=13, streams=4, **DEEP),
    "window": CoreConfig(lanes=13, coding="window", beats=2, **DEEP),
    "dense-scalar": CoreConfig("dense-scalar", **DEEP),
    "dense-2d": CoreConfig("dense-2d", lanes=8, filters=8, **DEEP),
    "dense-packed": CoreConfig("dense-packed", lanes=8, filters=8, mask_depth=1 << 16, **DEEP),
    "sparse-rows": CoreConfig("sparse-rows", lanes=8, filters=8, tap_depth=512, **DEEP),
    "sparse-nm": CoreConfig("sparse-nm", lanes=8, filters=8, **DEEP),
}
DENSE = ("dense-scalar", "dense-2d", "dense-packed", "sparse-nm")
SHAPES = {
    "its kernel is 300 high, last_row holds 256": Geometry("conv", 1, 1, 300, 1, (300, 1)),
    "its kernel is 257 wide, last_column holds 256": Geometry("conv", 1, 1, 1, 257, (1, 257)),
    "its vertical stride is 300, last_phase_y holds 256": Geometry(
        "conv", 1, 1, 301, 1, (1, 1), (300, 1)
    ),
    "its horizontal stride is 257, last_phase_x holds 256": Geometry(
        "conv", 1, 1, 1, 258, (1, 1), (1, 257)
    ),
}
FITTING = (
    Geometry("conv", 1, 1, 256, 1, (256, 1)),
    Geometry("conv", 1, 1, 1, 256, (1, 256)),
    Geometry("conv", 1, 1, 257, 257, (1, 1), (256, 256)),
)


def of(geometry: Geometry):
    return layer_of(np.ones((geometry.out_channels, geometry.columns), np.int8), geometry)


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("sentence", SHAPES)
def test_a_loop_that_a_dense_core_cannot_count_is_refused(name: str, sentence: str) -> None:
    layer = of(SHAPES[sentence])
    with pytest.raises(CosignError, match=f"{sentence} at most; use the sparse core"):
        pack_layer(layer, CORES[name])
    assert pack_layer(layer, CORES["sparse"]).descriptor["last_tile"] == 0


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("geometry", FITTING, ids=["high", "wide", "stride"])
def test_the_largest_that_a_field_holds_is_packed(name: str, geometry: Geometry) -> None:
    values = pack_layer(of(geometry), CORES[name]).descriptor
    for field, width in widths(CORES[name]).items():
        assert 0 <= values[field] < 1 << width


@pytest.mark.parametrize("name", CORES)
def test_more_passes_or_tiles_than_can_be_counted_are_refused(name: str) -> None:
    config = CORES[name]
    passes = of(Geometry("linear", 1, ((1 << 16) + 1) * config.filters))
    with pytest.raises(CosignError, match="65537 passes, last_pass holds 65536 at most; split"):
        pack_layer(passes, config)
    pixels = (1 << 16) * config.lanes + 1
    if pixels * config.element <= config.act_bytes:
        with pytest.raises(CosignError, match="65537 tiles of lanes, last_tile holds 65536"):
            pack_layer(of(Geometry("linear", 1, 1)), config, pixels)


@pytest.mark.parametrize("name", CORES)
def test_every_field_is_refused_beyond_its_width_and_told(name: str) -> None:
    """From the fields' own widths, whatever layer could ask for them."""
    config = CORES[name]
    fields = widths(config)
    assert set(fields) <= {"new_map", "relu", *NEEDS, *DISTANCES}
    zeros = dict.fromkeys(fields, 0)
    check_fields("conv", zeros, config)
    for field, width in fields.items():
        check_fields("conv", zeros | {field: (1 << width) - 1}, config)
        for wrong in (1 << width, -1):
            with pytest.raises(CosignError, match=rf"layer 'conv' .*\b{field} .*; \w+"):
                check_fields("conv", zeros | {field: wrong}, config)
