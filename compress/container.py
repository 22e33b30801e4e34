"""`model.cosign`: one file that holds a whole compressed network (schema 3).

The door of `compress` for the hardware rooms: the types of `compress.graph`, and `load`,
`save`, `to_bytes`, `from_bytes` and `sizes` for the file. The byte layout is specified in
docs/format.md. This module imports numpy only, no torch.
"""

import dataclasses
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress import coding
from compress.graph import (
    CompressedModel,
    Geometry,
    InputSpec,
    Layer,
    Node,
    max_level,
)
from compress.hostops import HostOp, pooling_window
from cosign import CosignError, atomic_write

__all__ = [
    "CompressedModel",
    "Geometry",
    "HostOp",
    "InputSpec",
    "Layer",
    "Node",
    "Sizes",
    "from_bytes",
    "load",
    "max_level",
    "pooling_window",
    "save",
    "sizes",
    "to_bytes",
]

SCHEMA = 3
# Schema 1 has no add, concat, avgpool and no padding in a maxpool; schema 2 no relu and no end or
# exclude in a pooling.
_READABLE = (1, 2, 3)
_MAGIC = b"COSIGN"
_PREFIX = struct.Struct("<6sHI")  # magic, schema, number of sections
_SECTION = struct.Struct("<4sIII")  # tag, layer number, bytes, CRC-32
_CRC = struct.Struct("<I")


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
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise CosignError(
            f"{source}: the header does not fit schema {SCHEMA} ({error})."
        ) from error


def _read_sections(
    blob: bytes, source: str
) -> tuple[dict[str, Any], dict[int, dict[bytes, bytes]]]:
    if len(blob) < _PREFIX.size or blob[: len(_MAGIC)] != _MAGIC:
        raise CosignError(f"{source} is not a cosign model; export it again.")
    _, schema, count = _PREFIX.unpack_from(blob)
    if schema not in _READABLE:
        raise CosignError(
            f"{source} has schema {schema}, this version reads {', '.join(map(str, _READABLE))}."
        )
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


def save(model: CompressedModel, path: Path) -> None:
    """Write the file atomically."""
    with atomic_write(path) as file:
        file.write(to_bytes(model))


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
