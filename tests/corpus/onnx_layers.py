"""Layers, pooling, what only moves numbers, and joins."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx_net import COLOUR, MAP, Kind, Made, Net, of_map


def _shortcut_a(g: Net, joined: bool = False) -> Made:
    """Of CIFAR's ResNets: every second pixel, and channels of zeros on both sides."""
    x = g.relu(g.fold("x", 3, 4))
    less = g("Slice", x, [0, 0], [2**31 - 1, 2**31 - 1], [2, 3], [2, 2])
    if joined:
        zeros = g("ConstantOfShape", [1, 2, 6, 6])
        less = g("Concat", zeros, less, zeros, axis=1)
    else:
        less = g("Pad", less, [0, 2, 0, 0, 0, 2, 0, 0])
    y = g.fold(g.relu(g.fold(x, 4, 8, strides=[2, 2])), 8, 8)
    return g.head(g.relu(g("Add", y, less)), 8 * 36)


def _excited(g: Net, gate: str, **a: Any) -> Made:
    y = g.body()
    inner = g.relu(g.fold(g("GlobalAveragePool", y), 6, 3, 1))
    return g.head(g("Mul", y, g(gate, g.fold(inner, 3, 6, 1), **a)))


def _both(g: Net, op: str, first: float = 1.0, second: float = 1.0) -> Made:
    """Two branches of a map, scaled, and joined by `op`."""
    y = g.body()
    a, b = g("Mul", g.fold(y, 6, 6, 1), np.float32(first)), g.relu(g.fold(y, 6, 6, 1))
    b = g("Mul", b, np.float32(second))
    if op == "Concat":
        return g.head(g(op, a, b, axis=1), 2 * MAP)
    return g.head(g(op, a, b))


def _shared(g: Net) -> Made:
    """Three layers with the same weights."""
    weight, bias, y = g.put(g.weights(6, 6, 3, 3)), g.put(np.zeros(6)), g.body()
    for _ in range(3):
        y = g.relu(g("Conv", y, weight, bias, pads=[1] * 4))
    return g.head(y)


def _recurrent(g: Net) -> Made:
    rows = g("Reshape", g.body(), [6, 1, 9])
    made = g("GRU", rows, g.weights(1, 12, 9), g.weights(1, 12, 4), hidden_size=4)
    return g.dense(g("Reshape", made, [1, 24]), 24)


def _weight_norm(g: Net) -> Made:
    y, weight = g.body(), g.put(g.weights(6, 6, 3, 3))
    length = g("ReduceL2", weight, axes=[1, 2, 3])
    scaled = g("Mul", weight, g("Div", np.ones((6, 1, 1, 1)), length))
    return g.head(g.relu(g("Conv", y, scaled, pads=[1] * 4)))


def _of_layer(build: Callable[[Net, str], Any], count: int) -> Callable[[Net], Made]:
    """The same of a single convolution, 4 x 10 x 10."""
    return lambda g: g.head(build(g, g.relu(g.fold("x", 1, 4, pads=[0] * 4))), count)


def _first(count: int, kernel: Any = 3, **a: Any) -> Callable[[Net], Made]:
    """A first layer of 4 filters with attributes `a`, which leaves so many numbers."""
    return lambda g: g.head(g.relu(g.fold("x", 1, 4, kernel, **a)), count)


