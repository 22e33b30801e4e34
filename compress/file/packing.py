"""One layer's weights, biases and scales in the container (docs/format.md).

Weights are in one of five codings:
relative, absolute, bitmask : fixed-width index, level codes bit-packed
ans : gaps and level codes by static tables, for large layers
adaptive : `compress.file.entropy`, for small ones; in a stream that all such layers share
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from compress.file import ans, coding, filters
from compress.file.adaptive import Encoder
from compress.file.entropy import Arrays, Grid, code_layer
from compress.file.filters import UNIFORM, Filters, requantisation
from compress.file.limits import check_symbols
from compress.model import activations
from compress.model.graph import Geometry, Layer
from compress.model.levels import codes_to_levels, level_codes
from cosign import CosignError

FIXED = ("relative", "absolute", "bitmask")
CODINGS = (*FIXED, "ans", "adaptive")
_WIDEST_INDEX = 32  # bits
_MOST_DECISIONS = 1 << 17
"""Weights among live rows and channels up to which `adaptive` is tried: a second or two."""


@dataclass(frozen=True)
class Packed:
    """A layer in the file: `parameters` and `filters` for its header, then four payloads.

    parameters, all integers >= 0:
    relative, absolute, bitmask : non-zeros, index bits, index entries, bias bits
    ans : non-zeros, gap bits, symbols, bytes of index, bytes of data, bias bits
    adaptive : trailing zero bits that all biases have in common; the first three payloads are
        empty

    filters : how `scales` are written
    """

    coding: str
    parameters: tuple[int, ...]
    index: bytes = b""
    data: bytes = b""
    bias: bytes = b""
    scales: bytes = b""
    filters: Filters = UNIFORM

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """In the order of the file."""
        return self.index, self.data, self.bias, self.scales


PARAMETERS = {**dict.fromkeys(FIXED, 4), "ans": 6, "adaptive": 1}


@dataclass(frozen=True)
class LayerHead:
    """A layer without its weights and biases, and how those are coded.

    q, mul and shift are None where `filters` say more of them, or where they follow from that.
    """

    name: str
    input: str
    geometry: Geometry
    bits: int
    q: float | None
    mul: int | None
    shift: int | None
    relu: bool
    in_scale: float
    out_scale: float
    coding: str
    parameters: tuple[int, ...]
    filters: Filters = UNIFORM
    act_bits: int = activations.MOST

    def layer(self, arrays: Arrays, scales: bytes) -> Layer:
        """The layer with (row_ptr, col_idx, levels, bias) and the payload `scales`."""
        row_ptr, col_idx, levels, bias = arrays
        each, requantiser = filters.unpack(self.filters, scales, row_ptr)
        q = np.asarray(self.q, np.float64) if each is None else each
        if requantiser is None and self.mul is not None:
            requantiser = np.asarray(self.mul), np.asarray(self.shift)
        mul, shift = requantiser or requantisation(self.in_scale, q, self.out_scale)
        return Layer(
            self.name,
            self.input,
            self.geometry,
            self.bits,
            q,
            row_ptr,
            col_idx,
            levels,
            bias,
            mul,
            shift,
            self.relu,
            self.in_scale,
            self.out_scale,
            self.act_bits,
        )


def pack(layer: Layer, grid: Grid, fed: np.ndarray, wanted: str | None = None) -> Packed:
    """The layer in the coding `wanted`, or in the smallest."""
    how, scales = filters.pack(layer)
    return replace(_weights(layer, grid, fed, wanted), filters=how, scales=scales)


def _weights(layer: Layer, grid: Grid, fed: np.ndarray, wanted: str | None) -> Packed:
    if wanted not in (*CODINGS, None):
        raise CosignError(f"coding {wanted!r} is not one of {', '.join(CODINGS)}.")
    candidates: list[tuple[float, Packed]] = []
    if wanted in (*FIXED, None):
        candidates.append(_sized(_fixed(layer, wanted)))
    if wanted in ("ans", None):
        candidates.append(_sized(_ans(layer)))
    if wanted == "adaptive" or (wanted is None and _decisions(layer, grid) <= _MOST_DECISIONS):
        packed = Packed("adaptive", (_common_shift(layer.bias),))
        encoder = Encoder()
        if wanted is None:
            code_layer(encoder, 0, grid, layer.bits, packed.parameters[0], fed, layer)
        candidates.append((encoder.bits / 8, packed))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _sized(packed: Packed) -> tuple[float, Packed]:
    return len(packed.index) + len(packed.data) + len(packed.bias), packed


def _decisions(layer: Layer, grid: Grid) -> int:
    rows = int(np.count_nonzero(np.diff(layer.row_ptr)))
    channels = len(np.unique(layer.col_idx // (grid.height * grid.width)))
    return rows * channels * grid.height * grid.width


def _common_shift(bias: np.ndarray) -> int:
    together = int(np.bitwise_or.reduce(np.abs(bias), initial=0))
    return (together & -together).bit_length() - 1 if together else 0


def _bias(layer: Layer) -> tuple[int, bytes]:
    bits = int(np.abs(layer.bias).max(initial=0)).bit_length() + 1
    return bits, coding.pack_bits(layer.bias + (1 << (bits - 1)), bits)


def _fixed(layer: Layer, wanted: str | None) -> Packed:
    index = coding.encode_index(layer.row_ptr, layer.col_idx, layer.geometry.columns, wanted)
    data = coding.pack_bits(level_codes(layer.levels, layer.bits), layer.bits)
    bias_bits, bias = _bias(layer)
    parameters = (layer.nnz, index.bits, index.entries, bias_bits)
    return Packed(index.coding, parameters, index.payload, data, bias)


def _ans(layer: Layer) -> Packed:
    gap_bits, entries, index = ans.encode_index(
        layer.row_ptr, layer.col_idx, layer.geometry.columns
    )
    data = ans.encode_symbols(level_codes(layer.levels, layer.bits), 1 << layer.bits)
    bias_bits, bias = _bias(layer)
    parameters = (layer.nnz, gap_bits, entries, len(index), len(data), bias_bits)
    return Packed("ans", parameters, index, data, bias)


def take(head: LayerHead, raw: Callable[[int], bytes]) -> Packed:
    """The layer's payloads; `raw(n)` gives the next n bytes of the weights section."""
    index, data, bias = _lengths(head)
    scales = head.filters.bytes(head.geometry.out_channels)
    payloads = raw(index), raw(data), raw(bias), raw(scales)
    return Packed(head.coding, head.parameters, *payloads, filters=head.filters)


