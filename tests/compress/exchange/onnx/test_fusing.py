"""Imported graphs gain no node that the layers around can do, and what is read is exact."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imported import assert_same, read
from onnx import helper
from onnx_models import Graph


def ops(imported: Any) -> list[str]:
    """Of the nodes in order; a scale by channel is "affine"."""
    return [
        "affine" if g is not None and g.groups == g.in_channels > 1 and g.columns == 1 else node.op
        for node in imported.spec.nodes
        for g in [node.geometry]
    ]


def test_a_scale_of_the_input_goes_into_the_first_convolution() -> None:
    graph = Graph()
    y = graph.node("Sub", "x", graph.random("mean", 3, 1, 1), name="sub")
    y = graph.node("Div", y, graph.random("std", 1, 3, 1, 1, low=0.5), name="div")
    graph.conv(y, 3, 4, "c")
    assert ops(assert_same(graph.model())) == ["conv"]


def test_padding_lets_a_scale_pass_and_no_shift() -> None:
    graph = Graph()
    y = graph.node("Div", "x", graph.constant("byte", 255.0), name="div")
    graph.conv(y, 3, 4, "c", pads=[1, 1, 1, 1])
    assert ops(assert_same(graph.model())) == ["conv"]
    graph = Graph()
    graph.conv(graph.batch_norm("x", 3, "bn"), 3, 4, "c", pads=[1, 1, 1, 1])
    assert ops(assert_same(graph.model())) == ["affine", "conv"]


@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
def test_a_normalisation_passes_pooling_and_flattening(pool: str) -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 4, "c"), name="relu")
    scale = graph.random("scale", 4, 1, 1, low=0.1)
    y = graph.node("Mul", y, scale, name="mul")
    y = graph.node("Add", y, graph.random("shift", 4, 1, 1), name="add")
    y = graph.node(pool, y, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    y = graph.batch_norm(graph.node("Flatten", y, name="flat"), 36, "bn")
    graph.node("Gemm", y, graph.random("fc.weight", 36, 5), name="fc")
    pooled = "maxpool" if pool == "MaxPool" else "avgpool"
    assert ops(assert_same(graph.model())) == ["conv", pooled, "flatten", "linear"]


def test_a_maxpool_lets_no_negative_scale_pass() -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 2, "c"), name="relu")
    y = graph.node("Mul", y, graph.constant("scale", [[[1.0]], [[-1.0]]]), name="mul")
    y = graph.node("MaxPool", y, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    graph.conv(y, 2, 3, "d")
    assert ops(assert_same(graph.model())) == ["conv", "affine", "maxpool", "conv"]


def test_a_normalisation_of_one_branch_goes_into_all_that_read_it() -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 4, "c"), name="relu")
    z = graph.batch_norm(y, 4, "bn")
    joined = graph.node("Concat", z, y, z, name="joined", axis=1)
    a, b = graph.conv(joined, 12, 2, "a"), graph.conv(z, 1, 4, "b", group=4)
    graph.node("Concat", a, b, name="end", axis=1)
    assert "affine" not in ops(assert_same(graph.model()))


def test_an_output_keeps_its_scale() -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 4, "c"), name="relu")
    z = graph.batch_norm(y, 4, "bn")
    graph.conv(z, 4, 2, "d")
    assert ops(assert_same(graph.model(output="bn"))) == ["conv", "affine"]


def test_numbers_that_a_linear_layer_reads_twice() -> None:
    graph = Graph(("N", 2, 2, 2))
    y = graph.node("Relu", graph.conv("x", 2, 2, "c", kernel=1), name="relu")
    scales = graph.constant("scales", [1, 1, 3, 2])
    y = graph.node("Resize", y, "", scales, name="up")
    y = graph.node("Flatten", y, name="flat")
    graph.node("Gemm", y, graph.random("fc.weight", 48, 5), name="fc")
    assert ops(assert_same(graph.model())) == ["conv", "flatten", "linear"]


@pytest.mark.parametrize("shared", [True, False])
def test_the_larger_of_two_maps(shared: bool) -> None:
    graph = Graph()
    if shared:
        y = graph.conv("x", 3, 4, "c")
        graph.nodes.append(helper.make_node("Split", [y], ["a", "b"], name="split", axis=1))
    else:
        graph.conv("x", 3, 2, "a")
        graph.conv("x", 3, 2, "b")
    graph.node("Max", "a", "b", name="max")
    taken = ["conv"] if shared else ["conv", "conv", "concat"]
    assert ops(assert_same(graph.model())) == [*taken, "permute", "maxpool"]


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("align", ["half_pixel", "align_corners", "asymmetric"])
def test_interpolation_is_a_product_along_each_axis(mode: str, align: str) -> None:
    graph = Graph((1, 3, 4, 5))
    sizes = graph.constant("sizes", [1, 3, 7, 10], np.int64)
    y = graph.conv("x", 3, 3, "c", kernel=1)
    graph.node(
        "Resize", y, "", "", sizes, name="up", mode=mode, coordinate_transformation_mode=align
    )
    assert_same(graph.model())


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMin"])
def test_reductions(op: str, keep: int) -> None:
    graph = Graph()
    axes = [1] if op == "ReduceMin" else [2, 3]
    y = graph.conv("x", 3, 4, "c")
    graph.node(op, y, graph.constant("axes", axes, np.int64), name="reduced", keepdims=keep)
    assert_same(graph.model(opset=18))


def test_a_vector_of_length_one() -> None:
    graph = Graph()
    y = graph.node("Flatten", graph.conv("x", 3, 2, "c"), name="flat")
    graph.node("LpNormalization", y, name="unit", axis=1)
    assert_same(graph.model())


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(
        [
            ("nabcd,de->nabce", (6, 5)),
            ("nabcd,be->nacde", (4, 5)),
            ("nabcd,bde->nace", (4, 6, 5)),
            ("nabcd,bed->nabce", (4, 5, 6)),
            ("nabcd,bde->cbnae", (4, 6, 5)),
            ("nabcd,bd->nabc", (4, 6)),
            ("nabcd,bcde->nae", (4, 3, 6, 5)),
        ]
    ),
    st.booleans(),
)
def test_products_by_letters(product: tuple[str, tuple[int, ...]], left: bool) -> None:
    equation, sizes = product
    graph = Graph((1, 8, 3, 6))
    shape = graph.constant("shape", [1, 2, 4, 3, 6], np.int64)
    y = graph.node("Reshape", "x", shape, name="five")
    terms, result = equation.split("->")
    inputs = [y, graph.random("weight", *sizes)]
    if left:
        terms, inputs = ",".join(terms.split(",")[::-1]), inputs[::-1]
    graph.node("Einsum", *inputs, name="product", equation=f"{terms}->{result}")
    assert_same(graph.model())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (None, (2, 6, 5)),
        ((2, 5, 3), None),
        (None, (6,)),
        (None, (6, 5)),
        ((5, 3), None),
        (None, (4, 2, 6, 5)),
        ((1, 1, 5, 3), None),
    ],
)
def test_products_of_stacks(left: tuple[int, ...] | None, right: tuple[int, ...] | None) -> None:
    graph = Graph((1, 8, 3, 6))
    shape = graph.constant("shape", [1, 4, 2, 3, 6], np.int64)
    y = graph.node("Reshape", "x", shape, name="five")
    inputs = [
        y if sizes is None else graph.random(f"weight{len(sizes)}", *sizes)
        for sizes in (left, right)
    ]
    graph.node("MatMul", *inputs, name="product")
    assert_same(graph.model())


def test_channels_normalised_one_by_one() -> None:
    graph = Graph()
    parts = []
    for channel, (scale, shift) in enumerate([(2.0, 0.5), (0.7, -1.0), (1.5, 0.1)]):
        place = graph.constant(f"place{channel}", channel, np.int64)
        y = graph.node("Gather", "x", place, name=f"channel{channel}", axis=1)
        y = graph.node(
            "Unsqueeze", y, graph.constant(f"axis{channel}", [1], np.int64), name=f"u{y}"
        )
        y = graph.node("Mul", y, graph.constant(f"scale{channel}", scale), name=f"mul{channel}")
        parts.append(
            graph.node("Add", y, graph.constant(f"shift{channel}", shift), name=f"add{channel}")
        )
    joined = graph.node("Concat", *parts, name="joined", axis=1)
    graph.conv(joined, 3, 4, "c", pads=[1, 1, 1, 1])
    assert ops(assert_same(graph.model())) == ["affine", "conv"]


def test_operations_that_change_nothing_are_no_nodes() -> None:
    graph = Graph()
    y = graph.node("Flatten", graph.conv("x", 3, 4, "c", kernel=8), name="flat")
    y = graph.node("Softmax", y, name="softmax", axis=1)
    y = graph.node("Mul", graph.constant("one", [1.0]), y, name="mul")
    graph.node("Add", y, graph.constant("zero", [0.0]), name="add")
    imported = read(graph.model())
    assert ops(imported) == ["conv"]
    assert "left out" in imported.notes[0]


@pytest.mark.parametrize("op", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"])
def test_a_choice_by_comparison_is_one_function(op: str) -> None:
    graph = Graph()
    y = graph.node("Relu", graph.conv("x", 3, 4, "c"), name="relu")
    other = graph.node("Mul", y, graph.constant("tenth", 0.1), name="mul")
    bound = graph.constant("bound", [[[0.0]], [[0.2]], [[0.5]], [[0.0]]])
    for number, inputs in enumerate([(y, bound), (bound, y)]):
        mask = graph.node(op, *inputs, name=f"mask{number}")
        mask = graph.node("Not", mask, name=f"not{number}")
        other = graph.node("Where", mask, y, other, name=f"where{number}")
    assert ops(assert_same(graph.model())) == ["conv", "function"]


def test_a_choice_of_two_maps() -> None:
    graph = Graph()
    a, b = graph.conv("x", 3, 4, "a"), graph.conv("x", 3, 4, "b")
    first = graph.node("Greater", a, b, name="first")
    second = graph.node("Less", a, graph.constant("one", 1.0), name="second")
    mask = graph.node("And", first, second, name="and")
    graph.node("Where", mask, a, graph.random("rest", 4, 1, 1), name="where")
    assert_same(graph.model())


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_old_resizing_counts_from_the_corner(mode: str) -> None:
    graph = Graph((1, 3, 4, 5))
    scales = graph.constant("scales", [1, 1, 2, 3])
    graph.node("Resize", graph.conv("x", 3, 3, "c", kernel=1), scales, name="up", mode=mode)
    assert_same(graph.model(opset=10))


def test_padding_with_a_number() -> None:
    graph = Graph()
    pads = graph.constant("pads", [0, 0, 1, 2, 0, 0, 0, 1], np.int64)
    y = graph.node("Relu", graph.conv("x", 3, 4, "c"), name="relu")
    y = graph.node("Pad", y, pads, graph.constant("number", -0.5), name="pad")
    graph.conv(y, 4, 2, "d")
    assert ops(assert_same(graph.model())) == ["conv", "function", "take", "conv"]


def test_images_made_of_one_are_groups() -> None:
    graph = Graph((1, 6, 8, 8))
    y = graph.node("Reshape", "x", graph.constant("two", [2, 3, 8, 8], np.int64), name="images")
    y = graph.node("Relu", graph.conv(y, 3, 4, "c", pads=[1, 0, 0, 1]), name="relu")
    y = graph.node("MaxPool", graph.batch_norm(y, 4, "bn"), name="pool", kernel_shape=[2, 2])
    y = graph.node("GlobalAveragePool", y, name="mean")
    graph.node("Reshape", y, graph.constant("flat", [1, 8], np.int64), name="end")
    imported = assert_same(graph.model())
    assert [g.groups for g in imported.spec.geometries.values()] == [2, 8]


def test_the_mean_of_three_maps() -> None:
    graph = Graph()
    parts = [graph.conv("x", 3, 4, name) for name in "abc"]
    graph.node("Mean", *parts, name="mean")
    assert_same(graph.model())