LAYERS = {
    "depthwise, two each": Kind(of_map(lambda g, y: g.fold(y, 6, 12, group=6), 2 * MAP)),
    "groups": Kind(of_map(lambda g, y: g.relu(g.fold(y, 6, 9, group=3)), 81)),
    "pads that differ": Kind(_first(4 * 16, 5, pads=[0, 1, 2, 3], strides=[3, 3])),
    "even kernel, same lower": Kind(
        _first(4 * 36, 4, auto_pad="SAME_LOWER", strides=[2, 2], kernel_shape=[4, 4])
    ),
    "dilated, same upper": Kind(
        _first(4 * 144, 2, auto_pad="SAME_UPPER", dilations=[3, 3], kernel_shape=[2, 2])
    ),
    "dilated, pads that differ": Kind(_first(4 * 121, 3, pads=[1, 1, 2, 2], dilations=[2, 2])),
    "stride beyond the kernel": Kind(_first(4 * 16, 1, strides=[3, 3])),
    "kernel beyond the map": Kind(of_map(lambda g, y: g.relu(g.fold(y, 6, 6, 9)))),
    "1 x 7 and 7 x 1": Kind(
        lambda g: g.head(g.relu(g.fold(g.fold("x", 1, 2, (1, 7)), 2, 2, (7, 1))), 288)
    ),
    "transposed": Kind(
        of_map(
            lambda g, y: g(
                "ConvTranspose",
                y,
                g.weights(6, 2, 3, 3),
                strides=[2, 2],
                pads=[1] * 4,
                output_padding=[1, 1],
            ),
            72,
        )
    ),
    "a layer of the whole map": Kind(
        lambda g: g.flat(g.fold(g.relu(g.fold(g.body(), 6, 8, pads=[0] * 4)), 8, 5, 1))
    ),
    "3 x 3 on 1 x 1": Kind(of_map(lambda g, y: g.fold(g("GlobalMaxPool", y), 6, 6, group=6), 6)),
    "weights of three layers at once": Kind(_shared),
    "weight norm": Kind(_weight_norm),
    "gemm with alpha and beta": Kind(
        lambda g: g(
            "Gemm", g.flat(g.body()), g.weights(MAP, 5), np.ones((1, 5)), alpha=0.5, beta=2.0
        )
    ),
    "gemm with one bias": Kind(
        lambda g: g("Gemm", g.flat(g.body()), g.weights(MAP, 5), np.float32(0.5))
    ),
    "matrix on the left": Kind(
        lambda g: g(
            "Transpose",
            g("MatMul", g.weights(5, MAP), g("Transpose", g.flat(g.body()), perm=[1, 0])),
            perm=[1, 0],
        ),
        (1, 1, 12, 12),
    ),
    "einsum": Kind(
        lambda g: g("Einsum", g.flat(g.body()), g.weights(MAP, 5), equation="nk,ko->no")
    ),
    "product of two maps": Kind(
        of_map(lambda g, y: g("MatMul", y, g.fold(y, 6, 6, 1))),
        refused="computed, not constant; leave it out with --output y5_0",
    ),
    "recurrent": Kind(_recurrent, (1, 1, 12, 12), refused="GRU"),
}


