"""Networks in small: forms that public files have."""

import itertools
from collections.abc import Sequence

import numpy as np
from onnx_net import MAP, SIDE, Kind, Made, Net


def _dense_layers(g: Net, x: str, sizes: Sequence[int]) -> str:
    """Keras' form: MatMul and Add."""
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        x = g("Add", g("MatMul", x, g.weights(outputs, inputs).T), g.rng.normal(0, 0.1, outputs))
        x = g.relu(x) if number < len(sizes) - 2 else x
    return x


def _controller(g: Net) -> Made:
    """ACAS Xu's: five numbers as an image of one row."""
    return _dense_layers(g, g("Flatten", g("Sub", "x", np.full((1, 1, 1, 5), 0.1))), (5, 12, 12, 5))


def _columns(g: Net) -> Made:
    y = g.relu(g("Add", g("MatMul", g.weights(16, 20), "x"), g.rng.normal(0, 0.1, (16, 1))))
    return g("MatMul", g.weights(5, 16), y)


def _autoencoder(g: Net) -> Made:
    x = "x"
    for inputs, outputs in ((40, 16), (16, 8), (8, 16)):
        x = g.relu(g.norm(g.dense(x, inputs, outputs), outputs))
    return g.dense(x, 16, 40)


def _radio(g: Net) -> Made:
    """One-dimensional convolutions with everything that goes with them."""
    x = "x"
    for inputs, outputs in ((2, 6), (6, 8)):
        x = g("Conv", x, g.weights(outputs, inputs, 3), np.zeros(outputs), pads=[1, 1])
        x = g("MaxPool", g.relu(g.norm(x, outputs)), kernel_shape=[2], strides=[2])
    return g.dense(g("Squeeze", g("GlobalAveragePool", x), [2]), 8)


def _keras_rows(g: Net) -> Made:
    """Keras' Conv1D: transposed, as a picture of one row, and back."""
    x = g("Unsqueeze", g("Transpose", "x", perm=[0, 2, 1]), [2])
    x = g("Squeeze", g("Conv", x, g.weights(6, 3, 1, 3)), [2])
    x = g.relu(g("Add", g("Transpose", x, perm=[0, 2, 1]), g.rng.normal(0, 0.1, 6)))
    return g.dense(g("Reshape", x, [-1, 108]), 108)


def _keywords(g: Net) -> Made:
    """DS-CNN of 49 x 10, here 25 x 10, given as a vector."""
    x = g("Reshape", "x", [-1, 1, 25, 10])
    x = g.fold(x, 1, 8, (10, 4), auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[10, 4])
    x = g.relu(g.norm(x, 8))
    x = g.relu(g.norm(g.fold(x, 8, 8, group=8), 8))
    x = g("AveragePool", g.relu(g.norm(g.fold(x, 8, 8, 1), 8)), kernel_shape=[13, 5])
    return g.dense(g("Reshape", g("Transpose", x, perm=[0, 2, 3, 1]), [-1, 8]), 8)


def _mobile(g: Net) -> Made:
    """MobileNet V2's block."""
    y = g.body()
    z = y
    for inputs, outputs, kernel, groups in ((6, 12, 1, 1), (12, 12, 3, 12)):
        z = g.norm(g.fold(z, inputs, outputs, kernel, group=groups), outputs)
        z = g("Clip", z, np.float32(0), np.float32(6))
    return g.head(g("Add", y, g.norm(g.fold(z, 12, 6, 1), 6)))


def _mobile_3(g: Net) -> Made:
    """MobileNet V3's block, with squeeze and excitation."""
    y = g.body()
    z = g.fold(g("HardSwish", g.fold(y, 6, 12, 1)), 12, 12, group=12)
    inner = g.relu(g.fold(g("GlobalAveragePool", z), 12, 4, 1))
    z = g("Mul", z, g("HardSigmoid", g.fold(inner, 4, 12, 1), alpha=1 / 6))
    return g.head(g("Add", y, g.fold(g("HardSwish", z), 12, 6, 1)))


def _densely(g: Net) -> Made:
    """DenseNet's block: normalised again behind each join."""
    y = g.relu(g.fold("x", 1, 4))
    for channels in (4, 6, 8):
        y = g("Concat", y, g.fold(g.relu(g.norm(y, channels)), channels, 2), axis=1)
    return g.head(g("AveragePool", y, kernel_shape=[4, 4], strides=[4, 4]), 90)


