"""Files with right checksums and wrong content: read in a sentence, quickly, in little memory."""

import json
import random
import resource
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrowing import with_act_bits

from compress.file import container
from compress.file.fields import FieldWriter
from compress.file.packing import CODINGS
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer, fixed_point
from compress.model.hostops import HostOp
from cosign import CosignError

_MOST = 300 << 20  # bytes that reading a small file may take


def framed(head: bytes, weights: bytes = b"", schema: int = 6) -> bytes:
    """A file of this header and weights, with the checksums that belong to them."""
    out = FieldWriter()
    out.whole(len(head))
    start = struct.pack("<6sH", b"COSIGN", schema) + bytes(out.data) + head
    start += struct.pack("<I", zlib.crc32(start))
    return start + weights + struct.pack("<I", zlib.crc32(weights))


def unframed(blob: bytes) -> tuple[bytes, bytes, int]:
    """(header, weights, schema) of a file."""
    length, position = 0, 8
    for place in range(10):
        length |= (blob[position] & 127) << 7 * place
        position += 1
        if blob[position - 1] < 128:
            break
    return blob[position : position + length], blob[position + length + 4 : -4], blob[6]


def small(coding: str | None, schema: int) -> bytes:
    """A file with layers and most host operations; from schema 6 on with scales of filters, in 7
    with activations of 5 bits."""
    rng = np.random.default_rng(5)

    def layer(name: str, source: str, geometry: Geometry) -> Layer:
        levels = rng.integers(-4, 5, (geometry.out_channels, geometry.columns), np.int8)
        fields = {"bits": 3, "q": 0.1, "mul": 40_000, "shift": 20, "relu": True}
        bias = rng.integers(-99, 99, geometry.out_channels)
        if schema > 5:
            fields |= filters[name](len(levels))
            levels[:2] = 0
        scales = {"in_scale": 0.02, "out_scale": 0.05}
        return Layer.from_dense(
            levels, name=name, input=source, geometry=geometry, bias=bias, **fields, **scales
        )

    def derived(count: int) -> dict[str, object]:
        """Of two filters without weights the same."""
        q = rng.uniform(0.1, 0.2, count)
        q[:2] = 0.1
        mul, shift = fixed_point(0.02 * q / 0.05)
        return {"q": q, "mul": mul, "shift": shift}

    def given(count: int) -> dict[str, object]:
        return {"mul": rng.integers(0, 1 << 16, count), "shift": rng.integers(1, 48, count)}

    filters = {"conv1": derived, "fc1": given}
    source = InputSpec((2, 6, 6), 0.02, (0.4, 0.5), (0.2, 0.3))
    shift = {"mul0": 1 << 15, "shift": 16}
    places = ((1, 0, 2, -1), (0, 2, 4), (1, 1, 3))
    nodes = (
        layer("conv1", "input", Geometry("conv", 2, 4, 6, 6, (3, 3), padding=(1, 1))),
        HostOp("f", "function", ("conv1",), {"out_scale": 0.1}, rng.bytes(256)),
        HostOp("t", "take", ("f",), layout=places),
        HostOp("m", "mul", ("t", "t"), shift),
        HostOp("a", "add", ("m", "t"), {**shift, "mul1": 7, "relu": 1}),
        HostOp("p", "permute", ("a",), layout=((4, 9), (1, 0), (9, 2, 2))),
        HostOp(
            "n",
            "lrn",
            ("p",),
            {"size": 3, "alpha": 0.1, "beta": 0.75, "k": 1, "in_scale": 0.1, "out_scale": 0.1},
        ),
        HostOp("g", "avgpool", ("n",), {"kernel": 0, "stride": 1, **shift}),
        HostOp("c", "concat", ("g", "g"), {**shift, "mul1": 3}),
        HostOp("l", "flatten", ("c",)),
        layer("fc1", "l", Geometry("linear", 18, 5)),
    )
    model = CompressedModel("small", source, nodes, ("fc1", "a"))
    return container.to_bytes(with_act_bits(model, 5) if schema == 7 else model, coding)


FILES = {
    (coding, schema): small(coding, schema) for coding in (*CODINGS, None) for schema in (5, 6, 7)
}


def read_or_refused(blob: bytes) -> CompressedModel | None:
    """The model; None where a sentence was told. Anything else is a fault."""
    try:
        return container.from_bytes(blob)
    except CosignError as error:
        told = str(error)
    assert "\n" not in told
    return None


