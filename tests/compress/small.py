"""A small network with everything that a residual one may have, and its float twin."""

import torch

from compress.model.graph import CompressedModel
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network, fold


def residual_spec(name: str = "small", batch_norm: bool = True) -> NetworkSpec:
    """Padded maxpool, a bottleneck with a downsampled shortcut, concat, both averages; 12 x 12."""
    net = Builder(name, (3, 12, 12))
    net.conv("conv1", 8, 3, padding=1, batch_norm=batch_norm)
    pool = net.maxpool("maxpool", 3, 2, padding=1)
    net.conv("layer1.0.conv1", 8, 3, 2, padding=1, batch_norm=batch_norm)
    inner = net.conv("layer1.0.conv2", 16, 1, relu=False, batch_norm=batch_norm)
    short = net.conv(
        "layer1.0.downsample", 16, 1, 2, relu=False, batch_norm=batch_norm, source=pool
    )
    total = net.host("layer1.0.add", "add", inner, short, relu=True)
    mean = net.host("mean", "avgpool", total, kernel=3, stride=1, padding=1)
    net.host("all", "concat", total, mean)
    net.host("avgpool", "avgpool", kernel=0, stride=1, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc", 10, relu=False)
    return net.spec()


def trained(spec: NetworkSpec, seed: int = 0) -> Network:
    """Random weights, biases and running statistics, in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    network = Network(spec).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_var", "norms.conv1.weight")):
                value.uniform_(0.5, 2.0, generator=generator)
            elif value.dtype == torch.float32:
                fan = value[0].numel() if value.dim() > 1 else 4
                value.normal_(0, fan**-0.5, generator=generator)
    return network


def float_twin(model: CompressedModel, spec: NetworkSpec) -> Network:
    """The float network with the weights and biases of the integer one."""
    network = fold(Network(spec))
    with torch.no_grad():
        for layer in model.layers:
            weight = network.weights[layer.name]
            weight.copy_(torch.from_numpy(layer.dense_weights()).reshape(weight.shape))
            network.biases[layer.name].copy_(torch.from_numpy(layer.bias * layer.unit))
    return network
