"""The golden model: what the machine must compute, in plain integer numpy.

Every activation is int8, of which a network uses `act_bits`. An accelerated layer accumulates
level * activation exactly, adds the bias and requantises with `requantize`; the RTL equals this
bit for bit, and accuracies are those of this model.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from compress.model.activations import bounds, lowest
from compress.model.graph import CompressedModel, Layer
from compress.model.hostops import HostOp, pooling_window

_BATCH = 50  # images at once: of so many, the windows of AlexNet's CONV1 take 220 MB


def requantize(
    acc: np.ndarray,
    mul: int | np.ndarray,
    shift: int | np.ndarray,
    relu: bool,
    act_bits: int = 8,
) -> np.ndarray:
    """int64 accumulators (bias added) to activations: round half up, saturate, fused ReLU."""
    scaled = acc * mul
    scaled += np.int64(1) << (shift - 1)
    scaled >>= shift
    return np.clip(scaled, *bounds(act_bits, relu), out=scaled).astype(np.int8)


def taps(x: np.ndarray, layer: Layer) -> Iterator[np.ndarray]:
    """im2col, one group at a time: [N, columns, out_height * out_width], the type of `x`.

    Rows are in the order of the layer's column indices, (channel, r, s) flattened.
    """
    g = layer.geometry
    images = len(x)
    x = x.reshape(images, g.in_channels, g.in_height, g.in_width)
    (top, left), (down, right) = g.padding, g.stride
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    reach = [d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, ::down, ::right, :: g.dilation[0], :: g.dilation[1]]
    windows = windows.transpose(0, 1, 4, 5, 2, 3)  # N, C, R, S, Ho, Wo
    per_group = g.in_channels // g.groups
    for group in range(g.groups):
        part = windows[:, group * per_group : (group + 1) * per_group]
        yield part.reshape(images, g.columns, g.out_height * g.out_width)


def accumulate(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Exact sums of level * activation, without bias: int64 [N, out_channels, Ho, Wo]."""
    g = layer.geometry
    rows = layer.row_idx
    # BLAS is exact on integers as long as no partial sum leaves the mantissa.
    magnitudes = np.abs(layer.levels.astype(np.float64))
    largest = np.bincount(rows, magnitudes, minlength=g.out_channels).max() * -lowest(
        layer.act_bits
    )
    dtype = np.float32 if largest < 1 << 24 else np.float64
    filters = np.zeros((g.out_channels, g.columns), dtype)
    filters[rows, layer.col_idx] = layer.levels
    sums = [
        np.tensordot(part, columns.astype(dtype), axes=(1, 1))  # [filters, N, Ho * Wo]
        for part, columns in zip(np.split(filters, g.groups), taps(x, layer), strict=True)
    ]
    acc = np.concatenate(sums).transpose(1, 0, 2)
    return acc.reshape(len(x), g.out_channels, g.out_height, g.out_width).astype(np.int64)


Accumulate = Callable[[Layer, np.ndarray], np.ndarray]


def layer_output(layer: Layer, x: np.ndarray, sums: Accumulate = accumulate) -> np.ndarray:
    """One accelerated layer: int8 [N, C, H, W] to int8 [N, out_channels, Ho, Wo].

    `sums` may be any other way of computing what `accumulate` does.
    """
    acc = sums(layer, x)
    bias, mul, shift = (each[:, None, None] for each in (layer.bias, layer.mul, layer.shift))
    acc += bias
    return requantize(acc, mul, shift, layer.relu, layer.act_bits)


def _windows(op: HostOp, x: np.ndarray, fill: int) -> Iterator[np.ndarray]:
    """For each place in the pooling window the pixels of all windows, [N, C, Ho, Wo]."""
    shape = (x.shape[1], x.shape[2], x.shape[3])
    window = pooling_window(op.attrs, shape)
    sizes = op.output_shape([shape])[1:]
    margins = zip(window.padding, window.end, strict=True)
    padded = np.pad(x, ((0, 0), (0, 0), *margins), constant_values=fill)
    for places in np.ndindex(window.kernel):
        down, right = (
            slice(at * spread, at * spread + step * count, step)
            for at, spread, step, count in zip(
                places, window.dilation, window.stride, sizes, strict=True
            )
        )
        yield padded[:, :, down, right]


def _rounded(op: HostOp, total: np.ndarray, mul: int, relu: bool = False) -> np.ndarray:
    """`requantize` by `mul` and what the node says."""
    return requantize(total, mul, int(op.attrs["shift"]), relu, op.act_bits)


def _maxpool(op: HostOp, x: np.ndarray) -> np.ndarray:
    """Padding is the least value: every window has a pixel, so that it never wins."""
    return functools.reduce(np.maximum, _windows(op, x, lowest(op.act_bits)))


def _avgpool(op: HostOp, x: np.ndarray) -> np.ndarray:
    """The sum of a window, zeros in the padding, times mul0 / 2**shift."""
    shape = (x.shape[1], x.shape[2], x.shape[3])
    total = np.zeros((len(x), *op.output_shape([shape])), np.int64)
    for pixels in _windows(op, x, 0):
        total += pixels
    return _rounded(op, total * avgpool_factors(op, shape), 1)


