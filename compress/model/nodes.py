"""A network as a list of nodes that training, evaluation, export and cycle counts all read.

No torch here: `compress.nn.network.Network` is the torch module that computes a `NetworkSpec`.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from compress.model.functions import Program
from compress.model.graph import Geometry
from compress.model.hostops import HostOpName, Layout, Shape, check_inputs, output_shape
from cosign import CosignError

Op = Literal["conv", "linear"] | HostOpName | Literal["dropout"]
Size = int | tuple[int, int]  # of both axes, or (vertical, horizontal)


@dataclass(frozen=True)
class NodeSpec:
    """One node of the network.

    Parameters
    ----------
    name, op : its name and what it does
    inputs : the nodes (or "input") that it reads; two for add and mul, any number for concat, else
        one
    geometry : of a conv or linear node
    relu : whether a conv, linear or add node ends in a ReLU
    top : where the ReLU (or relu node) stops rising, as ReLU6 does at 6; None for nowhere
    batch_norm : whether a conv node is normalised over the batch before its ReLU
    attrs : maxpool and avgpool kernel, stride, padding, end, dilation, those of the horizontal
        axis, and of avgpool exclude, as in compress.model.hostops; lrn size, alpha, beta, k;
        dropout p
    program : of a function node
    layout : of a take or permute node, as in compress.model.hostops
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    geometry: Geometry | None = None
    relu: bool = False
    batch_norm: bool = False
    attrs: dict[str, float] = field(default_factory=dict)
    top: float | None = None
    program: Program = ()
    layout: Layout = ()

    @property
    def input(self) -> str:
        """The first of the inputs, of most nodes the only one."""
        return self.inputs[0]


@dataclass(frozen=True)
class NetworkSpec:
    """`nodes` in topological order; `outputs` is the last, when none are given.

    shape : (C, H, W) of the input
    """

    name: str
    shape: Shape
    nodes: tuple[NodeSpec, ...]
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.outputs and self.nodes:
            object.__setattr__(self, "outputs", (self.nodes[-1].name,))

    @property
    def geometries(self) -> dict[str, Geometry]:
        """The accelerated layers by name."""
        return {node.name: node.geometry for node in self.nodes if node.geometry is not None}

    @property
    def shapes(self) -> dict[str, Shape]:
        """(channels, height, width) of the input and every node's output."""
        shapes = {"input": self.shape}
        for node in self.nodes:
            g = node.geometry
            shapes[node.name] = (
                (g.out_channels, g.out_height, g.out_width)
                if g is not None
                else output_shape(
                    node.name, node.op, node.attrs, [shapes[x] for x in node.inputs], node.layout
                )
            )
        return shapes

    @property
    def classifies(self) -> bool:
        """Whether there is one output, a vector: a number for each class."""
        return len(self.outputs) == 1 and self.shapes[self.outputs[0]][1:] == (1, 1)

    @property
    def classes(self) -> int:
        """Numbers in the output. Raises CosignError unless it is one vector."""
        if not self.classifies:
            shapes = self.shapes
            given = ", ".join(size_of(shapes[name]) for name in self.outputs)
            raise CosignError(
                f"{self.name}: the output is {given}, that of a classifier is one number per class."
            )
        return self.shapes[self.outputs[0]][0]

    def folded(self) -> "NetworkSpec":
        """The same layers without batch normalisation, as a trained network is executed."""
        return replace(self, nodes=tuple(replace(node, batch_norm=False) for node in self.nodes))

    def with_dropout(self, p: float) -> "NetworkSpec":
        """The same nodes, every dropout with the probability `p`."""
        return replace(
            self,
            nodes=tuple(
                replace(node, attrs={"p": p}) if node.op == "dropout" else node
                for node in self.nodes
            ),
        )


def size_of(shape: Shape) -> str:
    """A map's as "3 x 8 x 8", a vector's as "10"."""
    return " x ".join(map(str, shape[:1] if shape[1:] == (1, 1) else shape))


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


class Builder:
    """Writes a NetworkSpec node by node and works out shapes on the way.

    A node reads the one before it unless `source` names another. Every method returns the name of
    its node. Impossible shapes raise CosignError. `nodes` are those so far, `shapes` what they and
    the input are, `last` the name of the last.
    """

    def __init__(self, name: str, shape: Shape) -> None:
        self.name, self.shape = name, shape
        self.last = "input"
        self.nodes: list[NodeSpec] = []
        self.shapes: dict[str, Shape] = {"input": shape}

    def conv(
        self,
        name: str,
        out: int,
        kernel: Size,
        stride: Size = 1,
        padding: Size = 0,
        groups: int = 1,
        *,
        dilation: Size = 1,
        relu: bool = True,
        batch_norm: bool = False,
        source: str | None = None,
    ) -> str:
        source = source or self.last
        channels, height, width = self._shape(name, source)
        geometry = Geometry(
            "conv",
            channels,
            out,
            height,
            width,
            kernel=_pair(kernel),
            stride=_pair(stride),
            padding=_pair(padding),
            dilation=_pair(dilation),
            groups=groups,
        )
        node = NodeSpec(name, "conv", (source,), geometry, relu, batch_norm)
        return self._append(node, (out, geometry.out_height, geometry.out_width))

    def linear(self, name: str, out: int, *, relu: bool = True, source: str | None = None) -> str:
        source = source or self.last
        channels, height, width = self._shape(name, source)
        geometry = Geometry("linear", channels * height * width, out)
        return self._append(NodeSpec(name, "linear", (source,), geometry, relu), (out, 1, 1))

    def host(
        self,
        name: str,
        op: HostOpName | Literal["dropout"],
        *sources: str,
        relu: bool = False,
        top: float | None = None,
        program: Program = (),
        layout: Layout = (),
        **attrs: float,
    ) -> str:
        """Any node without weights."""
        sources = sources or (self.last,)
        check_inputs(name, op, len(sources))
        shapes = [self._shape(name, source) for source in sources]
        shape = output_shape(name, op, attrs, shapes, layout)
        node = NodeSpec(
            name, op, sources, relu=relu, attrs=attrs, top=top, program=program, layout=layout
        )
        return self._append(node, shape)

    def maxpool(self, name: str, kernel: int, stride: int, padding: int = 0) -> str:
        return self.host(name, "maxpool", kernel=kernel, stride=stride, padding=padding)

    def spec(self) -> NetworkSpec:
        return NetworkSpec(self.name, self.shape, tuple(self.nodes))

    def _shape(self, name: str, source: str) -> Shape:
        if source not in self.shapes:
            raise CosignError(f"node {name!r} reads {source!r}, which is not before it.")
        return self.shapes[source]

    def _append(self, node: NodeSpec, shape: Shape) -> str:
        if node.name in self.shapes:
            raise CosignError(f"two nodes are called {node.name!r}.")
        self.nodes.append(node)
        self.shapes[node.name] = shape
        self.last = node.name
        return node.name
