"""Liberty's logic expressions: `(A & B)'`, `A B + !C`, `A ^ B`.

Inversion binds first, then XOR, then AND (`&`, `*` or nothing between), then OR (`|`, `+`).
ABC and Yosys do not agree on all of that, so what tools get is written with every parenthesis.
"""

import functools
import re

from cosign import CosignError

Expression = tuple[str, tuple["Expression", ...]]
"""An operator of `!&^|` with its operands; a name or a constant 0 or 1 has none."""

_TOKEN = re.compile(r"\s*(?:([\w.\[\]]+)|([!~&*|+^'()]))")
_LEVELS = ("|+", "&*", "^")


@functools.cache
def parse(text: str) -> Expression:
    """Raises CosignError when `text` is no expression."""
    tokens: list[str] = []
    at = 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None:
            raise CosignError(f"the Liberty function {text!r} cannot be read.")
        tokens.append(match[1] or match[2])
        at = match.end()
    found, end = _binary(tokens, 0, 0, text)
    if end != len(tokens):
        raise CosignError(f"the Liberty function {text!r} cannot be read.")
    return found


def _binary(tokens: list[str], at: int, level: int, text: str) -> tuple[Expression, int]:
    if level == len(_LEVELS):
        return _unary(tokens, at, text)
    operands = []
    while True:
        operand, at = _binary(tokens, at, level + 1, text)
        operands.append(operand)
        token = tokens[at] if at < len(tokens) else ""
        if token and token in _LEVELS[level]:
            at += 1
        elif not (_LEVELS[level] == "&*" and _begins_operand(token)):
            break
    return (operands[0] if len(operands) == 1 else (_LEVELS[level][0], tuple(operands))), at


def _begins_operand(token: str) -> bool:
    return bool(token) and (token in "!~(" or token[0].isalnum() or token[0] in "_[")


def _unary(tokens: list[str], at: int, text: str) -> tuple[Expression, int]:
    token = tokens[at] if at < len(tokens) else ""
    if not _begins_operand(token):
        raise CosignError(f"the Liberty function {text!r} cannot be read.")
    found: Expression
    if token in "!~":
        operand, at = _unary(tokens, at + 1, text)
        return ("!", (operand,)), at
    if token == "(":
        found, at = _binary(tokens, at + 1, 0, text)
        if at >= len(tokens) or tokens[at] != ")":
            raise CosignError(f"the Liberty function {text!r} lacks a parenthesis.")
    else:
        found = (token, ())
    at += 1
    while at < len(tokens) and tokens[at] == "'":
        found, at = ("!", (found,)), at + 1
    return found, at


def names(expression: Expression) -> frozenset[str]:
    """The pins and states that it reads."""
    operator, operands = expression
    if not operands:
        return frozenset() if operator in "01" else frozenset((operator,))
    return frozenset().union(*map(names, operands))


def written(expression: Expression) -> str:
    """As text that every tool reads alike."""
    operator, operands = expression
    if not operands:
        return operator
    parts = [written(o) if not o[1] or o[0] == "!" else f"({written(o)})" for o in operands]
    return f"!{parts[0]}" if operator == "!" else f" {operator} ".join(parts)


def literal(expression: Expression) -> tuple[str, bool] | None:
    """(name, True) of a name, (name, False) of its inverse, None of anything else."""
    inverted = 0
    while expression[0] == "!":
        inverted += 1
        expression = expression[1][0]
    if expression[1] or expression[0] in "01":
        return None
    return expression[0], inverted % 2 == 0


def table(expression: Expression, values: dict[str, int], ones: int) -> int:
    """The expression, bit by bit, over whole numbers; `ones` is the number of all ones.

    Raises CosignError for a name without a value.
    """
    operator, operands = expression
    if not operands:
        if operator in "01":
            return ones if operator == "1" else 0
        if operator not in values:
            raise CosignError(f"nothing is called {operator} in the Liberty function.")
        return values[operator]
    first, *others = (table(operand, values, ones) for operand in operands)
    if operator == "!":
        return ones & ~first
    for other in others:
        first = (
            first & other
            if operator == "&"
            else first | other
            if operator == "|"
            else first ^ other
        )
    return first
