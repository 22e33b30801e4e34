"""Networks as a list of nodes that training, evaluation and export all read.

A `NetworkSpec` is the network; `Network` is the torch module that computes it. Weighted nodes
are called conv1.., fc1.. as in Table 7.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.graph import Geometry
from cosign import CosignError

Op = Literal["conv", "linear", "maxpool", "lrn", "flatten", "dropout"]


@dataclass(frozen=True)
class NodeSpec:
    """One node of the network.

    Parameters
    ----------
    name, op, input : its name, what it does, and the node (or "input") that it reads
    geometry : of a conv or linear node
    relu : whether a conv or linear node ends in a ReLU
    attrs : maxpool kernel, stride; lrn size, alpha, beta, k; dropout p
    """

    name: str
    op: Op
    input: str
    geometry: Geometry | None = None
    relu: bool = False
    attrs: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkSpec:
    """`nodes` in topological order; the last one is the output. shape is (C, H, W)."""

    name: str
    shape: tuple[int, int, int]
    nodes: tuple[NodeSpec, ...]

    @property
    def geometries(self) -> dict[str, Geometry]:
        """The accelerated layers by name."""
        return {node.name: node.geometry for node in self.nodes if node.geometry is not None}


def _chain(name: str, shape: tuple[int, int, int], *steps: dict[str, Any]) -> NetworkSpec:
    """A spec without branches; shapes are worked out from `shape` on."""
    channels, height, width = shape
    nodes: list[NodeSpec] = []
    for step in steps:
        fields = dict(step)
        node = NodeSpec(fields.pop("name"), fields.pop("op"), nodes[-1].name if nodes else "input")
        if node.op in ("conv", "linear"):
            relu = fields.pop("relu", True)
            geometry = Geometry(
                kind=node.op, in_channels=channels, in_height=height, in_width=width, **fields
            )
            node = replace(node, geometry=geometry, relu=relu)
            channels = geometry.out_channels
            height, width = geometry.out_height, geometry.out_width
        else:
            node = replace(node, attrs=fields)
        if node.op == "maxpool":
            height, width = (
                (size - fields["kernel"]) // fields["stride"] + 1 for size in (height, width)
            )
        elif node.op == "flatten":
            channels, height, width = channels * height * width, 1, 1
        nodes.append(node)
    return NetworkSpec(name, shape, tuple(nodes))


def _conv(
    name: str, out: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
) -> dict[str, Any]:
    square = {"kernel": kernel, "stride": stride, "padding": padding}
    pairs = {key: (size, size) for key, size in square.items()}
    return {"name": name, "op": "conv", "out_channels": out, "groups": groups, **pairs}


def _linear(name: str, out: int, relu: bool = True) -> dict[str, Any]:
    return {"name": name, "op": "linear", "out_channels": out, "relu": relu}


def _pool(name: str, kernel: int, stride: int) -> dict[str, Any]:
    return {"name": name, "op": "maxpool", "kernel": kernel, "stride": stride}


def _lrn(name: str) -> dict[str, Any]:
    return {"name": name, "op": "lrn", "size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}


def lenet5_spec() -> NetworkSpec:
    """Caffe's LeNet-5 (20-50-500-10) with 430,500 weights; both convolutions rectified."""
    return _chain(
        "lenet5",
        (1, 28, 28),
        _conv("conv1", 20, 5),
        _pool("pool1", 2, 2),
        _conv("conv2", 50, 5),
        _pool("pool2", 2, 2),
        {"name": "flatten", "op": "flatten"},
        _linear("fc1", 500),
        _linear("fc2", 10, relu=False),
    )


def alexnet_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """BVLC AlexNet: 227 x 227 input, grouped conv2/4/5, LRN before pooling, 60.9M weights."""
    return _chain(
        "alexnet",
        (3, 227, 227),
        _conv("conv1", 96, 11, stride=4),
        _lrn("norm1"),
        _pool("pool1", 3, 2),
        _conv("conv2", 256, 5, padding=2, groups=2),
        _lrn("norm2"),
        _pool("pool2", 3, 2),
        _conv("conv3", 384, 3, padding=1),
        _conv("conv4", 384, 3, padding=1, groups=2),
        _conv("conv5", 256, 3, padding=1, groups=2),
        _pool("pool5", 3, 2),
        {"name": "flatten", "op": "flatten"},
        _linear("fc1", 4096),
        {"name": "drop1", "op": "dropout", "p": dropout},
        _linear("fc2", 4096),
        {"name": "drop2", "op": "dropout", "p": dropout},
        _linear("fc3", classes, relu=False),
    )


