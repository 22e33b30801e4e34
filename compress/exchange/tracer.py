"""From the operations of a foreign graph to a `NetworkSpec` with weights.

`onnx_import` translates its graph to calls of a `Tracer`; here the rest happens: shapes, padding,
folding, fusing. Numpy only.

- A scale and shift by channel (BatchNorm, Mul, Add, Sub, Div by constants) goes into the layer
  before it, or becomes a depthwise 1 x 1 convolution.
- A ReLU goes into the layer or addition before it, or stays a node.
- Zeros in a kernel stand for padding that is wider on one side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from compress.exchange.fusing import Graph, fuse
from compress.model.hostops import HostOpName, Shape
from compress.model.nodes import Builder, NetworkSpec, Size
from compress.model.pretrained import Pretrained
from cosign import CosignError

Pads = tuple[int, int, int, int]  # above, left, below, right


@dataclass(frozen=True)
class Value:
    """What a node of the foreign graph computes: a node's output, and its rank there (2 or 4)."""

    node: str
    rank: int = 4
    pads: Pads = (0, 0, 0, 0)  # zeros around it, to be taken over by a convolution


class Tracer:
    """Collects nodes; `finish` returns the network. `where` begins every error's sentence."""

    def __init__(self, name: str, shape: Shape, where: str) -> None:
        self.where = where
        self._build = Builder(name, shape)
        self._graph = Graph()
        self.input = Value("input")

    def shape(self, value: Value) -> tuple[int, ...]:
        """[C, H, W] or [C] of a value, its pads included."""
        channels, height, width = self._build.shapes[value.node]
        above, left, below, right = value.pads
        if value.rank == 2:
            return (channels,)
        return channels, height + above + below, width + left + right

    def conv(
        self,
        name: str,
        x: Value,
        weight: np.ndarray,
        bias: np.ndarray | None,
        stride: Size = 1,
        pads: Pads = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> Value:
        """A convolution, float32 [out, in / groups, kh, kw]."""
        channels = self._build.shapes[x.node][0]
        if weight.ndim != 4 or x.rank != 4 or weight.shape[1] * groups != channels:
            self.refuse(
                name,
                f"convolves {'x'.join(map(str, self.shape(x)))} with a kernel of "
                f"{'x'.join(map(str, weight.shape))} in {groups} groups; only 2-D convolutions "
                "that fit are read",
            )
        total = self.pad(x, pads).pads
        kernel, padding = _symmetric(weight, total, dilation)
        size = self._build.shapes[x.node][1:]
        if min(total) < 0 or any(
            _outputs(length, (first, last), reach, 1) != _outputs(length, (pad, pad), grown, 1)
            for length, first, last, pad, reach, grown in zip(
                size,
                total[:2],
                total[2:],
                padding,
                _reach(weight, dilation),
                _reach(kernel, dilation),
                strict=True,
            )
        ):
            self.refuse(
                name, f"has the padding {total}, which its dilation {dilation} does not fit"
            )
        node = self._make(
            name,
            self._build.conv,
            kernel.shape[0],
            (kernel.shape[2], kernel.shape[3]),
            stride,
            padding,
            groups,
            dilation=dilation,
            relu=False,
            source=x.node,
        )
        return self._layer(node, kernel, bias)

    def linear(self, name: str, x: Value, weight: np.ndarray, bias: np.ndarray | None) -> Value:
        """Weights are float32 [out, in]."""
        if weight.ndim != 2 or x.rank != 2 or self.shape(x) != weight.shape[1:]:
            self.refuse(
                name,
                f"multiplies {'x'.join(map(str, self.shape(x)))} by "
                f"{'x'.join(map(str, weight.shape))} weights; a linear layer reads a flattened map "
                "of its size",
            )
        node = self._make(name, self._build.linear, weight.shape[0], relu=False, source=x.node)
        return replace(self._layer(node, weight, bias), rank=2)

    def affine(self, name: str, x: Value, scale: np.ndarray, shift: np.ndarray) -> Value:
        """scale * x + shift, by channel: float64 [C] each."""
        self._plain(name, x)
        if np.all(scale == 1) and not shift.any():
            return x
        channels = self._build.shapes[x.node][0]
        scale, shift = (np.broadcast_to(part, (channels,)) for part in (scale, shift))
        node = self._make(
            name, self._build.conv, channels, 1, groups=channels, relu=False, source=x.node
        )
        self._graph.affine.add(node)
        made = self._layer(node, scale.reshape(channels, 1, 1, 1), shift)
        return replace(made, rank=x.rank)

    def relu(self, name: str, x: Value, top: float | None = None) -> Value:
        """Rectified, and cut at `top`."""
        self._plain(name, x)
        made = self.host(name, "relu", x)
        self._graph.nodes[made.node] = replace(self._graph.nodes[made.node], top=top)
        return made

    def host(
        self, name: str, op: HostOpName, *sources: Value, rank: int | None = None, **attrs: float
    ) -> Value:
        """A node without weights. Impossible shapes raise CosignError."""
        for source in sources:
            self._plain(name, source)
            if source.rank != sources[0].rank:
                self.refuse(name, "mixes maps and flattened maps")
        inputs = [source.node for source in sources]
        return Value(
            self._make(name, self._build.host, op, *inputs, **attrs), rank or sources[0].rank
        )

    def flatten(self, name: str, x: Value) -> Value:
        """[C * H * W]; nothing where it is flat already."""
        return x if x.rank == 2 else self.host(name, "flatten", x, rank=2)

    def pool(
        self,
        name: str,
        op: HostOpName,
        x: Value,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pads: Pads,
        exclude: bool = False,
    ) -> Value:
        """A maxpool or avgpool. `exclude`: padding does not count in an average."""
        self._plain(name, x)
        size, average = self.shape(x)[1:], op == "avgpool"
        starts, ends = pads[:2], pads[2:]
        one = [
            _outputs(*axis) == 1
            for axis in zip(size, zip(starts, ends, strict=True), kernel, stride, strict=True)
        ]
        covers = [
            reach >= length + first
            for reach, length, first in zip(kernel, size, starts, strict=True)
        ]
        if average and all(one) and all(covers) and (exclude or (kernel == size and not any(pads))):
            return self.host(name, op, x, kernel=0, stride=1, padding=0)
        if any(pair[0] != pair[1] for pair in (kernel, stride, starts, ends)):
            self.refuse(name, "pools with a window, stride or padding that is not square")
        attrs: dict[str, Any] = {"end": ends[0]} if ends != starts else {}
        if average and exclude and any(pads):
            attrs["exclude"] = 1
        return self.host(
            name, op, x, kernel=kernel[0], stride=stride[0], padding=starts[0], **attrs
        )

    def pad(self, x: Value, pads: Pads) -> Value:
        """Zeros around a map, for the convolution that reads it."""
        total = tuple(a + b for a, b in zip(pads, x.pads, strict=True))
        return replace(x, pads=total)  # type: ignore[arg-type]

    def refuse(self, name: str, what: str) -> NoReturn:
        """Raise the CosignError that names a node."""
        raise CosignError(f"{self.where}: node {name!r} {what}.")

    def finish(self, output: Value) -> Pretrained:
        """The network up to `output`, folded and fused."""
        self._plain("output", output)
        if output.rank == 4 and self.shape(output)[1:] == (1, 1):
            output = self.flatten("flatten", output)
        if output.node == "input":
            raise CosignError(f"{self.where}: the network has no layer.")
        graph = fuse(self._graph, output.node)
        spec = NetworkSpec(self._build.name, self._build.shape, tuple(graph.nodes.values()))
        return Pretrained(
            spec,
            {name: graph.weights[name].astype(np.float32) for name in spec.geometries},
            {name: graph.biases[name].astype(np.float32) for name in spec.geometries},
        )

    def _make(self, name: str, method: Callable[..., str], *args: Any, **options: Any) -> str:
        """Let the builder make a node; returns its name."""
        try:
            node = method(self._name(name), *args, **options)
        except CosignError as error:
            raise CosignError(f"{self.where}: {error}") from error
        self._graph.nodes[node] = self._build.nodes[-1]
        return node

    def _layer(self, node: str, weight: np.ndarray, bias: np.ndarray | None) -> Value:
        """Note the weights of a node."""
        if bias is None:
            bias = np.zeros(len(weight))
        for what, values in (("weight", weight), ("bias", bias)):
            if not np.isfinite(values).all():
                self.refuse(node, f"has a {what} that is not finite")
        self._graph.weights[node] = np.asarray(weight, np.float64)
        self._graph.biases[node] = np.asarray(bias, np.float64).reshape(len(weight))
        return Value(node)

    def _plain(self, name: str, x: Value) -> None:
        if any(x.pads):
            self.refuse(name, "reads a padded map, which only a convolution can")

    def _name(self, name: str) -> str:
        """A node's name that is new, and fit for files and modules."""
        plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in name.replace("/", "."))
        plain = plain.strip(".") or "node"
        number, result = 1, plain
        while result in self._build.shapes:
            number += 1
            result = f"{plain}-{number}"
        return result


def _outputs(length: int, pads: Sequence[int], reach: int, stride: int) -> int:
    return (length + pads[0] + pads[1] - reach) // stride + 1


def _reach(weight: np.ndarray, dilation: tuple[int, int]) -> list[int]:
    """Pixels from the first to the last row and column of a kernel."""
    return [step * (rows - 1) + 1 for step, rows in zip(dilation, weight.shape[2:], strict=True)]


def _symmetric(
    weight: np.ndarray, pads: Pads, dilation: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """The same convolution with equal padding on both sides: its kernel grows by zeros.

    A kernel with a row more on top starts a row higher, which one more row of padding makes good.
    """
    grow, padding = [(0, 0), (0, 0)], []
    for axis, step in enumerate(dilation):
        first, last = pads[axis], pads[axis + 2]
        rows = -(-abs(first - last) // step)
        grow.append((rows, 0) if first < last else (0, rows))
        padding.append(first + rows * step if first < last else first)
    return np.pad(weight, grow), (padding[0], padding[1])
