"""What a foreign graph computes of whole maps: layers, poolings, joins.

Zeros in a kernel stand for padding that is wider on one side.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from compress.exchange.onnx import views
from compress.exchange.onnx.arithmetic import Arithmetic
from compress.exchange.onnx.canvas import product
from compress.exchange.onnx.views import Value, in_order, map_shape
from compress.model.hostops import HostOpName, Shape

Pads = tuple[int, int, int, int]  # above, left, below, right


class Maps(Arithmetic):
    """Operations on whole maps."""

    # Layers

    def conv(
        self,
        name: str,
        x: Value,
        weight: np.ndarray,
        bias: np.ndarray | None,
        stride: tuple[int, int] = (1, 1),
        pads: Pads = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> Value:
        """A convolution of [N, C, H, W] or [N, C, W], float32 [out, in / groups, kh, kw]."""
        channels, height, width = map_shape(x.shape)
        images = x.shape[0]
        if images > 1:  # that a graph makes of one: as many groups with the same weights
            weight, groups = np.tile(weight, (images, *[1] * (weight.ndim - 1))), groups * images
            bias = None if bias is None else np.tile(bias, images)
        if weight.ndim != 4 or len(x.shape) not in (3, 4) or weight.shape[1] * groups != channels:
            self.refuse(
                name,
                f"convolves {product(x.shape)} with a kernel of {product(weight.shape)} in "
                f"{groups} groups, which do not fit",
            )
        if min(pads) < 0:
            self.refuse(name, f"has the padding {pads}")
        places = x.places.reshape(channels, height, width)
        node, weight, margin = self._feed(name, x.node, places, weight, groups)
        first = (pads[0] + margin[0], pads[1] + margin[1])
        last = (pads[2] + margin[2], pads[3] + margin[3])
        kernel, padding = _symmetric(weight, first, last, dilation)
        size = self._build.shapes[node][1:]
        if any(
            length + before + after - step * (reach - 1) != length + 2 * pad - step * (grown - 1)
            for length, before, after, pad, step, reach, grown in zip(
                size,
                first,
                last,
                padding,
                dilation,
                weight.shape[2:],
                kernel.shape[2:],
                strict=True,
            )
        ):
            margins = (first[0], first[1], last[0], last[1])
            node = self._node(name, node, _padded(in_order(self._build.shapes[node]), margins))
            kernel, padding = weight, (0, 0)
        made = self._make(
            name,
            self._build.conv,
            kernel.shape[0],
            (kernel.shape[2], kernel.shape[3]),
            stride,
            padding,
            groups,
            dilation=dilation,
            relu=False,
            source=node,
        )
        self._weigh(made, kernel, bias)
        _, rows, columns = self._build.shapes[made]
        maps = images, len(kernel) // images
        return self.value(made, (*maps, columns) if len(x.shape) == 3 else (*maps, rows, columns))

    def _feed(
        self, name: str, node: str, places: np.ndarray, weight: np.ndarray, groups: int
    ) -> tuple[str, np.ndarray, Pads]:
        """What a convolution reads, its weights in that order, and zeros for it to pad with."""
        source = self._build.shapes[node]
        layout = views.taken(places, source)
        if layout is None:
            return self._node(name, node, places), weight, (0, 0, 0, 0)
        channels, *sides = layout
        (above, below), (left, right) = (views.margins(side) for side in sides)
        rows, columns = places.shape[1:]
        if groups == 1 and sorted(channels) == list(range(source[0])):
            ordered = np.empty_like(weight)
            ordered[:, list(channels)] = weight
            weight, channels = ordered, tuple(range(source[0]))
        kept = (channels, sides[0][above : rows - below], sides[1][left : columns - right])
        return self._take(name, node, kept), weight, (above, left, below, right)

    def linear(self, name: str, x: Value, weight: np.ndarray, bias: np.ndarray | None) -> Value:
        """[..., in] to [..., out]: a linear layer, or a 1 x 1 convolution of all the vectors.

        Weights are float32 [out, in].
        """
        *outer, columns = x.shape
        if weight.ndim != 2 or columns != weight.shape[1]:
            self.refuse(
                name, f"multiplies {product(x.shape)} by {product(weight.shape[::-1])} weights"
            )
        if math.prod(outer) > 1:
            vectors = x.places.reshape(-1, columns).T.reshape(1, columns, -1, outer[-1])
            y = self.conv(name, Value(x.node, vectors), weight[:, :, None, None], bias)
            rows = np.moveaxis(y.places[0], 0, -1)
            return Value(y.node, rows.reshape(*outer, len(weight)))
        places, source = x.places.reshape(-1), self.source(x)
        volume = math.prod(source)
        node = x.node
        filled = places > 0
        if len(np.unique(places[filled])) == volume:  # in any order: the weights' columns go along
            ordered = np.zeros((len(weight), volume), weight.dtype)
            if len(places) == volume:
                ordered[:, places - 1] = weight
            else:  # columns that read the same number are one
                np.add.at(ordered.T, places[filled] - 1, weight.T[filled])
            weight, places = ordered, in_order((volume,))
        node = self._node(name, node, places.reshape(-1, 1, 1))
        made = self._make(name, self._build.linear, len(weight), relu=False, source=node)
        self._weigh(made, weight, bias)
        return self.value(made, (*outer, len(weight)))

    def grouped(self, name: str, x: Value, weight: np.ndarray) -> Value:
        """[..., groups, in] to [..., groups, out]: a linear layer for each group.

        Weights are float32 [groups, out, in].
        """
        groups, outputs, inputs = weight.shape
        outer = x.shape[:-2]
        if groups == 1:
            y = self.linear(name, Value(x.node, x.places.reshape(*outer, inputs)), weight[0], None)
            return Value(y.node, y.places.reshape(*outer, 1, outputs))
        vectors = x.places.reshape(-1, groups * inputs).T
        y = self.conv(
            name,
            Value(x.node, vectors.reshape(1, len(vectors), -1, outer[-1] if outer else 1)),
            weight.reshape(-1, inputs, 1, 1),
            None,
            groups=groups,
        )
        rows = np.moveaxis(y.places[0], 0, -1)
        return Value(y.node, rows.reshape(*outer, groups, outputs))

    # Maps

    def host(self, name: str, op: HostOpName, x: Value, **attrs: Any) -> Value:
        """A node without weights that reads a map and gives one. Impossible shapes raise."""
        node = self._make(name, self._build.host, op, self.map(name, x), **attrs)
        channels, height, width = self._build.shapes[node]
        images = x.shape[0] if len(x.shape) in (2, 3, 4) else 1
        sides = {2: (), 3: (width,)}.get(len(x.shape), (height, width))
        return self.value(node, (images, channels // images, *sides))

    def pool(
        self,
        name: str,
        op: HostOpName,
        x: Value,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pads: Pads,
        dilation: tuple[int, int] = (1, 1),
        exclude: bool = False,
    ) -> Value:
        """A maxpool or avgpool. `exclude`: padding does not count in an average."""
        size, average = map_shape(x.shape)[1:], op == "avgpool"
        starts, ends = pads[:2], pads[2:]
        reach = [step * (taps - 1) + 1 for step, taps in zip(dilation, kernel, strict=True)]
        one = [
            (length + before + after - span) // step == 0
            for length, before, after, span, step in zip(
                size, starts, ends, reach, stride, strict=True
            )
        ]
        covers = [
            span >= length + first for span, length, first in zip(reach, size, starts, strict=True)
        ]
        plain = dilation == (1, 1) and all(one) and all(covers)
        if average and plain and (exclude or (kernel == size and not any(pads))):
            return self.host(name, op, x, kernel=0, stride=1, padding=0)
        attrs: dict[str, Any] = {}
        for key, pair, usual in (
            ("kernel", kernel, None),
            ("stride", stride, None),
            ("padding", starts, None),
            ("end", ends, starts),
            ("dilation", dilation, (1, 1)),
        ):
            if pair != usual:
                attrs[key] = pair[0]
                if pair[1] != pair[0] or key == "end":
                    attrs[f"{key}1"] = pair[1]
        if attrs.get("end") == attrs.get("end1"):
            attrs.pop("end1", None)
        if "end" not in attrs and "padding1" in attrs:
            attrs |= {"end": ends[0], "end1": ends[1]}
        if average and exclude and any(pads):
            attrs["exclude"] = 1
        return self.host(name, op, x, **attrs)

    def reduce(self, name: str, op: HostOpName, x: Value, axes: Sequence[int], keep: bool) -> Value:
        """The mean (avgpool) or largest (maxpool) number over axes."""
        rank = len(x.shape)
        gone = sorted({axis % rank for axis in axes} or range(rank))
        kept = [axis for axis in range(rank) if axis not in gone]
        shape = [x.shape[axis] for axis in kept]
        after = (
            [1 if axis in gone else size for axis, size in enumerate(x.shape)] if keep else shape
        )
        sizes = [x.shape[axis] for axis in gone if x.shape[axis] > 1]
        if not sizes:
            return Value(x.node, x.places.reshape(after))
        source = self.source(x)
        if rank == 4 and gone in ([2], [3]) and x.shape[1:] == source:
            window = {"kernel": 1, "kernel1": 0} if gone == [3] else {"kernel": 0, "kernel1": 1}
            attrs = window | {"stride": 1, "padding": 0}
            y = self.host(name, op, x, **attrs)
            return Value(y.node, y.places.reshape(after))
        rows = sizes[0] if len(sizes) == 2 else math.prod(sizes)
        columns = sizes[1] if len(sizes) == 2 else 1
        moved = x.places.transpose(*kept, *gone).reshape(1, math.prod(shape), rows, columns)
        y = self.host(name, op, Value(x.node, moved), kernel=0, stride=1, padding=0)
        return Value(y.node, y.places.reshape(after))

    def concat(self, name: str, values: Sequence[Value], axis: int) -> Value:
        """Joined along an axis of the foreign graph."""
        axis %= len(values[0].shape)
        nodes = list({value.node for value in values if value.places.any()})
        if len(nodes) < 2:
            joined = np.concatenate([value.places for value in values], axis)
            return Value(nodes[0] if nodes else "input", joined)
        if (scaled := self._scaled_parts(name, values, axis)) is not None:
            return scaled
        if not all(value.places.any() for value in values):
            return self._with_zeros(name, values, axis)
        first = values[0]
        rank = len(first.shape)
        order = (_turn(first, self.source(first)) if rank == 4 else None) or tuple(range(1, rank))
        if axis == order[0] and rank == 4:  # channels, wherever they stand
            turned = [at - 1 for at in order]
            parts = [
                self._node(name, value.node, value.places[0].transpose(turned)) for value in values
            ]
            node = self._make(name, self._build.host, "concat", *parts)
            return Value(
                node, in_order(self._build.shapes[node]).transpose(np.argsort(turned))[None]
            )
        if axis == 1 and rank < 4:
            parts = [self.map(name, value) for value in values]
            node = self._make(name, self._build.host, "concat", *parts)
            total = sum(value.shape[1] for value in values)
            return self.value(node, (1, total, *first.shape[2:]))
        parts = [self._node(name, value.node, value.places.reshape(-1, 1, 1)) for value in values]
        node = self._make(name, self._build.host, "concat", *parts)
        starts = np.cumsum([0, *(value.places.size for value in values)])
        numbers = [
            in_order(value.shape) + start for value, start in zip(values, starts[:-1], strict=True)
        ]
        return Value(node, np.concatenate(numbers, axis))

    def _with_zeros(self, name: str, values: Sequence[Value], axis: int) -> Value:
        """Joined, with the zeros among them put in between afterwards."""
        joined = self.concat(name, [value for value in values if value.places.any()], axis)
        parts, start = [], 0
        for value in values:
            size = value.shape[axis]
            if value.places.any():
                parts.append(joined.places.take(range(start, start + size), axis))
                start += size
            else:
                parts.append(value.places)
        return Value(joined.node, np.concatenate(parts, axis))

    def _scaled_parts(self, name: str, values: Sequence[Value], axis: int) -> Value | None:
        """Parts of one node, each scaled and shifted on its own, joined and then scaled; or None.

        So are the channels of pixels normalised, one by one.
        """
        sources = set()
        numbers: list[list[np.ndarray]] = [[], []]
        for value in values:
            channels = (value.places - 1) // math.prod(self.source(value)[1:])
            node, scale, shift = value.node, np.ones(1), np.zeros(1)
            while node in self._graph.affine:
                shift = shift + scale * self._graph.biases[node]
                scale = scale * self._graph.weights[node].reshape(-1)
                node = self._graph.nodes[node].input
            if node == value.node or not (value.places > 0).all():
                return None
            sources.add(node)
            numbers[0].append(scale[channels])
            numbers[1].append(shift[channels])
        if len(sources) > 1:
            return None
        places = np.concatenate([value.places for value in values], axis)
        scales, shifts = (np.concatenate(parts, axis) for parts in numbers)
        return self.affine(name, Value(sources.pop(), places), scales, shifts)


def _padded(places: np.ndarray, margins: Pads) -> np.ndarray:
    above, left, below, right = margins
    return np.pad(places, ((0, 0), (above, below), (left, right)))


def _turn(x: Value, source: Shape) -> tuple[int, ...] | None:
    """Which foreign axes (1..3) are a node's channels, rows and columns, if they are its axes."""
    for order in ((1, 2, 3), (3, 1, 2), (2, 3, 1), (1, 3, 2), (2, 1, 3), (3, 2, 1)):
        turned = x.places[0].transpose([axis - 1 for axis in order])
        if turned.shape == source and views.is_in_order(turned):
            return order
    return None


def _symmetric(
    weight: np.ndarray,
    first: tuple[int, int],
    last: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[np.ndarray, tuple[int, int]]:
    """The same convolution with equal padding on both sides: its kernel grows by zeros.

    A kernel with a row more on top starts a row higher, which one more row of padding makes good.
    """
    grow, padding = [(0, 0), (0, 0)], []
    for before, after, step in zip(first, last, dilation, strict=True):
        rows = -(-abs(before - after) // step)
        grow.append((rows, 0) if before < after else (0, rows))
        padding.append(before + rows * step if before < after else before)
    return np.pad(weight, grow), (padding[0], padding[1])
