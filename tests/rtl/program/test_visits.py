"""The order of visits, against a sort of tuples."""

import dataclasses

import numpy as np
import pytest
from random_layers import random_layer

from compress.model.graph import Geometry, Layer
from rtl.program.pack import layout_of
from rtl.program.visits import changes, order_on, turns_of, visit_order, visits, whole


def expected(layer: Layer, streams: int, turns: int) -> list[tuple[int, int, int, int]]:
    """(pass, stream, address, turn) of each weight, as they are visited."""
    layout = layout_of(layer.geometry, 1, 1, streams)
    tap, stream = layout.dealt()
    address = layout.tap_addresses()[tap]
    passes, turn = turns_of(layer.geometry, turns)
    return sorted(
        (int(passes[row]), int(stream[column]), int(address[column]), int(turn[row]))
        for row, column in zip(layer.row_idx, layer.col_idx, strict=True)
    )


def found(layer: Layer, streams: int, turns: int) -> list[tuple[int, int, int, int]]:
    order, addresses = order_on(layout_of(layer.geometry, 1, 1, streams))
    cell, place = visits(layer, order, whole(layer, turns))
    row = layer.row_idx[visit_order(layer, order, whole(layer, turns))]
    turn = turns_of(layer.geometry, turns)[1][row]
    number, stream = np.divmod(cell, streams)
    columns = number, stream, addresses[place], turn
    return [tuple(map(int, each)) for each in zip(*columns, strict=True)]


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_weights_are_visited_by_stream_and_address_and_turn(streams: int, turns: int) -> None:
    geometry = Geometry("conv", 8, 10, 6, 6, kernel=(3, 2), padding=(1, 0), groups=2)
    layer = random_layer(geometry, 0.6, seed=turns)
    assert found(layer, streams, turns) == expected(layer, streams, turns)


def test_the_numbers_of_a_large_layer_are_more_than_32_bits_hold() -> None:
    """A few weights of 2.5 billion, the last one among them."""
    small = random_layer(Geometry("linear", 4, 4), 0.5, seed=0)
    geometry = Geometry("linear", 50_000, 50_000)
    rows = np.array([0, 0, 7, 30_000, 49_999, 49_999])
    columns = np.array([3, 49_999, 0, 12_345, 1, 49_999])
    layer = dataclasses.replace(
        small,
        geometry=geometry,
        row_ptr=np.searchsorted(rows, np.arange(50_001)),
        col_idx=columns,
        levels=np.ones(6, np.int8),
        bias=np.zeros(50_000, np.int64),
        **{name: getattr(small, name)[:1] for name in ("q", "mul", "shift")},
    )
    for streams, turns in ((1, 1), (3, 1), (1, 2)):
        assert found(layer, streams, turns) == expected(layer, streams, turns)


def test_changes_are_where_a_value_differs_from_the_one_before() -> None:
    assert changes(np.array([4, 4, 5, 4])).tolist() == [True, False, True, True]
    assert changes(np.zeros(0, int)).tolist() == []
