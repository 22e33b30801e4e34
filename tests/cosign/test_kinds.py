"""Kinds of values of options: what is taken, and what is a sentence."""

import argparse

import pytest

from cosign import kinds


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.positive(int), "3", 3),
        (kinds.positive(float), "1e-9", 1e-9),
        (kinds.count, "0", 0),
        (kinds.fraction, "1", 1.0),
        (kinds.bits, "8", 8),
        (kinds.bits_or_auto, "auto", "auto"),
        (kinds.bits_or_auto, "1", 1),
        (kinds.pruning_ratio, "40x", 40.0),
        (kinds.area, "2mm2", 2e6),
        (kinds.area, "0.45 mm2", 450_000.0),
        (kinds.area, "1500um2", 1500.0),
        (kinds.pruning_ratio, "1", 1.0),
        (kinds.bytes_per_cycle, "0.125", 0.125),
        (kinds.bytes_per_cycle, "8", 8.0),
        (kinds.bytes_per_cycle, "inf", None),
    ],
)
def test_values(kind, text, value):
    assert kind(text) == value
    assert type(kind(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (kinds.positive(int), "0", "0 is not positive"),
        (kinds.positive(int), "1.5", "1.5 is no whole number"),
        (kinds.positive(float), "inf", "inf is not positive"),
        (kinds.positive(float), "nan", "nan is not positive"),
        (kinds.positive(float), "many", "many is no number"),
        (kinds.count, "-1", "-1 is negative"),
        (kinds.bytes_per_cycle, "0", "0 is no positive multiple of 0.125, and not inf"),
        (kinds.bytes_per_cycle, "0.3", "0.3 is no positive multiple of 0.125, and not inf"),
        (kinds.bytes_per_cycle, "-inf", "-inf is no positive multiple of 0.125, and not inf"),
        (kinds.bytes_per_cycle, "nan", "nan is no positive multiple of 0.125, and not inf"),
        (kinds.bytes_per_cycle, "wide", "wide is no number"),
        (kinds.fraction, "1.01", "1.01 is not between 0 and 1"),
        (kinds.fraction, "nan", "nan is not between 0 and 1"),
        (kinds.bits, "9", "9 is not 1 to 8"),
        (kinds.bits, "auto", "auto is not 1 to 8"),
        (kinds.bits_or_auto, "0", "0 is neither 1 to 8 nor auto"),
        (kinds.area, "2", "2 is an area without a unit; write 2mm2 or 2000000um2"),
        (kinds.area, "2mm", "2mm is an area without a unit; write 2mm2 or 2000000um2"),
        (kinds.area, "0mm2", "0 is not positive"),
        (kinds.area, "xum2", "x is no number"),
        (kinds.pruning_ratio, "0.9x", "0.9x is no pruning ratio; it must be at least 1x"),
        (kinds.pruning_ratio, "x", "x is no pruning ratio; write 40x"),
    ],
)
def test_a_wrong_value_is_a_sentence(kind, text, sentence):
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        kind(text)
    assert str(raised.value) == sentence
