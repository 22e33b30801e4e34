"""Tables of functions and layouts of take and permute nodes, in the header of `model.cosign`."""

import zlib

import numpy as np

from compress.file.fields import FieldReader, FieldWriter
from compress.model.hostops import HostOp, Layout, Shape
from cosign import CosignError

LARGEST_AXIS = 1 << 15  # of what a node takes
_PLACE_BYTES = 8
LARGEST_RANK = 8  # of what a node permutes


def write(out: FieldWriter, node: HostOp) -> None:
    """What a function, take or permute node does; nothing of others."""
    if node.op == "function":
        packed = zlib.compress(_steps(node.table, node.entries), 9)
        out.whole(len(node.table) // node.entries)
        out.whole(len(packed))
        out.data += packed
    elif node.op == "take":
        for places in node.layout:
            _write_places(out, places)
    else:
        for numbers in node.layout:  # none but of permute
            out.whole(len(numbers))
            for number in numbers:
                out.whole(number)


def _steps(table: bytes, entries: int) -> bytes:
    """Differences, which deflate better than what they add up to."""
    values = np.frombuffer(table, np.uint8).reshape(-1, entries)
    return np.diff(values, axis=1, prepend=np.uint8(0)).tobytes()


def _write_places(out: FieldWriter, places: tuple[int, ...]) -> None:
    """Runs of equal steps, and how often each place stands there before the next."""
    repeats = next(
        count
        for count in range(len(places), 0, -1)
        if len(places) % count == 0
        and all(places[at] == places[at - at % count] for at in range(len(places)))
    )
    kept, runs = places[::repeats], []
    while kept:
        step = kept[1] - kept[0] if len(kept) > 1 else 1
        length = next(
            (at for at in range(1, len(kept)) if kept[at] - kept[at - 1] != step), len(kept)
        )
        runs.append((kept[0], step, length))
        kept = kept[length:]
    out.whole(repeats)
    out.whole(len(runs))
    for first, step, length in runs:
        out.whole(first + 1)
        out.integer(step)
        out.whole(length)


def _read_places(fields: FieldReader, size: int) -> tuple[int, ...]:
    """The inverse; an axis of the input has `size` places."""
    repeats = fields.whole()
    places: list[int] = []
    for _ in range(fields.whole()):
        first, step, length = fields.whole() - 1, fields.integer(), fields.whole()
        last = first + step * (length - 1)
        if length < 1 or not -1 <= min(first, last) <= max(first, last) < size:
            raise CosignError("a node takes what its input has not")
        if (len(places) + length) * repeats > LARGEST_AXIS:
            raise CosignError(f"a node takes more than {LARGEST_AXIS} places of an axis")
        fields.unpack(length * repeats * _PLACE_BYTES)
        places += [first + step * at for at in range(length)]
    return tuple(place for place in places for _ in range(repeats))


def read(fields: FieldReader, op: str, shape: Shape, act_bits: int) -> tuple[bytes, Layout]:
    """(table, layout) of a node that reads a map of `shape`."""
    if op == "function":
        entries = 1 << act_bits
        size = entries * fields.whole()
        if size > entries * shape[0]:
            raise CosignError("a function has more tables than its input channels")
        fields.unpack(size)
        unpacker = zlib.decompressobj()
        try:
            steps = unpacker.decompress(fields.raw(fields.whole()), size)
        except zlib.error as error:
            raise CosignError("the table of a function is damaged") from error
        if len(steps) != size or not unpacker.eof:
            raise CosignError("the table of a function does not have its size")
        values = np.frombuffer(steps, np.uint8).reshape(-1, entries)
        return np.cumsum(values, axis=1, dtype=np.uint8).tobytes(), ()
    if op == "take":
        return b"", tuple(_read_places(fields, size) for size in shape)
    if op == "permute":
        return b"", tuple(fields.counted(LARGEST_RANK) for _ in range(3))
    return b"", ()
