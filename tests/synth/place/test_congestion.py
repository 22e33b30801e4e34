"""Demand over capacity of wires that can be counted by hand."""

import dataclasses

import numpy as np
import pytest

from synth.pdk import find_pdk
from synth.place.geometry import Block, Floorplan
from synth.place.lef import Outline, find_lef
from synth.place.wires.congestion import BIN_ROWS, FREE, Congestion, congestion, routed_layers
from synth.place.wires.steiner import steiner_trees

LEF = find_lef(find_pdk())
BIN = BIN_ROWS * LEF.row_um
PLAN = Floorplan(10 * BIN, 8 * BIN, 0.0, 0.0, LEF.site_um, LEF.row_um, 700, 80, (), {})


def tracks(horizontal: bool) -> float:
    return sum(BIN / y.pitch_um for y in routed_layers(LEF) if y.horizontal is horizontal)


def found(*nets: tuple[tuple[float, float], ...], plan: Floorplan = PLAN) -> Congestion:
    starts = np.cumsum([0, *map(len, nets)])
    x, y = BIN * np.array([pin for net in nets for pin in net]).T
    return congestion(steiner_trees(starts, x, y), plan, LEF)


def test_a_straight_wire() -> None:
    ratio = found(((1.5, 2.5), (4.25, 2.5))).ratio
    one = 1 / (FREE * tracks(True))
    assert ratio.shape == (10, 8)
    assert ratio[1:5, 2] == pytest.approx([0.5 * one, one, one, 0.25 * one])
    ratio[1:5, 2] = 0
    assert not ratio.any()


def test_ways_of_two_bends_are_alike() -> None:
    """A box of 2 by 2 bins has four: each side of it in two."""
    ratio = found(((1.5, 2.5), (2.5, 3.5))).ratio
    assert (ratio > 0).sum() == 4
    assert ratio[1:3, 2:4] == pytest.approx(0.25 / (FREE * min(tracks(True), tracks(False))))


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost(seed: int) -> None:
    """All wire is somewhere: along each axis as much as the trees have."""
    rng = np.random.default_rng(seed)
    for flat in (0, 1):
        ends = rng.uniform(0, 7.99, (40, 2, 2))
        ends[:, :, flat] = ends[:, :1, flat]
        ratio = found(*(tuple(map(tuple, net)) for net in ends)).ratio
        length = np.abs(ends[:, 0, 1 - flat] - ends[:, 1, 1 - flat]).sum()
        assert ratio.sum() * FREE * tracks(flat == 1) == pytest.approx(length)


def test_bins_under_memories_are_left_out() -> None:
    block = Block("m", Outline("m", 2 * BIN, BIN, {}), 4 * BIN, 2 * BIN, "N")
    plan = dataclasses.replace(PLAN, blocks=(block,))
    over = found(((1.5, 2.5), (8.5, 2.5)), plan=plan)
    assert np.isnan(over.ratio[4:6, 2]).all()
    assert np.isnan(over.ratio).sum() == 2
    assert over.worst == pytest.approx(1 / (FREE * tracks(True)))


def test_points_have_what_their_bin_has() -> None:
    block = Block("m", Outline("m", BIN, BIN, {}), 3 * BIN, 2 * BIN, "N")
    over = found(((1.5, 2.5), (4.25, 2.5)), plan=dataclasses.replace(PLAN, blocks=(block,)))
    x, y = BIN * np.array([(1.9, 2.1), (2.0, 2.9), (3.5, 2.5), (0.1, 7.9)]).T
    one = 1 / (FREE * tracks(True))
    assert over.at(x, y) == pytest.approx([0.5 * one, one, 0, 0])
