"""What is computed number by number in ONNX graphs: one node, however many it was."""

import pytest
from imported import assert_same
from onnx_models import Graph

ACTIVATIONS = {
    "LeakyRelu": {"alpha": 0.1},
    "HardSwish": {},
    "HardSigmoid": {"alpha": 0.25},
    "Sigmoid": {},
    "Tanh": {},
    "Elu": {"alpha": 0.7},
    "Selu": {},
    "Celu": {"alpha": 1.3},
    "Softplus": {},
    "Softsign": {},
    "Mish": {},
    "ThresholdedRelu": {"alpha": 0.3},
    "Exp": {},
    "Abs": {},
    "Erf": {},
    "Neg": {},
    "Floor": {},
    "Sign": {},
}


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_functions_of_one_number(op: str) -> None:
    graph = Graph()
    y = graph.node(op, graph.conv("x", 3, 4, "c"), name="act", **ACTIVATIONS[op])
    graph.conv(y, 4, 2, "d")
    imported = assert_same(graph.model(opset=18))
    assert len(imported.spec.nodes) == (2 if op == "Neg" else 3)


def test_slopes_by_channel() -> None:
    graph = Graph()
    y = graph.node("PRelu", graph.conv("x", 3, 4, "c"), graph.random("s", 4, 1, 1), name="act")
    graph.conv(y, 4, 2, "d")
    function = assert_same(graph.model()).spec.nodes[1]
    assert function.op == "function"


def test_a_function_of_many_nodes_is_one() -> None:
    """x * relu6(x + 3) / 6 as exporters write it."""
    graph = Graph()
    y = graph.conv("x", 3, 4, "c")
    z = graph.node("Add", y, graph.constant("three", 3.0), name="plus")
    z = graph.node("Clip", z, graph.constant("low", 0.0), graph.constant("six", 6.0), name="clip")
    z = graph.node("Mul", y, z, name="times")
    graph.conv(graph.node("Div", z, graph.constant("by", 6.0), name="div"), 4, 2, "d")
    assert [node.op for node in assert_same(graph.model()).spec.nodes] == [
        "conv",
        "function",
        "conv",
    ]


def test_squeeze_and_excitation() -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 4, "c"), name="relu")
    z = graph.node("GlobalAveragePool", y, name="mean")
    z = graph.node("HardSigmoid", graph.conv(z, 4, 4, "e", 1), name="gate")
    graph.node("Mul", z, y, name="scaled")
    ops = [node.op for node in assert_same(graph.model()).spec.nodes]
    assert ops == ["conv", "avgpool", "conv", "function", "mul"]
