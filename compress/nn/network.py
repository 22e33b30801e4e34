"""The torch module that computes a `NetworkSpec`."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.model.functions import Program, evaluate
from compress.model.graph import Geometry
from compress.model.hostops import Layout, pooling_window
from compress.model.nodes import NetworkSpec, NodeSpec
from compress.model.pretrained import Pretrained


class _LocalResponseNorm(torch.autograd.Function):
    """x / (k + alpha/size * sum of squares over `size` neighbouring channels) ** beta.

    Equal to torch's `local_response_norm`, which pools in 3-D and takes a third of AlexNet's
    training time; sums of shifted slices and a hand-written gradient take a few per cent.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        scale = _channel_sum(x * x, size // 2, (size - 1) // 2).mul_(alpha / size).add_(k)
        # s ** -0.75 by square roots is several times faster than pow
        power = (scale * scale.sqrt()).rsqrt_() if beta == 0.75 else scale.pow(-beta)
        y = x * power
        ctx.save_for_backward(x, y, scale, power)
        ctx.size, ctx.factor = size, 2 * alpha * beta / size
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, y, scale, power = ctx.saved_tensors
        after, before = ctx.size // 2, (ctx.size - 1) // 2  # who sees x, not whom x sees
        shared = _channel_sum((grads[0] * y).div_(scale), before, after).mul_(x).mul_(ctx.factor)
        return (grads[0] * power).sub_(shared), None, None, None, None


def _channel_sum(x: Tensor, before: int, after: int) -> Tensor:
    """Sums over so many channels before and after each, and itself."""
    total = x.clone()
    channels = x.shape[1]
    for shift in range(1, before + 1):
        total[:, shift:] += x[:, : max(0, channels - shift)]
        if shift <= after:
            total[:, : max(0, channels - shift)] += x[:, shift:]
    for shift in range(before + 1, after + 1):
        total[:, : max(0, channels - shift)] += x[:, shift:]
    return total


def module_key(name: str) -> str:
    """A node's name as torch accepts it for a module."""
    return name.replace(".", "/")


def _layer(geometry: Geometry, bias: bool) -> nn.Conv2d | nn.Linear:
    if geometry.kind == "linear":
        return nn.Linear(geometry.in_channels, geometry.out_channels, bias)
    return nn.Conv2d(
        geometry.in_channels,
        geometry.out_channels,
        geometry.kernel,
        geometry.stride,
        geometry.padding,
        geometry.dilation,
        geometry.groups,
        bias,
    )


def rectified(y: Tensor, top: float | None) -> Tensor:
    """ReLU, in place, that stops rising at `top`."""
    return functional.relu_(y) if top is None else y.clamp_(0, top)


def _pooled(node: NodeSpec, x: Tensor) -> Tensor:
    channels, height, width = x.shape[1:]
    window = pooling_window(node.attrs, (channels, height, width))
    kernel, stride, padding, end, dilation = window
    largest = node.op == "maxpool"
    exclude = bool(node.attrs.get("exclude", 0))
    if end == padding and not exclude:
        if largest:
            return functional.max_pool2d(x, kernel, stride, padding, dilation)
        if dilation == (1, 1):
            return functional.avg_pool2d(x, kernel, stride, padding)
    margin = (padding[1], end[1], padding[0], end[0])
    if largest:
        padded = functional.pad(x, margin, value=-torch.inf)
        return functional.max_pool2d(padded, kernel, stride, 0, dilation)

    def mean(y: Tensor) -> Tensor:
        y = functional.pad(y, margin)
        if dilation == (1, 1):
            return functional.avg_pool2d(y, kernel, stride)
        ones = torch.ones(y.shape[1], 1, *kernel, dtype=y.dtype, device=y.device)
        return functional.conv2d(
            y, ones / (kernel[0] * kernel[1]), None, stride, 0, dilation, groups=y.shape[1]
        )

    return mean(x) / mean(torch.ones_like(x[:1, :1])) if exclude else mean(x)


_WORDS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
    "pow": torch.pow,
    "neg": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "softplus": functional.softplus,
    "round": torch.round,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
}


_OF_MAPS = ("maxpool", "avgpool", "lrn", "take", "permute")  # vectors are maps of one pixel


def _function(program: Program, x: Tensor) -> Tensor:
    """A node's function of a map [N, C, H, W] or of vectors [N, C]."""
    numbers = tuple(
        x.new_tensor(item) if isinstance(item, int | float) else item for item in program
    )
    shape = (-1,) + (1,) * (x.dim() - 2)
    return evaluate(numbers, x, _WORDS, lambda each: x.new_tensor(each).reshape(shape))


def _taken(layout: Layout, x: Tensor) -> Tensor:
    """What the layout lists of each axis; -1 is zeros, which lie one beyond the end."""
    x = functional.pad(x, (0, 1, 0, 1, 0, 1))
    for axis, places in enumerate(layout, start=1):
        index = torch.tensor(places, device=x.device) % x.shape[axis]
        x = x.index_select(axis, index)
    return x


def _permuted(layout: Layout, x: Tensor) -> Tensor:
    sizes, order, shape = layout
    moved = x.reshape(len(x), *sizes).permute(0, *(axis + 1 for axis in order))
    return moved.reshape(len(x), *shape)