def avgpool_factors(op: HostOp, shape: tuple[int, int, int]) -> np.ndarray:
    """What each window's sum is multiplied by, int64 [1, 1, Ho, Wo].

    mul0, or with `exclude` mul0 * pixels of the window / those that are no padding, rounded half
    up.
    """
    one = np.ones((1, 1, *shape[1:]), np.int64)
    inside = functools.reduce(np.add, _windows(op, one, 0))
    if not op.attrs["exclude"]:
        return np.full_like(inside, int(op.attrs["mul0"]))
    height, width = pooling_window(op.attrs, shape).kernel
    return (2 * int(op.attrs["mul0"]) * height * width + inside) // (2 * inside)


def _relu(op: HostOp, x: np.ndarray) -> np.ndarray:
    return _rounded(op, x.astype(np.int64), int(op.attrs["mul0"]), relu=True)


def _add(op: HostOp, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    mul0, mul1 = int(op.attrs["mul0"]), int(op.attrs["mul1"])
    total = x.astype(np.int64) * mul0 + y.astype(np.int64) * mul1
    return _rounded(op, total, 1, bool(op.attrs["relu"]))


def _concat(op: HostOp, *inputs: np.ndarray) -> np.ndarray:
    parts = [
        _rounded(op, x.astype(np.int64), int(op.attrs[f"mul{number}"]))
        for number, x in enumerate(inputs)
    ]
    return np.concatenate(parts, axis=1)


def _lrn(op: HostOp, x: np.ndarray) -> np.ndarray:
    """Across-channel LRN (Krizhevsky 2012, §3.3) in float64, rounded half up to int8."""
    a = op.attrs
    size = int(a["size"])
    real = x.astype(np.float64) * a["in_scale"]
    squares = np.pad(real**2, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    window = np.lib.stride_tricks.sliding_window_view(squares, size, axis=1).sum(axis=-1)
    real /= (a["k"] + a["alpha"] / size * window) ** a["beta"]
    whole = np.floor(real / a["out_scale"] + 0.5)
    return np.clip(whole, *bounds(op.act_bits)).astype(np.int8)


def _flatten(op: HostOp, x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1, 1, 1)


def _mul(op: HostOp, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _rounded(op, x.astype(np.int64) * y, int(op.attrs["mul0"]))


def _function(op: HostOp, x: np.ndarray) -> np.ndarray:
    tables = np.frombuffer(op.table, np.int8).reshape(-1, op.entries)
    places = x.astype(np.int64) - lowest(op.act_bits)
    if len(tables) == 1:
        return tables[0][places]
    return tables[np.arange(len(tables))[:, None, None], places]


def _take(op: HostOp, x: np.ndarray) -> np.ndarray:
    """What the layout lists of each axis; one more, at place -1, is zeros."""
    places = np.ix_(range(len(x)), *op.layout)
    return np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 1)))[places]


def _permute(op: HostOp, x: np.ndarray) -> np.ndarray:
    sizes, order, shape = op.layout
    moved = x.reshape(len(x), *sizes).transpose(0, *(axis + 1 for axis in order))
    return moved.reshape(len(x), *shape)


HOST_OPS: dict[str, Callable[..., np.ndarray]] = {
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "add": _add,
    "concat": _concat,
    "lrn": _lrn,
    "flatten": _flatten,
    "relu": _relu,
    "function": _function,
    "take": _take,
    "permute": _permute,
    "mul": _mul,
}


def trace(
    model: CompressedModel, x: np.ndarray, sums: Accumulate = accumulate
) -> dict[str, np.ndarray]:
    """Every node's output for quantised input `x` (int8 [N, C, H, W]), "input" included."""
    values = {"input": x}
    for node in model.nodes:
        if isinstance(node, Layer):
            values[node.name] = layer_output(node, values[node.input], sums)
        else:
            values[node.name] = HOST_OPS[node.op](node, *(values[name] for name in node.inputs))
    return values


def run(model: CompressedModel, x: np.ndarray, sums: Accumulate = accumulate) -> np.ndarray:
    """The network's first output, int8 [N, ...], for quantised input `x` (int8 [N, C, H, W])."""
    return trace(model, x, sums)[model.outputs[0]]


def correct(
    model: CompressedModel,
    images: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    report: Callable[[int], None] = lambda done: None,
    sums: Accumulate = accumulate,
) -> int:
    """Right answers of the integer model, whose class is the largest output, the first on ties.

    images : from indices, int64 [n], to uint8 pixels [n, C, H, W]
    labels : integers [N], of the indices 0..N-1
    report : gets the images done so far
    """
    right = 0
    for start in range(0, len(labels), _BATCH):
        indices = np.arange(start, min(start + _BATCH, len(labels)))
        scores = run(model, model.input.quantize(images(indices)), sums)
        scores = scores.reshape(len(indices), -1)
        right += int((scores.argmax(axis=1) == labels[indices]).sum())
        report(start + len(indices))
    return right