@given(st.sampled_from(list(FILES)), st.integers(0, 1 << 32))
@settings(max_examples=800)
def test_mutants_with_right_checksums(kind_of_file: tuple[str | None, int], seed: int) -> None:
    blob = FILES[kind_of_file]
    head, weights, schema = unframed(blob)
    assert schema == kind_of_file[1]
    assert framed(head, weights, schema) == blob
    rng = random.Random(seed)
    parts = [bytearray(head), bytearray(weights)]
    for _ in range(rng.choice([1, 1, 2, 5])):
        part = rng.choice(parts)
        at = rng.randrange(len(part)) if part else 0
        kind = rng.randrange(4)
        if kind == 0 and part:
            part[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and part:
            part[at] = rng.choice([0, 1, 127, 128, 255])
        elif kind == 2:
            part[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 6)))
        elif part:
            del part[at : at + rng.randrange(1, 6)]
    model = read_or_refused(
        framed(bytes(parts[0]), bytes(parts[1]), rng.choice([schema, schema, 3, 4, 5, 6, 7]))
    )
    if model is not None:
        assert container.from_bytes(container.to_bytes(model)).nodes


def header(write: Callable[[FieldWriter], None], shape: tuple[int, ...] = (1, 1, 1)) -> bytes:
    """The header of a network whose nodes `write` adds, their number first."""
    out = FieldWriter()
    out.text("x")
    for size in shape:
        out.whole(size)
    for value in (0.5,) * shape[0] + (0.5,) * shape[0]:
        out.real(value)
    out.real(0.0)
    write(out)
    out.whole(0)
    return bytes(out.data)


def conv(
    out: FieldWriter,
    coding: int,
    channels: int,
    *parameters: int,
    kernel: int = 1,
    each: int = 0,
    mantissa: int = 8,
    lowest: int = 0,
    exponent: int = 2,
    shared: int = 0,
) -> None:
    """The first node, in schema 6; `each` are the flags of scales."""
    out.data += bytes([0, 4 | coding << 3, each])
    if each & 1:
        out.whole(mantissa - 1)
        out.integer(lowest)
        out.whole(exponent)
    if each & 4:
        out.whole(shared)
    out.whole(channels)
    out.whole(kernel)
    if not each & 1:
        out.real(1.0)
    out.real(1.0)
    for value in parameters:
        out.whole(value)


def ans_of_2_to_31(out: FieldWriter) -> None:
    out.whole(1)
    conv(out, 3, 1 << 15, 1 << 14, 4, 1 << 31, 36, 68, 4)


def concats(out: FieldWriter) -> None:
    out.whole(40)
    for _ in range(40):
        out.data += bytes([7 | 32, 2, 0, 0, 1, 1, 1])


def flatten_of_2_to_31(out: FieldWriter) -> None:
    out.whole(2)
    out.data += bytes([5, 5])
    out.whole(1)
    out.whole(0)


def adaptive_rows(out: FieldWriter) -> None:
    out.whole(1)
    conv(out, 4, 1 << 25, 0)


def scales(out: FieldWriter, **fields: int) -> None:
    """An absolutely coded layer of four filters, without weights."""
    out.whole(1)
    conv(out, 1, 4, 0, 1, 0, 2, **fields)


def adaptive_kernels(out: FieldWriter) -> None:
    out.whole(1)
    conv(out, 4, 1 << 12, 0, kernel=1)


def takes(out: FieldWriter) -> None:
    count = 2_000
    out.whole(count)
    for _ in range(count):
        out.data.append(10)
        for length in (1, 1, 1 << 15):
            for value in (1, 1, 1, 0, length):
                out.whole(value)


def no_nodes(out: FieldWriter) -> None:
    out.whole(0)


def many_nodes(out: FieldWriter) -> None:
    out.whole(1 << 20)
    out.data += bytes([5]) * (1 << 20)


def huge_kernel(out: FieldWriter) -> None:
    out.whole(1)
    out.data += bytes([128, 4])
    out.whole(1)
    for value in (*(1 << 40,) * 2, 1, 1, *(1 << 40,) * 2, 1, 1, 1):
        out.whole(value)