class Network(nn.Module):
    """A NetworkSpec in torch: float32 [N, C, H, W] normalised images to its first output.

    That of a classifier is its logits, [N, classes].

    `weights` ([out, in / groups, kh, kw] or [out, in]) and `biases` ([out]) are the parameters
    by layer name; where the batch is normalised, the bias is the normalisation's. `layers` and
    `norms` have "/" for the "." of a name, which torch forbids there.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        self.weights: dict[str, nn.Parameter] = {}
        self.biases: dict[str, nn.Parameter] = {}
        for node in spec.nodes:
            if node.geometry is None:
                continue
            layer = _layer(node.geometry, bias=not node.batch_norm)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            self.layers[module_key(node.name)] = layer
            if node.batch_norm:
                norm = self.norms[module_key(node.name)] = nn.BatchNorm2d(
                    node.geometry.out_channels
                )
                bias = norm.get_parameter("bias")
            else:
                bias = layer.get_parameter("bias")
                nn.init.zeros_(bias)
            self.weights[node.name] = layer.get_parameter("weight")
            self.biases[node.name] = bias

    def forward(self, x: Tensor, observe: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """`observe(node, output)` sees every node's output, the input included."""
        values = {"input": x}
        for node in self.spec.nodes:
            values[node.name] = self.compute(node, *(values[name] for name in node.inputs))
        if observe is not None:
            for name, value in values.items():
                observe(name, value)
        y = values[self.spec.outputs[0]]
        return y.flatten(1) if y.shape[2:] == (1, 1) else y  # of a pooling, say

    def compute(self, node: NodeSpec, *inputs: Tensor) -> Tensor:
        """One node's output."""
        if len({x.dim() for x in inputs}) > 1 or node.op in _OF_MAPS:
            inputs = tuple(x[:, :, None, None] if x.dim() == 2 else x for x in inputs)
        x, attrs = inputs[0], node.attrs
        if node.op == "linear":
            x = x.flatten(1)
        if node.geometry is not None:
            flat = node.op == "conv" and x.dim() == 2
            y = self.layers[module_key(node.name)](x[:, :, None, None] if flat else x)
            y = y.flatten(1) if flat else y
            if node.batch_norm:
                y = self.norms[module_key(node.name)](y)
            return rectified(y, node.top) if node.relu else y
        if node.op in ("maxpool", "avgpool"):
            return _pooled(node, x)
        if node.op == "lrn":
            return _LocalResponseNorm.apply(
                x, int(attrs["size"]), attrs["alpha"], attrs["beta"], attrs["k"]
            )
        if node.op == "add":
            y = x + inputs[1]
            return rectified(y, node.top) if node.relu else y
        if node.op == "relu":
            return rectified(x.clone(), node.top)
        if node.op == "concat":
            return torch.cat(inputs, 1)
        if node.op == "flatten":
            return torch.flatten(x, 1)
        if node.op == "function":
            return _function(node.program, x)
        if node.op == "mul":
            return x * inputs[1]
        if node.op == "take":
            return _taken(node.layout, x)
        if node.op == "permute":
            return _permuted(node.layout, x)
        return functional.dropout(x, attrs["p"], self.training)


def channels_last(network: Network) -> None:
    """Lay the weights of convolutions out with channels last, in place."""
    for weight in network.weights.values():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def pretrained_network(pretrained: Pretrained) -> Network:
    """A network with the weights that it comes with, in evaluation."""
    network = Network(pretrained.spec).eval()
    with torch.no_grad():
        for name, weight in network.weights.items():
            weight.copy_(torch.from_numpy(pretrained.weights[name]))
            network.biases[name].copy_(torch.from_numpy(pretrained.biases[name]))
    return network


@torch.no_grad()
def scale_to_data(network: Network, x: Tensor, layers: Collection[str] | None = None) -> None:
    """Layer-sequential unit-variance initialisation (Mishkin & Matas 2016) on a batch `x`.

    Every layer's output gets a root mean square of 1, the logits' of 0.1: without batch
    normalisation AlexNet otherwise stands still for its first hundreds of steps. Every filter
    starts with zero mean, in the first layer over each colour: what all images have in common,
    and their mean colour, would otherwise drown what tells them apart.

    layers : that are initialised; None for all
    """
    values = {"input": x}
    last = network.spec.outputs[0]
    for node in network.spec.nodes:
        if node.geometry is not None and (layers is None or node.name in layers):
            weight = network.weights[node.name]
            axes = tuple(range(2 if node.input == "input" else 1, weight.dim()))
            weight.sub_(weight.mean(axes, keepdim=True))
            rms = float(network.compute(node, values[node.input]).square().mean().sqrt())
            if rms > 0:
                weight.mul_((0.1 if node.name == last else 1.0) / rms)
        values[node.name] = network.compute(node, *(values[name] for name in node.inputs))


def fold(network: Network) -> Network:
    """The same function in evaluation, without batch normalisation: new weights and biases.

    y = gamma (W x - mean) / sqrt(var + eps) + beta has weights gamma / sqrt(var + eps) W. Since
    that scales filters differently, levels must be found after folding.
    """
    folded = Network(network.spec.folded())
    with torch.no_grad():
        for node in network.spec.nodes:
            if node.geometry is None:
                continue
            weight, bias = network.weights[node.name], network.biases[node.name]
            if node.batch_norm:
                norm = network.norms[module_key(node.name)]
                assert isinstance(norm, nn.BatchNorm2d)
                assert norm.running_mean is not None
                assert norm.running_var is not None
                scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
                folded.weights[node.name].copy_(weight * scale[:, None, None, None])
                folded.biases[node.name].copy_(bias - norm.running_mean * scale)
            else:
                folded.weights[node.name].copy_(weight)
                folded.biases[node.name].copy_(bias)
    return folded.eval()
