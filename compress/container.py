"""`model.cosign`: a compressed network as the machine executes it (schema 1).

A `CompressedModel` is a small DAG of `Layer` nodes (conv, linear: run by the accelerator)
and `HostOp` nodes (pool, LRN, flatten: run by the host), in topological order. Weights are
CSR-indexed integer levels: row = filter, column = (channel within the group, r, s)
flattened, weight = q * level. The byte layout is specified in docs/format.md.

This module imports numpy only; the hardware rooms read models through it.
"""

import dataclasses
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compress import coding
from cosign import CosignError, atomic_write

SCHEMA = 1
_MAGIC = b"COSIGN"
_PREFIX = struct.Struct("<6sHI")  # magic, schema, number of sections
_SECTION = struct.Struct("<4sIII")  # tag, layer number, bytes, CRC-32
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Geometry:
    """Shape of an accelerated layer. A linear layer is a 1x1 convolution of a 1x1 map.

    Parameters
    ----------
    kind : "conv" or "linear"
    in_channels, out_channels : channels of the whole layer, all groups together
    in_height, in_width : input map, pixels, without padding
    kernel, stride, padding, dilation : (vertical, horizontal), pixels
    groups : filters of group g see input channels [g, g+1) * in_channels / groups
    """

    kind: Literal["conv", "linear"]
    in_channels: int
    out_channels: int
    in_height: int = 1
    in_width: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "padding", "dilation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        positive = (
            self.in_channels,
            self.out_channels,
            self.in_height,
            self.in_width,
            self.groups,
            *self.kernel,
            *self.stride,
            *self.dilation,
        )
        if self.kind not in ("conv", "linear") or min(positive) < 1 or min(self.padding) < 0:
            raise CosignError(f"impossible layer geometry {self}.")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise CosignError(
                f"{self.groups} groups do not divide {self.in_channels} input and "
                f"{self.out_channels} output channels."
            )
        if self.out_height < 1 or self.out_width < 1:
            raise CosignError(f"the kernel is larger than the padded input in {self}.")

    def _out(self, size: int, axis: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (size + 2 * self.padding[axis] - reach) // self.stride[axis] + 1

    @property
    def out_height(self) -> int:
        return self._out(self.in_height, 0)

    @property
    def out_width(self) -> int:
        return self._out(self.in_width, 1)

    @property
    def columns(self) -> int:
        """Weights of one filter: input channels of a group x kernel area."""
        return self.in_channels // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def weights(self) -> int:
        return self.out_channels * self.columns

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense layer for one image."""
        return self.weights * self.out_height * self.out_width


@dataclass(frozen=True, eq=False)
class Layer:
    """One accelerated node.

    Parameters
    ----------
    name, input : this node's name and the node (or "input") whose output it reads
    geometry : Geometry
    bits : n, 1..8; levels lie in +-1 .. +-max_level(n), zero is "not stored"
    q : quantisation interval; a real weight is q * level (dimensionless)
    row_ptr : int64 [out_channels + 1]
    col_idx : int64 [nnz], strictly increasing within a row, < geometry.columns
    levels : int8 [nnz]
    bias : int64 [out_channels], in accumulator units (in_scale * q)
    mul, shift : requantisation, out = (acc * mul + 2**(shift-1)) >> shift; 1 <= shift
    relu : saturate below at 0 instead of -128
    in_scale, out_scale : real value of one activation unit
    """

    name: str
    input: str
    geometry: Geometry
    bits: int
    q: float
    row_ptr: np.ndarray
    col_idx: np.ndarray
    levels: np.ndarray
    bias: np.ndarray
    mul: int
    shift: int
    relu: bool
    in_scale: float
    out_scale: float

    def __post_init__(self) -> None:
        for name, dtype in (
            ("row_ptr", np.int64),
            ("col_idx", np.int64),
            ("levels", np.int8),
            ("bias", np.int64),
        ):
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        self._validate()

    def _validate(self) -> None:
        def demand(condition: bool, what: str) -> None:
            if not condition:
                raise CosignError(f"layer {self.name!r}: {what}.")

        rows = self.geometry.out_channels
        nnz = len(self.levels)
        demand(1 <= self.bits <= 8, f"bits is {self.bits}, must be 1..8")
        demand(np.isfinite(self.q) and self.q > 0, f"interval q is {self.q}, must be positive")
        demand(self.row_ptr.shape == (rows + 1,), f"row_ptr must have {rows + 1} entries")
        demand(self.row_ptr[0] == 0 and self.row_ptr[-1] == nnz, "row_ptr does not span the levels")
        demand(bool(np.all(np.diff(self.row_ptr) >= 0)), "row_ptr decreases")
        demand(self.col_idx.shape == (nnz,), "as many column indices as levels are needed")
        demand(self.bias.shape == (rows,), f"bias must have {rows} entries")
        if nnz:
            demand(
                0 <= self.col_idx.min() and self.col_idx.max() < self.geometry.columns,
                f"a column index is outside 0..{self.geometry.columns - 1}",
            )
            rising = np.diff(self.col_idx) > 0
            starts = self.row_ptr[1:-1]
            rising[starts[(starts > 0) & (starts < nnz)] - 1] = True  # a new row may step back
            demand(bool(rising.all()), "column indices do not increase within a row")
            magnitude = np.abs(self.levels.astype(np.int16))
            top = max_level(self.bits)
            demand(
                1 <= magnitude.min() and magnitude.max() <= top,
                f"levels of {self.bits} bits must lie in +-1..+-{top}",
            )
        demand(0 <= self.mul < 1 << 16, f"mul is {self.mul}, must fit in 16 unsigned bits")
        demand(1 <= self.shift <= 47, f"shift is {self.shift}, must be 1..47")

    @classmethod
    def from_dense(cls, levels: np.ndarray, **fields: Any) -> "Layer":
        """Build from int8 [out_channels, columns] with zeros where nothing is to be stored."""
        rows, columns = np.nonzero(levels)
        counts = np.bincount(rows, minlength=len(levels))
        row_ptr = np.concatenate([[0], np.cumsum(counts)])
        return cls(row_ptr=row_ptr, col_idx=columns, levels=levels[rows, columns], **fields)

    @property
    def nnz(self) -> int:
        return len(self.levels)

    def dense_levels(self) -> np.ndarray:
        """int8 [out_channels, columns] with zeros where nothing is stored."""
        dense = np.zeros((self.geometry.out_channels, self.geometry.columns), np.int8)
        rows = np.repeat(np.arange(self.geometry.out_channels), np.diff(self.row_ptr))
        dense[rows, self.col_idx] = self.levels
        return dense


@dataclass(frozen=True)
class HostOp:
    """One node that the host computes on int8 maps [channels, height, width].

    op and attrs:
    - "maxpool": kernel, stride (pixels, square)
    - "lrn": size, alpha, beta, k, in_scale, out_scale (local response normalisation)
    - "flatten": to [channels * height * width, 1, 1]
    """

    name: str
    op: Literal["maxpool", "lrn", "flatten"]
    inputs: tuple[str, ...]
    attrs: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.op not in ("maxpool", "lrn", "flatten"):
            raise CosignError(
                f"node {self.name!r}: host operation {self.op!r} is not one of "
                "maxpool, lrn, flatten."
            )


Node = Layer | HostOp


@dataclass(frozen=True)
class InputSpec:
    """The network's input: int8 x = clamp(floor((pixel/255 - mean) / std / scale + 0.5)).

    Parameters
    ----------
    shape : (channels, height, width)
    scale : real value of one int8 unit after normalisation
    mean, std : per channel, on pixels scaled to 0..1
    """

    shape: tuple[int, int, int]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("shape", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def quantize(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [..., C, H, W] pixels to int8 of the same shape."""
        table = (np.arange(256)[None] / 255 - np.array(self.mean)[:, None]) / (
            np.array(self.std)[:, None] * self.scale
        )
        table = np.clip(np.floor(table + 0.5), -128, 127).astype(np.int8)
        return np.stack([table[c][pixels[..., c, :, :]] for c in range(self.shape[0])], axis=-3)


@dataclass(frozen=True)
class CompressedModel:
    """A whole network; `nodes` are in topological order and the last one is the output."""

    name: str
    input: InputSpec
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        known = {"input"}
        for node in self.nodes:
            sources = (node.input,) if isinstance(node, Layer) else node.inputs
            for source in sources:
                if source not in known:
                    raise CosignError(
                        f"node {node.name!r} reads {source!r}, which is not before it."
                    )
            if node.name in known:
                raise CosignError(f"two nodes are called {node.name!r}.")
            known.add(node.name)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Layer))

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        with atomic_write(path) as file:
            file.write(to_bytes(self))


