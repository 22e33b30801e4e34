"""The golden model against nested loops and against torch."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import narrowed

from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer
from compress.model.hostops import HostOp
from sim import golden

widths = st.sampled_from([8, 8, 7, 6, 5, 4])
"""Bits of activations."""


def layer_from_dense(geometry: Geometry, dense: np.ndarray, **fields) -> Layer:
    defaults = {"name": "l", "input": "input", "bits": 8, "q": 0.01, "mul": 40000, "shift": 23}
    defaults |= {"relu": False, "in_scale": 1.0, "out_scale": 1.0}
    defaults |= {"bias": np.zeros(geometry.out_channels)}
    return Layer.from_dense(dense, geometry=geometry, **(defaults | fields))


@st.composite
def random_layers(draw) -> tuple[Layer, np.ndarray]:
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    sizes = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    geometry = Geometry(
        kind="conv",
        in_channels=groups * draw(st.integers(1, 3)),
        out_channels=groups * draw(st.integers(1, 3)),
        in_height=max(1, sizes[0] - 2 * padding[0]) + draw(st.integers(0, 4)),
        in_width=max(1, sizes[1] - 2 * padding[1]) + draw(st.integers(0, 4)),
        kernel=kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dense = rng.integers(-127, 128, (geometry.out_channels, geometry.columns), np.int8)
    dense[rng.random(dense.shape) > draw(st.floats(0, 1))] = 0
    shape = (2, geometry.in_channels, geometry.in_height, geometry.in_width)
    act_bits = draw(widths)
    x = narrowed(rng.integers(-128, 128, shape, np.int8), act_bits)
    bias = rng.integers(-5000, 5000, geometry.out_channels)
    each = draw(st.sampled_from([1, geometry.out_channels]))
    scales = {"mul": rng.integers(0, 1 << 16, each), "shift": rng.integers(1, 48, each)}
    scales["act_bits"] = act_bits
    if draw(st.booleans()):  # to outputs that do not saturate
        scales["shift"] = rng.integers(17, 28, each)
    made = layer_from_dense(geometry, dense, bias=bias, relu=draw(st.booleans()), **scales)
    return made, x


def slow_accumulate(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Six loops over the definition of convolution."""
    g = layer.geometry
    dense = layer.dense_levels().reshape(g.out_channels, -1, *g.kernel)
    out = np.zeros((len(x), g.out_channels, g.out_height, g.out_width), np.int64)
    for n, k, oy, ox in np.ndindex(out.shape):
        first = k // (g.out_channels // g.groups) * (g.in_channels // g.groups)
        for c, r, s in np.ndindex(dense.shape[1:]):
            y = oy * g.stride[0] + r * g.dilation[0] - g.padding[0]
            z = ox * g.stride[1] + s * g.dilation[1] - g.padding[1]
            if 0 <= y < g.in_height and 0 <= z < g.in_width:
                out[n, k, oy, ox] += int(dense[k, c, r, s]) * int(x[n, first + c, y, z])
    return out


@settings(max_examples=60, deadline=None)
@given(random_layers())
def test_accumulate_equals_nested_loops(case):
    layer, x = case
    np.testing.assert_array_equal(golden.accumulate(layer, x), slow_accumulate(layer, x))


@settings(max_examples=60, deadline=None)
@given(random_layers())
def test_outputs_equal_each_filters_requantisation_in_fractions(case):
    layer, x = case
    sums = golden.accumulate(layer, x)
    outputs = golden.layer_output(layer, x)
    for n, k, y, z in np.ndindex(sums.shape):
        acc = int(sums[n, k, y, z]) + int(layer.bias[k])
        mul, shift = int(layer.mul[k]), int(layer.shift[k])
        assert outputs[n, k, y, z] == slow_requantize(acc, mul, shift, layer, layer.relu)


@pytest.mark.parametrize(
    ("acc", "relu", "expected"),
    [
        (0, False, 0),
        (1, False, 1),  # 0.5 rounds up
        (-1, False, 0),  # -0.5 rounds up too
        (-3, False, -1),
        (10_000, False, 127),
        (-10_000, False, -128),
        (-10_000, True, 0),
    ],
)
def test_requantize_rounds_half_up_and_saturates(acc, relu, expected):
    assert golden.requantize(np.array([acc]), 1 << 15, 16, relu)[0] == expected