def _lengths(head: LayerHead) -> tuple[int, int, int]:
    """Bytes of index, data and biases. Raises CosignError when it cannot be so many."""
    if head.coding == "adaptive":
        return 0, 0, 0
    rows, columns = head.geometry.out_channels, head.geometry.columns
    nnz, bits, entries = head.parameters[:3]
    if nnz > rows * columns or bits > _WIDEST_INDEX or head.parameters[-1] < 1:
        raise CosignError(f"layer {head.name!r} announces more than it can have")
    if head.coding == "ans":
        index, data = head.parameters[3:5]
        check_symbols(entries, index, head.geometry)
        check_symbols(nnz, data, head.geometry)
    else:
        index = coding.index_bytes(head.coding, bits, entries, rows, columns)
        data = (nnz * head.bits + 7) // 8
    return index, data, (rows * head.parameters[-1] + 7) // 8


def unpack(head: LayerHead, packed: Packed) -> Arrays:
    """(row_ptr, col_idx, levels, bias) of any coding but adaptive."""
    rows, columns = head.geometry.out_channels, head.geometry.columns
    nnz, bits, entries = packed.parameters[:3]
    bias_bits = packed.parameters[-1]
    if packed.coding == "ans":
        row_ptr, col_idx = ans.decode_index(packed.index, bits, entries, nnz, rows, columns)
        codes = ans.decode_symbols(packed.data, 1 << head.bits, nnz)
    else:
        index = coding.EncodedIndex(packed.coding, bits, entries, packed.index)
        row_ptr, col_idx = coding.decode_index(index, rows, columns, nnz)
        codes = coding.unpack_bits(packed.data, head.bits, nnz, np.uint8)
    bias = coding.unpack_bits(packed.bias, bias_bits, rows)
    return row_ptr, col_idx, codes_to_levels(codes, head.bits), bias - (1 << (bias_bits - 1))


@dataclass(frozen=True)
class Sizes:
    """Bytes of one layer in the file, by purpose, and its coding; scales count as biases.

    Adaptively coded layers share one stream: its bytes are divided by the information in it.
    """

    index_coding: str
    index_bits: int
    index_bytes: int
    data_bytes: int
    bias_bytes: int


def sizes(
    packed: dict[int, Packed], spent: dict[tuple[int, str], float], stream: int
) -> dict[int, Sizes]:
    """By node number; `spent` bits are in a shared stream of so many bytes."""
    ends = np.cumsum(list(spent.values()))
    bounds = np.rint(ends / ends[-1] * stream).astype(int) if spent else ends
    share = dict(zip(spent, np.diff(bounds, prepend=0).tolist(), strict=True))
    return {
        number: Sizes(
            part.coding,
            0 if part.coding == "adaptive" else part.parameters[1],
            len(part.index) + share.get((number, "index"), 0),
            len(part.data) + share.get((number, "data"), 0),
            len(part.bias) + len(part.scales) + share.get((number, "bias"), 0),
        )
        for number, part in packed.items()
    }
