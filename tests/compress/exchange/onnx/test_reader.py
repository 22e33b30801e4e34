"""ONNX files as networks: every operation against onnxruntime, real models, refusals."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imported import assert_same, read
from onnx import helper, numpy_helper
from onnx_models import Graph

from compress.exchange.onnx import reader
from cosign import CosignError

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def test_conv_with_everything_is_one_layer() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 4, "c", strides=[2, 1], dilations=[1, 2], pads=[1, 2, 1, 2])
    y = graph.batch_norm(y, 4, "bn")
    y = graph.node("Relu", y, name="relu")
    imported = assert_same(graph.model())
    assert [(node.op, node.relu) for node in imported.spec.nodes] == [("conv", True)]
    assert imported.spec.nodes[0].name == "c"  # as its weights are called


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_and_depthwise_convolutions(groups: int) -> None:
    graph = Graph(("N", 4, 6, 6))
    graph.conv("x", 4 // groups, 8, "c", group=groups)
    assert assert_same(graph.model()).spec.nodes[0].geometry.groups == groups


@pytest.mark.parametrize("pads", [[0, 0, 1, 1], [2, 1, 0, 3], [0, 2, 1, 0]])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_that_differs_by_side(pads: list[int], stride: int) -> None:
    graph = Graph()
    graph.conv("x", 3, 2, "c", pads=pads, strides=[stride, stride])
    assert_same(graph.model())


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_automatic_padding(automatic: str, stride: int) -> None:
    graph = Graph()
    y = graph.conv("x", 3, 2, "c", auto_pad=automatic, strides=[stride, stride])
    graph.node("MaxPool", y, name="p", kernel_shape=[2, 2], auto_pad=automatic)
    assert_same(graph.model())


def test_pad_before_a_convolution() -> None:
    graph = Graph()
    pads = graph.constant("pads", [0, 0, 0, 1, 0, 0, 2, 1], np.int64)
    graph.conv(graph.node("Pad", "x", pads, name="pad"), 3, 2, "c")
    assert_same(graph.model())


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [7, 7], "pads": [0, 0, 0, 0]},
        {"kernel_shape": [8, 8], "pads": [0, 0, 1, 1], "strides": [2, 2]},
    ],
)
def test_pooling(op: str, attributes: dict[str, list[int]]) -> None:
    graph = Graph()
    graph.node(op, graph.conv("x", 3, 2, "c", pads=[1, 1, 1, 1]), name="p", **attributes)
    assert_same(graph.model())


def test_average_that_counts_padding() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 2, "c")
    graph.node("AveragePool", y, name="p", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)
    assert_same(graph.model())


def test_arithmetic_with_constants_is_folded() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 2, "c")
    y = graph.node("Mul", y, graph.constant("two", 2.0), name="mul")
    y = graph.node("Add", graph.random("shift", 2, 1, 1), y, name="add")
    y = graph.node("Sub", graph.constant("one", [1.0]), y, name="sub")
    graph.node("Div", y, graph.constant("four", 4.0), name="div")
    assert len(assert_same(graph.model()).spec.nodes) == 1


def test_scale_of_the_input_is_a_depthwise_layer() -> None:
    graph = Graph()
    y = graph.node("Relu", graph.batch_norm("x", 3, "bn"), name="relu")
    graph.conv(y, 3, 2, "c")
    imported = assert_same(graph.model())
    assert imported.spec.nodes[0].geometry.groups == 3
    assert imported.spec.nodes[0].relu


def test_relu6_is_a_relu_with_a_top() -> None:
    graph = Graph()
    low, high = graph.constant("low", 0.0), graph.constant("high", 0.5)
    y = graph.node("Clip", graph.conv("x", 3, 2, "c"), low, high, name="clip")
    y = graph.node("MaxPool", y, name="pool", kernel_shape=[2, 2])
    graph.node("Relu", y, name="again")
    spec = assert_same(graph.model()).spec
    assert [(node.op, node.top) for node in spec.nodes] == [("conv", 0.5), ("maxpool", None)]


def test_a_relu_that_is_read_with_its_source_is_a_function_of_it() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 2, "c")
    graph.node("Add", y, graph.node("Relu", y, name="r"), name="sum")
    z = graph.node("GlobalAveragePool", y, name="mean")
    total = graph.node("Add", "sum", z, name="all")
    graph.node("Add", total, graph.node("Relu", z, name="r2"), name="end")
    nodes = {n.op for n in assert_same(graph.model()).spec.nodes}
    assert nodes == {"conv", "avgpool", "function", "add", "relu"}


def test_classifier_of_a_flattened_map() -> None:
    graph = Graph(("N", 2, 4, 4))
    shape = graph.node("Shape", "x", name="shape")
    first = graph.constant("first", 0, np.int64)
    batch = graph.node("Gather", shape, first, name="batch", axis=0)
    rows = graph.node("Unsqueeze", batch, graph.constant("axes", [0], np.int64), name="rows")
    wanted = graph.node("Concat", rows, graph.constant("rest", [-1], np.int64), name="w", axis=0)
    y = graph.node("Reshape", "x", wanted, name="flat")
    y = graph.node("Gemm", y, graph.random("fc1.weight", 5, 32), name="fc1", transB=1, alpha=0.5)
    y = graph.node("Relu", y, name="relu")
    y = graph.node("MatMul", y, graph.random("w2", 5, 4), name="fc2")
    graph.node("Add", y, graph.random("b2", 4), name="plus")
    graph.node("Softmax", "plus", name="softmax")
    imported = read(graph.model())
    assert imported.spec.classes == 4
    assert_same(graph.model("plus"))


def test_lrn_mean_sum_and_concat() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 6, "c")
    y = graph.node("LRN", y, name="lrn", size=5, alpha=0.1, beta=0.7, bias=1.5)
    z = graph.conv("x", 3, 6, "d")
    total = graph.node("Sum", y, z, y, name="sum")
    both = graph.node("Concat", total, z, name="both", axis=1)
    graph.node("ReduceMean", both, name="mean", axes=[2, 3], keepdims=0)
    assert assert_same(graph.model()).spec.classes == 12


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """A random DAG: every node reads maps of any nodes before it, and all end in one vector."""
    graph = Graph(("N", 3, 7, 7), seed=draw(st.integers(0, 1000)))
    maps = {"x": (3, 7)}  # channels, side

    def any_map(side: int | None = None, channels: int | None = None) -> str:
        fits = [
            name for name, (c, s) in maps.items() if side in (None, s) and channels in (None, c)
        ]
        return draw(st.sampled_from(fits))

    for number in range(draw(st.integers(2, 9))):
        name, x = f"n{number}", any_map()
        channels, side = maps[x]
        kinds = ["conv", "relu", "clip", "pool", "mean", "add", "concat", "bn", "lrn"]
        op = draw(st.sampled_from(kinds))
        if op == "conv":
            groups = draw(st.sampled_from([g for g in (1, channels) if channels % g == 0]))
            out = groups * draw(st.integers(1, 3)) if groups > 1 else draw(st.integers(1, 6))
            stride = draw(st.integers(1, 2))
            pads = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
            graph.conv(
                x,
                channels // groups,
                out,
                name,
                1 if side < 3 else 3,
                group=groups,
                strides=[stride] * 2,
                pads=[*pads[:1] * 2, *pads[1:2] * 2],
            )
            kernel = 1 if side < 3 else 3
            maps[name] = (out, (side + pads[0] + pads[1] - kernel) // stride + 1)
        elif op in ("pool", "mean") and side >= 2:
            kind = "MaxPool" if op == "pool" else "AveragePool"
            end = draw(st.integers(0, 1))
            graph.node(
                kind, x, name=name, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, end, end]
            )
            maps[name] = (channels, (side + end - 2) // 2 + 1)
        elif op == "add":
            graph.node("Add", x, any_map(side, channels), name=name)
            maps[name] = maps[x]
        elif op == "concat":
            other = any_map(side)
            graph.node("Concat", x, other, name=name, axis=1)
            maps[name] = (channels + maps[other][0], side)
        elif op == "bn":
            graph.batch_norm(x, channels, name)
            maps[name] = maps[x]
        elif op == "lrn":
            graph.node("LRN", x, name=name, size=3, alpha=0.2)
            maps[name] = maps[x]
        elif op == "clip":
            graph.node(
                "Clip",
                x,
                graph.constant(f"{name}.low", 0.0),
                graph.constant(f"{name}.high", 1.5),
                name=name,
            )
            maps[name] = maps[x]
        else:
            graph.node("Relu", x, name=name)
            maps[name] = maps[x]
    parts = [
        graph.node("GlobalAveragePool", name, name=f"{name}.pooled") for name in list(maps)[-3:]
    ]
    y = graph.node("Flatten", graph.node("Concat", *parts, name="all", axis=1), name="flat")
    inputs = sum(maps[name][0] for name in list(maps)[-3:])
    graph.node("Gemm", y, graph.random("fc.weight", 4, inputs), name="fc", transB=1)
    return graph.model()


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_random_graphs(model: onnx.ModelProto) -> None:
    assert_same(model, 1e-3)


def randomized(path: Path) -> onnx.ModelProto:
    """A light model, whose weights are all equal, with random ones in their place."""
    model = onnx.load(path)
    model.ir_version = 8  # initializers need not be inputs
    rng = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "ConstantOfShape":
            shape = shapes[node.input[0]]
            fan = float(np.prod(shape[1:])) if len(shape) > 1 else 25.0
            values = rng.normal(0, (2 / fan) ** 0.5, shape) + (len(shape) == 1)
            tensor = numpy_helper.from_array(
                np.abs(values).astype(np.float32) if len(shape) == 1 else values.astype(np.float32),
                node.output[0],
            )
            model.graph.node.remove(node)
            model.graph.initializer.append(tensor)
    if model.graph.node[-1].op_type == "Softmax":  # logits tell more
        last = model.graph.node[-1]
        model.graph.output[0].name = last.input[0]
        model.graph.node.remove(last)
    return model


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("squeezenet", 26, 1_231_552),
        ("shufflenet", 50, 1_365_464),
        ("inception_v1", 58, 6_990_272),
        ("inception_v2", 70, 11_174_080),
        ("densenet121", 183, 7_928_544),
        ("resnet50", 54, 25_502_912),
        pytest.param("bvlc_alexnet", 8, 60_954_656, marks=pytest.mark.slow),
        pytest.param("zfnet512", 8, 87_242_528, marks=pytest.mark.slow),
        pytest.param("vgg19", 19, 143_652_544, marks=pytest.mark.slow),
    ],
)
def test_the_light_models_of_onnx(name: str, layers: int, weights: int) -> None:
    imported = assert_same(randomized(LIGHT / f"light_{name}.onnx"), 1e-3)
    assert imported.spec.shape == (3, 224, 224)
    assert imported.spec.classes == 1000
    geometries = imported.spec.geometries.values()
    assert (len(geometries), sum(g.weights for g in geometries)) == (layers, weights)


def test_truncated_and_missing_files(tmp_path: Path) -> None:
    whole = (LIGHT / "light_squeezenet.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in (0, 10, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CosignError, match=r"cut\.onnx is not a whole ONNX model"):
            reader.read(path)
    with pytest.raises(CosignError, match=r"cannot read .*absent\.onnx: No such file"):
        reader.read(tmp_path / "absent.onnx")
    assert os.listdir(tmp_path) == ["cut.onnx"]


def test_dynamic_height_and_several_inputs() -> None:
    graph = Graph(("N", 3, "H", 8))
    graph.conv("x", 3, 2, "c")
    with pytest.raises(CosignError, match="the height of the input 'x' is dynamic"):
        read(graph.model())
    model = Graph()
    model.conv("x", 3, 2, "c")
    model.node("Add", "c", "y", name="sum")
    two = model.model()
    two.graph.input.append(helper.make_tensor_value_info("y", 1, ["N", 2, 6, 6]))
    with pytest.raises(CosignError, match="has the inputs x, y; read are networks with one"):
        read(two)


@pytest.mark.parametrize("opset", [99])
def test_unknown_opset(opset: int) -> None:
    graph = Graph()
    graph.conv("x", 3, 2, "c")
    with pytest.raises(CosignError, match=f"uses opset {opset} of ONNX"):
        read(graph.model(opset=opset))


def test_unknown_operations() -> None:
    graph = Graph()
    graph.node("LpPool", graph.conv("x", 3, 2, "c"), name="norms", kernel_shape=[2, 2])
    with pytest.raises(CosignError, match=r"net\.onnx: node 'norms' is of the kind LpPool, which"):
        read(graph.model())


def test_a_logarithm_of_shares_inside() -> None:
    graph = Graph()
    y = graph.node("LogSoftmax", graph.conv("x", 3, 2, "c"), name="shares", axis=1)
    graph.conv(y, 2, 2, "d")
    with pytest.raises(CosignError, match="node 'd' reads the LogSoftmax 'shares', which is read"):
        read(graph.model())


def test_several_outputs_and_a_chosen_one() -> None:
    graph = Graph()
    y = graph.conv("x", 3, 4, "c")
    graph.node("Softmax", graph.node("Flatten", y, name="flat"), name="scores")
    model = graph.model("scores")
    model.graph.output.append(helper.make_tensor_value_info("c", 1, None))
    both = read(model)
    assert both.outputs == ("scores", "c")
    assert len(both.spec.outputs) == 2
    assert not both.spec.classifies
    assert any("Softmax 'scores' at its end is left out" in note for note in both.notes)
    one = reader.from_bytes(model.SerializeToString(), "net", "net.onnx", ["c"])
    assert one.spec.outputs == ("c",)
    with pytest.raises(CosignError, match="has no output 'absent'"):
        reader.from_bytes(model.SerializeToString(), "net", "net.onnx", ["absent"])


def test_a_sigmoid_at_the_end_of_a_classifier_is_left_out() -> None:
    graph = Graph()
    y = graph.node("GlobalAveragePool", graph.conv("x", 3, 4, "c"), name="mean")
    graph.node("Sigmoid", graph.node("Flatten", y, name="flat"), name="scores")
    imported = read(graph.model())
    assert [node.op for node in imported.spec.nodes][:2] == ["conv", "avgpool"]
    assert not any(node.op == "function" for node in imported.spec.nodes)
    assert imported.notes


def test_a_graph_of_constants_has_no_layer() -> None:
    graph = Graph()
    graph.node("Transpose", "x", name="t", perm=[0, 2, 3, 1])
    with pytest.raises(CosignError, match=r"net\.onnx: the network has no layer"):
        read(graph.model())


def test_weights_that_are_not_finite() -> None:
    graph = Graph()
    weight = graph.constant("w", np.full((2, 3, 3, 3), np.nan))
    graph.node("Conv", "x", weight, name="c")
    with pytest.raises(CosignError, match=r"net\.onnx: node 'c' has a weight that is not finite"):
        read(graph.model())


def test_an_impossible_kernel_names_its_node() -> None:
    graph = Graph()
    graph.conv("x", 3, 2, "big", kernel=11)
    with pytest.raises(CosignError, match=r"net\.onnx: .*kernel"):
        read(graph.model())


def test_a_map_is_no_classifier() -> None:
    graph = Graph()
    graph.conv("x", 3, 2, "c")
    with pytest.raises(CosignError, match="the output is 2 x 6 x 6"):
        _ = read(graph.model()).spec.classes