POOLS = {
    "average, counted, hanging over": Kind(
        _of_layer(
            lambda g, y: g(
                "AveragePool",
                y,
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1] * 4,
                ceil_mode=1,
                count_include_pad=1,
            ),
            4 * 36,
        ),
        opset=19,
    ),
    "average, hanging over": Kind(
        _of_layer(
            lambda g, y: g("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), 100
        )
    ),
    "average, padded on one side": Kind(
        _of_layer(
            lambda g, y: g(
                "AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]
            ),
            100,
        )
    ),
    "maximum, hanging over": Kind(
        _of_layer(lambda g, y: g.pool(y, kernel_shape=[3, 3], ceil_mode=1), 100)
    ),
    "maximum, dilated": Kind(
        _of_layer(lambda g, y: g.pool(y, dilations=[2, 2], strides=[1, 1]), 4 * 64)
    ),
    "maximum of 2 x 1": Kind(
        _of_layer(lambda g, y: g.pool(y, kernel_shape=[2, 1], strides=[2, 1]), 200)
    ),
    "average of all columns": Kind(
        _of_layer(lambda g, y: g("AveragePool", y, kernel_shape=[2, 10], strides=[2, 10]), 20)
    ),
    "maximum of negatives, padded": Kind(
        lambda g: g.head(
            g.pool(g.fold("x", 1, 4, bias=np.full(4, -5.0)), kernel_shape=[3, 3], pads=[1] * 4), 144
        )
    ),
    "pad before a maximum": Kind(
        _of_layer(
            lambda g, y: g.pool(g("Pad", y, [0, 0, 0, 0, 0, 0, 1, 1]), kernel_shape=[3, 3]), 100
        )
    ),
    "euclidean": Kind(
        _of_layer(lambda g, y: g("LpPool", y, kernel_shape=[2, 2], strides=[2, 2]), 100),
        refused="of the kind LpPool, which the machine has not; use AveragePool or MaxPool, or",
    ),
    "largest of all": Kind(of_map(lambda g, y: g("GlobalMaxPool", y), 6)),
    "mean of columns, then of rows": Kind(
        of_map(
            lambda g, y: g(
                "ReduceMean", g("ReduceMean", y, axes=[3], keepdims=0), axes=[2], keepdims=0
            ),
            6,
        )
    ),
    "mean, axes as input": Kind(
        of_map(lambda g, y: g("ReduceMean", y, [-1, -2], keepdims=0), 6), opset=18
    ),
    "sum as mean": Kind(
        of_map(lambda g, y: g("Mul", g("ReduceSum", y, [2, 3], keepdims=0), np.float32(1 / 9)), 6)
    ),
    "largest by axes": Kind(of_map(lambda g, y: g("ReduceMax", y, axes=[2, 3], keepdims=0), 6)),
    **{
        op: Kind(of_map(lambda g, y, op=op: g(op, g.fold(y, 6, 6), axes=[2, 3]), 6))
        for op in ("ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    },
    "mean of channels": Kind(of_map(lambda g, y: g("ReduceMean", y, axes=[1]), 9)),
}


MOVED = {
    "pad with axes": Kind(
        lambda g: g.head(g.body(g("Pad", "x", [1, 1, 1, 1], "", [2, 3])), 6 * 9), opset=18
    ),
    "pad by reflection": Kind(
        lambda g: g.head(
            g.relu(
                g.fold(g("Pad", "x", [0, 0, 1, 1, 0, 0, 1, 1], mode="reflect"), 1, 4, pads=[0] * 4)
            ),
            576,
        )
    ),
    "pad by the edge": Kind(
        of_map(lambda g, y: g("Pad", y, [0, 0, 1, 0, 0, 0, 0, 1], mode="edge"), 96)
    ),
    "pad with ones": Kind(
        of_map(lambda g, y: g("Pad", y, [0, 0, 1, 1, 0, 0, 1, 1], np.float32(1)), 150)
    ),
    "pad with less than all": Kind(
        of_map(lambda g, y: g("Pad", y, [0, 0, 1, 1, 0, 0, 1, 1], np.float32(-np.inf)), 150),
        refused="pads with -inf",
    ),
    "cropped by pads": Kind(of_map(lambda g, y: g("Pad", y, [0, 0, 0, -1, 0, 0, -1, 0]), 24)),
    "cropped and padded": Kind(of_map(lambda g, y: g("Pad", y, [0, -1, 0, 2, 0, 0, -1, 0]), 50)),
    "pad, relu, layer": Kind(
        of_map(
            lambda g, y: g.fold(g.relu(g("Pad", y, [0, 0, 1, 1, 0, 0, 1, 1])), 6, 6, pads=[0] * 4)
        )
    ),
    "shortcut A, padded": Kind(_shortcut_a, COLOUR),
    "shortcut A, joined with zeros": Kind(lambda g: _shortcut_a(g, joined=True), (1, 3, 12, 12)),
    "nearest pixels, twice as many": Kind(
        of_map(lambda g, y: g("Resize", y, "", np.array([1.0, 1, 2, 2]), mode="nearest"), 216)
    ),
    "nearest pixels, of a size": Kind(
        of_map(lambda g, y: g("Resize", y, "", "", [1, 6, 5, 7], mode="nearest"), 210),
        (1, 1, 12, 12),
    ),
    "pixels in between": Kind(
        of_map(lambda g, y: g("Resize", y, "", np.array([1.0, 1, 2, 2]), mode="linear"), 216)
    ),
    "focus of every second pixel": Kind(
        lambda g: g.head(
            g.body(
                g(
                    "Concat",
                    *(
                        g("Slice", "x", [row, column], [99, 99], [2, 3], [2, 2])
                        for row in (0, 1)
                        for column in (0, 1)
                    ),
                    axis=1,
                ),
                4,
            ),
            6,
        ),
        error=0.1,
    ),
    "flipped": Kind(of_map(lambda g, y: g("Slice", y, [-1], [-99], [3], [-1]))),
    "tiled": Kind(of_map(lambda g, y: g("Tile", y, [1, 1, 2, 1]), 108)),
}


JOINS = {
    "sum of scales 10,000 apart": Kind(lambda g: _both(g, "Add", 1e4)),
    "sum of scales 1,000,000 apart": Kind(lambda g: _both(g, "Add", 1.0, 1e-6)),
    "concat of scales 10,000,000 apart": Kind(lambda g: _both(g, "Concat", 1e-4, 1e3)),
    "itself": Kind(of_map(lambda g, y: g("Add", y, y))),
    "the image": Kind(lambda g: g.head(g.relu(g("Add", g.fold("x", 1, 1), "x")), 144)),
    "its own mean": Kind(of_map(lambda g, y: g("Add", y, g("GlobalAveragePool", y)))),
    "difference": Kind(lambda g: _both(g, "Sub")),
    "product": Kind(lambda g: _both(g, "Mul"), error=0.1),
    "quotient": Kind(
        of_map(lambda g, y: g("Div", y, g("Add", g("Sigmoid", g.fold(y, 6, 6, 1)), np.float32(1))))
    ),
    "mean of two": Kind(of_map(lambda g, y: g("Mean", y, g.fold(y, 6, 6, 1)))),
    "sum of three": Kind(of_map(lambda g, y: g("Sum", y, g.fold(y, 6, 6, 1), g.fold(y, 6, 6, 1)))),
    "concat from behind": Kind(
        of_map(lambda g, y: g("Concat", y, g.fold(y, 6, 6, 1), axis=-3), 108)
    ),
    "concat of rows": Kind(of_map(lambda g, y: g("Concat", y, g.fold(y, 6, 6, 1), axis=2), 108)),
    "concat of vectors": Kind(
        lambda g: (
            lambda y: g.dense(
                g("Concat", g.flat(y), g.flat(g("GlobalAveragePool", y)), axis=1), MAP + 6
            )
        )(g.body())
    ),
    "concat with a constant": Kind(
        of_map(lambda g, y: g("Concat", y, np.ones((1, 1, 3, 3)), axis=1), 63),
        (1, 1, 12, 12),
        refused="joins the constant",
    ),
    "split and joined": Kind(
        of_map(
            lambda g, y: (lambda parts: g("Concat", g.fold(parts[0], 3, 3, 1), parts[1], axis=1))(
                g("Split", y, [3, 3], axis=1, outputs=2)
            )
        )
    ),
    "larger map beside": Kind(
        lambda g: g.head(
            g(
                "Concat",
                g("Resize", g.body(), "", np.array([1.0, 1, 4, 4]), mode="nearest"),
                g.relu(g.fold("x", 1, 2)),
                axis=1,
            ),
            8 * 144,
        )
    ),
    "excited, sigmoid": Kind(lambda g: _excited(g, "Sigmoid")),
    "excited, hard sigmoid": Kind(lambda g: _excited(g, "HardSigmoid", alpha=1 / 6)),
}