def max_level(bits: int) -> int:
    """Largest level magnitude: M/2 = 2**(n-1), but 127 at n = 8 so that levels are int8 (§3.4.2)."""
    return min(1 << (bits - 1), 127)


def level_codes(levels: np.ndarray, bits: int) -> np.ndarray:
    """Zero-free n-bit codes, uint8: bit n-1 is the sign, the rest is |level| - 1."""
    negative = levels < 0
    magnitude = np.abs(levels.astype(np.int16)) - 1
    return (magnitude | (negative.astype(np.int16) << (bits - 1))).astype(np.uint8)


def codes_to_levels(codes: np.ndarray, bits: int) -> np.ndarray:
    """Inverse of `level_codes`, int8."""
    magnitude = (codes & ((1 << (bits - 1)) - 1)).astype(np.int16) + 1
    return np.where(codes >> (bits - 1) & 1, -magnitude, magnitude).astype(np.int8)


@dataclass(frozen=True)
class Sizes:
    """Bytes of one layer in the file, by purpose, and the coding that the packer chose."""

    index_coding: str
    index_bits: int
    index_bytes: int
    data_bytes: int
    bias_bytes: int


def _encode_layer(layer: Layer) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    index = coding.encode_index(layer.row_ptr, layer.col_idx, layer.geometry.columns)
    bias_bits = int(np.abs(layer.bias).max(initial=0)).bit_length() + 1
    unsigned_bias = layer.bias + (1 << (bias_bits - 1))
    head = {
        "node": "layer",
        "name": layer.name,
        "input": layer.input,
        "geometry": dataclasses.asdict(layer.geometry),
        "bits": layer.bits,
        "q": layer.q,
        "mul": layer.mul,
        "shift": layer.shift,
        "relu": layer.relu,
        "in_scale": layer.in_scale,
        "out_scale": layer.out_scale,
        "nnz": layer.nnz,
        "bias_bits": bias_bits,
        "index": {"coding": index.coding, "bits": index.bits, "entries": index.entries},
    }
    return head, {
        b"INDX": index.payload,
        b"LEVL": coding.pack_bits(level_codes(layer.levels, layer.bits), layer.bits),
        b"BIAS": coding.pack_bits(unsigned_bias, bias_bits),
    }