@pytest.mark.parametrize(("bits", "ends"), [(4, (-8, 7)), (5, (-16, 15)), (7, (-64, 63))])
def test_fewer_bits_saturate_at_their_own_ends(bits, ends):
    acc = np.array([-10_000, -1, 10_000])
    assert golden.requantize(acc, 1 << 15, 16, False, bits).tolist() == [ends[0], 0, ends[1]]
    assert golden.requantize(acc, 1 << 15, 16, True, bits).tolist() == [0, 0, ends[1]]
    source = InputSpec((1, 1, 2), 1e-3, (0.5,), (0.5,), bits)
    assert source.quantize(np.array([[[0, 255]]], np.uint8)).ravel().tolist() == list(ends)


def test_large_sums_stay_exact():
    """Sums beyond float32's mantissa: 4,000 products of 127 * 127, the last one odd."""
    geometry = Geometry("linear", 4001, 1)
    layer = layer_from_dense(geometry, np.full((1, 4001), 127, np.int8))
    x = np.full((1, 4001, 1, 1), 127, np.int8)
    x[0, -1] = 1
    assert golden.accumulate(layer, x).item() == 4000 * 127 * 127 + 127


@pytest.mark.parametrize("bits", [8, 5])
def test_lrn_equals_torch(bits):
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (2, 7, 3, 3)).astype(np.int8) >> (8 - bits)
    attrs = {"size": 5, "alpha": 1e-1, "beta": 0.75, "k": 1.0, "in_scale": 0.1, "out_scale": 0.08}
    op = HostOp("n", "lrn", ("input",), attrs, act_bits=bits)
    ours = golden.HOST_OPS["lrn"](op, x)
    reference = torch.nn.functional.local_response_norm(
        torch.from_numpy(x).double() * 0.1, 5, alpha=1e-1, beta=0.75, k=1.0
    )
    top = 1 << (bits - 1)
    expected = np.clip(np.floor(reference.numpy() / 0.08 + 0.5), -top, top - 1)
    assert bits == 8 or expected.max() == top - 1
    np.testing.assert_array_equal(ours, expected)


def slow_requantize(
    acc: int, mul: int, shift: int, node: Layer | HostOp, relu: bool = False
) -> int:
    """Round half up by exact fractions, then saturate as the node's activations do."""
    low, high = -(2 ** (node.act_bits - 1)), 2 ** (node.act_bits - 1) - 1
    rounded = math.floor(Fraction(acc * mul, 2**shift) + Fraction(1, 2))
    return min(max(rounded, 0 if relu else low), high)


