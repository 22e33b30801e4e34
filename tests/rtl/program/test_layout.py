"""The memory layout against slices of the padded map."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compress.model.graph import Geometry
from cosign import CosignError
from rtl.program.layout import Layout


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw: st.DrawFn) -> Geometry:
    groups = draw(st.integers(1, 3))
    fields = {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups,
        "in_height": draw(st.integers(1, 14)),
        "in_width": draw(st.integers(1, 14)),
        "kernel": draw(pairs(1, 6)),
        "stride": draw(pairs(1, 5)),
        "padding": draw(pairs(0, 4)),
        "dilation": draw(pairs(1, 3)),
        "groups": groups,
    }
    try:
        return Geometry("conv", **fields)
    except CosignError:
        assume(False)
        raise


@given(convolutions(), st.sampled_from([4, 16, 64]))
def test_every_tap_of_every_output_reads_the_padded_map(g: Geometry, word_bytes: int):
    x = np.random.default_rng(0).integers(1, 128, (g.in_channels, g.in_height, g.in_width), np.int8)
    layout = Layout(g)
    memory = layout.pack(x, word_bytes).reshape(-1).view(np.int8)
    assert len(memory) >= layout.bytes
    (top, left), (down, right) = g.padding, g.stride
    padded = np.pad(x, ((0, 0), (top, top), (left, left)))
    channels = g.in_channels // g.groups
    outputs = np.arange(g.out_height)[:, None] * layout.pitch + np.arange(g.out_width)
    for group, c, r, s in np.ndindex(g.groups, channels, *g.kernel):
        rows = padded[group * channels + c, r * g.dilation[0] :: down, s * g.dilation[1] :: right]
        address = group * layout.group_step + int(layout.tap_address(c, r, s))
        assert np.array_equal(memory[address + outputs], rows[: g.out_height, : g.out_width])
    assert np.all(outputs < layout.positions)


def test_neighbouring_rows_share_their_padding():
    layout = Layout(Geometry("conv", 384, 384, 13, 13, (3, 3), (1, 1), (1, 1), (1, 1), 2))
    assert (layout.pitch, layout.plane, layout.positions) == (14, 14 * 14, 12 * 14 + 13)
    assert layout.bytes < 384 * 14 * 14 + 2 * 14


def test_unread_phases_are_not_stored():
    layout = Layout(Geometry("conv", 8, 8, 8, 8, (1, 1), (2, 2)))
    assert layout.bytes == 8 * 4 * 4


@given(st.integers(1, 9), st.integers(1, 9))
def test_linear_layers_take_a_batch_as_pixels(batch: int, channels: int):
    x = np.random.default_rng(0).integers(-128, 128, (batch, channels), np.int8)
    layout = Layout(Geometry("linear", channels, 3), batch)
    memory = layout.pack(x, 4).reshape(-1).view(np.int8)
    for image, channel in np.ndindex(batch, channels):
        address = int(layout.tap_address(channel, 0, 0)) + image
        assert memory[address] == x[image, channel]
    outputs = np.arange(3 * layout.positions, dtype=np.int16).reshape(3, -1)
    assert np.array_equal(layout.unpack(outputs), outputs.T)


@given(convolutions(), st.sampled_from([2, 4, 8]))
def test_an_element_has_the_channels_of_one_pixel_side_by_side(g: Geometry, element: int):
    """As a layout of bytes has them one behind the other, and zeros where no channel is left."""
    x = np.random.default_rng(0).integers(1, 128, (g.in_channels, g.in_height, g.in_width), np.int8)
    wide, bytes_ = Layout(g, element=element), Layout(g)
    memory = wide.pack(x, 16).view(np.int8).reshape(-1, element)
    reference = bytes_.pack(x, 16).view(np.int8).reshape(-1)
    assert memory.size >= wide.bytes
    assert (wide.pitch, wide.plane, wide.positions) == (
        bytes_.pitch,
        bytes_.plane,
        bytes_.positions,
    )
    channels = g.in_channels // g.groups
    positions = np.arange(wide.positions)
    for group, c, r, s in np.ndindex(g.groups, wide.channels * element, *g.kernel):
        address = group * wide.group_step + int(wide.tap_address(c // element, r, s))
        found = memory[address + positions, c % element]
        if c < channels:
            address = group * bytes_.group_step + int(bytes_.tap_address(c, r, s))
            assert np.array_equal(found, reference[address + positions])
        else:
            assert not found.any()


def test_a_convolution_takes_one_image():
    with pytest.raises(CosignError, match="one image at a time"):
        Layout(Geometry("conv", 1, 1, 4, 4, (3, 3)), batch=2)
