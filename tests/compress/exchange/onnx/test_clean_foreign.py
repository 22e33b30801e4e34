"""Operations that are not ONNX's own: expanded, or refused with what to do."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_models import Graph, compute

from compress.exchange.onnx.clean import cleaned
from cosign import CosignError

MICROSOFT = "com.microsoft"


def computed(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    found = cleaned(model, "net.onnx").model
    onnx.checker.check_model(found, full_check=True)
    assert not any(node.domain for node in found.graph.node)
    return compute(found, x)


def bare(graph: Graph, opset: int = 17, *domains: str) -> onnx.ModelProto:
    """Of nodes whose shapes nobody infers."""
    made = helper.make_graph(
        graph.nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, graph.shape)],
        [helper.make_tensor_value_info(graph.nodes[-1].output[0], TensorProto.FLOAT, None)],
        graph.constants,
    )
    opsets = [helper.make_opsetid(domain, 1) for domain in (MICROSOFT, *domains)]
    opsets.append(helper.make_opsetid("", opset))
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("Relu", []),
        ("Tanh", []),
        ("Sigmoid", []),
        ("LeakyRelu", [0.2]),
        ("Clip", [-0.5, 1.0]),
        ("HardSigmoid", [0.3, 0.4]),
    ],
)
@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("opset", [9, 17])
def test_fused_convolutions(kind, numbers, added, opset):
    graph = Graph((1, 3, 8, 8))
    inputs = ["x", graph.random("w", 3, 3, 3, 3), graph.random("b", 3)]
    attributes = {"activation_params": numbers} if numbers else {}
    graph.node(
        "FusedConv",
        *inputs,
        *(["x"] if added else []),
        name="y",
        domain=MICROSOFT,
        activation=kind,
        pads=[1] * 4,
        **attributes,
    )
    model, x = bare(graph, opset), image(1, 3, 8, 8)
    np.testing.assert_allclose(computed(model, x), compute(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "slope"), [("Relu", None), ("LeakyRelu", 0.3), ("Tanh", None)])
def test_fused_gemms(kind, slope):
    graph = Graph((1, 6))
    inputs = ["x", graph.random("w", 5, 6), graph.random("b", 5)]
    rest = {"activation_alpha": slope} if slope else {}
    graph.node(
        "FusedGemm",
        *inputs,
        name="y",
        domain=MICROSOFT,
        activation=kind,
        transB=1,
        alpha=0.5,
        **rest,
    )
    model, x = bare(graph), image(1, 6)
    np.testing.assert_allclose(computed(model, x), compute(model, x), rtol=1e-5, atol=1e-6)


def test_fused_matmuls():
    graph = Graph((1, 6))
    w = graph.random("w", 5, 6)
    graph.node("FusedMatMul", "x", w, name="y", domain=MICROSOFT, transB=1, alpha=0.25)
    model, x = bare(graph), image(1, 6)
    np.testing.assert_allclose(computed(model, x), compute(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["Gelu", "QuickGelu", "FastGelu", "BiasGelu"])
def test_gelus(kind):
    graph = Graph((1, 8))
    bias = [graph.random("b", 8)] if kind in ("FastGelu", "BiasGelu") else []
    graph.node(kind, "x", *bias, name="y", domain=MICROSOFT)
    model, x = bare(graph), image(1, 8)
    np.testing.assert_allclose(computed(model, x), compute(model, x), rtol=1e-4, atol=1e-5)


def test_gelu_of_onnx_itself():
    graph = Graph((1, 8))
    graph.node("Gelu", "x", name="y")
    x = image(1, 8)
    wanted = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x[0]]
    np.testing.assert_allclose(computed(bare(graph, 20), x)[0], wanted, rtol=1e-4, atol=1e-6)


def test_operations_that_onnx_had_once():
    graph = Graph((1, 3, 4, 4))
    x = graph.node("ImageScaler", "x", name="scaled", scale=0.5, bias=[1.0, 2.0, 3.0])
    graph.node("ScaledTanh", x, name="y", alpha=2.0, beta=0.5)
    x = image(1, 3, 4, 4)
    shift = np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1)
    wanted = 2 * np.tanh(0.5 * (0.5 * x + shift))
    np.testing.assert_allclose(computed(bare(graph, 5), x), wanted, rtol=1e-5)


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
def test_files_that_onnxruntime_optimised(level, tmp_path):
    graph = Graph((1, 3, 8, 8))
    x = graph.node("LeakyRelu", graph.conv("x", 3, 4, "conv"), name="leaky", alpha=0.2)
    x = graph.node("Relu", graph.conv(x, 4, 4, "conv2"), name="relu")
    x = graph.node("Flatten", x, name="flat")
    y = graph.node("MatMul", x, graph.random("fc", 64, 5), name="fc_out")
    model = graph.model(graph.node("Add", y, graph.random("b", 5), name="y"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    optimised = onnx.load(tmp_path / "optimised.onnx")
    fused = any(node.op_type == "FusedConv" for node in optimised.graph.node)
    assert fused == (level == "ORT_ENABLE_EXTENDED")
    x = image(1, 3, 8, 8)
    np.testing.assert_allclose(computed(optimised, x), compute(model, x), rtol=1e-4, atol=1e-4)


def test_labels_are_left_out_where_there_are_numbers():
    """What scikit-learn's and Core ML's converters put behind a classifier."""
    graph = Graph((1, 4))
    y = graph.node("Softmax", "x", name="softmax")
    best = graph.node("ArgMax", y, name="best", axis=1)
    ml = "ai.onnx.ml"
    graph.node(
        "LabelEncoder",
        best,
        name="label",
        domain=ml,
        keys_int64s=[0, 1, 2, 3],
        values_strings=["cat", "dog", "emu", "fox"],
    )
    graph.node("ZipMap", y, name="map", domain=ml, classlabels_int64s=[0, 1, 2, 3])
    model = bare(graph, 17, ml)
    label = helper.make_tensor_value_info("label", TensorProto.STRING, None)
    model.graph.output.insert(0, label)
    found = cleaned(model, "net.onnx")
    assert [value.name for value in found.model.graph.output] == ["map"]
    assert [node.op_type for node in found.model.graph.node] == ["Softmax"]
    assert found.notes == (
        "the labels that node 'map' gives numbers are left out",
        "the output 'label' is left out, since it is a label",
    )


@pytest.mark.parametrize(
    ("kind", "domain", "remedy"),
    [
        ("RequantShift", "", "export it fake-quantised, before NEMO makes integers of it"),
        ("RequantShift", "pact", "export it fake-quantised, before NEMO makes integers of it"),
        ("MultiThreshold", "qonnx.custom_op.general", "export it as QONNX, before FINN's steps"),
        ("StreamingFCLayer_Batch", "finn.custom_op.fpgadataflow", "export it as QONNX"),
        ("Trunc", "qonnx.custom_op.general", "export it without truncation"),
        ("Conv", "com.microsoft.nchwc", "basic optimisations alone"),
        ("Attention", "com.microsoft", "without optimisations"),
        ("ATen", "org.pytorch.aten", "dynamo=True"),
        ("Whatever", "my.company", "export it with ONNX's own operations"),
    ],
)
def test_what_is_foreign_is_refused_with_the_nearest_remedy(kind, domain, remedy):
    graph = Graph((1, 3, 8, 8))
    graph.node(kind, graph.conv("x", 3, 4, "conv"), name="odd", domain=domain)
    with pytest.raises(CosignError) as caught:
        cleaned(bare(graph, 17, domain), "net.onnx")
    sentence = str(caught.value)
    assert sentence.startswith(f"net.onnx: node 'odd' is a {kind}")
    assert remedy in sentence
    assert sentence.endswith("or leave it out with --output conv.")
    taken = cleaned(bare(graph, 17, domain), "net.onnx", ["conv"])
    assert [node.op_type for node in taken.model.graph.node] == ["Conv"]
