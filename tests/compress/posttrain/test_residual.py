"""Residual networks: torch against plain torch, folding, and integers against floats."""

from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress.admm.constraints import cut, put_on_levels
from compress.data.pixels import normalised
from compress.file import container
from compress.model.graph import CompressedModel
from compress.model.hostops import HostOp
from compress.model.nodes import Builder
from compress.nn.network import Network, fold
from compress.posttrain.integers import assemble, input_spec
from compress.zoo import networks
from cosign import CosignError
from sim import golden


def test_it_computes_what_torch_does(small: ModuleType) -> None:
    network = small.trained(small.residual_spec())
    state = network.state_dict()

    def conv(x: torch.Tensor, name: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        y = functional.conv2d(x, state[f"layers.{name}.weight"], None, stride, padding)
        norm = [state[f"norms.{name}.{key}"] for key in ("running_mean", "running_var")]
        norm += [state[f"norms.{name}.{key}"] for key in ("weight", "bias")]
        return functional.batch_norm(y, *norm)

    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    pool = functional.max_pool2d(conv(x, "conv1", padding=1).relu(), 3, 2, padding=1)
    inner = conv(pool, "layer1/0/conv1", 2, 1).relu()
    total = (conv(inner, "layer1/0/conv2") + conv(pool, "layer1/0/downsample", 2)).relu()
    both = torch.cat([total, functional.avg_pool2d(total, 3, 1, 1)], 1)
    logits = functional.linear(
        both.mean((2, 3)), state["layers.fc.weight"], state["layers.fc.bias"]
    )
    assert torch.allclose(network(x), logits, atol=1e-5)


def test_folding_changes_no_output(small: ModuleType) -> None:
    network = small.trained(small.residual_spec())
    folded = fold(network)
    x = torch.randn(4, 3, 12, 12)
    assert not any(node.batch_norm for node in folded.spec.nodes)
    assert not list(folded.norms)
    assert torch.allclose(folded(x), network(x), atol=1e-4)


def test_batch_norm_trains(small: ModuleType) -> None:
    network = small.trained(small.residual_spec()).train()
    before = network.state_dict()["norms.conv1.running_mean"].clone()
    network(torch.randn(4, 3, 12, 12)).square().sum().backward()
    assert not torch.equal(network.state_dict()["norms.conv1.running_mean"], before)
    for parameters in (network.weights, network.biases):
        assert all(parameter.grad is not None for parameter in parameters.values())
    assert len(list(network.parameters())) == 3 * 4 + 2  # weight, gamma, beta; fc


def integer_model(small: ModuleType, bits: int) -> CompressedModel:
    network = fold(small.trained(small.residual_spec()))
    counts = {name: g.weights for name, g in network.spec.geometries.items()}
    counts["layer1.0.conv1"] //= 2
    levels = put_on_levels(
        network.weights, cut(network.weights, counts), dict.fromkeys(counts, bits)
    )
    source = input_spec((3, 12, 12), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    pixels = np.random.default_rng(0).integers(0, 256, (64, 3, 12, 12), np.uint8)
    model = assemble(network, levels, source, lambda: [normalised(source, pixels)])
    assert {layer.name: layer.nnz for layer in model.layers} == counts
    for layer in model.layers:
        values = levels[layer.name].values.reshape(len(layer.bias), -1)
        assert np.array_equal(layer.dense_levels(), values)
    return model


def test_integers_follow_floats_in_every_node(small: ModuleType) -> None:
    model = container.from_bytes(container.to_bytes(integer_model(small, 8)))
    twin = small.float_twin(model, small.residual_spec())
    pixels = np.random.default_rng(1).integers(0, 256, (16, 3, 12, 12), np.uint8)
    integers = golden.trace(model, model.input.quantize(pixels))
    floats: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        twin(normalised(model.input, pixels), observe=floats.__setitem__)
    assert list(integers) == list(floats)
    for name, value in integers.items():
        ours = value.reshape(16, -1).astype(float)
        real = floats[name].reshape(16, -1).numpy()
        scale = (ours * real).sum() / (ours**2).sum()  # every node has some scale
        assert np.sqrt(((ours * scale - real) ** 2).mean()) < 0.03 * real.std(), name
    layer = model.layers[-1]
    error = integers["fc"][..., 0, 0] * layer.out_scale - floats["fc"].numpy()
    assert np.sqrt((error**2).mean()) < 0.03 * float(floats["fc"].std())


def test_unfolded_networks_are_refused(small: ModuleType) -> None:
    network = small.trained(small.residual_spec())
    source = input_spec((3, 12, 12), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    with pytest.raises(CosignError, match="'conv1' is batch-normalised; fold"):
        assemble(network, {}, source, list)


def test_maps_of_very_different_scales_add_up(small: ModuleType) -> None:
    """An add of maps whose scales differ a thousandfold: the small one rounds to nothing."""
    spec = small.residual_spec(batch_norm=False)
    network = small.trained(spec)
    with torch.no_grad():
        network.weights["layer1.0.conv2"].mul_(1e-3)
        network.biases["layer1.0.conv2"].mul_(1e-3)
    counts = {name: g.weights for name, g in spec.geometries.items()}
    levels = put_on_levels(network.weights, cut(network.weights, counts), dict.fromkeys(counts, 8))
    source = input_spec((3, 12, 12), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, 12, 12), np.uint8)
    x = normalised(source, pixels)
    model = assemble(network, levels, source, lambda: [x])
    add = next(node for node in model.nodes if node.name == "layer1.0.add")
    assert isinstance(add, HostOp)
    assert add.attrs["mul1"] > 100 * add.attrs["mul0"]
    values = golden.trace(model, model.input.quantize(pixels))
    logits = values["fc"][..., 0, 0] * model.layers[-1].out_scale
    floats = network(x).detach().numpy()
    assert np.sqrt(((logits - floats) ** 2).mean()) < 0.05 * floats.std()


@pytest.mark.parametrize(
    ("network", "parameters"), [("vgg16", 138_357_544), ("resnet50", 25_557_032)]
)
def test_parameters_are_as_many_as_torchvisions(network: str, parameters: int) -> None:
    with torch.device("meta"):
        built = Network(networks.spec_of(network))
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters


def test_dropout_is_left_out_of_the_file() -> None:
    net = Builder("dropping", (1, 4, 4))
    net.host("flatten", "flatten")
    net.host("drop", "dropout", p=0.5)
    net.linear("fc", 3, relu=False)
    network = Network(net.spec())
    source = input_spec((1, 4, 4), (0.5,), (0.25,))
    levels = put_on_levels(network.weights, cut(network.weights, {"fc": 24}), {"fc": 4})
    model = assemble(network, levels, source, lambda: [torch.randn(8, 1, 4, 4)])
    assert [node.inputs for node in model.nodes] == [("input",), ("flatten",)]
    assert model.layers[0].nnz == 24
