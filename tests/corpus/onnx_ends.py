"""How a network begins and ends: layouts, inputs, heads, outputs."""

import numpy as np
from onnx import TensorProto
from onnx_net import CLASSES, COLOUR, MAP, SIDE, Kind, Made, Net, of_map


def _keras(g: Net) -> Made:
    x = g("Transpose", "x", perm=[0, 3, 1, 2], name="model/conv2d/Conv2D__6")
    rows = g("Reshape", g("Transpose", g.body(x), perm=[0, 2, 3, 1]), [-1, MAP])
    scores = g("Add", g("MatMul", rows, g.weights(MAP, CLASSES)), np.zeros(CLASSES))
    return str(g("Softmax", scores, axis=-1))


def _dynamo(g: Net) -> Made:
    y = g.body()
    shape = g("Concat", g("Shape", y, start=0, end=1), [MAP], axis=0)
    return g.dense(g("Reshape", y, shape), MAP)


def _view(g: Net) -> Made:
    y = g.body()
    batch = g("Unsqueeze", g("Gather", g("Shape", y), g.put(0), axis=0), [0])
    return g.dense(g("Reshape", y, g("Concat", batch, [-1], axis=0)), MAP)


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


LAYOUTS = {
    "channels last, of Keras": Kind(_keras, ("unk__1", SIDE, SIDE, 1)),
    "channels last, reshaped": Kind(
        lambda g: g.head(g.body(g("Reshape", "x", [-1, 1, SIDE, SIDE]))), ("N", SIDE, SIDE, 1)
    ),
    "transposed before flattening": Kind(of_map(lambda g, y: g("Transpose", y, perm=[0, 2, 3, 1]))),
    "transposed and back": Kind(_transposed_pair),
    "rows as input": Kind(
        lambda g: g.head(g.body(g("Reshape", "x", [-1, 1, SIDE, SIDE]))), ("N", SIDE**2)
    ),
    "channel unsqueezed": Kind(lambda g: g.head(g.body(g("Unsqueeze", "x", [1]))), ("N", 12, 12)),
    "channels gathered": Kind(
        lambda g: g.head(g.body(g("Gather", "x", [2, 1, 0], axis=1), 3)), COLOUR
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
    "reshape 0, -1": Kind(lambda g: g.dense(g("Reshape", g.body(), [0, -1]), MAP)),
    "reshape -1": Kind(
        lambda g: g.dense(g("Unsqueeze", g("Reshape", g.body(), [-1]), [0]), MAP), (1, 1, 12, 12)
    ),
    "vectors of one": Kind(
        lambda g: g(
            "Squeeze",
            g("MatMul", g("Reshape", g.body(), [0, 1, MAP]), g.weights(MAP, CLASSES)),
            [1],
        )
    ),
    "flattened from behind": Kind(lambda g: g.dense(g("Flatten", g.body(), axis=-3), MAP)),
    "squeezed twice": Kind(
        lambda g: g.dense(g("Squeeze", g("Squeeze", g("GlobalAveragePool", g.body()), [3]), [2]), 6)
    ),
    "squeezed of all": Kind(
        lambda g: g("Squeeze", g.fold(g("GlobalAveragePool", g.body()), 6, 5, 1)), (1, 1, 12, 12)
    ),
    "batch of 8": Kind(lambda g: g.dense(g("Reshape", g.body(), [8, MAP]), MAP), (8, 1, 12, 12)),
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
    "softmax inside": Kind(lambda g: g.dense(g("Softmax", g.head(g.body())), 5)),
    "logarithm of a softmax inside": Kind(
        lambda g: g.dense(g("LogSoftmax", g.head(g.body())), 5),
        refused="; leave it out with --output y8_0.",
    ),
    "a map": Kind(lambda g: g.fold(g("GlobalAveragePool", g.body()), 6, 5, 1)),
    "one number": Kind(lambda g: g.dense(g.flat(g.body()), MAP, 1), error=0.1),
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
            g("Reshape", g.dense(g.flat(g.body()), MAP, 16), [1, 4, 4]),
            g("Reshape", g.dense(g.flat(g.body()), MAP, 4), [1, 1, 4]),
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
        COLOUR,
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
