"""Options of commands that take a core, or a set of them."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.options import add_cores, add_options, config_of, cores_of

SMALL = str(Path(__file__).parents[1] / "small_cores.toml")


def config(*words: str) -> CoreConfig:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return config_of(parser.parse_args(words))


def test_a_core_of_its_own() -> None:
    assert config() == CoreConfig()
    assert config("--lanes", "8") == CoreConfig(lanes=8, act_banks=4)
    assert config("--lanes", "8", "--act-banks", "16") == CoreConfig(lanes=8)


def test_a_core_like_another() -> None:
    default, small = CoreSet(), CoreSet.read(Path(SMALL))
    assert config("--like", "dense") == default.dense
    assert config("--like", "sparse-46-bitmask").lanes == 46
    assert config("--cores", SMALL) == small.sparse
    assert config("--cores", SMALL, "--like", "sparse-7-bitmask") in small.candidates
    narrow = config("--cores", SMALL, "--like", "dense_scalar", "--weight-bits", "4")
    assert narrow == dataclasses.replace(small.dense_scalar, weight_bits=4)
    with pytest.raises(CosignError, match="no core 'sparse-46'; there are dense"):
        config("--cores", SMALL, "--like", "sparse-46")


def test_a_set_of_cores() -> None:
    parser = argparse.ArgumentParser()
    add_cores(parser)
    assert cores_of(parser.parse_args([])) == CoreSet()
    assert cores_of(parser.parse_args(["--cores", SMALL])).sparse.lanes == 5
