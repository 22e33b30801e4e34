"""What only moves numbers in ONNX graphs: it vanishes, or is one node."""

import numpy as np
import pytest
import torch
from imported import assert_same, read
from onnx import helper
from onnx_models import Graph, compute

from compress.nn.network import pretrained_network


def test_a_keras_graph_loses_its_transposes() -> None:
    graph = Graph(("N", 8, 8, 3))
    y = graph.node("Transpose", "x", name="in", perm=[0, 3, 1, 2])
    y = graph.node("Relu", graph.conv(y, 3, 4, "c"), name="relu")
    y = graph.node("Transpose", y, name="out", perm=[0, 2, 3, 1])
    y = graph.node("Add", y, graph.random("shift", 4), name="shifted")
    y = graph.node("Reshape", y, graph.constant("sizes", [-1, 144], np.int64), name="flat")
    graph.node("MatMul", y, graph.random("w", 144, 5), name="fc")
    model = graph.model()
    imported = read(model)
    assert [node.op for node in imported.spec.nodes] == ["conv", "flatten", "linear"]
    x = np.random.default_rng(2).normal(size=(2, 3, 8, 8)).astype(np.float32)
    wanted = compute(model, np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    with torch.no_grad():
        got = pretrained_network(imported)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_the_shortcut_that_slices_and_pads() -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 4, "c", pads=[1] * 4), name="relu")
    starts, ends = graph.constant("s", [0, 0], np.int64), graph.constant("e", [99, 99], np.int64)
    axes, steps = graph.constant("a", [2, 3], np.int64), graph.constant("st", [2, 2], np.int64)
    z = graph.node("Slice", y, starts, ends, axes, steps, name="slice")
    pads = graph.constant("p", [0, 2, 0, 0, 0, 2, 0, 0], np.int64)
    z = graph.node("Pad", z, pads, name="pad")
    y = graph.conv(y, 4, 8, "d", pads=[1] * 4, strides=[2, 2])
    graph.node("Add", y, z, name="sum")
    nodes = assert_same(graph.model()).spec.nodes
    assert [node.op for node in nodes] == ["conv", "take", "conv", "add"] or [
        node.op for node in nodes
    ] == ["conv", "conv", "take", "add"]
    take = next(node for node in nodes if node.op == "take")
    assert take.layout[0] == (-1, -1, 0, 1, 2, 3, -1, -1)


def test_zeros_between_joined_maps() -> None:
    graph = Graph((1, 2, 4, 4))
    zeros = graph.constant("zeros", np.zeros((1, 3, 4, 4)))
    y = graph.node("Concat", graph.conv("x", 2, 2, "c", 1), zeros, "x", name="all", axis=1)
    graph.conv(y, 7, 2, "d")
    assert "concat" in [node.op for node in assert_same(graph.model()).spec.nodes]


@pytest.mark.parametrize("opset", [13, 18])
def test_split_shuffle_and_join(opset: int) -> None:
    graph = Graph(("N", 4, 6, 6))
    parts = ["left", "right"]
    graph.nodes.append(
        helper.make_node(
            "Split",
            ["x"],
            parts,
            name="split",
            axis=1,
            **({"num_outputs": 2} if opset > 17 else {}),
        )
    )
    y = graph.node("Concat", graph.conv("left", 2, 2, "c", 1), "right", name="join", axis=1)
    y = graph.node("Reshape", y, graph.constant("s1", [0, 2, 2, 6, 6], np.int64), name="five")
    y = graph.node("Transpose", y, name="turn", perm=[0, 2, 1, 3, 4])
    y = graph.node("Reshape", y, graph.constant("s2", [0, 4, 6, 6], np.int64), name="four")
    graph.conv(y, 2, 4, "d", group=2)
    assert_same(graph.model(opset=opset))


def test_nearest_pixels_and_transposed_convolutions() -> None:
    graph = Graph(("N", 2, 5, 4))
    y = graph.node("Resize", "x", "", graph.constant("s", [1, 1, 2, 3]), name="up", mode="nearest")
    weight = graph.random("w", 2, 3, 3, 2)
    graph.node(
        "ConvTranspose",
        y,
        weight,
        name="t",
        strides=[2, 1],
        pads=[1, 0, 0, 1],
        output_padding=[1, 0],
    )
    assert_same(graph.model())


def test_one_dimension_and_vectors_of_a_sequence() -> None:
    graph = Graph(("N", 2, 20))
    y = graph.node(
        "Relu",
        graph.node("Conv", "x", graph.random("c", 4, 2, 5), name="conv", strides=[2], pads=[2, 1]),
        name="relu",
    )
    y = graph.node("Transpose", y, name="rows", perm=[0, 2, 1])
    y = graph.node("MatMul", y, graph.random("m", 4, 6), name="each")
    y = graph.node("ReduceMean", y, name="mean", axes=[1], keepdims=0)
    graph.node("Gemm", y, graph.random("g", 6, 3), name="fc")
    imported = read(graph.model())
    assert imported.spec.shape == (2, 1, 20)
    assert imported.spec.classes == 3
    x = np.random.default_rng(0).normal(size=(3, 2, 20)).astype(np.float32)
    with torch.no_grad():
        got = pretrained_network(imported)(torch.from_numpy(x[:, :, None])).numpy()
    np.testing.assert_allclose(got, compute(graph.model(), x), atol=1e-4)
