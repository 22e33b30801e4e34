"""What computes number by number, and weights that are odd."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx_net import MAP, Kind, Made, Net, of_map


def _layer_norm(g: Net) -> Made:
    y = g.flat(g.body())
    centred = g("Sub", y, g("ReduceMean", y, axes=[-1]))
    variance = g("ReduceMean", g("Pow", centred, np.float32(2)), axes=[-1])
    return g.dense(g("Div", centred, g("Sqrt", g("Add", variance, np.float32(1e-5)))), MAP)


def _weighted(change: Callable[[np.ndarray], Any]) -> Callable[[Net], Made]:
    """A 3 x 3 layer of 6 filters whose weights are changed in place."""

    def build(g: Net) -> Made:
        y, weight = g.body(), g.weights(6, 6, 3, 3)
        change(weight)
        return g.head(g.relu(g.fold(y, 6, 6, weight=weight)))

    return build


def _sparse(weight: np.ndarray) -> None:
    weight[np.abs(weight) < np.quantile(np.abs(weight), 0.95)] = 0


def _channels_apart(weight: np.ndarray) -> None:
    weight *= np.geomspace(1e-3, 10, len(weight)).reshape(-1, 1, 1, 1).astype(np.float32)


def _outlier(weight: np.ndarray) -> None:
    weight[0, 0, 0, 0] = 50


def _spoilt(weight: np.ndarray) -> None:
    weight[0, 0, 0, 0] = np.nan


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
        of_map(
            lambda g, y: (
                lambda x: g(
                    "Mul",
                    g("Mul", x, g("Add", g("Erf", g("Div", x, np.float32(2**0.5))), np.float32(1))),
                    np.float32(0.5),
                )
            )(g.fold(y, 6, 6, 1))
        )
    ),
    "PRelu": Kind(of_map(lambda g, y: g("PRelu", g.fold(y, 6, 6), np.full((6, 1, 1), 0.25)))),
    "PRelu by channel": Kind(
        of_map(lambda g, y: g("PRelu", g.fold(y, 6, 6), np.linspace(-0.5, 1, 6).reshape(6, 1, 1)))
    ),
    "swish": Kind(
        of_map(lambda g, y: (lambda x: g("Mul", x, g("Sigmoid", x)))(g.fold(y, 6, 6, 1)))
    ),
    "hard swish of parts": Kind(
        of_map(
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
    "clip -1 to 1": Kind(of_map(lambda g, y: g("Clip", y, np.float32(-1), np.float32(1)))),
    "clip 0 to 1": Kind(of_map(lambda g, y: g("Clip", y, np.float32(0), np.float32(1)))),
    "clip from 0": Kind(of_map(lambda g, y: g("Clip", g.fold(y, 6, 6), np.float32(0)))),
    "clip to 6": Kind(of_map(lambda g, y: g("Clip", g.fold(y, 6, 6), "", np.float32(6)))),
    "minimum with 6": Kind(of_map(lambda g, y: g("Min", y, np.float32(6)))),
    "maximum with 0": Kind(of_map(lambda g, y: g("Max", g.fold(y, 6, 6), np.float32(0)))),
    "maximum of halves": Kind(
        of_map(lambda g, y: g("Max", *g("Split", g.fold(y, 6, 6), [3, 3], axis=1, outputs=2)), 27)
    ),
    "absolute": Kind(of_map(lambda g, y: g("Abs", g.fold(y, 6, 6)))),
    "square": Kind(of_map(lambda g, y: g("Pow", g.fold(y, 6, 6), np.float32(2)))),
    "of instances": Kind(
        of_map(lambda g, y: g("InstanceNormalization", y, g.rng.uniform(0.5, 2, 6), np.ones(6))),
        error=0.1,
    ),
    "of groups": Kind(
        of_map(
            lambda g, y: g(
                "GroupNormalization", y, g.rng.uniform(0.5, 2, 6), np.zeros(6), num_groups=2
            )
        ),
        opset=21,
    ),
    "of layers": Kind(
        lambda g: g.dense(g("LayerNormalization", g.flat(g.body()), np.ones(MAP)), MAP)
    ),
    "of layers, of parts": Kind(_layer_norm),
    "of mean and variance": Kind(
        of_map(lambda g, y: g("MeanVarianceNormalization", y, axes=[0, 2, 3])),
        refused="of the kind MeanVarianceNormalization, which the machine has not; train the "
        "network with batch normalisation there",
    ),
    "response, 3 channels": Kind(of_map(lambda g, y: g("LRN", y, size=3))),
    "response, 4 channels": Kind(of_map(lambda g, y: g("LRN", y, size=4, alpha=0.5))),
    "normalised, padded layer": Kind(
        of_map(lambda g, y: g.relu(g.fold(g.norm(g.pool(y, strides=[1, 1]), 6), 6, 6)), 24)
    ),
    "normalised behind a join": Kind(
        of_map(lambda g, y: g.relu(g.norm(g("Concat", y, y, axis=1), 12)), 108)
    ),
    "normalised vectors": Kind(lambda g: g.norm(g.head(g.body()), 5)),
    "normalised and read twice": Kind(
        of_map(lambda g, y: (lambda z: g("Add", g.relu(z), z))(g.norm(g.fold(y, 6, 6, 1), 6)))
    ),
    "variance of 0": Kind(
        of_map(lambda g, y: g.relu(g.norm(g.fold(y, 6, 6, 1), 6, variance=[0, 1e-12, 1, 1, 1, 1]))),
        error=0.2,
    ),
    "normalised in training": Kind(
        of_map(
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
        of_map(lambda g, y: g("Dropout", y, np.float32(0.5), np.array(False), outputs=2)[0])
    ),
}


WEIGHTS = {
    "of a gamma of 0": Kind(
        of_map(lambda g, y: g.relu(g("Add", y, g.norm(g.fold(y, 6, 6), 6, gamma=np.zeros(6)))))
    ),
    "all zero": Kind(_weighted(lambda weight: weight.fill(0))),
    "pruned already": Kind(_weighted(_sparse)),
    "one of 50": Kind(_weighted(_outlier), error=0.1),
    "channels 10,000 apart": Kind(_weighted(_channels_apart)),
    "all the same": Kind(_weighted(lambda weight: weight.fill(0.25))),
    "not a number": Kind(_weighted(_spoilt), refused="not finite"),
    "a layer that is off": Kind(
        of_map(lambda g, y: g.relu(g.fold(y, 6, 6, 1, bias=np.full(6, -1e3))))
    ),
    "a bias of a million": Kind(
        of_map(lambda g, y: g.relu(g.fold(y, 6, 6, 1, bias=np.full(6, 1e6))))
    ),
    "tiny": Kind(lambda g: g("Gemm", g.flat(g.body()), g.weights(MAP, 5) * np.float32(1e-30))),
    "huge": Kind(lambda g: g("Gemm", g.flat(g.body()), g.weights(MAP, 5) * np.float32(1e30))),
    "a single one": Kind(lambda g: g.head(g.body(g.relu(g.fold("x", 1, 1, 1))))),
}
