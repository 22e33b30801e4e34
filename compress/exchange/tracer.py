"""From the operations of a foreign graph to a `NetworkSpec` with weights.

`onnx_import` translates its graph to calls of a `Tracer`; here the rest happens: layouts, padding,
folding, functions. Numpy only.

- A scale and shift by channel (BatchNorm, Mul, Add, Sub, Div by constants) goes into the layer
  before it, or becomes a depthwise 1 x 1 convolution.
- A ReLU goes into the layer or addition before it, or stays a node.
- Whatever else is computed from one number alone becomes a function node, however many nodes it
  was: x times the sigmoid of x is one.
- Zeros in a kernel stand for padding that is wider on one side.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from compress.exchange import views
from compress.exchange.fusing import Graph, fuse
from compress.exchange.views import Value, in_order, map_shape
from compress.model.functions import Program, composed, evaluate
from compress.model.hostops import HostOpName, Layout, Shape
from compress.model.nodes import Builder, NetworkSpec
from compress.model.pretrained import Pretrained
from cosign import CosignError

Pads = tuple[int, int, int, int]  # above, left, below, right
_MOST_SCALES = 1 << 16  # of numbers that are scaled each by its own


class Refusal(CosignError):
    """What a node computes is not read; `instead` is what to do about it, if that is known."""

    def __init__(self, sentence: str, instead: str) -> None:
        super().__init__(f"{sentence}; {instead}." if instead else f"{sentence}.")
        self.sentence, self.instead = sentence, instead


class Tracer:
    """Collects nodes; `finish` returns the network. `where` begins every error's sentence."""

    def __init__(self, name: str, shape: Shape, where: str) -> None:
        self.where = where
        self._build = Builder(name, shape)
        self._graph = Graph()
        self._derived: dict[str, tuple[str, Program]] = {}  # computed number by number from another
        self._moved: dict[tuple[str, Shape, bytes], str] = {}

    def source(self, x: Value) -> Shape:
        """(C, H, W) of the node that a value comes from."""
        return self._build.shapes[x.node]

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
        """A convolution of [1, C, H, W] or [1, C, W], float32 [out, in / groups, kh, kw]."""
        channels, height, width = map_shape(x.shape)
        if weight.ndim != 4 or len(x.shape) not in (3, 4) or weight.shape[1] * groups != channels:
            self.refuse(
                name,
                f"convolves {_product(x.shape)} with a kernel of {_product(weight.shape)} in "
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
        shape = (1, len(kernel), columns) if len(x.shape) == 3 else (1, len(kernel), rows, columns)
        return self.value(made, shape)

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
                name, f"multiplies {_product(x.shape)} by {_product(weight.shape[::-1])} weights"
            )
        if math.prod(outer) > 1:
            vectors = x.places.reshape(-1, columns).T.reshape(1, columns, -1, outer[-1])
            y = self.conv(name, Value(x.node, vectors), weight[:, :, None, None], bias)
            rows = np.moveaxis(y.places[0], 0, -1)
            return Value(y.node, rows.reshape(*outer, len(weight)))
        places, source = x.places.reshape(-1), self.source(x)
        volume = math.prod(source)
        node = x.node
        if views.is_whole(places, volume):  # in any order: the weights' columns go along
            ordered = np.empty_like(weight)
            ordered[:, places - 1] = weight
            weight = ordered
            places = in_order((volume,))
        node = self._node(name, node, places.reshape(-1, 1, 1))
        made = self._make(name, self._build.linear, len(weight), relu=False, source=node)
        self._weigh(made, weight, bias)
        return self.value(made, (*outer, len(weight)))

    # Number by number

    def affine(
        self, name: str, x: Value, scale: np.ndarray | float, shift: np.ndarray | float
    ) -> Value:
        """scale * x + shift; both of a shape that broadcasts to that of x, or x to theirs."""
        scale, shift = np.asarray(scale), np.asarray(shift)
        x = self._spread(x, np.broadcast_shapes(scale.shape, shift.shape))
        if not (x.places > 0).all() and shift.any():
            x = self._settled(name, x)
        whole = self._by_number(x, scale, 1.0), self._by_number(x, shift, 0.0)
        if whole[0] is None or whole[1] is None:
            x = self._settled(name, x)
            whole = self._by_number(x, scale, 1.0), self._by_number(x, shift, 0.0)
        scales, shifts = (np.asarray(part) for part in whole)
        if np.all(scales == 1) and not shifts.any():
            return x
        single = np.ptp(scales) == 0 and np.ptp(shifts) == 0
        if single and not self._is_layer(x.node):  # into which it would go
            program: Program = ("x", float(scales.flat[0]), "mul", float(shifts.flat[0]), "add")
            return self.function(name, x, program)
        channels = self.source(x)[0]
        flat = [part.reshape(channels, -1) for part in (scales, shifts)]
        node = x.node
        if all(np.all(part == part[:, :1]) for part in flat):
            scales, shifts = (part[:, 0] for part in flat)
        elif scales.size <= _MOST_SCALES:
            node = self._node(name, node, in_order((scales.size, 1, 1)))
            channels = scales.size
        else:
            self.refuse(name, "scales or shifts pixels of one channel differently")
        made = self._make(
            name, self._build.conv, channels, 1, groups=channels, relu=False, source=node
        )
        self._graph.affine.add(made)
        self._weigh(made, scales.reshape(channels, 1, 1, 1), shifts.reshape(-1))
        if node == x.node:
            numbers = [
                float(part[0]) if np.ptp(part) == 0 else tuple(part.tolist())
                for part in (scales, shifts.reshape(-1))
            ]
            self._derived[made] = node, ("x", numbers[0], "mul", numbers[1], "add")
        return replace(x, node=made)

    def relu(self, name: str, x: Value, top: float | None = None) -> Value:
        """Rectified, and cut at `top`."""
        program: Program = ("x", 0.0, "max") + (() if top is None else (top, "min"))
        if self._is_function(x.node):
            return self.function(name, x, program)
        made = self._make(name, self._build.host, "relu", x.node, top=top)
        self._derived[made] = x.node, program
        return replace(x, node=made)

    def function(self, name: str, x: Value, program: Program) -> Value:
        """A function of each number."""
        if not (x.places > 0).all() and np.any(evaluate(program, np.zeros(1)) != 0):
            x = self._settled(name, x)
        node = x.node
        if self._is_function(node):
            node, inner = self._derived[node]
            program = composed(program, inner)
        made = self._make(name, self._build.host, "function", node, program=program)
        self._derived[made] = node, program
        return replace(x, node=made)

    def by_channel(self, name: str, x: Value, numbers: np.ndarray) -> tuple[float, ...] | float:
        """Constants that broadcast to `x` as an operand of a program for its node."""
        whole = self._by_number(self._spread(x, np.shape(numbers)), numbers, 0.0)
        flat = np.reshape([] if whole is None else whole, (self.source(x)[0], -1))
        if not flat.size or np.any(flat != flat[:, :1]):
            self.refuse(name, "has constants that differ within a channel")
        return float(flat[0, 0]) if np.ptp(flat) == 0 else tuple(flat[:, 0].tolist())

    def combine(self, name: str, op: str, a: Value, b: Value) -> Value:
        """add, sub, mul, div, max or min of two values, number by number."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        same = a.shape == b.shape and np.array_equal(a.places, b.places)
        common = self._common(a.node, b.node) if same and (a.places > 0).all() else None
        if common is not None:
            node, first, second = common
            return self.function(name, Value(node, a.places), (*first, *second, op))
        if op == "sub":
            return self.combine(name, "add", a, self._negative(name, b))
        if op == "div":
            return self.combine(name, "mul", a, self.function(name, b, (1.0, "x", "div")))
        if op == "max":
            more = self.relu(name, self.combine(name, "sub", b, a))
            return self.combine(name, "add", a, more)
        if op == "min":
            less = (self._negative(name, value) for value in (a, b))
            return self._negative(name, self.combine(name, "max", *less))
        a, b = self._spread(a, shape), self._spread(b, shape)
        if not views.is_whole(a.places, math.prod(self.source(a))):
            a, b = b, a
        if not views.is_whole(a.places, math.prod(self.source(a))):
            a = self._settled(name, a)
        # the other one in the order of the first, then without what is only repeated
        other = np.empty(a.places.size, np.int64)
        other[a.places.reshape(-1) - 1] = b.places.reshape(-1)
        other = other.reshape(self.source(a))
        for axis, size in enumerate(other.shape):
            if size > 1 and np.all(other == other.take([0], axis)):
                other = other.take([0], axis)
        second_node = self._node(name, b.node, other)
        host: HostOpName = "add" if op == "add" else "mul"
        return replace(a, node=self._make(name, self._build.host, host, a.node, second_node))

    def _negative(self, name: str, x: Value) -> Value:
        return self.affine(f"{name}.negative", x, -1.0, 0.0)

    def _common(self, a: str, b: str) -> tuple[str, Program, Program] | None:
        """The nearest node that both are functions of, and these functions."""
        chains = []
        for node in (a, b):
            chain: dict[str, Program] = {node: ("x",)}
            while node in self._derived:
                source, program = self._derived[node]
                chain[source] = composed(chain[node], program)
                node = source
            chains.append(chain)
        for node, program in chains[0].items():
            if node in chains[1]:
                return node, program, chains[1][node]
        return None

    def _is_function(self, node: str) -> bool:
        return node != "input" and self._graph.nodes[node].op == "function"

    def _is_layer(self, node: str) -> bool:
        return node in self._graph.weights

    def _by_number(self, x: Value, numbers: np.ndarray, rest: float) -> np.ndarray | None:
        """`numbers`, which broadcast to x, for each number of its node; `rest` where x has none.

        None where x repeats a number and these differ.
        """
        wanted = np.broadcast_to(np.asarray(numbers, np.float64), x.shape)
        filled = x.places > 0
        whole = np.full(math.prod(self.source(x)), rest)
        whole[x.places[filled] - 1] = wanted[filled]
        return whole if np.array_equal(whole[x.places[filled] - 1], wanted[filled]) else None

    # Maps

    def host(self, name: str, op: HostOpName, x: Value, **attrs: Any) -> Value:
        """A node without weights that reads a map and gives one. Impossible shapes raise."""
        node = self._make(name, self._build.host, op, self.map(name, x), **attrs)
        channels, height, width = self._build.shapes[node]
        flat = {2: (channels,), 3: (channels, width)}.get(len(x.shape), (channels, height, width))
        return self.value(node, (1, *flat))

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

    def zeros(self, shape: Sequence[int]) -> Value:
        """Zeros, which are places of nothing."""
        return Value("input", np.zeros(shape, np.int64))

    # Where numbers are

    def value(self, node: str, shape: Sequence[int]) -> Value:
        """All of a node's output, in its order, as `shape`."""
        return Value(node, in_order(shape))

    def map(self, name: str, x: Value) -> str:
        """The node that has the value as a map, moved if it must be."""
        return self._node(name, x.node, x.places.reshape(map_shape(x.shape)))

    def _settled(self, name: str, x: Value) -> Value:
        """The same value as all of a node's output, in its order."""
        return self.value(self.map(name, x), x.shape)

    def _spread(self, x: Value, shape: Sequence[int]) -> Value:
        """Broadcast, as far as `shape` needs it."""
        wanted = np.broadcast_shapes(x.shape, tuple(shape))
        return x if wanted == x.shape else replace(x, places=np.broadcast_to(x.places, wanted))

    def _node(self, name: str, node: str, places: np.ndarray) -> str:
        """A node whose output is `places` [C, H, W] of another's."""
        shape = (places.shape[0], places.shape[1], places.shape[2])
        source = self._build.shapes[node]
        if shape == source and views.is_in_order(places):
            return node
        key = (node, shape, np.ascontiguousarray(places, np.int64).tobytes())
        if key not in self._moved:
            self._moved[key] = self._move(name, node, places, source)
        return self._moved[key]

    def _move(self, name: str, node: str, places: np.ndarray, source: Shape) -> str:
        shape = (places.shape[0], places.shape[1], places.shape[2])
        if shape == (math.prod(source), 1, 1) and views.is_in_order(places):
            return self._make(f"{name}.flatten", self._build.host, "flatten", node)
        if layout := views.taken(places, source):
            return self._take(name, node, layout)
        if layout := views.permuted(places, source):
            return self._make(f"{name}.permute", self._build.host, "permute", node, layout=layout)
        if both := views.taken_and_turned(places, source):
            node = self._take(name, node, both[0])
            return self._make(f"{name}.permute", self._build.host, "permute", node, layout=both[1])
        if shape[1:] != (1, 1):  # as a vector, and from there to a map
            flat = self._node(name, node, in_order((math.prod(source), 1, 1)))
            vector = self._node(name, flat, places.reshape(-1, 1, 1))
            sizes = ((places.size,), (0,), shape)
            return self._make(f"{name}.permute", self._build.host, "permute", vector, layout=sizes)
        if source[1:] == (1, 1):
            self.refuse(name, f"reads {_product(shape)} of {_product(source)} in no regular order")
        flat = self._node(name, node, in_order((math.prod(source), 1, 1)))
        return self._node(name, flat, places)

    def _take(self, name: str, node: str, layout: Layout) -> str:
        if layout == tuple(tuple(range(size)) for size in self._build.shapes[node]):
            return node
        key = (node, self._build.shapes[node], repr(layout).encode())
        if key not in self._moved:
            self._moved[key] = self._make(
                f"{name}.take", self._build.host, "take", node, layout=layout
            )
        return self._moved[key]

    # The network

    def refuse(self, name: str, what: str, instead: str = "") -> NoReturn:
        """Raise the Refusal that names a node."""
        raise Refusal(f"{self.where}: node {name!r} {what}", instead)

    def finish(
        self,
        outputs: dict[str, Value],
        pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        notes: tuple[str, ...] = (),
        scales: Sequence[tuple[Value, float]] = (),
    ) -> Pretrained:
        """The network up to `outputs`, folded and fused.

        scales : of values, in the order in which they are computed, as `Pretrained.scales`
        """
        ends: dict[str, str] = {}
        for name, value in outputs.items():
            places = value.places
            if len(value.shape) == 4 and value.shape[2:] != (1, 1):
                node = self._node(name, value.node, places.reshape(map_shape(value.shape)))
            else:
                node = self._node(name, value.node, places.reshape(-1, 1, 1))
            ends.setdefault(node, name)
        self._graph.outputs = list(ends)
        graph = fuse(self._graph)
        if not any(node.geometry for node in graph.nodes.values()) or "input" in ends:
            raise CosignError(f"{self.where}: the network has no layer with weights.")
        spec = NetworkSpec(
            self._build.name, self._build.shape, tuple(graph.nodes.values()), tuple(graph.outputs)
        )
        return Pretrained(
            spec,
            {name: graph.weights[name].astype(np.float32) for name in spec.geometries},
            {name: graph.biases[name].astype(np.float32) for name in spec.geometries},
            pixels,
            tuple(ends.values()),
            notes,
            scales=self._scales(graph, scales),
        )

    def _scales(self, graph: Graph, of: Sequence[tuple[Value, float]]) -> dict[str, float]:
        """By node of the fused network. Of nodes that became one, the last says the scale."""
        found: dict[str, float] = {}
        for value, scale in of:
            name, whole = value.node, math.prod(self._build.shapes[value.node])
            while name in graph.became:
                name = graph.became[name]
            if name in graph.nodes and value.places.size == whole:
                found[name] = scale
        return found

    def _make(self, name: str, method: Callable[..., str], *args: Any, **options: Any) -> str:
        """Let the builder make a node; returns its name."""
        try:
            node = method(self._name(name), *args, **options)
        except CosignError as error:
            raise CosignError(f"{self.where}: {error}") from error
        self._graph.nodes[node] = self._build.nodes[-1]
        return node

    def _weigh(self, node: str, weight: np.ndarray, bias: np.ndarray | None) -> None:
        """Note the weights of a node."""
        if bias is None:
            bias = np.zeros(len(weight))
        for what, values in (("weight", weight), ("bias", bias)):
            if not np.isfinite(values).all():
                raise CosignError(
                    f"{self.where}: node {node!r} has a {what} that is not finite; train it again."
                )
        self._graph.weights[node] = np.asarray(weight, np.float64)
        self._graph.biases[node] = np.asarray(bias, np.float64).reshape(len(weight))

    def _name(self, name: str) -> str:
        """A node's name that is new, and fit for files and modules."""
        plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in name.replace("/", "."))
        plain = plain.strip(".") or "node"
        number, result = 1, plain
        while result in self._build.shapes:
            number += 1
            result = f"{plain}-{number}"
        return result


def _product(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


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