def _yolo(g: Net) -> Made:
    """A detector's head: boxes out of offsets, by sigmoids, cells and anchors."""
    y = g("Reshape", g.fold(g.body(), 6, 12, 1), [1, 2, 6, 3, 3])
    y = g("Sigmoid", g("Transpose", y, perm=[0, 1, 3, 4, 2]))
    at, size, score = g("Split", y, [2, 2, 2], axis=4, outputs=3)
    at = g("Mul", g("Add", at, g.rng.uniform(0, 3, (1, 1, 3, 3, 2))), np.float32(8))
    size = g("Pow", g("Mul", size, np.float32(2)), np.float32(2))
    size = g("Mul", size, g.rng.uniform(1, 3, (1, 2, 1, 1, 2)))
    return g("Reshape", g("Concat", at, size, score, axis=4), [1, -1, 6])


def _boxes_of_two(g: Net) -> Made:
    """SSD's heads: rows of numbers from maps of two sizes."""
    y = g.body()
    rows = [
        g("Reshape", g("Transpose", g.fold(of, 6, 8, 1), perm=[0, 2, 3, 1]), [1, -1, 4])
        for of in (y, g.pool(y, strides=[1, 1]))
    ]
    boxes = g("Concat", *rows, axis=1)
    return [g("Softmax", boxes, axis=2), boxes]


def _segments(g: Net) -> Made:
    """U-Net's form: a map beside one that was pooled and widened again."""
    y = g.relu(g.fold("x", 1, 4))
    z = g.relu(g.fold(g.pool(y), 4, 8))
    z = g("ConvTranspose", z, g.weights(8, 4, 2, 2), np.zeros(4), strides=[2, 2])
    return g("Sigmoid", g.fold(g.relu(g.fold(g("Concat", y, z, axis=1), 8, 4)), 4, 1, 1))


def _tensorflow(g: Net) -> Made:
    """Channels last between layers: shifted, padded, joined and averaged so."""
    y = g.body(g("Transpose", "x", perm=[0, 3, 1, 2]), 3)
    rows = [g("Transpose", of, perm=[0, 2, 3, 1]) for of in (y, g.fold(y, 6, 6, 1))]
    z = g("Pad", g("Add", g("Concat", *rows, axis=3), g.rng.normal(0, 0.1, 12)), [0, 0, 1, 0] * 2)
    z = g.relu(g.fold(g("Transpose", z, perm=[0, 3, 1, 2]), 12, 6, pads=[0, 1] * 2))
    z = g("ReduceMean", g("Transpose", z, perm=[0, 2, 3, 1]), axes=[1, 2], keepdims=0)
    return g.dense(z, 6)


def _embedded(g: Net) -> Made:
    """A vector of length 1."""
    y = g.head(g.body())
    return g("Div", y, g("Clip", g("ReduceL2", y, axes=[1]), np.float32(1e-12)))


def _attention(g: Net) -> Made:
    y = g("Transpose", g("Reshape", g.body(), [0, 6, 9]), perm=[0, 2, 1])
    one, other = g("MatMul", y, g.weights(6, 6)), g("MatMul", y, g.weights(6, 6))
    shares = g("Softmax", g("MatMul", one, g("Transpose", other, perm=[0, 2, 1])), axis=-1)
    return g.dense(g.flat(g("MatMul", shares, y)), MAP)


NETWORKS = {
    "controller": Kind(_controller, (1, 1, 1, 5)),
    "columns": Kind(_columns, (20, 1)),
    "autoencoder": Kind(_autoencoder, ("N", 40)),
    "one dimension": Kind(_radio, ("N", 2, 64)),
    "one dimension, of Keras": Kind(_keras_rows, ("N", 20, 3)),
    "vectors in time": Kind(
        lambda g: g.dense(g("Reshape", _dense_layers(g, "x", (3, 8, 8)), [-1, 160]), 160),
        ("N", 20, 3),
    ),
    "keywords": Kind(_keywords, ("N", 250)),
    "mobile": Kind(_mobile),
    "mobile, excited": Kind(_mobile_3),
    "densely connected": Kind(_densely),
    "detector": Kind(_yolo, (1, 1, 12, 12)),
    "detector, two maps": Kind(_boxes_of_two, (1, 1, 12, 12)),
    "segments": Kind(_segments),
    "higher resolution": Kind(
        lambda g: g(
            "DepthToSpace", g.fold(g.relu(g.fold("x", 1, 4)), 4, 4), blocksize=2, mode="CRD"
        )
    ),
    "channels last inside": Kind(_tensorflow, ("N", SIDE, SIDE, 3)),
    "embedding": Kind(_embedded),
    "attention": Kind(_attention, refused="; leave it out with --output"),
}
