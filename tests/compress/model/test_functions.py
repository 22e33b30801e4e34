"""Functions of one number: evaluated, composed, tabulated."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.model import functions
from compress.nn.network import _function as in_torch

SWISH: functions.Program = ("x", "x", "sigmoid", "mul")


def test_swish_by_its_formula() -> None:
    for x in (-3.0, 0.0, 0.5, 7.0):
        assert functions.evaluate(SWISH, x) == pytest.approx(x / (1 + math.exp(-x)))


def test_a_function_of_a_function() -> None:
    outer: functions.Program = ("x", 2.0, "mul", "x", "add")
    made = functions.composed(outer, SWISH)
    assert functions.evaluate(made, 1.5) == pytest.approx(3 * functions.evaluate(SWISH, 1.5))


@given(
    st.sampled_from(sorted(functions.ARITIES)),
    st.lists(st.floats(0.1, 3), min_size=2, max_size=2),
)
def test_every_word_is_the_same_in_numpy_and_torch(word: str, numbers: list[float]) -> None:
    program = (*("x", (numbers[0], numbers[1]))[: functions.ARITIES[word]], word)
    x = np.linspace(0.1, 2.9, 12).reshape(1, 2, 3, 2)
    ours = functions.evaluate(program, x)
    theirs = in_torch(program, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_table_rounds_half_up_and_saturates() -> None:
    table = np.frombuffer(functions.table(("x", 0.5, "mul"), 1.0, 1.0), np.int8)
    assert table[128 + 3] == 2  # 1.5
    assert table[128 - 3] == -1  # -1.5
    steep = np.frombuffer(functions.table(("x", 4.0, "mul"), 1.0, 1.0), np.int8)
    assert (steep[0], steep[-1]) == (-128, 127)


def test_tables_by_channel() -> None:
    program = ("x", (1.0, -2.0), "mul")
    tables = np.frombuffer(functions.table(program, 1.0, 1.0), np.int8).reshape(2, 256)
    assert (tables[0, 130], tables[1, 130]) == (2, -4)
    assert functions.channels(program) == 2


def test_where_a_function_has_no_value_its_table_has_0() -> None:
    root = np.frombuffer(functions.table(("x", "sqrt"), 1.0, 1.0), np.int8)
    assert root[128 + 16] == 4
    assert not root[:128].any()
    inverse = np.frombuffer(functions.table((1.0, "x", "div"), 1.0, 1.0), np.int8)
    assert inverse[128] == 127
