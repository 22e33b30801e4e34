"""`model.cosign`: one file that holds a whole compressed network.

It is written in the oldest schema of 4 to 7 that can say it. `load` and `save` it, or
`from_bytes` and `to_bytes` without a file; `inspect` and `parse` tell what the bytes are for, too.
docs/format.md specifies them. No torch here.
"""

import struct
import zlib
from pathlib import Path

from compress.file import header, limits, schema2
from compress.file.adaptive import Decoder, Encoder
from compress.file.entropy import code_layer
from compress.file.feeding import Feeding
from compress.file.fields import FieldReader, FieldWriter
from compress.file.header import LayerHead
from compress.file.packing import Packed, Sizes, pack, sizes, take, unpack
from compress.model.graph import CompressedModel, Layer, Node
from compress.model.hostops import HostOp
from cosign import CosignError, atomic_write

SCHEMA = 7
_MAGIC = b"COSIGN"
_PREFIX = struct.Struct("<6sH")  # magic, schema
_CRC = struct.Struct("<I")
_UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def to_bytes(model: CompressedModel, coding: str | None = None) -> bytes:
    """Serialise; the same model always gives the same bytes.

    `coding` forces one of `packing.CODINGS` on all layers; by default each has its smallest.
    """
    packed, encoder = _pack(model, coding)
    head = header.write(model, packed)
    parts = (part for layer in packed.values() for part in layer.payloads)
    weights = b"".join([*parts, encoder.payload()])
    out = FieldWriter()
    out.whole(len(head))
    start = _PREFIX.pack(_MAGIC, header.schema(model)) + out.data + head
    start += _CRC.pack(zlib.crc32(start))
    return start + weights + _CRC.pack(zlib.crc32(weights))


def _pack(model: CompressedModel, coding: str | None) -> tuple[dict[str, Packed], Encoder]:
    """The layers, and the stream that the adaptively coded ones share."""
    feeding, encoder = Feeding(model.input), Encoder()
    packed: dict[str, Packed] = {}
    for number, node in enumerate(model.nodes):
        if isinstance(node, Layer):
            grid, fed = feeding.grid(node.geometry, node.input)
            part = packed[node.name] = pack(node, grid, fed, coding)
            if part.coding == "adaptive":
                code_layer(encoder, number, grid, node.bits, part.parameters[0], fed, node)
        feeding.add(node)
    return packed, encoder


def from_bytes(blob: bytes, source: str = "model.cosign") -> CompressedModel:
    """Read and validate. Raises CosignError on anything that is not a whole, intact file."""
    return parse(blob, source)[0]


def parse(blob: bytes, source: str = "model.cosign") -> tuple[CompressedModel, dict[str, Sizes]]:
    """The model, and what the bytes of each layer are for (Tables 5 and 6); raises CosignError."""
    if len(blob) < _PREFIX.size or blob[: len(_MAGIC)] != _MAGIC:
        raise CosignError(f"{source} is not a cosign model; export it again.")
    schema = _PREFIX.unpack_from(blob)[1]
    if schema not in range(1, SCHEMA + 1):
        raise CosignError(f"{source} has schema {schema}, this version reads 1 to {SCHEMA}.")
    try:
        return _decode(*_sections(blob), schema) if schema > 2 else schema2.read(blob)
    except CosignError as error:
        raise CosignError(f"{source}: {error}") from error
    except _UNFIT as error:
        raise CosignError(
            f"{source}: the contents do not fit schema {schema} ({error})."
        ) from error


def _sections(blob: bytes) -> tuple[bytes, bytes]:
    """(header, weights), both with the right checksum."""
    fields = FieldReader(blob, _PREFIX.size)
    broken = CosignError("the file is truncated or damaged; export it again.")
    try:
        head = fields.raw(fields.whole())
        end = fields.position
        checksum = fields.raw(_CRC.size)
    except CosignError:
        raise broken from None
    weights, last = blob[fields.position : -_CRC.size], blob[-_CRC.size :]
    if len(blob) < fields.position + _CRC.size:
        raise broken
    for part, crc in ((blob[:end], checksum), (weights, last)):
        if _CRC.unpack(crc)[0] != zlib.crc32(part):
            raise broken
    return head, weights


def _decode(head: bytes, weights: bytes, schema: int) -> tuple[CompressedModel, dict[str, Sizes]]:
    name, source, heads, outputs = header.read(head, schema)
    fields = FieldReader(weights)
    packed = {
        number: take(entry, fields.raw)
        for number, entry in enumerate(heads)
        if isinstance(entry, LayerHead)
    }
    stream = weights[fields.position :]
    adaptive = [
        entry.geometry
        for entry in heads
        if isinstance(entry, LayerHead) and entry.coding == "adaptive"
    ]
    rows = sum(2 * g.out_channels + g.in_channels for g in adaptive)
    decoder = Decoder(stream, schema, limits.decisions(rows, len(stream)))
    feeding = Feeding(source)
    nodes: list[Node] = []
    for number, entry in enumerate(heads):
        if isinstance(entry, HostOp):
            nodes.append(entry)
        elif entry.coding == "adaptive":
            grid, fed = feeding.grid(entry.geometry, entry.input)
            arrays = code_layer(decoder, number, grid, entry.bits, entry.parameters[0], fed)
            nodes.append(entry.layer(arrays, packed[number].scales))
        else:
            nodes.append(entry.layer(unpack(entry, packed[number]), packed[number].scales))
        feeding.add(nodes[-1])
    decoder.finish()
    model = CompressedModel(name, source, tuple(nodes), outputs)
    spent = sizes(packed, decoder.spent, len(stream))
    return model, {nodes[number].name: size for number, size in spent.items()}


def save(model: CompressedModel, path: Path, coding: str | None = None) -> None:
    """Write the file atomically; `coding` as in `to_bytes`."""
    with atomic_write(path) as file:
        file.write(to_bytes(model, coding))


def load(path: Path) -> CompressedModel:
    """Read `path`. Raises CosignError when it is missing, truncated or damaged."""
    return inspect(path)[0]


def inspect(path: Path) -> tuple[CompressedModel, dict[str, Sizes]]:
    """`parse` of a file."""
    try:
        blob = Path(path).read_bytes()
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    return parse(blob, str(path))
