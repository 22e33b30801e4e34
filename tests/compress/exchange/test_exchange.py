"""Compressed networks in other formats: every value of QDQ ONNX, QONNX, safetensors and CSR."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import session
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from safetensors.numpy import load_file

from compress.__main__ import main
from compress.admm.constraints import put_on_levels
from compress.data import mnist
from compress.data.pixels import normalised
from compress.exchange import convert
from compress.exchange.onnx_writer import scales_of
from compress.file import container
from compress.file.packing import CODINGS
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer, Node, fixed_point
from compress.model.hostops import HostOp
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network, scale_to_data
from compress.posttrain import pipeline
from compress.posttrain.integers import assemble, input_spec
from compress.zoo.lenet5 import LENET5
from cosign import CosignError
from cosign.names import is_printable
from sim import golden

CONSTANT = ((0.4, 0.45, 0.5), (0.2, 0.25, 0.3))


def all_operations() -> NetworkSpec:
    """Every operation of the machine and the host, on 13 x 13 pixels."""
    net = Builder("everything", (3, 13, 13))
    net.conv("stem", 8, 3, 2, padding=1)
    net.host("lrn", "lrn", size=5, alpha=0.01, beta=0.75, k=1.0)
    pool = net.host("pool", "maxpool", kernel=3, stride=2, padding=1, end=0)
    deep = net.conv("depthwise", 8, 3, 1, padding=1, groups=8, relu=False)
    total = net.host("add", "add", pool, deep, relu=True)
    net.host("rectified", "relu", deep)
    mean = net.host("mean", "avgpool", kernel=3, stride=1, padding=1, exclude=1)
    tail = net.host("tail", "avgpool", total, kernel=3, stride=1, padding=1)
    net.host("both", "concat", mean, tail)
    net.conv("wide", 6, (1, 3), padding=(0, 2), dilation=(1, 2), relu=False)
    net.host("global", "avgpool", kernel=0, stride=1, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc1", 7)
    net.linear("fc2", 5, relu=False)
    return net.spec()


def newer_operations() -> NetworkSpec:
    """Tables, takes, permutes, products, broadcasts, dilated windows; three outputs."""
    net = Builder("newer", (4, 11, 13))
    net.conv("stem", 6, 3, padding=1, relu=False)
    tanh = net.host("tanh", "function", program=("x", "tanh"))
    slopes = net.host(
        "slopes", "function", program=("x", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "mul", "x", "max")
    )
    net.host("gate", "avgpool", slopes, kernel=0, stride=1, padding=0)
    net.conv("squeeze", 6, 1, relu=False)
    gate = net.host("sigmoid", "function", program=("x", "sigmoid"))
    gated = net.host("gated", "mul", tanh, gate)
    net.host("shifted", "add", gated, gate)
    net.host(
        "shuffled", "take",
        layout=((0, 3, 1, 4, 2, 5), tuple(range(10, -1, -1)), (-1, *range(13), -1)),
    )  # fmt: skip
    net.host("turned", "permute", layout=((6, 11, 15), (0, 2, 1), (6, 15, 11)))
    wide = {"kernel": 3, "stride": 2, "padding": 2, "dilation": 2, "kernel1": 2, "stride1": 1}
    net.host("largest", "maxpool", "turned", **wide, padding1=0, end1=1, dilation1=1)
    net.host("mean", "avgpool", "turned", **wide, padding1=1, dilation1=3, exclude=1)
    net.host("counted", "avgpool", "turned", kernel=2, stride=2, padding=0, dilation=3)
    net.conv("head", 3, 3, relu=False, source="counted")
    net.host("flatten", "flatten", "mean")
    net.linear("fc", 5, relu=False)
    return dataclasses.replace(net.spec(), outputs=("fc", "head", "largest"))


@pytest.fixture(scope="module")
def newer() -> tuple[CompressedModel, np.ndarray]:
    return compressed(newer_operations(), 5)


@pytest.fixture(scope="module")
def narrower() -> tuple[CompressedModel, np.ndarray]:
    """The same with activations of 5 bits."""
    return compressed(newer_operations(), 5, act_bits=5)


def compressed(
    spec: NetworkSpec, bits: int, seed: int = 0, act_bits: int = 8
) -> tuple[CompressedModel, np.ndarray]:
    """The network with random weights, and pixels to run it on."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (6, *spec.shape), np.uint8)
    network = Network(spec).eval()
    pixels_are = ((*part, 0.5)[: spec.shape[0]] for part in CONSTANT)
    source = input_spec(spec.shape, *pixels_are, act_bits)
    scale_to_data(network, normalised(source, pixels))
    for bias in network.biases.values():
        torch.nn.init.normal_(bias, std=0.3)
    layers = list(spec.geometries)
    model = pipeline.compress(
        network, source, dict.fromkeys(layers, 0.6), dict.fromkeys(layers, bits), pixels
    )
    return model, pixels


