"""Foreign ONNX models made plain: every promise, with what onnxruntime computes of the original."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Graph, compute, session

from compress.exchange.onnx.clean import OPSET, Cleaned, cleaned, load
from cosign import CosignError

BACKEND = Path(onnx.__file__).parent / "backend/test/data"
NO_IMAGES = {"test_Embedding", "test_Embedding_sparse", "test_PoissonNLLLLoss_no_reduce"}
CONVERTED = [
    path
    for path in sorted((BACKEND / "pytorch-converted").glob("*/model.onnx"))
    if path.parent.name not in NO_IMAGES  # inputs of indices, or without a batch
]


def plain(model: onnx.ModelProto, outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """Cleaned, and all that is promised of any model."""
    return promised(cleaned(model, "net.onnx", outputs)).model


def promised(found: Cleaned) -> Cleaned:
    model = found.model
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert not model.functions
    assert not model.graph.sparse_initializer
    ops = Counter(node.op_type for node in model.graph.node)
    assert not {"Constant", "Identity", "Dropout", "Shape", "DequantizeLinear"} & ops.keys()
    assert not any(node.domain for node in model.graph.node)
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    read = {name for node in model.graph.node for name in node.input}
    kept = {value.name for value in model.graph.output}
    assert {value.name for value in model.graph.input} <= read | kept
    assert {tensor.name for tensor in model.graph.initializer} <= read | kept
    assert not {value.name for value in model.graph.input} & constants(model).keys()
    known = shapes(model)
    assert {name for node in model.graph.node for name in node.output if name} <= known.keys()
    assert all(isinstance(length, int) for shape in known.values() for length in shape)
    floats = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    assert not floats & {value.type.tensor_type.elem_type for value in values}
    assert not floats & {tensor.data_type for tensor in model.graph.initializer}
    return found


def shapes(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    return {
        value.name: [axis.dim_value or axis.dim_param for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def assert_same(
    model: onnx.ModelProto, shape: Sequence[int] = (1, 3, 8, 8), original: Any = None
) -> onnx.ModelProto:
    """`model` cleaned computes what it does; `original` is a form of it that onnxruntime takes."""
    result = plain(model)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted = compute(original or model, x)
    got = compute(result, x if shapes(result)["x"] == list(shape) else x[:1])
    np.testing.assert_allclose(got, wanted[:1], rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    return result


def classifier(graph: Graph, x: str = "x") -> str:
    """A convolution, a pooling and 4 outputs of 3 x 8 x 8."""
    x = graph.node("Relu", graph.conv(x, 3, 4, "conv1", pads=[1] * 4), name="relu")
    return graph.node("MaxPool", x, name="pool", kernel_shape=[2, 2], strides=[2, 2])


def head(graph: Graph, x: str) -> str:
    graph.random("fc.weight", 5, 64)
    return graph.node("Gemm", x, "fc.weight", graph.random("fc.bias", 5), name="fc", transB=1)


def flat(graph: Graph, x: str) -> str:
    return head(graph, graph.node("Flatten", x, name="flat"))


# files


def test_a_file_of_any_name_with_weights_beside_it_is_read(tmp_path):
    folder = tmp_path / "my nets (ü)"
    folder.mkdir()
    graph = Graph()
    flat(graph, classifier(graph))
    path = folder / "NETZ 1.ONNX"
    onnx.save(graph.model(), path, save_as_external_data=True, location="w ä.bin", size_threshold=0)
    assert (folder / "w ä.bin").exists()
    assert_same(load(path), original=graph.model())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.unlink(), "cannot read .*No such file"),
        (lambda path: path.write_bytes(b"\x08\x07\xff"), "is not a whole ONNX model"),
        (lambda path: path.write_bytes(path.read_bytes()[:-50]), "is not a whole ONNX model"),
        (lambda path: (path.parent / "w.bin").unlink(), "keeps weights in another file"),
        (
            lambda path: (path.parent / "w.bin").write_bytes(b"12"),
            "keeps weights in another|damaged",
        ),
        (lambda path: path.write_bytes(b""), "is not a whole ONNX model"),
        (lambda path: path.write_bytes(b"hello, world"), "is not a whole ONNX model"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(damage, sentence, tmp_path):
    graph = Graph()
    flat(graph, classifier(graph))
    path = tmp_path / "net.onnx"
    onnx.save(graph.model(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    damage(path)
    with pytest.raises(CosignError, match=sentence) as caught:
        cleaned(load(path), str(path))
    assert "\n" not in str(caught.value)


def test_weights_shorter_than_their_shape_are_refused():
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model()
    tensor = model.graph.initializer[0]
    tensor.raw_data = tensor.raw_data[:-4]
    with pytest.raises(CosignError, match=f"weights '{tensor.name}' are damaged"):
        cleaned(model, "net.onnx")


def test_an_input_that_nothing_gives_is_refused():
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model()
    model.graph.node[0].input[1] = "lost"
    with pytest.raises(CosignError, match="'conv1' reads 'lost', which nothing computes"):
        cleaned(model, "net.onnx")


# validity


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23])
def test_every_opset_becomes_one(opset):
    graph = Graph()
    x = graph.node("BatchNormalization", *bn(graph, classifier(graph)), name="bn")
    y = flat(graph, graph.node("Dropout", x, name="drop"))
    result = assert_same(graph.model(graph.node("Softmax", y, name="softmax", axis=1), opset))
    assert ops(result) == [
        *("Conv", "Relu", "MaxPool", "BatchNormalization", "Flatten", "Gemm", "Softmax")
    ]


def bn(graph: Graph, x: str) -> list[str]:
    rows = [graph.random(f"bn.{part}", 4, low=0.2) for part in ("scale", "bias", "mean", "var")]
    return [x, *rows]


@pytest.mark.parametrize("opset", [1, 5, 6])
def test_opsets_that_onnxruntime_does_not_read_are_converted(opset):
    graph = Graph()
    y = flat(graph, classifier(graph))
    model = graph.model(y, opset)
    if opset < 7:  # broadcasting by an attribute
        made = graph.node("Add", y, graph.random("shift", 5), name="sum", broadcast=1, axis=1)
        model = graph.model(made, opset)
        model.ir_version = 3
    modern = onnx.ModelProto()
    modern.CopyFrom(model)
    modern.opset_import[0].version = 13
    modern.ir_version = 8
    del modern.graph.node[-1].attribute[:]
    assert_same(model, original=modern)


def test_an_opset_of_the_future_is_refused():
    graph = Graph()
    flat(graph, classifier(graph))
    with pytest.raises(CosignError, match="uses opset 999 of ONNX"):
        cleaned(graph.model(opset=999), "net.onnx")


@pytest.mark.parametrize("first", [True, False])
def test_initialisers_are_no_inputs(first):
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model(opset=8)
    modern = onnx.ModelProto()
    modern.CopyFrom(model)
    weights = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    ]
    image = list(model.graph.input)
    del model.graph.input[:]
    model.graph.input.extend([*weights, *image] if first else [*image, *weights])
    model.ir_version = 3
    result = assert_same(model, original=modern)
    assert [value.name for value in result.graph.input] == ["x"]


def test_ir_3_needs_no_initialisers_among_its_inputs():
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model(opset=8)
    model.ir_version = 3
    assert_same(model)


@pytest.mark.parametrize("by_axis", [True, False])
def test_sparse_initialisers_become_dense(by_axis):
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model()
    tensor = next(each for each in model.graph.initializer if each.name == "fc.weight")
    weights = np.where(numpy_helper.to_array(tensor) > 0.5, numpy_helper.to_array(tensor), 0)
    tensor.CopyFrom(numpy_helper.from_array(weights, "fc.weight"))
    dense = onnx.ModelProto()
    dense.CopyFrom(model)
    model.graph.initializer.remove(tensor)
    where = np.argwhere(weights) if by_axis else np.flatnonzero(weights)
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            numpy_helper.from_array(weights[weights != 0], "fc.weight"),
            numpy_helper.from_array(where.astype(np.int64), "where"),
            weights.shape,
        )
    )
    result = assert_same(model, original=dense)
    np.testing.assert_array_equal(constants(result)["fc.weight"], weights)


def test_constant_nodes_are_initialisers():
    graph = Graph()
    x = classifier(graph)
    graph.node("Constant", name="shape", value_ints=[-1, 64])
    values = numpy_helper.from_array(np.eye(64, dtype=np.float32)[:, :5])
    graph.node("Constant", name="matrix", value=values)
    result = assert_same(
        graph.model(
            graph.node("MatMul", graph.node("Reshape", x, "shape", name="r"), "matrix", name="y")
        )
    )
    assert ops(result) == ["Conv", "Relu", "MaxPool", "Reshape", "MatMul"]
    np.testing.assert_array_equal(constants(result)["matrix"], np.eye(64)[:, :5])


def test_names_are_made_unique_and_kept_where_they_are():
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model()
    model.graph.name = ""
    for node, name in zip(model.graph.node, ["a", "", "a", "b", ""], strict=True):
        node.name = name
    original = graph.model()
    result = assert_same(model, original=original)
    names = [node.name for node in result.graph.node]
    assert names[0] == "a"
    assert names[3] == "b"
    assert {"conv1.weight", "conv1.bias", "fc.weight", "fc.bias"} == constants(result).keys()


def test_domain_ai_onnx_is_onnx():
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model()
    model.opset_import[0].domain = "ai.onnx"
    for node in model.graph.node:
        node.domain = "ai.onnx"
    assert_same(model, original=graph.model())


def test_shapes_that_the_file_gives_wrongly_or_not_at_all_are_inferred():
    graph = Graph()
    y = flat(graph, classifier(graph))
    model = graph.model(y)
    del model.graph.value_info[:]
    model.graph.value_info.append(onnx.ValueInfoProto(name="pool"))  # no type
    model.graph.value_info.append(
        helper.make_tensor_value_info("relu", TensorProto.FLOAT, ["N", 4, 8, 8])
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    result = plain(model)
    assert shapes(result) == {
        "x": [1, 3, 8, 8],
        "conv1": [1, 4, 8, 8],
        "relu": [1, 4, 8, 8],
        "pool": [1, 4, 4, 4],
        "flat": [1, 64],
        "fc": [1, 5],
    }


def test_nodes_may_stand_in_any_order():
    graph = Graph()
    y = flat(graph, classifier(graph))
    model = graph.model(y)
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert_same(model, original=graph.model(y))


def test_the_model_given_is_left_as_it_is():
    graph = Graph()
    flat(graph, classifier(graph))
    model = graph.model(opset=11)
    before = model.SerializeToString(deterministic=True)
    plain(model)
    assert model.SerializeToString(deterministic=True) == before


# outputs


def test_only_what_the_outputs_need_stays():
    graph = Graph()
    x = classifier(graph)
    graph.node("Sigmoid", graph.conv(x, 4, 2, "box"), name="dead")
    graph.node("NoSuchThing", x, name="foreign")
    model = graph.model(flat(graph, x))
    model.graph.input.append(helper.make_tensor_value_info("keep_prob", TensorProto.FLOAT, []))
    result = plain(model)
    assert [value.name for value in result.graph.input] == ["x"]
    assert "box" not in ops(result)
    assert {"conv1.weight", "conv1.bias", "fc.weight", "fc.bias"} == constants(result).keys()


def test_outputs_and_values_inside_are_chosen_by_name():
    graph = Graph()
    x = classifier(graph)
    y = flat(graph, x)
    model = graph.model(y)
    model.graph.output.append(helper.make_tensor_value_info(x, TensorProto.FLOAT, None))
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    for chosen in (["fc", "pool"], ["relu"], ["pool", "fc"], []):
        result = plain(model, chosen)
        assert [value.name for value in result.graph.output] == (chosen or ["fc", "pool"])
    np.testing.assert_allclose(
        session(plain(model, ["pool"])).run(["pool"], {"x": image})[0],
        session(model).run(["pool"], {"x": image})[0],
        rtol=1e-5,
    )


def test_an_unknown_output_is_refused_with_the_names_there_are():
    graph = Graph()
    model = graph.model(flat(graph, classifier(graph)))
    with pytest.raises(
        CosignError,
        match=r"no output 'logits'; its outputs are fc, and inside it are "
        r"conv1, relu, pool, flat\.",
    ):
        cleaned(model, "net.onnx", ["logits"])


def test_an_output_behind_an_identity_keeps_its_name():
    graph = Graph()
    y = flat(graph, classifier(graph))
    result = assert_same(graph.model(graph.node("Identity", y, name="logits")))
    assert [value.name for value in result.graph.output] == ["logits"]
    assert ops(result)[-1] == "Gemm"


# types


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("cast", [True, False])
def test_floats_of_all_widths_are_float32(kind, cast):
    graph = Graph()
    model = graph.model(flat(graph, classifier(graph)), opset=22)
    model.ir_version = 10
    element = {"float16": 10, "bfloat16": 16, "float64": 11}[kind]
    wanted, casts = {}, []
    for tensor in model.graph.initializer:
        name, values = tensor.name, numpy_helper.to_array(tensor)
        narrow = values.astype(helper.tensor_dtype_to_np_dtype(element))
        stored = f"{name}_stored" if cast else name
        tensor.CopyFrom(numpy_helper.from_array(narrow, stored))
        wanted[name] = narrow.astype(np.float32)
        if cast:
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    model.graph.node.extend(casts)
    if not cast:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = element
    found = promised(cleaned(model, "net.onnx"))
    assert ops(found.model) == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert f"{kind} weights are read as float32" in found.notes
    assert {"Cast"}.isdisjoint(ops(found.model))
    got = constants(found.model)
    assert got.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(got[name], values)


def test_an_image_of_bytes_is_read_as_float32_of_the_same_values():
    graph = Graph()
    x = graph.node("Cast", "x", name="cast", to=TensorProto.FLOAT)
    x = graph.node("Div", x, graph.constant("c", 255), name="scaled")
    model = graph.model(flat(graph, classifier(graph, x)))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    found = promised(cleaned(model, "net.onnx"))
    assert found.notes == ("the input 'x' of uint8 is read as float32 of the same values",)
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8), np.uint8)
    np.testing.assert_allclose(
        compute(found.model, image.astype(np.float32)), compute(model, image), rtol=1e-5
    )


# batch and shapes


@pytest.mark.parametrize("batch", ["N", "", -1, 1, 64])
def test_the_batch_is_one_image(batch):
    graph = Graph((batch, 3, 8, 8))
    x = classifier(graph)
    if batch == 64:  # written into the graph, as tracers do
        x = graph.node("Reshape", x, graph.constant("to", [64, 64], np.int64), name="flat")
        y = head(graph, x)
        pad = graph.constant("zeros", np.zeros((64, 2)))
        model = graph.model(graph.node("Concat", y, pad, name="padded", axis=1))
    else:
        model = graph.model(flat(graph, x))
    if batch == -1:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    result = assert_same(model, (64 if batch == 64 else 1, 3, 8, 8))
    assert all(shape[0] == 1 for shape in shapes(result).values())
    if batch == 64:
        assert constants(result)["fc.weight"].shape == (5, 64)


def test_a_batch_that_is_an_axis_of_parts_is_one_image_too():
    """Parts of 4 images, as the windows of a detector, and a size that Resize is given."""
    graph = Graph((4, 3, 8, 8))
    x = classifier(graph)
    size = graph.constant("size", [4, 4, 8, 8], np.int64)
    x = graph.node("Resize", x, "", "", size, name="larger", mode="nearest")
    x = graph.node("Reshape", x, graph.constant("parts", [4 * 8, 32], np.int64), name="parts1")
    y = graph.node("MatMul", x, graph.random("w", 32, 4), name="y")
    result = plain(graph.model(y))
    assert shapes(result)["y"] == [8, 4]
    image = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    wanted = compute(graph.model(y), image)
    np.testing.assert_allclose(compute(result, image[:1]), wanted[:8], rtol=1e-4, atol=1e-4)


def test_weights_that_differ_by_image_of_a_batch_are_refused():
    graph = Graph((4, 3, 8, 8))
    x = graph.node("Add", "x", graph.random("w", 4, 3, 8, 8), name="by_image")
    with pytest.raises(CosignError, match=r"'by_image' .Add. is written for 4 images at once"):
        cleaned(graph.model(classifier(graph, x)), "net.onnx")


def test_an_image_without_a_batch_stays_whole():
    graph = Graph((3, 8, 8))
    x = graph.node("Unsqueeze", "x", graph.constant("axes", [0], np.int64), name="batched")
    result = assert_same(graph.model(flat(graph, classifier(graph, x))), (3, 8, 8))
    assert shapes(result)["x"] == [3, 8, 8]


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 3, "H", "W"), "the height of the input 'x' is dynamic"),
        ((1, 3, 8, "W"), "the width of the input 'x' is dynamic"),
        ((1, "C", 8, 8), "the channels of the input 'x' is dynamic"),
        ((1, "H", "W", 3), "the height of the input 'x' is dynamic"),
        ((1, "T"), "the axis 1 of the input 'x' is dynamic"),
    ],
)
def test_a_dynamic_image_is_refused(shape, sentence):
    graph = Graph(shape)
    graph.node("Relu", "x", name="relu")
    with pytest.raises(CosignError, match=f"{sentence}; fix it, e.g. with python -m onnxruntime"):
        cleaned(graph.model(), "net.onnx")


def test_an_input_without_a_shape_is_refused():
    graph = Graph()
    model = graph.model(flat(graph, classifier(graph)))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(CosignError, match="the shape of the input 'x' is not given; give it"):
        cleaned(model, "net.onnx")


def test_shapes_that_depend_on_the_image_are_refused():
    graph = Graph()
    graph.node("NonZero", "x", name="where")
    with pytest.raises(CosignError, match=r"'where', which node 'where' .NonZero. gives, is no"):
        cleaned(graph.model(), "net.onnx")


# folding


def size_of_batch(graph: Graph, x: str) -> str:
    return graph.node(
        "Gather", graph.node("Shape", x, name="shape"), graph.constant("i", [0], np.int64), name="n"
    )


def by_concat(graph: Graph, x: str) -> str:
    rest = graph.constant("rest", [-1], np.int64)
    to = graph.node("Concat", size_of_batch(graph, x), rest, name="to", axis=0)
    return graph.node("Reshape", x, to, name="flat")


def by_slice_of_shape(graph: Graph, x: str) -> str:
    first = graph.node("Shape", x, name="first", start=0, end=1)
    to = graph.node("Concat", first, graph.constant("rest", [64], np.int64), name="to", axis=0)
    return graph.node("Reshape", x, to, name="flat")


def by_product(graph: Graph, x: str) -> str:
    size = graph.node("ReduceProd", graph.node("Shape", x, name="all", start=1), name="size")
    one = graph.constant("one", [1], np.int64)
    size = graph.node("Reshape", size, one, name="size1")
    to = graph.node("Concat", one, size, name="to", axis=0)
    return graph.node("Reshape", x, to, name="flat")


def by_zeros_joined(graph: Graph, x: str) -> str:
    """x + 0 of ConstantOfShape and Expand, then the flattening of its size divided."""
    shape = graph.node("Shape", x, name="all")
    zeros = graph.node("ConstantOfShape", shape, name="zeros")
    ones = graph.node("Expand", graph.constant("unit", [1.0]), shape, name="ones")
    x = graph.node("Mul", graph.node("Add", x, zeros, name="added"), ones, name="scaled")
    size = graph.node("Size", x, name="size")
    row = graph.node("Div", size, graph.constant("count", 1, np.int64), name="row")
    row = graph.node("Unsqueeze", row, graph.constant("axis", [0], np.int64), name="row1")
    to = graph.node("Concat", graph.constant("one", [1], np.int64), row, name="to", axis=0)
    return graph.node("Reshape", x, to, name="flat")


def by_split_of_shape(graph: Graph, x: str) -> str:
    graph.node("Shape", x, name="all")
    graph.nodes.append(helper.make_node("Split", ["all", "sizes"], ["n", "chw"], axis=0))
    graph.constant("sizes", [1, 3], np.int64)
    size = graph.node("ReduceProd", "chw", name="size")
    to = graph.node("Concat", "n", size, name="to", axis=0)
    return graph.node("Reshape", x, to, name="flat")


@pytest.mark.parametrize(
    "flattened", [by_concat, by_slice_of_shape, by_product, by_zeros_joined, by_split_of_shape]
)
def test_arithmetic_on_shapes_is_folded(flattened):
    graph = Graph()
    result = assert_same(graph.model(head(graph, flattened(graph, classifier(graph)))))
    kinds = [kind for kind in ops(result) if kind not in ("Add", "Mul")]
    assert kinds == ["Conv", "Relu", "MaxPool", "Reshape", "Gemm"]
    reshape = next(node for node in result.graph.node if node.op_type == "Reshape")
    assert shapes(result)[reshape.output[0]] == [1, 64]
    assert reshape.input[1] in constants(result)


def test_weights_that_are_computed_are_folded_and_keep_their_name():
    graph = Graph()
    x = classifier(graph)
    graph.random("conv2.weight", 3, 3, 4, 6)  # height, width, in, out
    weight = graph.node("Transpose", "conv2.weight", name="turned", perm=[3, 2, 0, 1])
    x = graph.node("Conv", x, weight, name="conv2")
    result = assert_same(graph.model(x))
    assert ops(result) == ["Conv", "Relu", "MaxPool", "Conv"]
    raw = dict(zip([t.name for t in graph.constants], graph.constants, strict=True))
    np.testing.assert_array_equal(
        constants(result)["conv2.weight"],
        numpy_helper.to_array(raw["conv2.weight"]).transpose(3, 2, 0, 1),
    )


def test_nodes_that_change_nothing_go():
    graph = Graph()
    x = classifier(graph)
    x = graph.node("Transpose", x, name="as_it_was", perm=[0, 1, 2, 3])
    x = graph.node("Pad", x, graph.constant("none", [0] * 8, np.int64), name="nothing")
    x = graph.node("Concat", x, name="alone", axis=1)
    x = graph.node("Dropout", x, name="drop")
    y = flat(graph, x)
    y = graph.node("Reshape", y, graph.constant("to", [1, 5], np.int64), name="again")
    y = graph.node("Flatten", y, name="flatter")
    result = assert_same(graph.model(y))
    assert ops(result) == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert result.graph.output[0].name == "flatter"


def test_an_expansion_that_broadcasting_does_is_left_to_it():
    """Gates of squeeze-and-excitation as `expand_as` writes them; of the first, one is needed."""
    graph = Graph()
    x = classifier(graph)
    gate = graph.node("Sigmoid", graph.node("GlobalAveragePool", x, name="mean"), name="gate")
    wide = graph.node("Expand", gate, graph.node("Shape", x, name="shape"), name="wide")
    row = graph.node("Mul", wide, wide, name="square")
    result = assert_same(graph.model(graph.node("Mul", x, row, name="y")))
    kinds = [node.op_type for node in result.graph.node]
    assert kinds.count("Expand") == 1
    y = Graph()
    x = classifier(y)
    gate = y.node("Sigmoid", y.node("GlobalAveragePool", x, name="mean"), name="gate")
    wide = y.node("Expand", gate, y.node("Shape", x, name="shape"), name="wide")
    result = assert_same(y.model(y.node("Mul", wide, x, name="y")))
    assert ops(result)[3:] == ["GlobalAveragePool", "Sigmoid", "Mul"]


@pytest.mark.parametrize("choice", [True, False])
def test_an_if_of_a_constant_is_resolved(choice):
    graph = Graph()
    x = classifier(graph)
    branches = [
        helper.make_graph(
            [helper.make_node(kind, [x], [f"{kind}_out"])],
            kind,
            [],
            [helper.make_tensor_value_info(f"{kind}_out", TensorProto.FLOAT, None)],
        )
        for kind in ("Sigmoid", "Tanh")
    ]
    graph.constant("choice", choice, bool)
    x = graph.node("If", "choice", name="if", then_branch=branches[0], else_branch=branches[1])
    result = assert_same(graph.model(flat(graph, x)))
    assert ops(result)[3] == ("Sigmoid" if choice else "Tanh")


def test_functions_inside_functions_are_inlined():
    graph = Graph()
    y = graph.node("Flatten", classifier(graph), name="flat")
    weight, bias = graph.random("fc.weight", 5, 64), graph.random("fc.bias", 5)
    model = graph.model(graph.node("Gemm", y, weight, bias, name="out", transB=1))
    original = onnx.ModelProto()
    original.CopyFrom(model)
    model.graph.node[-1].CopyFrom(
        helper.make_node("Head", [y, weight, bias], ["out"], name="head", domain="pkg.nn")
    )
    inner = helper.make_node("Linear", ["a", "w", "b"], ["o"], domain="pkg.nn")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("pkg.nn", 1)]
    gemm = helper.make_node("Gemm", ["a", "w", "b"], ["o"], transB=1)
    for name, node in (("Linear", gemm), ("Head", inner)):
        made = helper.make_function("pkg.nn", name, ["a", "w", "b"], ["o"], [node], opsets)
        model.functions.append(made)
    model.opset_import.append(helper.make_opsetid("pkg.nn", 1))
    result = assert_same(model, original=original)
    assert ops(result) == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert {"fc.weight", "fc.bias"} < constants(result).keys()


@st.composite
def networks(draw: st.DrawFn) -> tuple[onnx.ModelProto, int]:
    """Chains of what exporters write between two layers, and the batch they are written for."""
    batch = draw(st.sampled_from([1, 3]))
    named = batch > 1 and draw(st.booleans())
    graph = Graph(("N" if named else batch, 3, 8, 8), seed=draw(st.integers(0, 99)))
    x = graph.conv("x", 3, 4, "conv", pads=[1] * 4)
    for number, kind in enumerate(draw(st.lists(st.integers(0, 6), max_size=5))):
        name = f"n{number}"
        if kind == 0:
            x = graph.node("Identity", x, name=name)
        elif kind == 1:
            x = graph.node("Add", x, graph.random(f"{name}.c", 1, 4, 1, 1), name=name)
        elif kind == 2:
            to = graph.node("Shape", x, name=f"{name}.s")
            x = graph.node("Reshape", graph.node("Flatten", x, name=f"{name}.f"), to, name=name)
        elif kind == 3:
            zeros = graph.node("Shape", x, name=f"{name}.s")
            value = numpy_helper.from_array(np.array([0.5], np.float32))
            half = graph.node("ConstantOfShape", zeros, name=f"{name}.z", value=value)
            x = graph.node("Max", x, half, name=name)
        elif kind == 4:
            x = graph.node("Transpose", x, name=f"{name}.t", perm=[0, 2, 3, 1])
            x = graph.node("Transpose", x, name=name, perm=[0, 3, 1, 2])
        elif kind == 5:
            x = graph.node("Relu", x, name=name)
        elif not named:
            to = graph.constant(f"{name}.to", [batch, 2, 2, 64], np.int64)
            x = graph.node("Reshape", x, to, name=f"{name}.r")
            back = graph.constant(f"{name}.back", [-1, 4, 8, 8], np.int64)
            x = graph.node("Reshape", x, back, name=name)
    return graph.model(graph.node("GlobalAveragePool", x, name="y")), batch


@given(networks())
@settings(max_examples=30)
def test_random_networks_compute_what_they_did(drawn):
    model, batch = drawn
    result = assert_same(model, (batch, 3, 8, 8))
    assert shapes(result)["y"] == [1, 4, 1, 1]


@pytest.mark.parametrize("path", CONVERTED, ids=lambda path: path.parent.name)
def test_real_files_of_old_exporters_compute_what_is_written_beside_them(path):
    result = plain(load(path))
    data = path.parent / "test_data_set_0"
    x, wanted = (
        numpy_helper.to_array(onnx.load_tensor(str(data / name)))
        for name in ("input_0.pb", "output_0.pb")
    )
    shape = shapes(result)[result.graph.input[0].name]
    got = compute(result, x if list(x.shape) == shape else x[:1])
    if got.shape != wanted.shape:
        wanted = wanted[:1]
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)