@st.composite
def random_pools(draw) -> tuple[HostOp, np.ndarray]:
    op = draw(st.sampled_from(["maxpool", "avgpool"]))
    kernel = draw(st.integers(1, 4))
    padding = draw(st.integers(0, kernel // 2))
    attrs = {"kernel": kernel, "stride": draw(st.integers(1, 5)), "padding": padding}
    low = max(1, kernel - 2 * padding)
    size = (draw(st.integers(low, 7)), draw(st.integers(low, 7)))
    if op == "avgpool":
        attrs |= {"mul0": draw(st.integers(0, 65535)), "shift": draw(st.integers(1, 24))}
        if draw(st.booleans()):
            attrs |= {"kernel": 0, "padding": draw(st.integers(0, min(size) // 2))}
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    act_bits = draw(widths)
    x = narrowed(rng.integers(-128, 128, (2, 3, *size)).astype(np.int8), act_bits)
    return HostOp("pool", op, ("input",), attrs, act_bits=act_bits), x


@settings(max_examples=150, deadline=None)
@given(random_pools())
def test_pooling_equals_nested_loops(case):
    op, x = case
    attrs = op.attrs
    height, width = (attrs["kernel"],) * 2 if attrs["kernel"] else x.shape[2:]
    y = golden.HOST_OPS[op.op](op, x)
    stride, padding = attrs["stride"], attrs["padding"]
    assert y.dtype == np.int8
    assert y.shape[1:] == op.output_shape([x.shape[1:]])
    assert y.shape[2] == (x.shape[2] + 2 * padding - height) // stride + 1
    for n, c, i, j in np.ndindex(y.shape):
        rows = range(i * stride - padding, i * stride - padding + height)
        columns = range(j * stride - padding, j * stride - padding + width)
        pixels = [
            int(x[n, c, r, s])
            for r in rows
            for s in columns
            if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]
        ]
        if op.op == "maxpool":
            assert y[n, c, i, j] == max(pixels)
        else:
            assert y[n, c, i, j] == slow_requantize(sum(pixels), attrs["mul0"], attrs["shift"], op)


@st.composite
def odd_pools(draw) -> tuple[HostOp, np.ndarray]:
    """Windows that differ by axis, dilated, with another padding at the end."""
    op = draw(st.sampled_from(["maxpool", "avgpool"]))
    attrs, size = {}, []
    for suffix in ("", "1"):
        kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        reach = dilation * (kernel - 1) + 1
        padding, end = draw(st.integers(0, reach // 2)), draw(st.integers(0, reach - 1))
        attrs |= {f"kernel{suffix}": kernel, f"dilation{suffix}": dilation}
        attrs |= {f"padding{suffix}": padding, f"end{suffix}": end}
        attrs |= {f"stride{suffix}": draw(st.integers(1, 3))}
        size.append(reach + draw(st.integers(0, 4)))
    if op == "avgpool":
        attrs |= {"mul0": draw(st.integers(0, 65535)), "shift": draw(st.integers(1, 24))}
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    act_bits = draw(widths)
    x = narrowed(rng.integers(-128, 128, (1, 2, *size), np.int8), act_bits)
    return HostOp("pool", op, ("input",), attrs, act_bits=act_bits), x


@given(odd_pools())
def test_windows_of_any_shape_equal_nested_loops(case):
    op, x = case
    a = op.attrs
    y = golden.HOST_OPS[op.op](op, x)
    assert y.shape[1:] == op.output_shape([x.shape[1:]])
    for n, c, i, j in np.ndindex(y.shape):
        places = [
            [
                at * a[f"stride{s}"] - a[f"padding{s}"] + tap * a[f"dilation{s}"]
                for tap in range(a[f"kernel{s}"])
            ]
            for at, s in ((i, ""), (j, "1"))
        ]
        pixels = [
            int(x[n, c, row, column])
            for row in places[0]
            for column in places[1]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
        ]
        if op.op == "maxpool":
            assert y[n, c, i, j] == max(pixels, default=-(2 ** (op.act_bits - 1)))
        else:
            assert y[n, c, i, j] == slow_requantize(sum(pixels), a["mul0"], a["shift"], op)


@given(st.integers(0, 65535), st.integers(1, 30), st.integers(0, 2**32), st.integers(0, 3), widths)
def test_mul_and_add_of_maps_that_repeat(mul0, shift, seed, axis, bits):
    rng = np.random.default_rng(seed)
    x = narrowed(rng.integers(-128, 128, (1, 2, 3, 2), np.int8), bits)
    small = [1, 2, 3, 2]
    if axis:
        small[axis] = 1
    y = narrowed(rng.integers(-128, 128, small, np.int8), bits)
    attrs = {"mul0": mul0, "shift": shift}
    times = HostOp("p", "mul", ("a", "b"), attrs, act_bits=bits)
    plus = HostOp("s", "add", ("a", "b"), attrs | {"mul1": 7, "relu": 0}, act_bits=bits)
    product, total = (golden.HOST_OPS[op.op](op, x, y) for op in (times, plus))
    full = np.broadcast_to(y, x.shape)
    for at in np.ndindex(x.shape):
        assert product[at] == slow_requantize(int(x[at]) * int(full[at]), mul0, shift, times)
        assert total[at] == slow_requantize(int(x[at]) * mul0 + int(full[at]) * 7, 1, shift, plus)


def test_function_take_and_permute_by_hand():
    x = np.array([[[[1, 2], [3, 4]], [[-5, 6], [7, -128]]]], np.int8)
    tables = np.stack([np.arange(-128, 128), -np.arange(-128, 128).clip(-127)]).astype(np.int8)
    op = HostOp("f", "function", ("input",), {"out_scale": 1.0}, tables.tobytes())
    assert golden.HOST_OPS["function"](op, x)[0, 1].tolist() == [[5, -6], [-7, 127]]
    few = HostOp("g", "function", ("input",), {"out_scale": 1.0}, bytes(range(8)) * 2, (), 4)
    assert golden.HOST_OPS["function"](few, x.clip(-8, 7))[0].tolist() == [
        [[1, 2], [3, 4]], [[3, 6], [7, 0]],
    ]  # fmt: skip
    op = HostOp("t", "take", ("input",), layout=((1, -1), (0,), (1, 1, 0)))
    assert golden.HOST_OPS["take"](op, x)[0].tolist() == [[[6, 6, -5]], [[0, 0, 0]]]
    op = HostOp("p", "permute", ("input",), layout=((2, 4), (1, 0), (8, 1, 1)))
    assert golden.HOST_OPS["permute"](op, x).reshape(-1).tolist() == [1, -5, 2, 6, 3, 7, 4, -128]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(1, 47),
    st.integers(0, 1),
    st.integers(0, 2**32),
    widths,
)
def test_add_equals_its_definition(mul0, mul1, shift, relu, seed, bits):
    x, y = np.random.default_rng(seed).integers(-128, 128, (2, 2, 3, 2, 2)).astype(np.int8)
    x, y = narrowed(x, bits), narrowed(y, bits)
    attrs = {"mul0": mul0, "mul1": mul1, "shift": shift, "relu": relu}
    op = HostOp("sum", "add", ("a", "b"), attrs, act_bits=bits)
    out = golden.HOST_OPS["add"](op, x, y)
    for at in np.ndindex(x.shape):
        total = int(x[at]) * mul0 + int(y[at]) * mul1
        assert out[at] == slow_requantize(total, 1, shift, op, bool(relu))


@pytest.mark.parametrize("bits", [8, 6])
def test_concat_brings_each_input_to_one_scale(bits):
    x, y = np.random.default_rng(0).integers(-128, 128, (2, 2, 3, 2, 2)).astype(np.int8)
    x, y = narrowed(x, bits), narrowed(y, bits)
    op = HostOp("all", "concat", ("a", "b"), {"mul0": 3, "mul1": 1, "shift": 1}, act_bits=bits)
    out = golden.HOST_OPS["concat"](op, x, y[:, :1])
    assert out.shape == (2, 4, 2, 2)
    for n, c, i, j in np.ndindex(out.shape):
        value, mul = (x[n, c, i, j], 3) if c < 3 else (y[n, c - 3, i, j], 1)
        assert out[n, c, i, j] == slow_requantize(int(value), mul, 1, op)


def test_a_network_counts_right_answers():
    flatten = HostOp("flatten", "flatten", ("pool",))
    pool = HostOp("pool", "maxpool", ("input",), {"kernel": 2, "stride": 2})
    identity = layer_from_dense(
        Geometry("linear", 2, 2), np.eye(2, dtype=np.int8), input="flatten", mul=1 << 15, shift=15
    )
    spec = InputSpec((2, 2, 2), 1 / 127, (0.0, 0.0), (1.0, 1.0))
    model = CompressedModel("pick", spec, (pool, flatten, identity))
    pixels = np.zeros((3, 2, 2, 2), np.uint8)
    pixels[0, 0, 1, 1] = 255
    pixels[1, 1, 0, 1] = 255
    labels = np.array([0, 1, 1])  # the third is a tie: class 0
    done: list[int] = []
    assert golden.correct(model, pixels.__getitem__, labels, done.append) == 2
    assert done == [3]
    many = np.arange(120) % 3  # more than are computed at once
    assert golden.correct(model, lambda n: pixels[many[n]], labels[many], done.append) == 80
    assert done[1:] == sorted(set(done[1:]))
    assert done[-1] == 120
