"""Entropy coding: round trips, and a decoder written from docs/format.md reads the streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import random_layer

from compress.file import adaptive, ans
from compress.file.entropy import Grid, code_layer
from compress.model.graph import Geometry
from cosign import CosignError


class PlainAns:
    """The section "ANS" of docs/format.md, word for word."""

    def __init__(self, payload: bytes) -> None:
        payload += bytes(-len(payload) % 4)
        self.words = [int(word) for word in np.frombuffer(payload, "<u4")]
        self.state = self.words.pop() if self.words else 0
        if self.words:
            self.state = (self.state << 32) | self.words.pop()

    def decode(self, frequencies: list[int]) -> int:
        low, first, symbol = self.state % (1 << 24), 0, 0
        while low >= first + frequencies[symbol]:
            first += frequencies[symbol]
            symbol += 1
        frequency = frequencies[symbol]
        self.state = (self.state >> 24) * frequency + low - first
        if self.state < 1 << 32 and self.words:
            self.state = (self.state << 32) | self.words.pop()
        return symbol


class PlainDecoder(adaptive.Decoder):
    """The adaptive decoder on that coder instead of constriction's."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(b"", 4, 0)
        self.plain = PlainAns(payload)

    def _code(self, answer: int | None, chance: int) -> int:
        yes = chance << 8
        return self.plain.decode([(1 << 24) - yes, yes])


@given(st.integers(1, 8), st.integers(0, 1 << 32), st.sampled_from([0.02, 0.3, 1.0]))
@settings(deadline=None, max_examples=30)
def test_a_layer_comes_back_from_either_decoder(bits: int, seed: int, density: float) -> None:
    geometry = Geometry("conv", 3, 5, 6, 6, (3, 2))
    layer = random_layer(geometry, density, bits, seed)
    grid, fed = Grid(5, 3, 3, 2), np.array([True, False, True])
    encoder = adaptive.Encoder()
    code_layer(encoder, 7, grid, bits, 0, fed, layer)
    payload = encoder.payload()
    assert encoder.bits / 8 <= len(payload) <= encoder.bits / 8 + 5
    plain = PlainDecoder(payload)
    decoder = adaptive.Decoder(payload, 4, 10_000_000)
    for one in (plain, decoder):
        arrays = code_layer(one, 7, grid, bits, 0, fed)
        for name, array in zip(("row_ptr", "col_idx", "levels", "bias"), arrays, strict=True):
            assert np.array_equal(array, getattr(layer, name)), name
    decoder.finish()
    assert (plain.plain.state, plain.plain.words) == (0, [])


def test_a_stream_with_something_left_is_refused() -> None:
    encoder = adaptive.Encoder()
    for _ in range(100):
        encoder.raw(1)
    decoder = adaptive.Decoder(encoder.payload(), 4, 10_000_000)
    with pytest.raises(CosignError, match="holds more than its layers"):
        decoder.finish()


@given(st.lists(st.integers(0, 6), max_size=300))
@settings(deadline=None)
def test_static_symbols_come_back_from_either_decoder(symbols: list[int]) -> None:
    payload = ans.encode_symbols(np.array(symbols, np.int64), 7)
    assert ans.decode_symbols(payload, 7, len(symbols)).tolist() == symbols
    frequencies = (np.frombuffer(payload[:14], "<u2").astype(int) + 1).tolist()
    assert sum(frequencies) == 1 << 16
    plain = PlainAns(payload[14:])
    assert [plain.decode([f << 8 for f in frequencies]) for _ in symbols] == symbols


def test_static_symbols_take_what_their_entropy_says() -> None:
    symbols = np.random.default_rng(0).geometric(0.1, 100_000).clip(0, 255)
    share = np.bincount(symbols, minlength=256) / len(symbols)
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum() * len(symbols) / 8
    assert len(ans.encode_symbols(symbols, 256)) < 1.001 * entropy + 512 + 8


def test_an_unlikely_table_is_refused() -> None:
    payload = ans.encode_symbols(np.array([0, 1, 1]), 2)
    with pytest.raises(CosignError, match="does not fit its table"):
        ans.decode_symbols(b"\0" + payload[1:], 2, 3)


@given(st.integers(0, 1 << 32), st.sampled_from([0.0, 0.001, 0.1, 1.0]))
@settings(deadline=None)
def test_gaps_come_back(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((7, 400)) < density
    row_ptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    col_idx = np.nonzero(mask)[1]
    bits, entries, payload = ans.encode_index(row_ptr, col_idx, 400)
    again = ans.decode_index(payload, bits, entries, len(col_idx), 7, 400)
    assert np.array_equal(again[0], row_ptr)
    assert np.array_equal(again[1], col_idx)
