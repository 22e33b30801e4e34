"""Small ONNX classifiers, one for each kind of thing that exporters, converters and people write.

Most are `body`, two convolutions with pooling, with one thing changed; images are 1 x 12 x 12, and
weights are by a seed. `KINDS` has what must become of each.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Graph

Made = str | list[str]
_SIDE, _MAP, _CLASSES = 12, 54, 5  # pixels; numbers that `body` leaves; outputs
_GREY, _COLOUR = ("N", 1, _SIDE, _SIDE), ("N", 3, _SIDE, _SIDE)


class Net(Graph):
    """A graph whose nodes and constants are named as they come."""

    def __call__(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A node; its output's name, or a list of them. Inputs that are no names are constants."""
        names = [each if isinstance(each, str) else self.put(each) for each in inputs]
        made = [f"y{len(self.nodes)}_{number}" for number in range(outputs)]
        name = attributes.pop("name", f"{op}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(op, names, made, name=name, **attributes))
        return made if outputs > 1 else made[0]

    def put(self, values: Any, dtype: Any = None) -> str:
        """A constant: int64 of whole numbers, else float32."""
        array = np.asarray(values)
        kind = dtype or (np.int64 if array.dtype.kind == "i" else np.float32)
        return self.constant(
            f"c{len(self.constants)}", array, array.dtype if array.dtype == bool else kind
        )

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)

    def fold(self, x: str, inputs: int, outputs: int, kernel: Any = 3, **a: Any) -> str:
        """A convolution with a bias, padded to keep the size unless `pads` say otherwise."""
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        weight = a.pop("weight", None)
        if weight is None:
            weight = self.weights(outputs, inputs // a.get("group", 1), *sides)
        bias = a.pop("bias", self.rng.normal(0, 0.1, outputs))
        if "auto_pad" not in a:
            a.setdefault("pads", [side // 2 for side in sides] * 2)
        return str(self("Conv", x, weight, bias, **a))

    def norm(self, x: str, channels: int, gamma: Any = None, variance: Any = None) -> str:
        gamma = self.rng.uniform(0.5, 1.5, channels) if gamma is None else np.asarray(gamma)
        variance = self.rng.uniform(0.5, 2, channels) if variance is None else np.asarray(variance)
        shift, mean = self.rng.normal(0, 0.1, (2, channels))
        return str(self("BatchNormalization", x, gamma, shift, mean, variance))

    def relu(self, x: str) -> str:
        return str(self("Relu", x))

    def pool(self, x: str, **a: Any) -> str:
        return str(self("MaxPool", x, **{"kernel_shape": [2, 2], "strides": [2, 2]} | a))

    def body(self, x: str = "x", channels: int = 1, act: str = "Relu") -> str:
        """6 x 3 x 3 of an image of 12 x 12."""
        for inputs, outputs in ((channels, 4), (4, 6)):
            x = self.pool(self(act, self.fold(x, inputs, outputs)))
        return x

    def flat(self, x: str) -> str:
        return str(self("Flatten", x))

    def dense(self, x: str, inputs: int, outputs: int = _CLASSES) -> str:
        bias = self.rng.normal(0, 0.1, outputs)
        return str(self("Gemm", x, self.weights(outputs, inputs), bias, transB=1))

    def head(self, x: str, inputs: int = _MAP) -> str:
        return self.dense(self.flat(x), inputs)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind.

    Parameters
    ----------
    build : makes the nodes, returns the output or several
    shape, element : of the input
    change : of the finished model
    refused : what the sentence says that refuses it; "" when it is read
    difference : most from onnxruntime, of the largest output
    error : most of the integers' outputs, of the float network's
    """

    build: Callable[[Net], Made]
    shape: Sequence[int | str] | None = _GREY
    opset: int = 17
    element: int = TensorProto.FLOAT
    change: Callable[[onnx.ModelProto], None] = lambda model: None
    refused: str = ""
    difference: float = 1e-5
    error: float = 0.06

    def model(self) -> onnx.ModelProto:
        net = Net()
        made = self.build(net)
        outputs = [made] if isinstance(made, str) else made
        graph = helper.make_graph(
            net.nodes,
            "graph",
            [helper.make_tensor_value_info("x", self.element, self.shape)],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            net.constants,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        if self.opset > 6:
            model = onnx.shape_inference.infer_shapes(model)
        self.change(model)
        return model


def _keras(g: Net) -> Made:
    x = g("Transpose", "x", perm=[0, 3, 1, 2], name="model/conv2d/Conv2D__6")
    rows = g("Reshape", g("Transpose", g.body(x), perm=[0, 2, 3, 1]), [-1, _MAP])
    scores = g("Add", g("MatMul", rows, g.weights(_MAP, _CLASSES)), np.zeros(_CLASSES))
    return str(g("Softmax", scores, axis=-1))


def _dynamo(g: Net) -> Made:
    y = g.body()
    shape = g("Concat", g("Shape", y, start=0, end=1), [_MAP], axis=0)
    return g.dense(g("Reshape", y, shape), _MAP)


def _view(g: Net) -> Made:
    y = g.body()
    batch = g("Unsqueeze", g("Gather", g("Shape", y), g.put(0), axis=0), [0])
    return g.dense(g("Reshape", y, g("Concat", batch, [-1], axis=0)), _MAP)


def _transposed_pair(g: Net) -> Made:
    inside = g.relu(g("Transpose", g.fold("x", 1, 4), perm=[0, 2, 3, 1]))
    return g.head(g.body(g("Transpose", inside, perm=[0, 3, 1, 2]), 4))


def _shuffle(g: Net, channels: int = 6, groups: int = 2) -> Made:
    y = g("Reshape", g.body(), [-1, groups, channels // groups, 3, 3])
    y = g("Reshape", g("Transpose", y, perm=[0, 2, 1, 3, 4]), [-1, channels, 3, 3])
    return g.head(g.relu(g.fold(y, channels, channels, group=3)))


def _cross(g: Net) -> Made:
    """ShuffleNet's unit: split, one half through a layer, joined, shuffled."""
    kept, worked = g("Split", g.body(), [3, 3], axis=1, outputs=2)
    y = g("Concat", kept, g.relu(g.fold(worked, 3, 3)), axis=1)
    y = g("Transpose", g("Reshape", y, [-1, 2, 3, 3, 3]), perm=[0, 2, 1, 3, 4])
    return g.head(g.fold(g("Reshape", y, [-1, 6, 3, 3]), 6, 6, 1))


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
        return g.head(g(op, a, b, axis=1), 2 * _MAP)
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


def _of_map(build: Callable[[Net, str], Any], count: int = _MAP) -> Callable[[Net], Made]:
    """`body`, what `build` makes of it, and a linear layer of so many numbers."""
    return lambda g: g.head(build(g, g.body()), count)


def _of_layer(build: Callable[[Net, str], Any], count: int) -> Callable[[Net], Made]:
    """The same of a single convolution, 4 x 10 x 10."""
    return lambda g: g.head(build(g, g.relu(g.fold("x", 1, 4, pads=[0] * 4))), count)


def _first(count: int, kernel: Any = 3, **a: Any) -> Callable[[Net], Made]:
    """A first layer of 4 filters with attributes `a`, which leaves so many numbers."""
    return lambda g: g.head(g.relu(g.fold("x", 1, 4, kernel, **a)), count)


def _weighted(change: Callable[[np.ndarray], Any]) -> Callable[[Net], Made]:
    """A 3 x 3 layer of 6 filters whose weights are changed in place."""

    def build(g: Net) -> Made:
        y, weight = g.body(), g.weights(6, 6, 3, 3)
        change(weight)
        return g.head(g.relu(g.fold(y, 6, 6, weight=weight)))

    return build


LAYOUTS = {
    "channels last, of Keras": Kind(_keras, ("unk__1", _SIDE, _SIDE, 1)),
    "channels last, reshaped": Kind(
        lambda g: g.head(g.body(g("Reshape", "x", [-1, 1, _SIDE, _SIDE]))), ("N", _SIDE, _SIDE, 1)
    ),
    "transposed before flattening": Kind(
        _of_map(lambda g, y: g("Transpose", y, perm=[0, 2, 3, 1]))
    ),
    "transposed and back": Kind(_transposed_pair),
    "rows as input": Kind(
        lambda g: g.head(g.body(g("Reshape", "x", [-1, 1, _SIDE, _SIDE]))), ("N", _SIDE**2)
    ),
    "channel unsqueezed": Kind(lambda g: g.head(g.body(g("Unsqueeze", "x", [1]))), ("N", 12, 12)),
    "channels gathered": Kind(
        lambda g: g.head(g.body(g("Gather", "x", [2, 1, 0], axis=1), 3)), _COLOUR
    ),
    "channels shuffled": Kind(_shuffle),
    "channels split and shuffled": Kind(_cross),
    "pixels to channels": Kind(
        lambda g: g.head(g.body(g("SpaceToDepth", "x", blocksize=2), 4), 6), error=0.1
    ),
    "channels to pixels": Kind(
        lambda g: g.head(g("DepthToSpace", g.fold(g.body(), 6, 8, 1), blocksize=2), 72)
    ),
    "shape of dynamo": Kind(_dynamo, opset=18),
    "shape of a view": Kind(_view),
    "reshape 0, -1": Kind(lambda g: g.dense(g("Reshape", g.body(), [0, -1]), _MAP)),
    "reshape -1": Kind(
        lambda g: g.dense(g("Unsqueeze", g("Reshape", g.body(), [-1]), [0]), _MAP), (1, 1, 12, 12)
    ),
    "vectors of one": Kind(
        lambda g: g(
            "Squeeze",
            g("MatMul", g("Reshape", g.body(), [0, 1, _MAP]), g.weights(_MAP, _CLASSES)),
            [1],
        )
    ),
    "flattened from behind": Kind(lambda g: g.dense(g("Flatten", g.body(), axis=-3), _MAP)),
    "squeezed twice": Kind(
        lambda g: g.dense(g("Squeeze", g("Squeeze", g("GlobalAveragePool", g.body()), [3]), [2]), 6)
    ),
    "squeezed of all": Kind(
        lambda g: g("Squeeze", g.fold(g("GlobalAveragePool", g.body()), 6, 5, 1)), (1, 1, 12, 12)
    ),
    "batch of 8": Kind(lambda g: g.dense(g("Reshape", g.body(), [8, _MAP]), _MAP), (8, 1, 12, 12)),
    "one axis more than a picture": Kind(
        lambda g: g.head(g.relu(g("Conv", "x", g.weights(4, 1, 5), strides=[2])), 4 * 30),
        ("N", 1, 64),
    ),
    "three dimensions": Kind(
        lambda g: g.head(g("Conv", "x", g.weights(4, 1, 3, 3, 3)), 4 * 27),
        ("N", 1, 5, 5, 5),
        refused="3 dimensions",
    ),
    "vectors only": Kind(lambda g: g.dense(g.relu(g.dense("x", 20, 16)), 16), ("N", 20)),
    "flat from the start": Kind(lambda g: g.dense(g.relu(g.dense(g.flat("x"), 144, 8)), 8)),
    "height that is free": Kind(
        lambda g: g.dense(g.flat(g("GlobalAveragePool", g.body())), 6),
        (1, 1, "H", "W"),
        refused="height of the input 'x' is dynamic",
    ),
    "no shape at all": Kind(
        lambda g: g.dense(g.flat("x"), 144), None, refused="shape of the input 'x' is not given"
    ),
}

HEADS = {
    "softmax": Kind(lambda g: g("Softmax", g.head(g.body()), axis=1)),
    "log softmax": Kind(lambda g: g("LogSoftmax", g.head(g.body()), axis=1)),
    "softmax of a map": Kind(
        lambda g: g.flat(g("Softmax", g.fold(g("GlobalAveragePool", g.body()), 6, 5, 1), axis=1))
    ),
    "softmax, then identity": Kind(lambda g: g("Identity", g("Softmax", g.head(g.body())))),
    "sigmoid": Kind(lambda g: g("Sigmoid", g.head(g.body()))),
    "argmax": Kind(lambda g: g("ArgMax", g.head(g.body()), axis=1)),
    "argmax of a softmax": Kind(lambda g: g("ArgMax", g("Softmax", g.head(g.body())), axis=1)),
    "softmax inside": Kind(
        lambda g: g.dense(g("Softmax", g.head(g.body())), 5),
        refused="; leave it out with --output y8_0.",
    ),
    "a map": Kind(lambda g: g.fold(g("GlobalAveragePool", g.body()), 6, 5, 1)),
    "one number": Kind(lambda g: g.dense(g.flat(g.body()), _MAP, 1), error=0.1),
    "scores and features": Kind(lambda g: (lambda y: [g.head(y), y])(g.body())),
    "three heads": Kind(
        lambda g: (lambda y: [g.head(y), g("Tanh", g.head(y)), g.fold(y, 6, 2, 1)])(g.body())
    ),
    "a branch that no output needs": Kind(
        lambda g: (lambda y: (g("NonZero", y), g("Sigmoid", g.fold(y, 6, 4, 1)), g.head(y))[2])(
            g.body()
        )
    ),
    "best five": Kind(
        lambda g: g("TopK", g.head(g.body()), [2], outputs=2),
        refused="; leave it out with --output y7_0.",
    ),
    "boxes": Kind(
        lambda g: g(
            "NonMaxSuppression",
            g("Reshape", g.dense(g.flat(g.body()), _MAP, 16), [1, 4, 4]),
            g("Reshape", g.dense(g.flat(g.body()), _MAP, 4), [1, 1, 4]),
            [3],
        ),
        (1, 1, 12, 12),
        refused="; leave it out with --output y8_0 --output y17_0.",
    ),
}

FIRST = {
    "mean and deviation by channel": Kind(
        lambda g: g.head(
            g.body(
                g(
                    "Div",
                    g("Sub", "x", np.array([0.5, 0.4, 0.3]).reshape(1, 3, 1, 1)),
                    np.array([0.2, 0.3, 0.25]).reshape(1, 3, 1, 1),
                ),
                3,
            )
        ),
        _COLOUR,
    ),
    "scaled by one number": Kind(lambda g: g.head(g.body(g("Mul", "x", np.float32(1 / 4))))),
    "a picture subtracted": Kind(
        lambda g: g.head(g.body(g("Sub", "x", g.rng.uniform(0, 1, (1, 12, 12)))))
    ),
    "bytes, cast": Kind(
        lambda g: g.head(g.body(g("Div", g("Cast", "x", to=TensorProto.FLOAT), np.float32(255)))),
        element=TensorProto.UINT8,
    ),
    "float16, cast": Kind(
        lambda g: g.head(g.body(g("Cast", "x", to=TensorProto.FLOAT))), element=TensorProto.FLOAT16
    ),
    "normalised by batches": Kind(lambda g: g.head(g.body(g.norm("x", 1)))),
    "2 channels": Kind(lambda g: g.head(g.body(channels=2)), ("N", 2, 12, 12)),
    "40 channels of one column": Kind(
        lambda g: g.head(g.relu(g.fold("x", 40, 4, (9, 1), strides=[2, 1])), 4 * 26),
        ("N", 40, 51, 1),
    ),
}

LAYERS = {
    "depthwise, two each": Kind(_of_map(lambda g, y: g.fold(y, 6, 12, group=6), 2 * _MAP)),
    "groups": Kind(_of_map(lambda g, y: g.relu(g.fold(y, 6, 9, group=3)), 81)),
    "pads that differ": Kind(_first(4 * 16, 5, pads=[0, 1, 2, 3], strides=[3, 3])),
    "even kernel, same lower": Kind(
        _first(4 * 36, 4, auto_pad="SAME_LOWER", strides=[2, 2], kernel_shape=[4, 4])
    ),
    "dilated, same upper": Kind(
        _first(4 * 144, 2, auto_pad="SAME_UPPER", dilations=[3, 3], kernel_shape=[2, 2])
    ),
    "dilated, pads that differ": Kind(_first(4 * 121, 3, pads=[1, 1, 2, 2], dilations=[2, 2])),
    "stride beyond the kernel": Kind(_first(4 * 16, 1, strides=[3, 3])),
    "kernel beyond the map": Kind(_of_map(lambda g, y: g.relu(g.fold(y, 6, 6, 9)))),
    "1 x 7 and 7 x 1": Kind(
        lambda g: g.head(g.relu(g.fold(g.fold("x", 1, 2, (1, 7)), 2, 2, (7, 1))), 288)
    ),
    "transposed": Kind(
        _of_map(
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
    "3 x 3 on 1 x 1": Kind(_of_map(lambda g, y: g.fold(g("GlobalMaxPool", y), 6, 6, group=6), 6)),
    "weights of three layers at once": Kind(_shared),
    "weight norm": Kind(_weight_norm),
    "gemm with alpha and beta": Kind(
        lambda g: g(
            "Gemm", g.flat(g.body()), g.weights(_MAP, 5), np.ones((1, 5)), alpha=0.5, beta=2.0
        )
    ),
    "gemm with one bias": Kind(
        lambda g: g("Gemm", g.flat(g.body()), g.weights(_MAP, 5), np.float32(0.5))
    ),
    "matrix on the left": Kind(
        lambda g: g(
            "Transpose",
            g("MatMul", g.weights(5, _MAP), g("Transpose", g.flat(g.body()), perm=[1, 0])),
            perm=[1, 0],
        ),
        (1, 1, 12, 12),
    ),
    "einsum": Kind(
        lambda g: g("Einsum", g.flat(g.body()), g.weights(_MAP, 5), equation="nk,ko->no")
    ),
    "product of two maps": Kind(
        _of_map(lambda g, y: g("MatMul", y, g.fold(y, 6, 6, 1))),
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
    "largest of all": Kind(_of_map(lambda g, y: g("GlobalMaxPool", y), 6)),
    "mean of columns, then of rows": Kind(
        _of_map(
            lambda g, y: g(
                "ReduceMean", g("ReduceMean", y, axes=[3], keepdims=0), axes=[2], keepdims=0
            ),
            6,
        )
    ),
    "mean, axes as input": Kind(
        _of_map(lambda g, y: g("ReduceMean", y, [-1, -2], keepdims=0), 6), opset=18
    ),
    "sum as mean": Kind(
        _of_map(lambda g, y: g("Mul", g("ReduceSum", y, [2, 3], keepdims=0), np.float32(1 / 9)), 6)
    ),
    "largest by axes": Kind(_of_map(lambda g, y: g("ReduceMax", y, axes=[2, 3], keepdims=0), 6)),
    "mean of channels": Kind(_of_map(lambda g, y: g("ReduceMean", y, axes=[1]), 9)),
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
        _of_map(lambda g, y: g("Pad", y, [0, 0, 1, 0, 0, 0, 0, 1], mode="edge"), 96)
    ),
    "pad with ones": Kind(
        _of_map(lambda g, y: g("Pad", y, [0, 0, 1, 1, 0, 0, 1, 1], np.float32(1)), 150),
        refused="pads with 1",
    ),
    "cropped by pads": Kind(_of_map(lambda g, y: g("Pad", y, [0, 0, 0, -1, 0, 0, -1, 0]), 24)),
    "cropped and padded": Kind(_of_map(lambda g, y: g("Pad", y, [0, -1, 0, 2, 0, 0, -1, 0]), 50)),
    "pad, relu, layer": Kind(
        _of_map(
            lambda g, y: g.fold(g.relu(g("Pad", y, [0, 0, 1, 1, 0, 0, 1, 1])), 6, 6, pads=[0] * 4)
        )
    ),
    "shortcut A, padded": Kind(_shortcut_a, _COLOUR),
    "shortcut A, joined with zeros": Kind(lambda g: _shortcut_a(g, joined=True), (1, 3, 12, 12)),
    "nearest pixels, twice as many": Kind(
        _of_map(lambda g, y: g("Resize", y, "", np.array([1.0, 1, 2, 2]), mode="nearest"), 216)
    ),
    "nearest pixels, of a size": Kind(
        _of_map(lambda g, y: g("Resize", y, "", "", [1, 6, 5, 7], mode="nearest"), 210),
        (1, 1, 12, 12),
    ),
    "pixels in between": Kind(
        _of_map(lambda g, y: g("Resize", y, "", np.array([1.0, 1, 2, 2]), mode="linear"), 216),
        refused="linear",
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
    "flipped": Kind(_of_map(lambda g, y: g("Slice", y, [-1], [-99], [3], [-1]))),
    "tiled": Kind(_of_map(lambda g, y: g("Tile", y, [1, 1, 2, 1]), 108)),
}

ACTS = {
    **{
        op: Kind(lambda g, op=op: g.head(g.body(act=op)))
        for op in (
            *("LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Elu", "Selu", "Celu"),
            *("Softplus", "Softsign"),
        )
    },
    "ThresholdedRelu": Kind(lambda g: g.head(g.body(act="ThresholdedRelu")), error=0.1),
    "Mish": Kind(lambda g: g.head(g.body(act="Mish")), opset=18),
    "Gelu": Kind(lambda g: g.head(g.body(act="Gelu")), opset=20),
    "Gelu of parts": Kind(
        _of_map(
            lambda g, y: (
                lambda x: g(
                    "Mul",
                    g("Mul", x, g("Add", g("Erf", g("Div", x, np.float32(2**0.5))), np.float32(1))),
                    np.float32(0.5),
                )
            )(g.fold(y, 6, 6, 1))
        )
    ),
    "PRelu": Kind(_of_map(lambda g, y: g("PRelu", g.fold(y, 6, 6), np.full((6, 1, 1), 0.25)))),
    "PRelu by channel": Kind(
        _of_map(lambda g, y: g("PRelu", g.fold(y, 6, 6), np.linspace(-0.5, 1, 6).reshape(6, 1, 1)))
    ),
    "swish": Kind(
        _of_map(lambda g, y: (lambda x: g("Mul", x, g("Sigmoid", x)))(g.fold(y, 6, 6, 1)))
    ),
    "hard swish of parts": Kind(
        _of_map(
            lambda g, y: (
                lambda x: g(
                    "Div",
                    g(
                        "Mul",
                        x,
                        g("Clip", g("Add", x, np.float32(3)), np.float32(0), np.float32(6)),
                    ),
                    np.float32(6),
                )
            )(g.fold(y, 6, 6, 1))
        )
    ),
    "clip -1 to 1": Kind(_of_map(lambda g, y: g("Clip", y, np.float32(-1), np.float32(1)))),
    "clip 0 to 1": Kind(_of_map(lambda g, y: g("Clip", y, np.float32(0), np.float32(1)))),
    "clip from 0": Kind(_of_map(lambda g, y: g("Clip", g.fold(y, 6, 6), np.float32(0)))),
    "clip to 6": Kind(_of_map(lambda g, y: g("Clip", g.fold(y, 6, 6), "", np.float32(6)))),
    "minimum with 6": Kind(_of_map(lambda g, y: g("Min", y, np.float32(6)))),
    "maximum with 0": Kind(_of_map(lambda g, y: g("Max", g.fold(y, 6, 6), np.float32(0)))),
    "maximum of halves": Kind(
        _of_map(lambda g, y: g("Max", *g("Split", g.fold(y, 6, 6), [3, 3], axis=1, outputs=2)), 27)
    ),
    "absolute": Kind(_of_map(lambda g, y: g("Abs", g.fold(y, 6, 6)))),
    "square": Kind(_of_map(lambda g, y: g("Pow", g.fold(y, 6, 6), np.float32(2)))),
    "of instances": Kind(
        _of_map(lambda g, y: g("InstanceNormalization", y, np.ones(6), np.zeros(6))),
        refused="of the kind InstanceNormalization, which the machine has not; train it with batch",
    ),
    "of layers": Kind(
        lambda g: g.dense(g("LayerNormalization", g.flat(g.body()), np.ones(_MAP)), _MAP),
        refused="LayerNormalization",
    ),
    "response, 3 channels": Kind(_of_map(lambda g, y: g("LRN", y, size=3))),
    "response, 4 channels": Kind(_of_map(lambda g, y: g("LRN", y, size=4, alpha=0.5))),
    "normalised, padded layer": Kind(
        _of_map(lambda g, y: g.relu(g.fold(g.norm(g.pool(y, strides=[1, 1]), 6), 6, 6)), 24)
    ),
    "normalised behind a join": Kind(
        _of_map(lambda g, y: g.relu(g.norm(g("Concat", y, y, axis=1), 12)), 108)
    ),
    "normalised vectors": Kind(lambda g: g.norm(g.head(g.body()), 5)),
    "normalised and read twice": Kind(
        _of_map(lambda g, y: (lambda z: g("Add", g.relu(z), z))(g.norm(g.fold(y, 6, 6, 1), 6)))
    ),
    "variance of 0": Kind(
        _of_map(
            lambda g, y: g.relu(g.norm(g.fold(y, 6, 6, 1), 6, variance=[0, 1e-12, 1, 1, 1, 1]))
        ),
        error=0.2,
    ),
    "normalised in training": Kind(
        _of_map(
            lambda g, y: g(
                "BatchNormalization",
                *(y, np.ones(6), np.zeros(6), np.zeros(6), np.ones(6)),
                training_mode=1,
                outputs=3,
            )[0]
        ),
        refused="training=False",
    ),
    "dropout with its mask": Kind(
        _of_map(lambda g, y: g("Dropout", y, np.float32(0.5), np.array(False), outputs=2)[0])
    ),
}

JOINS = {
    "sum of scales 10,000 apart": Kind(lambda g: _both(g, "Add", 1e4)),
    "sum of scales 1,000,000 apart": Kind(lambda g: _both(g, "Add", 1.0, 1e-6)),
    "concat of scales 10,000,000 apart": Kind(lambda g: _both(g, "Concat", 1e-4, 1e3)),
    "itself": Kind(_of_map(lambda g, y: g("Add", y, y))),
    "the image": Kind(lambda g: g.head(g.relu(g("Add", g.fold("x", 1, 1), "x")), 144)),
    "its own mean": Kind(_of_map(lambda g, y: g("Add", y, g("GlobalAveragePool", y)))),
    "difference": Kind(lambda g: _both(g, "Sub")),
    "product": Kind(lambda g: _both(g, "Mul"), error=0.1),
    "quotient": Kind(
        _of_map(lambda g, y: g("Div", y, g("Add", g("Sigmoid", g.fold(y, 6, 6, 1)), np.float32(1))))
    ),
    "sum of three": Kind(_of_map(lambda g, y: g("Sum", y, g.fold(y, 6, 6, 1), g.fold(y, 6, 6, 1)))),
    "concat from behind": Kind(
        _of_map(lambda g, y: g("Concat", y, g.fold(y, 6, 6, 1), axis=-3), 108)
    ),
    "concat of rows": Kind(_of_map(lambda g, y: g("Concat", y, g.fold(y, 6, 6, 1), axis=2), 108)),
    "concat of vectors": Kind(
        lambda g: (
            lambda y: g.dense(
                g("Concat", g.flat(y), g.flat(g("GlobalAveragePool", y)), axis=1), _MAP + 6
            )
        )(g.body())
    ),
    "concat with a constant": Kind(
        _of_map(lambda g, y: g("Concat", y, np.ones((1, 1, 3, 3)), axis=1), 63),
        (1, 1, 12, 12),
        refused="joins the constant",
    ),
    "split and joined": Kind(
        _of_map(
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


def _sparse(weight: np.ndarray) -> None:
    weight[np.abs(weight) < np.quantile(np.abs(weight), 0.95)] = 0


def _channels_apart(weight: np.ndarray) -> None:
    weight *= np.geomspace(1e-3, 10, len(weight)).reshape(-1, 1, 1, 1).astype(np.float32)


def _outlier(weight: np.ndarray) -> None:
    weight[0, 0, 0, 0] = 50


def _spoilt(weight: np.ndarray) -> None:
    weight[0, 0, 0, 0] = np.nan


WEIGHTS = {
    "of a gamma of 0": Kind(
        _of_map(lambda g, y: g.relu(g("Add", y, g.norm(g.fold(y, 6, 6), 6, gamma=np.zeros(6)))))
    ),
    "all zero": Kind(_weighted(lambda weight: weight.fill(0))),
    "pruned already": Kind(_weighted(_sparse)),
    "one of 50": Kind(_weighted(_outlier), error=0.1),
    "channels 10,000 apart": Kind(_weighted(_channels_apart)),
    "all the same": Kind(_weighted(lambda weight: weight.fill(0.25))),
    "not a number": Kind(_weighted(_spoilt), refused="not finite"),
    "a layer that is off": Kind(
        _of_map(lambda g, y: g.relu(g.fold(y, 6, 6, 1, bias=np.full(6, -1e3))))
    ),
    "a bias of a million": Kind(
        _of_map(lambda g, y: g.relu(g.fold(y, 6, 6, 1, bias=np.full(6, 1e6))))
    ),
    "tiny": Kind(lambda g: g("Gemm", g.flat(g.body()), g.weights(_MAP, 5) * np.float32(1e-30))),
    "huge": Kind(lambda g: g("Gemm", g.flat(g.body()), g.weights(_MAP, 5) * np.float32(1e30))),
    "a single one": Kind(lambda g: g.head(g.body(g.relu(g.fold("x", 1, 1, 1))))),
}


def _plain(g: Net) -> Made:
    return g.head(g.body())


def _stored(change: Callable[[onnx.ModelProto], None], **more: Any) -> Kind:
    """The plain network, whose model is changed."""
    return Kind(_plain, change=change, **more)


def _listed(model: onnx.ModelProto) -> None:
    """Weights among the inputs, before the image, as up to format 3."""
    image = model.graph.input.pop()
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    model.graph.input.append(image)


def _unlisted(model: onnx.ModelProto) -> None:
    model.ir_version = 3


def _one_more_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("keep_prob", TensorProto.FLOAT, []))


def _shapeless(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]
    model.graph.value_info.append(onnx.ValueInfoProto(name=model.graph.node[0].output[0]))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _called(name: Callable[[int], str]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for number, node in enumerate(model.graph.node):
            node.name = name(number)

    return change


def _free_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1


def _named_by_no_one(model: onnx.ModelProto) -> None:
    model.graph.name = ""
    model.opset_import[0].domain = "ai.onnx"


def _of_type(kind: int) -> Callable[[onnx.ModelProto], None]:
    """All numbers in another type."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def change(model: onnx.ModelProto) -> None:
        del model.graph.value_info[:]
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(
                helper.make_tensor(tensor.name, kind, values.shape, values.tobytes(), raw=True)
            )
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind

    return change


def _cast_weights(kind: int) -> Callable[[onnx.ModelProto], None]:
    """Weights of another type, cast where they are read."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def change(model: onnx.ModelProto) -> None:
        casts = []
        for tensor in model.graph.initializer:
            values, name = numpy_helper.to_array(tensor).astype(dtype), tensor.name
            tensor.CopyFrom(
                helper.make_tensor(f"{name}.short", kind, values.shape, values.tobytes(), raw=True)
            )
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
        nodes = [*casts, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return change


def _sparse_tensor(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if list(t.dims) == [_CLASSES, _MAP])
    values = numpy_helper.to_array(tensor)
    where = np.flatnonzero(np.abs(values) > 0.1)
    kept = numpy_helper.from_array(values.reshape(-1)[where], tensor.name)
    places = numpy_helper.from_array(where, "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(kept, places, tensor.dims))
    model.graph.initializer.remove(tensor)


def _local_function(model: onnx.ModelProto) -> None:
    """The last layer as a function of the file's own, as dynamo writes modules."""
    inside = [helper.make_node("Gemm", ["a", "w", "b"], ["o"], transB=1)]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function("pkg.torch.nn", "Linear", ["a", "w", "b"], ["o"], inside, opsets)
    )
    last = model.graph.node[-1]
    last.CopyFrom(
        helper.make_node("Linear", last.input, last.output, "linear", domain="pkg.torch.nn")
    )
    model.opset_import.append(helper.make_opsetid("pkg.torch.nn", 1))


def _condition(g: Net) -> Made:
    y = g.body()
    branches = {
        f"{word}_branch": helper.make_graph(
            [helper.make_node("Identity", [y], [word])],
            word,
            [],
            [helper.make_tensor_value_info(word, TensorProto.FLOAT, None)],
        )
        for word in ("then", "else")
    }
    return g.head(g("If", np.array(True), **branches))


def _quantised(g: Net, activations: bool, kind: Any = np.int8) -> Made:
    """QuantizeLinear and DequantizeLinear around everything, weights by channel."""
    zero = 0 if kind is np.int8 else 128

    def rounded(x: str, step: float) -> str:
        if not activations:
            return x
        parts = (g.put(np.float32(step)), g.put(zero, kind))
        return str(g("DequantizeLinear", g("QuantizeLinear", x, *parts), *parts))

    y = rounded("x", 4 / 127)
    for inputs, outputs in ((1, 4), (4, 6)):
        weight = g.weights(outputs, inputs, 3, 3)
        steps = np.abs(weight).max((1, 2, 3)) / 127
        levels = np.rint(weight / steps[:, None, None, None])
        real = g(
            "DequantizeLinear",
            *(g.put(levels, np.int8), steps, g.put(np.zeros(outputs), np.int8)),
            axis=0,
        )
        y = g.pool(rounded(g.relu(g("Conv", y, real, pads=[1] * 4)), 6 / 127))
    return g.head(y)


_ODD = ("/features/0/Conv", "/0/../1", "input", "卷积 №1 (β)", "CON", "a:b*c?", "..", "-rf")
STORED = {
    "weights among the inputs": _stored(_listed),
    "format 3, weights not listed": _stored(_unlisted, opset=8),
    "an input more": _stored(_one_more_input),
    "no shapes": _stored(_shapeless),
    "no names": _stored(_called(lambda _: "")),
    "one name for all": _stored(_called(lambda _: "layer")),
    "odd names": _stored(_called(lambda number: _ODD[number])),
    "names of 300 characters": _stored(
        _called(lambda number: f"call/{'functional_1/time_distributed/' * 9}conv2d_{number}/Conv2D")
    ),
    "names that exports make up": _stored(
        _called(lambda number: ("Conv_1", "logits", "Relu_0", "constant_1", "input")[number % 5])
    ),
    "a batch of -1": _stored(_free_batch),
    "a graph without a name": _stored(_named_by_no_one),
    "float16": _stored(_of_type(TensorProto.FLOAT16), difference=2e-3),
    "bfloat16": _stored(_of_type(TensorProto.BFLOAT16), opset=22),
    "float64": _stored(_of_type(TensorProto.DOUBLE)),
    "float16 weights": _stored(_cast_weights(TensorProto.FLOAT16)),
    "bfloat16 weights": _stored(_cast_weights(TensorProto.BFLOAT16)),
    "sparse weights": _stored(_sparse_tensor),
    "a local function": _stored(_local_function),
    "a condition that is constant": Kind(_condition),
    "opset 6": Kind(_plain, opset=6),
    "opset 9": Kind(_plain, opset=9),
    "opset 21": Kind(_plain, opset=21),
    "quantised weights": Kind(lambda g: _quantised(g, False)),
    "quantised": Kind(lambda g: _quantised(g, True)),
    "quantised to bytes": Kind(lambda g: _quantised(g, True, np.uint8)),
}

FAMILIES = {
    "layout": LAYOUTS,
    "output": HEADS,
    "input": FIRST,
    "layer": LAYERS,
    "pool": POOLS,
    "moved": MOVED,
    "activation": ACTS,
    "join": JOINS,
    "weights": WEIGHTS,
    "stored": STORED,
}
KINDS = {
    f"{family}, {name}": kind for family, kinds in FAMILIES.items() for name, kind in kinds.items()
}
"""All of them, by a name that says what is so about them."""