HOSTILE: dict[str, bytes] = {
    "ANS entries": framed(header(ans_of_2_to_31), bytes(200)),
    "concats": framed(header(concats)),
    "flatten": framed(header(flatten_of_2_to_31, (1, 1 << 16, 1 << 15))),
    "adaptive rows": framed(header(adaptive_rows), bytes(8)),
    "adaptive kernels": framed(header(adaptive_kernels, (1 << 12, 1, 1)), b"\xff" * 8),
    "scales of all filters": framed(header(partial(scales, each=1)), bytes(6)),
    "no scales": framed(header(partial(scales, each=7, shared=3)), bytes(15)),
    "shared scales": framed(header(partial(scales, each=7, shared=1 << 40)), bytes(4)),
    "flags of scales": framed(header(partial(scales, each=8)), bytes(2)),
    "mantissa": framed(header(partial(scales, each=1, mantissa=1 << 30)), bytes(40)),
    "exponent": framed(header(partial(scales, each=1, exponent=63)), bytes(40)),
    "lowest": framed(header(partial(scales, each=1, lowest=1 << 60)), bytes(8)),
    "infinite": framed(header(partial(scales, each=1, lowest=1030)), bytes(7)),
    "zero": framed(header(partial(scales, each=1, lowest=-1100)), bytes(7)),
    "takes": framed(header(takes)),
    "no nodes": framed(header(no_nodes)),
    "many nodes": framed(header(many_nodes)),
    "kernel": framed(header(huge_kernel)),
    "empty input": framed(header(no_nodes, (1, 0, 1))),
}


def test_the_plain_layer_with_scales_is_no_hostile_one() -> None:
    """Of which those above each differ in one thing."""
    head, weights = header(partial(scales, each=7, shared=1)), bytes([0, 0xAA, 0, 0, 0, 0, 1])
    blob = framed(head, weights)
    (layer,) = container.from_bytes(blob).layers
    assert (layer.q.tolist(), layer.bias.tolist()) == ([0.5] * 4, [0] * 4)
    assert (layer.mul.tolist(), layer.shift.tolist()) == ([0] * 4, [1] * 4)
    with pytest.raises(CosignError, match="header ends too early"):
        container.from_bytes(framed(head, weights[:-1]))


# Of scales, whose layer has no other fault.
TOLD = {
    "scales of all filters": "ends too early",
    "no scales": "the intervals do not match the filters that have weights",
    "shared scales": "intervals that its filters cannot have",
    "flags of scales": "unknown flags 8",
    "mantissa": "intervals that its filters cannot have",
    "exponent": "intervals that its filters cannot have",
    "lowest": "intervals that its filters cannot have",
    "infinite": "factor is inf, must be positive",
    "zero": "factor is 0.0, must be positive",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_file_announces_is_bounded(name: str) -> None:
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(CosignError, match=TOLD.get(name)):
        container.from_bytes(HOSTILE[name])
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < _MOST, name
    print(f"{name}: {spent:.1f} s, {peak >> 20} MiB")


def old(head: object, schema: int = 1) -> bytes:
    """A file of schema 1 or 2 with this header."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    payload = zlib.compress(text)
    start = struct.pack("<6sHI", b"COSIGN", schema, 1)
    start += struct.pack("<4sIII", b"HEAD", 0, len(payload), zlib.crc32(payload))
    return start + struct.pack("<I", zlib.crc32(start)) + payload


INPUT = {"shape": [1, 1, 1], "scale": 1.0, "mean": [0.5], "std": [0.5]}


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 100_000,
        b" " * (100 << 20),
        b"null",
        b"{}",
        {"name": "x", "input": INPUT, "nodes": []},
        {"name": "x", "input": {**INPUT, "std": [0.0]}, "nodes": [{}]},
        {"name": "x", "input": {**INPUT, "scale": -1}, "nodes": [{}]},
        {"name": "x", "input": {**INPUT, "shape": [1, 0, 1]}, "nodes": [{}]},
        {"name": "x", "input": {**INPUT, "shape": None}, "nodes": None},
        {"name": "x", "input": INPUT, "nodes": [{"node": "host", "op": "flatten"}]},
        {"name": "x", "input": INPUT, "nodes": [{"node": "layer", "index": {"coding": []}}]},
    ],
    ids=lambda head: str(head if isinstance(head, dict) else head[:20]),
)
def test_headers_of_old_schemas(head: object) -> None:
    with pytest.raises(CosignError) as caught:
        container.from_bytes(old(head))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits", [0, 3, 8, 100])
def test_bits_that_no_activation_has_are_refused(bits: int) -> None:
    """Of 8 bits an older schema tells."""
    head, weights, _ = unframed(small(None, 7))
    at = 1 + len("small")
    assert head[at] == 5
    other = head[:at] + bytes([bits]) + head[at + 1 :]
    with pytest.raises(CosignError, match=f"have {bits} bits, must have 4 to 7 in schema 7"):
        container.from_bytes(framed(other, weights, 7))