def per_filter(model: CompressedModel, seed: int) -> CompressedModel:
    """The network with a quarter to four times its q in each filter, and what follows from that."""
    rng = np.random.default_rng(seed)
    nodes = []
    for node in model.nodes:
        if isinstance(node, Layer):
            factor = 4.0 ** rng.uniform(-1, 1, node.geometry.out_channels)
            mul, shift = fixed_point(node.unit * factor / node.out_scale)
            bias = np.rint(node.bias / factor).astype(np.int64)
            node = dataclasses.replace(node, q=node.q * factor, mul=mul, shift=shift, bias=bias)
        nodes.append(node)
    return dataclasses.replace(model, nodes=tuple(nodes))


def every_value(model: CompressedModel, pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(node, int8 map) as onnxruntime computes them."""
    proto = onnx.load_model_from_string(convert.FORMATS["qdq"](model))
    for node in model.nodes:
        proto.graph.output.append(helper.make_tensor_value_info(node.name, TensorProto.INT8, None))
    names = [node.name for node in model.nodes]
    yield from zip(names, session(proto).run(names, {"input": pixels}), strict=True)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 8), st.integers(0, 1000), st.sampled_from([8, 8, 7, 6, 5, 4]))
def test_qdq_is_the_integer_model_at_every_node(bits: int, seed: int, act_bits: int) -> None:
    model, pixels = compressed(all_operations(), bits, seed, act_bits)
    if seed % 2:
        model = per_filter(model, seed)
    wanted = golden.trace(model, model.input.quantize(pixels))
    for name, got in every_value(model, pixels):
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)


@pytest.mark.parametrize("network", ["newer", "narrower"])
def test_qdq_of_newer_operations(network: str, request: pytest.FixtureRequest) -> None:
    model, pixels = request.getfixturevalue(network)
    wanted = golden.trace(model, model.input.quantize(pixels))
    for name, got in every_value(model, pixels):
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)


def test_qdq_has_all_outputs(newer: tuple[CompressedModel, np.ndarray], tmp_path: Path) -> None:
    model, pixels = newer
    for form in convert.FORMATS:
        convert.write(model, form, tmp_path / form, golden.trace)
    running = session((tmp_path / "qdq").read_bytes())
    assert [value.name for value in running.get_outputs()] == ["logits", "logits-2", "logits-3"]
    wanted = golden.trace(model, model.input.quantize(pixels))
    for name, got in zip(model.outputs, running.run(None, {"input": pixels}), strict=True):
        scale = np.float32(scales_of(model)[name])
        np.testing.assert_array_equal(got, wanted[name].reshape(got.shape) * scale)


def test_qdq_logits_and_batches() -> None:
    model, pixels = compressed(all_operations(), 4)
    running = session(convert.FORMATS["qdq"](model))
    units = golden.run(model, model.input.quantize(pixels))[:, :, 0, 0]
    scale = np.float32(scales_of(model)["fc2"])
    for count in (1, 6):
        got = running.run(None, {"input": pixels[:count]})[0]
        np.testing.assert_array_equal(got, units[:count] * scale)


def qonnx_units(
    model: CompressedModel, names: Sequence[str], image: np.ndarray
) -> list[np.ndarray]:
    """[C, H, W] of those nodes as qonnx computes them, in units of their scales."""
    wrapper = ModelWrapper(onnx.load_model_from_string(convert.FORMATS["qonnx"](model)))
    wrapper = wrapper.transform(InferShapes())
    mean, std = (
        np.array(part, np.float32)[:, None, None] for part in (model.input.mean, model.input.std)
    )
    x = ((image / np.float32(255) - mean) / std)[None].astype(np.float32)
    context = execute_onnx(wrapper, {"input": x}, return_full_exec_context=True)
    scales = scales_of(model)
    return [np.rint(context[name] / scales[name]).reshape(model.shapes[name]) for name in names]


def without_weights(model: CompressedModel) -> CompressedModel:
    """The network with all filters but one of its first layer empty, and all of two more layers."""
    nodes = list(model.nodes)
    for number, node in enumerate(nodes):
        if isinstance(node, Layer) and node.name in ("stem", "depthwise", "fc1"):
            levels = node.dense_levels()
            levels[int(node.name == "stem") :] = 0
            kept = {
                field.name: getattr(node, field.name)
                for field in dataclasses.fields(node)
                if field.name not in ("row_ptr", "col_idx", "levels")
            }
            nodes[number] = Layer.from_dense(levels, **kept)
    return dataclasses.replace(model, nodes=tuple(nodes))


@pytest.mark.parametrize("each", [False, True])
def test_layers_and_filters_without_weights(
    everything: tuple[CompressedModel, np.ndarray], each: bool, tmp_path: Path
) -> None:
    model, pixels = everything
    model = without_weights(per_filter(model, 3) if each else model)
    assert [layer.nnz > 0 for layer in model.layers] == [True, False, True, False, True]
    for coding in (None, *CODINGS):
        back = container.from_bytes(container.to_bytes(model, coding))
        assert container.to_bytes(back) == container.to_bytes(model)
    wanted = golden.trace(back, back.input.quantize(pixels))
    for name, got in every_value(back, pixels):
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)
    for form in convert.FORMATS:
        convert.write(back, form, tmp_path / form, golden.trace)
    assert not load_file(tmp_path / "safetensors")["fc1.weight"].any()


@pytest.mark.parametrize("op", ["add", "concat"])
@pytest.mark.parametrize("factors", [(1, 2.0**-17), (2.0**-40, 1), (2.0**40, 1), (0, 0)])
def test_branches_of_very_different_scales(
    op: Literal["add", "concat"], factors: tuple[float, float], tmp_path: Path
) -> None:
    """What is too small for the other's units adds nothing, and the output has the other's scale.
    Both factors may be zero in a file, too."""
    net = Builder("branches", (3, 4, 4))
    for name in ("one", "two"):
        net.conv(name, 4, 1, relu=False, source="input")
    net.host("joint", op, "one", "two")
    net.conv("last", 2, 1, relu=False)
    torch.manual_seed(1)
    network = Network(net.spec()).eval()
    with torch.no_grad():
        for name, factor in zip(("one", "two"), factors, strict=True):
            network.weights[name].mul_(factor)
            network.biases[name].zero_()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 4, 4), np.uint8)
    source = input_spec((3, 4, 4), (0.5,) * 3, (0.5,) * 3)
    batches = [normalised(source, pixels)]
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in network.weights.items()}
    levels = put_on_levels(network.weights, masks, dict.fromkeys(masks, 8))
    model = assemble(network, levels, source, lambda: batches)
    joint = model.nodes[2]
    assert isinstance(joint, HostOp)
    assert (0 in (joint.attrs["mul0"], joint.attrs["mul1"])) == any(factors)
    if not any(factors):
        joint = dataclasses.replace(joint, attrs=joint.attrs | {"mul0": 0, "mul1": 0})
        nodes = (*model.nodes[:2], joint, *model.nodes[3:])
        model = dataclasses.replace(model, nodes=nodes)
    model = container.from_bytes(container.to_bytes(model))
    for form in convert.FORMATS:
        convert.write(model, form, tmp_path / form, golden.trace)
    scales, wanted = scales_of(model), golden.trace(model, source.quantize(pixels))
    if any(factors):
        assert scales["joint"] == pytest.approx(max(scales["one"], scales["two"]), rel=0.1)
    for image, units in zip(pixels, wanted["last"], strict=True):
        (got,) = qonnx_units(model, ["last"], image)
        assert np.abs(got - units).max() <= 1
    real = network(batches[0]).detach().numpy()
    off = np.abs(wanted["last"] * scales["last"] - real).max()
    assert off <= 0.03 * np.abs(real).max() + scales["last"]


HARD_NAMES = (
    "logits", "logits-2", "Conv_5", "Add_3", "Quant_0", "constant_0", "constant_1", "pixel_table",
    "input.quantized", "a.weight", "a.weight.quantized", "a.bias", "a.levels", "a", "node", "",
    " ", "two words", "/features/0/Conv", "größe", "畳み込み", "x" * 300,
)  # fmt: skip


def renamed(model: CompressedModel, names: Sequence[str]) -> CompressedModel:
    """The same network, its nodes called `names`."""
    new = {"input": "input"} | {
        node.name: name for node, name in zip(model.nodes, names, strict=True)
    }
    nodes: list[Node] = []
    for node in model.nodes:
        if isinstance(node, Layer):
            nodes.append(dataclasses.replace(node, name=new[node.name], input=new[node.input]))
        else:
            inputs = tuple(new[name] for name in node.inputs)
            nodes.append(dataclasses.replace(node, name=new[node.name], inputs=inputs))
    outputs = tuple(new[name] for name in model.outputs)
    return dataclasses.replace(model, nodes=tuple(nodes), outputs=outputs)


@pytest.fixture(scope="module")
def everything() -> tuple[CompressedModel, np.ndarray]:
    return compressed(all_operations(), 4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_names_of_nodes_are_never_those_that_the_writers_make_up(
    everything: tuple[CompressedModel, np.ndarray], tmp_path: Path, data: st.DataObject
) -> None:
    model, _ = everything
    count = len(model.nodes)
    drawn = st.sampled_from(HARD_NAMES) | st.text(max_size=12).filter(
        lambda name: name != "input" and is_printable(name)
    )
    names = data.draw(st.lists(drawn, min_size=count, max_size=count, unique=True))
    model = renamed(model, names)
    for form in ("qdq", "qonnx"):
        file = tmp_path / f"m.{form}"
        convert.write(model, form, file, golden.trace)
        graph = onnx.load(file).graph
        tensors = [name for node in graph.node for name in node.output]
        tensors += [value.name for value in (*graph.initializer, *graph.input)]
        assert len(set(tensors)) == len(tensors)
        assert {name for name in names if name} <= set(tensors)


def test_two_poolings_have_constants_of_their_own() -> None:
    """Of these, long and alike in their first row."""
    net = Builder("poolings", (1, 24, 24))
    net.conv("conv", 2, 1)
    net.host("wide", "avgpool", kernel=3, stride=1, padding=1, exclude=1)
    net.maxpool("less", 2, 1)
    net.host("narrow", "avgpool", kernel=3, stride=1, padding=1, exclude=1)
    mean = {"exclude": 1, "mul0": 40000, "shift": 18, "kernel": 3, "stride": 1, "padding": 1}
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 24, 24), np.uint8)
    model = pipeline.compress(
        Network(net.spec()).eval(), input_spec((1, 24, 24), (0.5,), (0.5,)), {"conv": 1.0},
        {"conv": 8}, pixels,
    )  # fmt: skip
    nodes = [
        node if isinstance(node, Layer) or node.op != "avgpool"
        else dataclasses.replace(node, attrs=mean)
        for node in model.nodes
    ]  # fmt: skip
    model = dataclasses.replace(model, nodes=tuple(nodes))
    wanted = golden.trace(model, model.input.quantize(pixels))
    for name, got in every_value(model, pixels):
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)


def test_a_network_and_its_only_node_without_a_name(tmp_path: Path) -> None:
    model = dataclasses.replace(renamed(tie_layer(3, 1 << 15, 16, 5), [""]), name="")
    for form in convert.FORMATS:
        convert.write(model, form, tmp_path / form, golden.trace)
    assert len(onnx.load(tmp_path / "qdq").graph.name) > 0


@pytest.mark.parametrize("form", ["qdq", "qonnx", "safetensors"])
def test_what_fails_its_check_leaves_no_file(
    everything: tuple[CompressedModel, np.ndarray],
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bytes of a network that differs in one weight, or in its first layer's stride."""
    model, _ = everything
    first = model.layers[0]
    assert isinstance(first, Layer)
    levels = first.dense_levels()
    levels[0, 0] = 1 if levels[0, 0] <= 0 else -1
    kept = {f.name: getattr(first, f.name) for f in dataclasses.fields(first)}
    for derived in ("row_ptr", "col_idx", "levels"):
        del kept[derived]
    other = dataclasses.replace(model, nodes=(Layer.from_dense(levels, **kept), *model.nodes[1:]))
    blob = convert.FORMATS[form](other)
    if form == "qonnx":  # whose values are not compared
        blob = blob.replace(b"strides", b"stridez")
    monkeypatch.setitem(convert.FORMATS, form, lambda _: blob)
    with pytest.raises(CosignError, match=rf"everything as {form} fails its check, so .* is not"):
        convert.write(model, form, tmp_path / "m", golden.trace)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_qdq_of_lenet5_on_all_test_images_of_mnist() -> None:
    pixels = mnist.load(None)["t10k-images-idx3-ubyte"][:, None]
    network, source = pipeline.untrained("lenet5", pixels[:16], 0)
    chosen, bits = LENET5.densities("default"), LENET5.bits.by_layer(LENET5.spec)
    model = pipeline.compress(network, source, chosen, bits, pixels[:16])
    running = session(convert.FORMATS["qdq"](model))
    scale = np.float32(scales_of(model)["fc2"])
    for start in range(0, len(pixels), 500):
        some = pixels[start : start + 500]
        units = golden.run(model, model.input.quantize(some))[:, :, 0, 0]
        np.testing.assert_array_equal(running.run(None, {"input": some})[0], units * scale)


def tie_layer(levels: int, mul: int, shift: int, bias: int) -> CompressedModel:
    """One linear layer of `levels` inputs, all with level 127, whose sums hit halves."""
    weights = np.full((2, levels), 127, np.int8)
    weights[1] *= -1
    layer = Layer.from_dense(
        weights,
        name="fc",
        input="input",
        geometry=Geometry("linear", levels, 2),
        bits=8,
        q=1.0,
        bias=np.full(2, bias),
        mul=mul,
        shift=shift,
        relu=False,
        in_scale=1.0,
        out_scale=1.0,
    )
    source = InputSpec((levels, 1, 1), 1 / 255, (0.0,) * levels, (1.0,) * levels)
    return CompressedModel("ties", source, (layer,))


@pytest.mark.parametrize("levels", [1, 3, 2000])
def test_halves_are_rounded_up_and_large_sums_stay_exact(levels: int) -> None:
    """2000 inputs at 127 * 127 exceed 2^24; mul / 2^shift = 1/2 and 2^-15 make ties."""
    for mul, shift in ((1 << 15, 16), (1, 15), (40503, 30)):
        for bias in (-3, 0, 5):
            model = tie_layer(levels, mul, shift, bias)
            pixels = np.random.default_rng(0).integers(0, 256, (200, levels, 1, 1), np.uint8)
            wanted = golden.run(model, model.input.quantize(pixels))
            for _, got in every_value(model, pixels):
                np.testing.assert_array_equal(got, wanted)


@pytest.fixture(scope="module")
def filters(everything: tuple[CompressedModel, np.ndarray]) -> tuple[CompressedModel, np.ndarray]:
    """That network with scales of its filters."""
    return per_filter(everything[0], 1), everything[1]


@pytest.mark.parametrize("network", ["everything", "newer", "narrower", "filters"])
def test_qonnx_is_the_integer_model_but_for_single_units(
    network: str, request: pytest.FixtureRequest
) -> None:
    model, pixels = request.getfixturevalue(network)
    wanted = golden.trace(model, model.input.quantize(pixels))
    off, values, names = 0, 0, [node.name for node in model.nodes]
    for number, image in enumerate(pixels):
        for name, got in zip(names, qonnx_units(model, names, image), strict=True):
            difference = np.abs(got - wanted[name][number])
            assert difference.max() <= 2, name
            off, values = off + int((difference > 0).sum()), values + difference.size
    assert off < 0.01 * values


@pytest.mark.parametrize("act_bits", [8, 6])
def test_qonnx_says_how_wide_weights_and_activations_are(act_bits: int) -> None:
    model, _ = compressed(all_operations(), 3, act_bits=act_bits)
    wrapper = ModelWrapper(onnx.load_model_from_string(convert.FORMATS["qonnx"](model)))
    quants = {node.name: node for node in wrapper.graph.node if node.op_type == "Quant"}

    def bits(name: str) -> float:
        return float(wrapper.get_initializer(quants[name].input[3]))

    names = ("stem.weight.quantized", "stem", "fc2", "input.quantized")
    assert [bits(name) for name in names] == [4, act_bits - 1, act_bits, act_bits]


@pytest.mark.parametrize("network", ["everything", "filters"])
def test_safetensors_hold_weights_masks_and_intervals(
    network: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model, _ = request.getfixturevalue(network)
    file = tmp_path / "m.safetensors"
    convert.write(model, "safetensors", file)
    tensors = load_file(file)
    length = int.from_bytes(file.read_bytes()[:8], "little")
    metadata = json.loads(file.read_bytes()[8 : 8 + length])["__metadata__"]
    for layer in model.layers:
        weight = tensors[f"{layer.name}.weight"]
        dense = layer.dense_levels().reshape(weight.shape)
        np.testing.assert_array_equal(tensors[f"{layer.name}.mask"], dense != 0)
        q, bias = json.loads(metadata[f"{layer.name}.q"]), tensors[f"{layer.name}.bias"]
        assert isinstance(q, float if layer.uniform else list)
        for number, own in enumerate(np.resize(q, len(bias))):
            np.testing.assert_array_equal(weight[number], dense[number] * np.float32(own))
            assert own == layer.q[number]
            assert bias[number] == np.float32(layer.bias[number] * (layer.in_scale * own))
    assert tensors["wide.weight"].shape == (6, 16, 1, 3)
    assert tensors["fc1.weight"].shape == (7, 6)
    assert metadata["stem.bits"] == "4"


@pytest.mark.parametrize("network", ["everything", "filters"])
def test_csr_multiplies_as_the_layer_does(network: str, request: pytest.FixtureRequest) -> None:
    model, _ = request.getfixturevalue(network)
    matrices = convert.csr(model)
    layer = next(layer for layer in model.layers if layer.name == "fc1")
    x = np.random.default_rng(0).integers(-128, 128, (1, 6, 1, 1), np.int8)
    sums = golden.accumulate(layer, x)[0, :, 0, 0]
    np.testing.assert_allclose(matrices["fc1"] @ x[0, :, 0, 0], sums * layer.q, atol=1e-3)
    assert {name: matrix.nnz for name, matrix in matrices.items()} == {
        layer.name: layer.nnz for layer in model.layers
    }


def test_convert_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, pixels = compressed(all_operations(), 4)
    container.save(model, tmp_path / "m.cosign")
    out = tmp_path / "m.onnx"
    assert main(["convert", str(tmp_path / "m.cosign"), "--to", "qdq", "--out", str(out)]) == 0
    running = onnxruntime.InferenceSession(out)
    assert running.run(None, {"input": pixels})[0].shape == (6, 5)
    missing = tmp_path / "no.cosign"
    assert main(["convert", str(missing), "--to", "qonnx", "--out", str(out)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_schema_2_pooling_has_equal_padding() -> None:
    """What `end` and `exclude` mean where they are absent."""
    model, _ = compressed(all_operations(), 4)
    pool = next(node for node in model.nodes if node.name == "tail")
    old = {key: value for key, value in pool.attrs.items() if key not in ("end", "exclude")}
    assert dataclasses.replace(pool, attrs=old) == pool
