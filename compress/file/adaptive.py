"""Adaptive binary models for the container's entropy coding (docs/format.md).

Everything is a sequence of yes-no decisions. Each is predicted from how often it was answered
yes before, in several contexts at once, in integer arithmetic only, so that every machine
predicts the same; the ANS coder of `constriction` turns predictions into bytes. Nothing is
stored but the answers: no tables, no counts.

`Encoder` and `Decoder` have one face, `bit(contexts, answer)`: the encoder is told the answer,
the decoder (answer None) finds it. Whatever walks over the data is therefore written once.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from decimal import Decimal
from functools import cache
from math import log2

import constriction
import numpy as np

from cosign import CosignError

Context = tuple[Hashable, ...]
_ONE = 1 << 16
"""Probabilities are whole multiples of 2**-16; logits of 1/256, weights of 2**-16."""
_REACH = 2047
_WEIGHT = 24000
LEARNING = {3: (12, 14), **dict.fromkeys((4, 5, 6, 7), (3, 12))}
"""By schema of the file: how many answers the widest context counts for in the others, and the
binary logarithm of how slowly weights follow their errors."""


@cache
def _tables() -> tuple[list[int], list[int]]:
    """(logit of p = (i + 1/2) / 4096, probability of logit (i - 2047) / 256), each rounded.

    By decimal arithmetic, which is correctly rounded everywhere, unlike libm.
    """
    logits = [round(256 * (Decimal(2 * i + 1) / Decimal(8191 - 2 * i)).ln()) for i in range(4096)]
    chances = [round(_ONE / (1 + (Decimal(-x) / 256).exp())) for x in range(-_REACH, _REACH + 1)]
    return logits, chances


class _Predictor(ABC):
    """Counts of no and yes by context, and what each place among the contexts is worth."""

    def __init__(self, schema: int) -> None:
        self._shrink, self._rate = LEARNING[schema]
        self._counts: dict[Context, list[int]] = {}
        self._weights: dict[Hashable, list[int]] = {}
        self._logits, self._chances = _tables()
        self.purpose = 0, "index"
        self.spent: dict[tuple[int, str], float] = {}

    @abstractmethod
    def _code(self, answer: int | None, chance: int) -> int:
        """Put `answer`, or the stream's where it is None, through the coder; returns it."""

    @property
    def bits(self) -> float:
        """Information in all decisions so far."""
        return sum(self.spent.values())

    def _decide(self, answer: int | None, chance: int) -> int:
        answer = self._code(answer, chance)
        cost = 16 - log2(chance if answer else _ONE - chance)
        self.spent[self.purpose] = self.spent.get(self.purpose, 0.0) + cost
        return answer

    def raw(self, answer: int | None) -> int:
        """A decision without any prediction: one bit."""
        return self._decide(answer, _ONE // 2)

    def bit(self, contexts: Sequence[Context], answer: int | None = None) -> int:
        """Code one decision; contexts[0] is the widest, contexts[i] are (place, ...) within it."""
        counts = [self._counts.setdefault(context, [0, 0]) for context in contexts]
        kind = contexts[0][0]
        weights = self._weights.setdefault(kind, [_WEIGHT] * (len(contexts) - 1))
        no, yes = counts[0]
        widest = ((2 * yes + 1) << 15) // (no + yes + 1)
        base = self._logits[widest >> 4]
        offsets = []
        mixed = base << 16
        for (no, yes), weight in zip(counts[1:], weights, strict=True):
            chance = ((yes << 16) + self._shrink * widest) // (no + yes + self._shrink)
            offset = self._logits[chance >> 4] - base
            offsets.append(offset)
            mixed += weight * offset
        chance = self._chances[max(-_REACH, min(_REACH, mixed >> 16)) + _REACH]
        answer = self._decide(answer, chance)
        error = (answer << 16) - chance
        for place, offset in enumerate(offsets):
            weights[place] += error * offset >> self._rate
        for count in counts:
            count[answer] += 1
        return answer


class Encoder(_Predictor):
    def __init__(self) -> None:
        super().__init__(max(LEARNING))
        self._answers: list[int] = []
        self._taken: list[int] = []

    def _code(self, answer: int | None, chance: int) -> int:
        assert answer is not None
        self._answers.append(answer)
        self._taken.append(chance)
        return answer

    def payload(self) -> bytes:
        """The stream: 32-bit little-endian words, the last one without its leading zero bytes."""
        coder = constriction.stream.stack.AnsCoder()
        chances = np.array(self._taken) / _ONE
        coder.encode_reverse(
            np.array(self._answers, np.int32),
            constriction.stream.model.Bernoulli(perfect=True),
            chances,
        )
        return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class Decoder(_Predictor):
    """`most` decisions can be read from the payload."""

    def __init__(self, payload: bytes, schema: int, most: int) -> None:
        super().__init__(schema)
        self._left = most
        words = np.frombuffer(payload + bytes(-len(payload) % 4), "<u4").astype(np.uint32)
        self._coder = constriction.stream.stack.AnsCoder(words)
        self._bernoulli = constriction.stream.model.Bernoulli

    def _code(self, answer: int | None, chance: int) -> int:
        self._left -= 1
        if self._left < 0:
            raise CosignError("the entropy-coded stream is too short for what it spells out")
        return int(self._coder.decode(self._bernoulli(chance / _ONE, perfect=True)))

    def finish(self) -> None:
        """Raises CosignError unless the stream is used up."""
        if not self._coder.is_empty():
            raise CosignError("the entropy-coded stream holds more than its layers")
