"""Values of options: what is taken, and what is a sentence; results as JSON or as text."""

import argparse
import json

import pytest

from cosign import CosignError, options


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (options.positive(int), "3", 3),
        (options.positive(float), "1e-9", 1e-9),
        (options.count, "0", 0),
        (options.fraction, "1", 1.0),
        (options.bits, "8", 8),
        (options.bits_or_auto, "auto", "auto"),
        (options.bits_or_auto, "1", 1),
        (options.pruning_ratio, "40x", 40.0),
        (options.area, "2mm2", 2e6),
        (options.area, "0.45 mm2", 450_000.0),
        (options.area, "1500um2", 1500.0),
        (options.pruning_ratio, "1", 1.0),
        (options.bytes_per_cycle, "0.125", 0.125),
        (options.bytes_per_cycle, "8", 8.0),
        (options.bytes_per_cycle, "inf", None),
    ],
)
def test_values(kind, text, value):
    assert kind(text) == value
    assert type(kind(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (options.positive(int), "0", "0 is not positive"),
        (options.positive(int), "1.5", "1.5 is no whole number"),
        (options.positive(float), "inf", "inf is not positive"),
        (options.positive(float), "nan", "nan is not positive"),
        (options.positive(float), "many", "many is no number"),
        (options.count, "-1", "-1 is negative"),
        (options.bytes_per_cycle, "0", "0 is no positive multiple of 0.125, and not inf"),
        (options.bytes_per_cycle, "0.3", "0.3 is no positive multiple of 0.125, and not inf"),
        (options.bytes_per_cycle, "-inf", "-inf is no positive multiple of 0.125, and not inf"),
        (options.bytes_per_cycle, "nan", "nan is no positive multiple of 0.125, and not inf"),
        (options.bytes_per_cycle, "wide", "wide is no number"),
        (options.fraction, "1.01", "1.01 is not between 0 and 1"),
        (options.fraction, "nan", "nan is not between 0 and 1"),
        (options.bits, "9", "9 is not 1 to 8"),
        (options.bits, "auto", "auto is not 1 to 8"),
        (options.bits_or_auto, "0", "0 is neither 1 to 8 nor auto"),
        (options.area, "2", "2 is an area without a unit; write 2mm2 or 2000000um2"),
        (options.area, "2mm", "2mm is an area without a unit; write 2mm2 or 2000000um2"),
        (options.area, "0mm2", "0 is not positive"),
        (options.area, "xum2", "x is no number"),
        (options.pruning_ratio, "0.9x", "0.9x is no pruning ratio; it must be at least 1x"),
        (options.pruning_ratio, "x", "x is no pruning ratio; write 40x"),
    ],
)
def test_a_wrong_value_is_a_sentence(kind, text, sentence):
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        kind(text)
    assert str(raised.value) == sentence


def pixels(*arguments: str, channels: int = 3):
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add_pixels(parser)
    return options.pixels_of(parser.parse_args(arguments), channels)


def test_pixels_by_channel_or_one_number_for_all():
    assert pixels() is None
    assert pixels("--mean", "0.5", "--std", "0.25") == ((0.5,) * 3, (0.25,) * 3)
    assert pixels("--mean", "0,.5,1", "--std", "1") == ((0.0, 0.5, 1.0), (1.0,) * 3)
    assert pixels("--mean", "0.5", "--std", "0.25", channels=1) == ((0.5,), (0.25,))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mean", "0.5"], "--mean and --std belong together"),
        (["--std", "0.5"], "--mean and --std belong together"),
        (
            ["--mean", "0,0", "--std", "1"],
            "--mean has 2 numbers, but the network reads images of 3",
        ),
        (["--mean", "0", "--std", "1,1"], "--std has 2 numbers, but the network reads images"),
        (["--std", "0,0,0"], "0 is not positive"),
        (["--std", "1,-1,1"], "-1 is not positive"),
        (["--std", "inf"], "inf is not positive"),
        (["--std", "nan"], "nan is not positive"),
        (["--mean", "nan"], "nan is not between 0 and 1"),
        (["--mean", "123.675,116.28,103.53"], "divide what is of 0 to 255 by 255"),
        (["--mean", "1,"], " is no number"),
        (["--mean", "R,G,B"], "R is no number"),
    ],
)
def test_pixels_that_no_network_reads(arguments, sentence):
    with pytest.raises((CosignError, argparse.ArgumentError)) as raised:
        pixels(*arguments)
    assert sentence in str(raised.value)


def test_a_name_that_nobody_knows():
    options.check_names("--methods", ["admm"], ("admm", "l1"))
    with pytest.raises(CosignError, match="--methods: there is no 'l0'; choose from admm, l1"):
        options.check_names("--methods", ["admm", "l0"], ("admm", "l1"))


def test_a_result_is_text_and_json_or_json_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options.publish([1], None, "one")
    assert capsys.readouterr().out == "one\n"
    options.publish([1], "found.json", "one")
    assert capsys.readouterr().out == "one\n"
    assert json.loads((tmp_path / "found.json").read_text()) == [1]
    print("before", file=options.output("-"))
    options.publish([1], "-", "one")
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ([1], "before\n")
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
