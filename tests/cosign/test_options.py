"""What options of commands have in common: pixels, names, results as JSON or as text."""

import argparse
import json

import pytest

from cosign import CosignError, options, streams


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
    with streams.alone("-"):
        print("before")
        options.publish([1], "-", "one")
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ([1], "before\n")
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