def spec_of(network: str, classes: int, dropout: float = 0.5) -> NetworkSpec:
    """The built-in network of that name (lenet5 has no dropout).

    Raises CosignError on another name.
    """
    if network == "lenet5":
        return lenet5_spec()
    if network == "alexnet":
        return alexnet_spec(classes, dropout)
    raise CosignError(f"unknown network {network!r}; choose lenet5 or alexnet.")


class _LocalResponseNorm(torch.autograd.Function):
    """x / (k + alpha/size * sum of squares over `size` neighbouring channels) ** beta.

    Equal to torch's `local_response_norm`, which pools in 3-D and takes a third of AlexNet's
    training time; sums of shifted slices and a hand-written gradient take a few per cent.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        scale = _channel_sum(x * x, size).mul_(alpha / size).add_(k)
        # s ** -0.75 by square roots is several times faster than pow
        power = (scale * scale.sqrt()).rsqrt_() if beta == 0.75 else scale.pow(-beta)
        y = x * power
        ctx.save_for_backward(x, y, scale, power)
        ctx.size, ctx.factor = size, 2 * alpha * beta / size
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, y, scale, power = ctx.saved_tensors
        shared = _channel_sum((grads[0] * y).div_(scale), ctx.size).mul_(x).mul_(ctx.factor)
        return (grads[0] * power).sub_(shared), None, None, None, None


def _channel_sum(x: Tensor, size: int) -> Tensor:
    total = x.clone()
    channels = x.shape[1]
    for shift in range(1, size // 2 + 1):
        total[:, shift:] += x[:, : channels - shift]
        total[:, : channels - shift] += x[:, shift:]
    return total


def _layer(geometry: Geometry) -> nn.Conv2d | nn.Linear:
    if geometry.kind == "linear":
        return nn.Linear(geometry.in_channels, geometry.out_channels)
    return nn.Conv2d(
        geometry.in_channels,
        geometry.out_channels,
        geometry.kernel,
        geometry.stride,
        geometry.padding,
        geometry.dilation,
        geometry.groups,
    )


class Network(nn.Module):
    """A NetworkSpec in torch: float32 [N, C, H, W] normalised images to [N, classes] logits.

    `weights` ([out, in / groups, kh, kw] or [out, in]) and `biases` ([out]) are the parameters
    by layer name.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleDict()
        self.weights: dict[str, nn.Parameter] = {}
        self.biases: dict[str, nn.Parameter] = {}
        for name, geometry in spec.geometries.items():
            layer = _layer(geometry)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            self.layers[name] = layer
            self.weights[name] = layer.get_parameter("weight")
            self.biases[name] = layer.get_parameter("bias")

    def forward(self, x: Tensor, observe: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """`observe(node, output)` sees every node's output, the input included."""
        values = {"input": x}
        for node in self.spec.nodes:
            values[node.name] = self.compute(node, values[node.input])
        if observe is not None:
            for name, value in values.items():
                observe(name, value)
        return values[self.spec.nodes[-1].name]

    def compute(self, node: NodeSpec, x: Tensor) -> Tensor:
        """One node's output."""
        attrs = node.attrs
        if node.geometry is not None:
            y = self.layers[node.name](x)
            return functional.relu_(y) if node.relu else y
        if node.op == "maxpool":
            return functional.max_pool2d(x, int(attrs["kernel"]), int(attrs["stride"]))
        if node.op == "lrn":
            return _LocalResponseNorm.apply(
                x, int(attrs["size"]), attrs["alpha"], attrs["beta"], attrs["k"]
            )
        if node.op == "flatten":
            return torch.flatten(x, 1)
        return functional.dropout(x, attrs["p"], self.training)


@torch.no_grad()
def scale_to_data(network: Network, x: Tensor) -> None:
    """Layer-sequential unit-variance initialisation (Mishkin & Matas 2016) on a batch `x`.

    Every layer's output gets a root mean square of 1, the logits' of 0.1: without batch
    normalisation AlexNet otherwise stands still for its first hundreds of steps. Every filter
    starts with zero mean, in the first layer over each colour: what all images have in common,
    and their mean colour, would otherwise drown what tells them apart.
    """
    values = {"input": x}
    last = network.spec.nodes[-1].name
    for node in network.spec.nodes:
        if node.geometry is not None:
            weight = network.weights[node.name]
            axes = tuple(range(2 if node.input == "input" else 1, weight.dim()))
            weight.sub_(weight.mean(axes, keepdim=True))
            rms = float(network.compute(node, values[node.input]).square().mean().sqrt())
            if rms > 0:
                weight.mul_((0.1 if node.name == last else 1.0) / rms)
        values[node.name] = network.compute(node, values[node.input])


def lenet5() -> Network:
    return Network(lenet5_spec())


def alexnet(classes: int = 1000) -> Network:
    return Network(alexnet_spec(classes))