def _decode_layer(head: dict[str, Any], sections: dict[bytes, bytes]) -> Layer:
    geometry = Geometry(**head["geometry"])
    index = coding.EncodedIndex(payload=sections[b"INDX"], **head["index"])
    row_ptr, col_idx = coding.decode_index(
        index, geometry.out_channels, geometry.columns, head["nnz"]
    )
    codes = coding.unpack_bits(sections[b"LEVL"], head["bits"], head["nnz"])
    bias_bits = head["bias_bits"]
    bias = coding.unpack_bits(sections[b"BIAS"], bias_bits, geometry.out_channels)
    return Layer(
        geometry=geometry,
        row_ptr=row_ptr,
        col_idx=col_idx,
        levels=codes_to_levels(codes, head["bits"]),
        bias=bias - (1 << (bias_bits - 1)),
        **{
            key: head[key]
            for key in (
                "name",
                "input",
                "bits",
                "q",
                "mul",
                "shift",
                "relu",
                "in_scale",
                "out_scale",
            )
        },
    )


def to_bytes(model: CompressedModel) -> bytes:
    """Serialise; the same model always gives the same bytes."""
    head: dict[str, Any] = {
        "name": model.name,
        "input": dataclasses.asdict(model.input),
        "nodes": [],
    }
    sections: list[tuple[bytes, int, bytes]] = []
    for number, node in enumerate(model.nodes):
        if isinstance(node, Layer):
            entry, parts = _encode_layer(node)
            sections += [(tag, number, payload) for tag, payload in parts.items()]
        else:
            entry = {"node": "host", **dataclasses.asdict(node)}
        head["nodes"].append(entry)
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    sections.insert(0, (b"HEAD", 0, zlib.compress(text, 9)))
    table = _PREFIX.pack(_MAGIC, SCHEMA, len(sections)) + b"".join(
        _SECTION.pack(tag, number, len(payload), zlib.crc32(payload))
        for tag, number, payload in sections
    )
    return b"".join([table, _CRC.pack(zlib.crc32(table)), *(part for _, _, part in sections)])


