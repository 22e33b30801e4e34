"""Reader of the schemas 1 and 2 of `model.cosign`: JSON header, fixed-width codings.

docs/format.md says how they are laid out. Nothing writes them any more.
"""

import json
import struct
import zlib
from typing import Any

import numpy as np

from compress.file import coding, limits
from compress.file.packing import Sizes
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer, Node
from compress.model.hostops import HostOp
from compress.model.levels import codes_to_levels
from cosign import CosignError

_PREFIX = struct.Struct("<6sHI")  # magic, schema, number of sections
_SECTION = struct.Struct("<4sIII")  # tag, layer number, bytes, CRC-32
_CRC = struct.Struct("<I")
_FIELDS = ("name", "input", "bits", "q", "mul", "shift", "relu", "in_scale", "out_scale")


def read(blob: bytes) -> tuple[CompressedModel, dict[str, Sizes]]:
    """The model and what its bytes are for.

    Raises CosignError, KeyError, TypeError or ValueError on what is not a whole, intact file.
    """
    head, sections = _read_sections(blob)
    nodes: list[Node] = []
    sizes = {}
    for number, entry in enumerate(head["nodes"]):
        fields = dict(entry)
        if fields.pop("node") == "layer":
            parts, index = sections[number], fields["index"]
            nodes.append(_layer(fields, parts))
            lengths = (len(parts[tag]) for tag in (b"INDX", b"LEVL", b"BIAS"))
            sizes[nodes[-1].name] = Sizes(index["coding"], index["bits"], *lengths)
        else:
            nodes.append(HostOp(**fields))
    model = CompressedModel(head["name"], InputSpec(**head["input"]), tuple(nodes))
    if not nodes:
        raise CosignError("the network has no nodes")
    limits.check_maps(model.shapes.values())
    return model, sizes


def _layer(head: dict[str, Any], sections: dict[bytes, bytes]) -> Layer:
    geometry = Geometry(**head["geometry"])
    limits.check_geometry(geometry)
    index = coding.EncodedIndex(payload=sections[b"INDX"], **head["index"])
    row_ptr, col_idx = coding.decode_index(
        index, geometry.out_channels, geometry.columns, head["nnz"]
    )
    codes = coding.unpack_bits(sections[b"LEVL"], head["bits"], head["nnz"], np.uint8)
    bias_bits = head["bias_bits"]
    bias = coding.unpack_bits(sections[b"BIAS"], bias_bits, geometry.out_channels)
    return Layer(
        geometry=geometry,
        row_ptr=row_ptr,
        col_idx=col_idx,
        levels=codes_to_levels(codes, head["bits"]),
        bias=bias - (1 << (bias_bits - 1)),
        **{key: head[key] for key in _FIELDS},
    )


def _unpacked(payload: bytes) -> bytes:
    """The JSON text. Raises CosignError when it is damaged, or larger than any network's."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(payload, limits.LARGEST_HEAD)
    except zlib.error as error:
        raise CosignError(f"the header cannot be unpacked ({error})") from error
    if not unpacker.eof:
        raise CosignError("the header is cut off, or larger than any network's")
    return text


def _read_sections(blob: bytes) -> tuple[dict[str, Any], dict[int, dict[bytes, bytes]]]:
    broken = CosignError("the file is truncated or damaged; export it again.")
    if len(blob) < _PREFIX.size:
        raise broken
    count = _PREFIX.unpack_from(blob)[2]
    table_end = _PREFIX.size + count * _SECTION.size
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
            head = json.loads(_unpacked(payload))
        else:
            sections.setdefault(number, {})[tag] = payload
    if head is None or position != len(blob):
        raise broken
    return head, sections
