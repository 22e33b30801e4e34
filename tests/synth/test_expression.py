"""Liberty's expressions against Python's, over all inputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosign import CosignError
from synth.liberty import expression

NAMES = ("A", "B1", "CK_N")


@st.composite
def spelled(draw: st.DrawFn, depth: int = 3) -> tuple[str, str]:
    """(Liberty, Python) of an expression, every spelling of an operator drawn."""
    kind = draw(st.sampled_from(("name", "not", "and", "or", "xor") if depth else ("name",)))
    if kind == "name":
        name = draw(st.sampled_from((*NAMES, "0", "1")))
        return name, name
    text, value = draw(spelled(depth - 1))
    if kind == "not":
        form = draw(st.sampled_from(("!({})", "~ ({})", "({})'")))
        return form.format(text), f"(not ({value}))"
    other, other_value = draw(spelled(depth - 1))
    signs = {"and": ("&", "*", " "), "or": ("|", "+"), "xor": ("^",)}[kind]
    sign = draw(st.sampled_from(signs))
    space = draw(st.sampled_from(("", " ")))
    joined = {"and": "and", "or": "or", "xor": "!="}[kind]
    return (
        f"({text}){space}{sign}{space}({other})",
        f"(bool({value}) {joined} bool({other_value}))",
    )


def rows(text: str) -> list[int]:
    ones = (1 << 8) - 1
    columns = {name: sum(1 << i for i in range(8) if i >> k & 1) for k, name in enumerate(NAMES)}
    table = expression.table(expression.parse(text), columns, ones)
    return [table >> i & 1 for i in range(8)]


@given(spelled())
def test_every_spelling_means_the_same(drawn: tuple[str, str]) -> None:
    text, python = drawn
    wanted = [
        int(bool(eval(python, {}, {name: bool(i >> k & 1) for k, name in enumerate(NAMES)})))
        for i in range(8)
    ]
    assert rows(text) == wanted
    assert rows(expression.written(expression.parse(text))) == wanted


def test_what_binds_first() -> None:
    for text, same in {
        "A B1 + CK_N": "(A & B1) | CK_N",
        "A ^ B1 & CK_N": "(A ^ B1) & CK_N",
        "A | B1 ^ CK_N'": "A | (B1 ^ (!CK_N))",
        "!A B1'": "(!A) & (!B1)",
        "A''": "A",
    }.items():
        assert rows(text) == rows(same), text


def test_literals() -> None:
    cases = {"D": ("D", True), " ( !D ) ": ("D", False), "(D')'": ("D", True), "D & E": None}
    assert {text: expression.literal(expression.parse(text)) for text in cases} == cases
    assert expression.names(expression.parse("A & !(B | 1)")) == {"A", "B"}


@pytest.mark.parametrize("text", ["", "A &", "(A", "A)", "A ? B", "& A", "A ! "])
def test_no_expression(text: str) -> None:
    with pytest.raises(CosignError, match="Liberty function"):
        expression.parse(text)
