"""Quantised ONNX models as float ones, against onnxruntime and qonnx."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Graph, compute
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.quant import quant

from compress.exchange.onnx.clean import Cleaned, cleaned
from cosign import CosignError

QONNX = "qonnx.custom_op.general"
# of onnxruntime's quantiser: format, activations, weights, by channel, zero points at 0
STATIC = [
    (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QUInt8, False, False),
    (QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8, True, True),
    (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8, True, False),
    (QuantFormat.QDQ, QuantType.QInt16, QuantType.QInt8, False, True),
    (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt4, False, False),
    (QuantFormat.QOperator, QuantType.QUInt8, QuantType.QUInt8, False, False),
    (QuantFormat.QOperator, QuantType.QInt8, QuantType.QInt8, True, True),
]


def read(model: onnx.ModelProto) -> Cleaned:
    found = cleaned(model, "net.onnx")
    onnx.checker.check_model(found.model, full_check=True)
    ops = {node.op_type for node in found.model.graph.node}
    assert not {"QuantizeLinear", "DequantizeLinear", "Quant", "Cast", "Identity"} & ops
    made = {name for node in found.model.graph.node for name in node.output}
    assert found.scales.keys() <= made | {value.name for value in found.model.graph.input}
    return found


def kinds(found: Cleaned) -> list[str]:
    return [node.op_type for node in found.model.graph.node]


def constant(found: Cleaned, name: str) -> np.ndarray:
    tensors = {tensor.name: tensor for tensor in found.model.graph.initializer}
    return numpy_helper.to_array(tensors[name])


def quantised(graph: Graph, x: str, scale: float, zero: Any, name: str, **a: Any) -> str:
    """x through QuantizeLinear and DequantizeLinear."""
    rest = [graph.constant(f"{name}.s", scale), graph.constant(f"{name}.z", zero, zero.dtype)]
    q = graph.node("QuantizeLinear", x, *rest, name=f"{name}.q", **a)
    return graph.node("DequantizeLinear", q, *rest, name=name, **a)


def images(*shape: int, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


# weights


@pytest.mark.parametrize(
    ("kind", "opset"),
    [
        *((kind, opset) for kind in ("int8", "uint8", "int32") for opset in (10, 13, 19, 21, 23)),
        *((kind, opset) for kind in ("int4", "uint4") for opset in (21, 23)),
    ],
)
def test_weights_are_what_their_integers_mean(kind, opset):
    rng, dtype = np.random.default_rng(0), np.dtype(getattr(ml_dtypes, kind, kind))
    limits = ml_dtypes.iinfo(dtype)
    low, high = max(int(limits.min), -999), min(int(limits.max), 999)
    by_channel = opset >= 13
    q = rng.integers(low, high + 1, (4, 3, 3, 3))
    scale = rng.uniform(0.01, 0.02, 4 if by_channel else ())
    zero = np.zeros_like(scale, int)
    if kind != "int32":
        zero = rng.integers(low, high + 1, scale.shape)
    graph = Graph()
    stored = [
        graph.constant("conv.weight_quantized", q, dtype),
        graph.constant("conv.weight_scale", scale),
        graph.constant("conv.weight_zero_point", zero, dtype),
    ]
    axis = {"axis": 0} if by_channel else {}
    weight = graph.node("DequantizeLinear", *stored, name="w", **axis)
    graph.node("Conv", "x", weight, name="conv")
    found = read(graph.model(opset=opset))
    assert kinds(found) == ["Conv"]
    assert found.scales == {}
    column = (-1, 1, 1, 1) if by_channel else ()
    wanted = (q - zero.reshape(column)).astype(np.float32) * scale.astype(np.float32).reshape(
        column
    )
    np.testing.assert_array_equal(constant(found, "conv.weight"), wanted)


def test_weights_by_block_are_what_their_integers_mean():
    rng = np.random.default_rng(0)
    q, scale = rng.integers(-8, 8, (6, 5)), rng.uniform(0.5, 1, (3, 5)).astype(np.float32)
    graph = Graph((1, 6))
    graph.constant("q", q, ml_dtypes.int4)
    graph.constant("s", scale)
    weight = graph.node("DequantizeLinear", "q", "s", name="w", axis=0, block_size=2)
    graph.node("MatMul", "x", weight, name="y")
    found = read(graph.model(opset=21))
    np.testing.assert_array_equal(
        constant(found, "q"), q.astype(np.float32) * np.repeat(scale, 2, 0)
    )


def test_weights_quantised_in_the_graph_are_rounded_there():
    graph = Graph((1, 6))
    weight = graph.random("fc.weight", 6, 5)
    graph.node("MatMul", "x", quantised(graph, weight, 0.1, np.int8(0), "w"), name="y")
    found = read(graph.model())
    assert kinds(found) == ["MatMul"]
    original = numpy_helper.to_array(graph.constants[0])
    wanted = np.rint(original / np.float32(0.1)) * np.float32(0.1)
    np.testing.assert_array_equal(constant(found, "fc.weight"), wanted)


# activations


def test_a_symmetric_activation_is_left_as_it_is_and_its_step_is_told():
    graph = Graph()
    x = quantised(graph, "x", 0.05, np.int8(0), "in")
    x = graph.conv(x, 3, 4, "conv")
    x = quantised(graph, graph.node("Relu", x, name="relu"), 0.02, np.int8(0), "mid")
    model = graph.model(graph.node("MaxPool", x, name="y", kernel_shape=[2, 2]))
    found = read(model)
    assert kinds(found) == ["Conv", "Relu", "MaxPool"]
    assert found.scales == pytest.approx({"x": 0.05, "relu": 0.02})


@pytest.mark.parametrize(
    ("zero", "reach", "unit"),
    [
        (np.int8(-128), 255, 255 / 127),  # 0..255 steps
        (np.uint8(0), 255, 255 / 127),
        (np.uint8(128), None, 1),  # -128..127
        (np.uint8(100), None, 155 / 127),  # -100..155
        (np.int8(60), None, 188 / 128),  # -188..67
        (np.uint16(32768), None, 32767 / 127),
    ],
)
def test_a_range_from_zero_on_is_a_relu_that_an_exporter_took_away(zero, reach, unit):
    graph = Graph()
    x = quantised(graph, graph.conv("x", 3, 4, "conv"), 0.02, zero, "mid")
    model = graph.model(
        graph.node("MaxPool", x, name="y", kernel_shape=[2, 2]), 17 + 4 * (zero.itemsize > 1)
    )
    found = read(model)
    assert kinds(found) == (["Conv", "Clip", "MaxPool"] if reach else ["Conv", "MaxPool"])
    (value,) = found.scales
    assert found.scales[value] == pytest.approx(0.02 * unit, rel=1e-2)
    if reach:
        clip = found.model.graph.node[1]
        assert [constant(found, name) for name in clip.input[1:]] == pytest.approx(
            [0, 0.02 * reach]
        )
        x = images(1, 3, 8, 8)
        np.testing.assert_allclose(compute(found.model, x), compute(model, x), atol=0.011)


def test_a_relu_that_is_there_needs_no_clip():
    graph = Graph()
    x = graph.node("Relu", graph.conv("x", 3, 4, "conv"), name="relu")
    x = graph.node("MaxPool", x, name="pool", kernel_shape=[2, 2])
    graph.node("Flatten", quantised(graph, x, 0.02, np.uint8(0), "mid"), name="y")
    assert kinds(read(graph.model())) == ["Conv", "Relu", "MaxPool", "Flatten"]


def test_a_narrower_range_behind_a_clip_is_a_clip_too():
    graph = Graph()
    low, high = graph.constant("low", 0), graph.constant("high", 6)
    x = graph.node("Clip", graph.conv("x", 3, 4, "conv"), low, high, name="relu6")
    graph.node("Abs", quantised(graph, x, 1 / 255, np.uint8(0), "mid"), name="y")
    found = read(graph.model())
    assert kinds(found) == ["Conv", "Clip", "Clip", "Abs"]
    assert constant(found, found.model.graph.node[2].input[2]) == pytest.approx(1)


@pytest.mark.parametrize("dtype", [ml_dtypes.int4, ml_dtypes.uint4])
@pytest.mark.parametrize("zero", [0, 3])
def test_few_bits_are_kept_exactly(dtype, zero):
    graph = Graph()
    x = quantised(graph, "x", 0.25, np.array(zero, dtype), "q")
    model = graph.model(graph.node("Abs", x, name="y"), opset=21)
    found = read(model)
    assert "Round" in kinds(found)
    assert found.scales == {}
    x = images(1, 3, 8, 8, spread=2)
    np.testing.assert_allclose(compute(found.model, x), compute(model, x), atol=1e-6)


def test_integers_clipped_to_few_are_kept_exactly():
    """QCDQ of Brevitas: 8 bits of storage, 4 of values."""
    graph = Graph()
    rest = [graph.constant("s", 0.25), graph.constant("z", 0, np.int8)]
    q = graph.node("QuantizeLinear", "x", *rest, name="q")
    low, high = graph.constant("low", -7, np.int8), graph.constant("high", 7, np.int8)
    q = graph.node("Clip", q, low, high, name="narrow")
    model = graph.model(graph.node("DequantizeLinear", q, *rest, name="y"))
    found = read(model)
    assert kinds(found) == ["Div", "Round", "Clip", "Mul"]
    x = images(1, 3, 8, 8, spread=2)
    np.testing.assert_array_equal(compute(found.model, x), compute(model, x))


def test_integers_on_their_way_keep_their_meaning():
    """Pooling, padding with the zero point, joining and splitting between Q and DQ."""
    graph = Graph()
    rest = [graph.constant("s", 0.03), graph.constant("z", 20, np.uint8)]
    q = graph.node("QuantizeLinear", "x", *rest, name="q")
    q = graph.node(
        "Pad", q, graph.constant("p", [0, 0, 1, 1, 0, 0, 1, 1], np.int64), "z", name="p1"
    )
    q = graph.node("MaxPool", q, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    graph.nodes.append(helper.make_node("Split", [q, "parts"], ["a", "b"], name="split", axis=1))
    graph.constant("parts", [1, 2], np.int64)
    q = graph.node("Concat", "b", "a", name="joined", axis=1)
    model = graph.model(graph.node("DequantizeLinear", q, *rest, name="y"))
    found = read(model)
    assert kinds(found) == ["Pad", "MaxPool", "Split", "Concat"]
    x = images(1, 3, 8, 8)
    x = np.clip(x, -0.6, 7)
    np.testing.assert_allclose(compute(found.model, x), compute(model, x), atol=0.016)


def test_integers_read_by_another_scale_are_scaled():
    graph = Graph()
    q = graph.node(
        "QuantizeLinear", "x", graph.constant("s", 0.03), graph.constant("z", 5, np.int8), name="q"
    )
    other = [graph.constant("t", 0.06), graph.constant("u", 9, np.int8)]
    model = graph.model(graph.node("DequantizeLinear", q, *other, name="y"))
    x = images(1, 3, 8, 8)
    np.testing.assert_allclose(compute(read(model).model, x), compute(model, x), atol=0.031)


def test_an_image_of_integers_becomes_what_they_mean():
    graph = Graph()
    rest = [graph.constant("s", 0.02), graph.constant("z", 114, np.uint8)]
    x = graph.node("DequantizeLinear", "x", *rest, name="real")
    model = graph.model(graph.node("Abs", x, name="y"))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    found = read(model)
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8), np.uint8)
    got = compute(found.model, x.astype(np.float32))
    np.testing.assert_allclose(got, compute(model, x), atol=1e-6)
    assert found.notes == ("the input 'x' of uint8 is read as float32 of the same values",)


def test_integers_as_output_are_read_as_what_they_mean():
    graph = Graph()
    rest = [graph.constant("s", 0.03), graph.constant("z", 0, np.int8)]
    q = graph.node("QuantizeLinear", graph.conv("x", 3, 4, "conv"), *rest, name="y")
    model = graph.model(q)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT8
    found = read(model)
    assert found.notes == (
        "the integers of the output 'y' are read as what they mean",
        "activations are not rounded to the file's own steps, which are a start alone",
    )
    x = images(1, 3, 8, 8)
    wanted = compute(model, x) * np.float32(0.03)
    got = np.clip(compute(found.model, x), -128 * 0.03, 127 * 0.03)
    np.testing.assert_allclose(got, wanted, atol=0.016)


def test_a_scale_that_is_computed_is_refused():
    graph = Graph()
    scale = graph.node("ReduceMax", "x", name="largest", keepdims=0)
    q = graph.node("QuantizeLinear", "x", scale, graph.constant("z", 0, np.int8), name="q")
    graph.node("DequantizeLinear", q, scale, "z", name="y")
    with pytest.raises(CosignError, match="'q' is a QuantizeLinear whose scale"):
        read(graph.model())


# whole networks, by onnxruntime's own quantiser


class Images(CalibrationDataReader):
    def __init__(self, name: str) -> None:
        self.left = iter([{name: images(1, 3, 8, 8, seed=seed)} for seed in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def network() -> onnx.ModelProto:
    """Every operation that onnxruntime quantises and images meet."""
    graph = Graph((1, 3, 8, 8))
    stem = graph.node("Relu", graph.conv("x", 3, 8, "stem", pads=[1] * 4), name="stem_relu")
    left = graph.node("LeakyRelu", graph.conv(stem, 8, 8, "left", pads=[1] * 4), name="leaky")
    right = graph.node("Sigmoid", graph.conv(stem, 8, 8, "right", pads=[1] * 4), name="gate")
    x = graph.node("Add", graph.node("Mul", left, right, name="gated"), stem, name="added")
    x = graph.node("Concat", x, stem, name="joined", axis=1)
    x = graph.node("MaxPool", x, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("AveragePool", x, name="mean", kernel_shape=[2, 2], strides=[2, 2])
    x = graph.conv(x, 16, 8, "deep", kernel=1)
    x = graph.node("GlobalAveragePool", x, name="global")
    x = graph.node("Flatten", x, name="flat")
    graph.random("fc.weight", 5, 8)
    y = graph.node("Gemm", x, "fc.weight", graph.random("fc.bias", 5), name="fc", transB=1)
    return graph.model(y, opset=21)


@pytest.mark.parametrize(("form", "activations", "weights", "by_channel", "symmetric"), STATIC)
def test_networks_quantised_by_onnxruntime(
    form, activations, weights, by_channel, symmetric, tmp_path
):
    path = tmp_path / "quantised.onnx"
    quantize_static(
        network(),
        str(path),
        Images("x"),
        quant_format=form,
        per_channel=by_channel,
        activation_type=activations,
        weight_type=weights,
        reduce_range=True,  # or onnxruntime's sums saturate on processors without VNNI
        extra_options={"ActivationSymmetric": symmetric},
    )
    model = onnx.load(path)
    found = read(model)
    names = {tensor.name for tensor in found.model.graph.initializer}
    layers = ("stem", "left", "right", "deep", "fc")
    assert {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")} <= names
    assert len(found.scales) >= 10
    for seed in range(4):
        x = images(1, 3, 8, 8, seed=seed)
        wanted, got = compute(model, x), compute(found.model, x)
        step = found.scales[found.model.graph.output[0].name]
        np.testing.assert_allclose(got, wanted, atol=8 * step + 0.01 * np.abs(wanted).max())


def test_networks_quantised_dynamically_keep_their_float_activations(tmp_path):
    path = tmp_path / "quantised.onnx"
    quantize_dynamic(network(), str(path))
    model = onnx.load(path)
    assert {"ConvInteger", "MatMulInteger"} & {node.op_type for node in model.graph.node}
    found = read(model)
    assert found.notes == (
        "activations are not quantised by each image's own range, as the file does",
    )
    assert found.scales == {}
    x = images(1, 3, 8, 8)
    wanted = compute(model, x)
    np.testing.assert_allclose(compute(found.model, x), wanted, atol=0.03 * np.abs(wanted).max())


# QONNX


@st.composite
def quants(draw: st.DrawFn) -> dict[str, Any]:
    signed = draw(st.booleans())
    return {
        "bits": draw(st.integers(1 if signed else 2, 6)),
        "signed": signed,
        "narrow": draw(st.booleans()),
        "rounding_mode": draw(
            st.sampled_from(["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
        ),
        "scale": draw(st.sampled_from([0.25, 0.5, 2.0])),
        "zero": draw(st.sampled_from([0, 0, 1, 3])),
    }


def reference(x: np.ndarray, kind: dict[str, Any]) -> np.ndarray:
    scale, zero, bits = (np.float32(kind[name]) for name in ("scale", "zero", "bits"))
    found = quant(x, scale, zero, bits, kind["signed"], kind["narrow"], kind["rounding_mode"])
    return np.asarray(found, np.float32)


def quant_node(graph: Graph, x: str, kind: dict[str, Any], name: str, domain: str = QONNX) -> str:
    rest = [graph.constant(f"{name}.{part}", kind[part]) for part in ("scale", "zero", "bits")]
    flags = {part: int(kind[part]) for part in ("signed", "narrow")}
    mode = kind["rounding_mode"]
    return graph.node("Quant", x, *rest, name=name, domain=domain, rounding_mode=mode, **flags)


def bare(graph: Graph, opset: int = 17, domain: str = QONNX) -> onnx.ModelProto:
    """As exporters leave it, with no shape of anything behind a Quant."""
    made = helper.make_graph(
        graph.nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, graph.shape)],
        [helper.make_tensor_value_info(graph.nodes[-1].output[0], TensorProto.FLOAT, None)],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(domain, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


@settings(max_examples=60)
@given(quants(), st.integers(0, 99))
def test_quants_of_few_bits_compute_what_qonnx_does(kind, seed):
    graph = Graph((1, 40))
    quant_node(graph, "x", kind, "y")
    found = read(bare(graph))
    x = np.random.default_rng(seed).integers(-40, 40, (1, 40)).astype(np.float32) / 8  # ties too
    np.testing.assert_array_equal(compute(found.model, x), reference(x, kind))
    assert found.scales == {}


@settings(max_examples=40)
@given(quants(), st.integers(2, 8))
def test_quants_of_weights_are_constants(kind, bits):
    kind |= {"bits": bits}
    graph = Graph((1, 6))
    weights = np.random.default_rng(bits).integers(-99, 99, (6, 5)) / 16
    weight = quant_node(graph, graph.constant("fc.weight", weights), kind, "w")
    graph.node("MatMul", "x", weight, name="y")
    found = read(bare(graph))
    assert kinds(found) == ["MatMul"]
    np.testing.assert_array_equal(
        constant(found, "fc.weight"), reference(weights.astype(np.float32), kind)
    )


@pytest.mark.parametrize(
    "domain", [QONNX, "onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general.intquant"]
)
@pytest.mark.parametrize(
    ("bits", "signed", "kept", "unit"),
    [
        (8, True, [], 1),
        (8, False, ["Clip"], 255 / 127),
        (7, False, ["Clip"], 1),
        (16, True, [], 258),
    ],
)
def test_quants_of_eight_bits_and_more_are_told(domain, bits, signed, kept, unit):
    graph = Graph()
    kind = {"scale": 0.1, "zero": 0, "bits": bits, "signed": signed, "narrow": False}
    kind |= {"rounding_mode": "ROUND"}
    quant_node(graph, graph.conv("x", 3, 4, "conv"), kind, "y", domain)
    found = read(bare(graph, domain=domain))
    assert kinds(found) == ["Conv", *kept]
    assert [*found.scales.values()] == pytest.approx([0.1 * unit], rel=1e-2)


@pytest.mark.parametrize("of_weights", [True, False])
def test_bipolar_quants_are_signs_with_zero_above(of_weights):
    x = np.array([[-2, -0.5, 0, 0.5, 1, 0]], np.float32)
    graph = Graph((1, 6))
    value = graph.constant("fc.weight", x) if of_weights else "x"
    value = graph.node("BipolarQuant", value, graph.constant("s", 0.3), name="q", domain=QONNX)
    if of_weights:
        value = graph.node("Mul", "x", value, name="y")
    found = read(bare(graph))
    got = compute(found.model, np.ones_like(x) if of_weights else x)
    np.testing.assert_array_equal(got, binary_quant(x, np.float32(0.3)))


def test_a_whole_qonnx_network_of_an_old_opset():
    """Quants of 2 bits behind a Softmax and shapes that only their inputs' shapes tell."""
    graph = Graph(("N", 3, 4, 4))
    kind = {"scale": 0.5, "zero": 0, "bits": 2, "signed": True, "narrow": True}
    kind |= {"rounding_mode": "ROUND"}
    x = quant_node(graph, "x", kind, "image")
    size = graph.node("Shape", x, name="shape")
    size = graph.node("Gather", size, graph.constant("i", 0, np.int64), name="n", axis=0)
    size = graph.node("Unsqueeze", size, name="n1", axes=[0])
    to = graph.node("Concat", size, graph.constant("r", [-1], np.int64), name="to", axis=0)
    x = graph.node("Reshape", x, to, name="flat")
    weight = quant_node(graph, graph.random("fc.weight", 5, 48), kind, "w")
    y = graph.node("MatMul", x, graph.node("Transpose", weight, name="t"), name="fc")
    graph.node("Softmax", y, name="y", axis=1)
    found = read(bare(graph, opset=9))
    assert kinds(found) == ["Div", "Round", "Clip", "Mul", "Reshape", "MatMul", "Softmax"]
    weights = constant(found, "fc.weight")
    assert set(np.unique(weights)) == {-0.5, 0, 0.5}
    x = images(1, 3, 4, 4)
    logits = (np.clip(np.rint(x / 0.5), -1, 1) * 0.5).reshape(1, 48) @ weights
    softmax = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(compute(found.model, x), softmax, rtol=1e-4)


def test_a_bit_width_that_differs_by_channel_is_refused_for_activations():
    graph = Graph()
    parts = [
        graph.constant("s", 0.1),
        graph.constant("z", 0),
        graph.constant("b", [[[2]], [[3]], [[4]]]),
    ]
    graph.node("Quant", "x", *parts, name="q", domain=QONNX)
    with pytest.raises(CosignError, match="'q' is a Quant whose scale, zero point or bits are"):
        read(bare(graph))