def from_bytes(blob: bytes, source: str = "model.cosign") -> CompressedModel:
    """Read and validate. Raises CosignError on anything that is not a whole, intact file."""
    head, sections = _read_sections(blob, source)
    try:
        nodes: list[Node] = []
        for number, entry in enumerate(head["nodes"]):
            fields = dict(entry)
            if fields.pop("node") == "layer":
                nodes.append(_decode_layer(fields, sections[number]))
            else:
                nodes.append(HostOp(**fields))
        return CompressedModel(head["name"], InputSpec(**head["input"]), tuple(nodes))
    except CosignError as error:
        raise CosignError(f"{source}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CosignError(
            f"{source}: the header does not fit schema {SCHEMA} ({error})."
        ) from error


def _read_sections(
    blob: bytes, source: str
) -> tuple[dict[str, Any], dict[int, dict[bytes, bytes]]]:
    if len(blob) < _PREFIX.size or blob[: len(_MAGIC)] != _MAGIC:
        raise CosignError(f"{source} is not a cosign model; export it again.")
    _, schema, count = _PREFIX.unpack_from(blob)
    if schema != SCHEMA:
        raise CosignError(f"{source} has schema {schema}, this version reads {SCHEMA}.")
    table_end = _PREFIX.size + count * _SECTION.size
    broken = CosignError(f"{source} is truncated or damaged; export it again.")
    if len(blob) < table_end + _CRC.size:
        raise broken
    if _CRC.unpack_from(blob, table_end)[0] != zlib.crc32(blob[:table_end]):
        raise broken
    sections: dict[int, dict[bytes, bytes]] = {}
    head = None
    position = table_end + _CRC.size
    for index in range(count):
        tag, number, length, crc = _SECTION.unpack_from(blob, _PREFIX.size + index * _SECTION.size)
        payload = blob[position : position + length]
        position += length
        if len(payload) != length or zlib.crc32(payload) != crc:
            raise broken
        if tag == b"HEAD":
            head = json.loads(zlib.decompress(payload))
        else:
            sections.setdefault(number, {})[tag] = payload
    if head is None or position != len(blob):
        raise broken
    return head, sections


def load(path: Path) -> CompressedModel:
    """Read `path`. Raises CosignError when it is missing, truncated or damaged."""
    try:
        blob = Path(path).read_bytes()
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    return from_bytes(blob, str(path))


def sizes(model: CompressedModel) -> dict[str, Sizes]:
    """Bytes of every layer by purpose, as they are in the file (Tables 5 and 6)."""
    result = {}
    for layer in model.layers:
        head, parts = _encode_layer(layer)
        result[layer.name] = Sizes(
            index_coding=head["index"]["coding"],
            index_bits=head["index"]["bits"],
            index_bytes=len(parts[b"INDX"]),
            data_bytes=len(parts[b"LEVL"]),
            bias_bytes=len(parts[b"BIAS"]),
        )
    return result
