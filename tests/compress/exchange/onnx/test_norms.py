"""Normalisations and softmaxes inside, against onnxruntime, and how exact their integers are."""

import numpy as np
import pytest
import torch
from imported import assert_same, read
from onnx_models import Graph

from compress.data.pixels import normalised
from compress.exchange.onnx_writer import scales_of
from compress.nn.network import pretrained_network
from compress.posttrain import pipeline
from compress.posttrain.integers import input_spec
from compress.train import recipes
from sim import golden


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_layers_are_normalised(axis: int) -> None:
    graph = Graph()
    y = graph.node("Transpose", graph.conv("x", 3, 4, "c"), name="last", perm=[0, 2, 3, 1])
    shape = (6, 6, 4)[axis - 1 if axis > 0 else axis :]
    scale, shift = graph.random("scale", *shape), graph.random("shift", *shape)
    graph.node("LayerNormalization", y, scale, shift, name="ln", axis=axis, epsilon=1e-3)
    assert_same(graph.model())


def test_images_are_normalised() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 4, "c")
    scale, shift = graph.random("scale", 4), graph.random("shift", 4)
    y = graph.node("InstanceNormalization", y, scale, shift, name="in")
    graph.node("Relu", y, name="relu")
    assert_same(graph.model())


def test_groups_are_normalised() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 6, "c")
    scale, shift = graph.random("scale", 6), graph.random("shift", 6)
    graph.node("GroupNormalization", y, scale, shift, name="gn", num_groups=3)
    assert_same(graph.model(opset=21))


@pytest.mark.parametrize("axis", [1, 3])
def test_shares_inside(axis: int) -> None:
    graph = Graph()
    y = graph.node("Softmax", graph.conv("x", 3, 4, "c"), name="shares", axis=axis)
    graph.conv(y, 4, 2, "d")
    assert_same(graph.model())


def test_shares_that_one_output_and_a_layer_read() -> None:
    graph = Graph()
    y = graph.node("Softmax", graph.conv("x", 3, 4, "c"), name="shares", axis=1)
    z = graph.node("Flatten", y, name="flat")
    graph.node("Concat", z, graph.node("Exp", z, name="e"), name="joined", axis=1)
    assert not read(graph.model()).notes


def test_a_normalisation_in_integers() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 4, "c")
    scale, shift = graph.random("scale", 4), graph.random("shift", 4)
    y = graph.node("InstanceNormalization", y, scale, shift, name="in")
    graph.conv(graph.node("Softmax", y, name="shares", axis=1), 4, 2, "d")
    network = read(graph.model())
    source = input_spec(network.spec.shape, (0.5,) * 3, (0.25,) * 3)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, 8, 8), np.uint8)
    model = pretrained_network(network)
    with torch.no_grad():
        wanted = model(normalised(source, pixels)).numpy()
    bits = dict.fromkeys(network.spec.geometries, 8)
    alpha = dict.fromkeys(network.spec.geometries, 1.0)
    made = pipeline.compress(model, source, recipes.without_zeros(network, alpha), bits, pixels)
    name = network.spec.outputs[0]
    got = golden.trace(made, made.input.quantize(pixels))[name] * scales_of(made)[name]
    error = np.linalg.norm(got.reshape(wanted.shape) - wanted) / np.linalg.norm(wanted)
    assert error < 0.05
