"""model.cosign: round trip, damage is always noticed, sizes add up."""

import base64
import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrowing import with_act_bits

from compress.file import container
from compress.file.packing import CODINGS, FIXED
from compress.model.graph import (
    CompressedModel,
    Geometry,
    InputSpec,
    Layer,
    finest_scale,
    fixed_point,
)
from compress.model.hostops import HostOp, pooling_window
from compress.model.levels import max_level
from cosign import CosignError


def scales(rng: np.random.Generator, dead: np.ndarray) -> dict[str, object]:
    """q, mul, shift, in_scale and out_scale: one for all filters, or one for each; mul and shift of
    their own, or those that follow from the scales; of `dead` filters the same, or not."""
    filters = len(dead)
    intervals = (
        rng.uniform(1e-4, 1),
        rng.uniform(1e-4, 1, filters),
        rng.integers(8, 16, filters) * 2.0 ** rng.integers(-12, -8, filters),
        2.0 ** rng.integers(-40, 40, filters),
    )
    q = np.resize(intervals[rng.integers(4)], filters)
    given = {"in_scale": float(rng.uniform(1e-3, 1)), "out_scale": float(rng.uniform(1e-3, 1))}
    kind, each = rng.integers(3), (1, filters)[rng.integers(2)]
    if kind == 0 and q.min() > 1e-6 and q.max() < 1:
        return {**given, "q": q, **requantiser(given, q)}
    mul, shift = rng.integers(1 << 15, 1 << 16, each), rng.integers(1, 48, each)
    mul, shift = np.resize(mul, filters), np.resize(shift, filters)
    if kind == 1 and dead.any():
        for constants in (q, mul, shift):
            constants[dead] = constants[dead][0]
    return {**given, "q": q, "mul": mul, "shift": shift}


def requantiser(given: dict[str, float], q: np.ndarray) -> dict[str, np.ndarray]:
    mul, shift = fixed_point(given["in_scale"] * q / given["out_scale"])
    return {"mul": mul, "shift": shift}


def layer(name: str, source: str, geometry: Geometry, bits: int, seed: int) -> Layer:
    rng = np.random.default_rng(seed)
    shape = (geometry.out_channels, geometry.columns)
    mask = rng.random(shape) < rng.choice([0.0, 0.05, 0.5, 1.0])
    mask[rng.random(len(mask)) < rng.choice([0.0, 0.6])] = False
    top = max_level(bits)
    nnz = int(mask.sum())
    return Layer(
        name=name,
        input=source,
        geometry=geometry,
        bits=bits,
        row_ptr=np.concatenate([[0], np.cumsum(mask.sum(axis=1))]),
        col_idx=np.nonzero(mask)[1],
        levels=rng.integers(1, top + 1, nnz) * rng.choice([-1, 1], nnz),
        bias=rng.integers(-(1 << 20), 1 << 20, geometry.out_channels),
        relu=bool(rng.integers(2)),
        **scales(rng, ~mask.any(axis=1)),
    )


def network(bits: int, seed: int, channels: int = 4) -> CompressedModel:
    conv = Geometry("conv", 2, channels, 6, 5, (3, 2), (1, 1), (1, 0), (1, 1), groups=2)
    size = channels * (conv.out_height // 2) * (conv.out_width // 2)
    return CompressedModel(
        "little",
        InputSpec((2, 6, 5), 0.02, (0.4, 0.5), (0.2, 0.3)),
        (
            layer("conv1", "input", conv, bits, seed),
            HostOp("pool1", "maxpool", ("conv1",), {"kernel": 2, "stride": 2}),
            HostOp("flatten", "flatten", ("pool1",)),
            layer("fc1", "flatten", Geometry("linear", size, 3), 8, seed + 1),
        ),
    )


def same(one: object, two: object) -> bool:
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(two) and all(
            same(getattr(one, name), getattr(two, name)) for name in names
        )
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(same, one, two))  # type: ignore[arg-type]
    if isinstance(one, np.ndarray):
        return np.array_equal(one, two) and one.dtype == two.dtype  # type: ignore[attr-defined]
    return one == two


act_bits = st.sampled_from([8, 8, 8, 7, 6, 5, 4])


@given(st.integers(1, 8), st.integers(0, 1 << 32), st.sampled_from([None, *CODINGS]), act_bits)
@settings(deadline=None)
def test_a_model_comes_back(bits: int, seed: int, coding: str | None, act_bits: int) -> None:
    model = with_act_bits(network(bits, seed), act_bits)
    blob = container.to_bytes(model, coding)
    assert same(container.from_bytes(blob), model)
    assert container.to_bytes(model, coding) == blob
    assert (blob[6] == 7) == (act_bits < 8)
    assert (blob[6] == 6) == (act_bits == 8 and not all(each.uniform for each in model.layers))


@given(st.integers(1, 8), st.integers(0, 1 << 32))
@settings(deadline=None)
def test_no_forced_coding_beats_the_choice(bits: int, seed: int) -> None:
    model = network(bits, seed)
    forced = [len(container.to_bytes(model, coding)) for coding in CODINGS]
    slack = 16  # parameters in the header and the stream's end are not weighed
    assert len(container.to_bytes(model)) <= min(forced) + slack


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Any that is possible: most kernels are larger than their map without its padding."""
    if draw(st.integers(0, 5)) == 0:
        return Geometry("linear", draw(st.integers(1, 30)), draw(st.integers(1, 5)))

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    groups, kernel, dilation, padding = draw(st.integers(1, 3)), pair(1, 9), pair(1, 3), pair(0, 9)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    height, width = (
        max(1, r - 2 * p) + draw(st.integers(0, 2)) for r, p in zip(reach, padding, strict=True)
    )
    channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    return Geometry("conv", *channels, height, width, kernel, pair(1, 4), padding, dilation, groups)


@given(geometries(), st.integers(0, 1 << 32), st.sampled_from([None, *CODINGS]))
@settings(deadline=None)
def test_every_geometry_comes_back(geometry: Geometry, seed: int, coding: str | None) -> None:
    shape = (geometry.in_channels, geometry.in_height, geometry.in_width)
    source = InputSpec(shape, 0.02, (0.4,) * shape[0], (0.2,) * shape[0])
    model = CompressedModel("one", source, (layer("any", "input", geometry, 4, seed),))
    assert same(container.from_bytes(container.to_bytes(model, coding)), model)


@st.composite
def host_operations(draw: st.DrawFn) -> CompressedModel:
    """A chain of the operations of schema 5, with one or several outputs."""
    source = InputSpec((4, 6, 5), 0.02, (0.4,) * 4, (0.2,) * 4)
    nodes: list[HostOp] = []
    shape, name = source.shape, "input"
    for number in range(draw(st.integers(1, 5))):
        op = draw(st.sampled_from(["function", "take", "permute", "mul", "maxpool", "avgpool"]))
        attrs: dict[str, float] = {}
        table, layout, inputs = b"", (), (name,)
        if op == "function":
            count = draw(st.sampled_from([1, shape[0]]))
            table = np.random.default_rng(draw(st.integers(0, 99))).bytes(256 * count)
            attrs = {"out_scale": 0.25}
        elif op == "take":
            layout = tuple(
                tuple(draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=6)))
                for size in shape
            )
            if draw(st.booleans()):
                layout = tuple(tuple(np.repeat(axis, 2).tolist()) for axis in layout)
        elif op == "permute":
            order = draw(st.permutations(range(3)))
            layout = (shape, tuple(order), tuple(shape[axis] for axis in order))
        elif op == "mul":
            attrs, inputs = {"mul0": draw(st.integers(0, 65535)), "shift": 9}, (name, name)
        else:
            attrs = {"kernel": draw(st.integers(0, 1)), "kernel1": 1, "stride": 1, "stride1": 2}
            if op == "avgpool":
                attrs |= {"exclude": draw(st.integers(0, 1)), "mul0": 3, "shift": 4}
        node = HostOp(f"n{number}", op, inputs, attrs, table, layout)  # type: ignore[arg-type]
        nodes.append(node)
        shape, name = node.output_shape([shape] * len(inputs)), node.name
    names = [node.name for node in nodes]
    outputs = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    return CompressedModel("hosts", source, tuple(nodes), tuple(outputs))


@given(host_operations(), act_bits)
def test_host_operations_and_outputs_come_back(model: CompressedModel, act_bits: int) -> None:
    model = with_act_bits(model, act_bits)
    blob = container.to_bytes(model)
    assert same(container.from_bytes(blob), model)
    assert blob[6] == (5 if act_bits == 8 else 7) or model.outputs == (model.nodes[-1].name,)


def test_a_layer_after_maps_of_one_and_of_many_channels_that_are_added() -> None:
    source = InputSpec((3, 2, 2), 0.02, (0.4,) * 3, (0.2,) * 3)
    one = HostOp("one", "take", ("input",), layout=((1,), (0, 1), (0, 1)))
    attrs = {"mul0": 1 << 15, "mul1": 1 << 15, "shift": 16, "relu": 0}
    added = HostOp("added", "add", ("one", "input"), attrs)
    made = layer("conv", "added", Geometry("conv", 3, 2, 2, 2), 4, 0)
    model = CompressedModel("added", source, (one, added, made))
    assert same(container.from_bytes(container.to_bytes(model)), model)


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_the_finest_scale_takes_fewer_bytes_than_others(bits: int) -> None:
    """What the input's scale is where no pixel saturates follows from its bits."""
    pixels = (0.4, 0.5), (0.2, 0.3)
    finest = InputSpec((2, 6, 5), finest_scale(*pixels, bits), *pixels, bits)
    model = dataclasses.replace(with_act_bits(network(3, 5), bits), input=finest)
    other = dataclasses.replace(finest, scale=1.01 * finest.scale)
    blob, longer = (
        container.to_bytes(dataclasses.replace(model, input=source)) for source in (finest, other)
    )
    assert same(container.from_bytes(blob), model)
    assert len(blob) < len(longer)


def test_activations_of_two_widths_are_refused() -> None:
    model = with_act_bits(network(3, 5), 6)
    first = dataclasses.replace(model.nodes[0], act_bits=5)
    with pytest.raises(CosignError, match="'conv1' has activations of 5 bits, the input of 6"):
        dataclasses.replace(model, nodes=(first, *model.nodes[1:]))


def test_a_table_beyond_the_activations_is_refused() -> None:
    attrs, table = {"out_scale": 1.0}, bytes(15) + bytes([8])
    with pytest.raises(CosignError, match="of 4 bits, -8 to 7, and holds 8"):
        HostOp("f", "function", ("input",), attrs, table, (), 4)


def test_a_take_of_more_than_an_axis_holds_is_refused() -> None:
    source = InputSpec((1, 1, 1), 0.02, (0.4,), (0.2,))
    node = HostOp("t", "take", ("input",), layout=((0,), (0,) * 40_000, (0,)))
    with pytest.raises(CosignError, match="takes more than 32768 places of an axis"):
        container.from_bytes(container.to_bytes(CompressedModel("t", source, (node,))))


def test_a_kernel_larger_than_its_map_takes_no_more_bytes() -> None:
    """VGG's last blocks on 2 x 2 pixels: what a geometry takes does not depend on its map."""

    def size(side: int) -> int:
        geometry = Geometry("conv", 2, 2, side, side, (3, 3), padding=(1, 1))
        source = InputSpec((2, side, side), 0.02, (0.4,) * 2, (0.2,) * 2)
        made = layer("conv1", "input", geometry, 4, 0)
        return len(container.to_bytes(CompressedModel("", source, (made,))))

    assert size(2) == size(4)


def branching(seed: int) -> CompressedModel:
    """Every host operation: conv, padded maxpool, an add of two paths, concat, both averages."""
    rng = np.random.default_rng(seed)
    mul0, mul1 = rng.integers(0, 1 << 16, 2).tolist()
    shift, relu = int(rng.integers(1, 48)), int(rng.integers(2))
    same = Geometry("conv", 2, 2, 4, 4, (3, 3), (1, 1), (1, 1))
    lrn = {"size": 3, "alpha": 0.1, "beta": 0.75, "k": 1.0, "in_scale": 0.1, "out_scale": 0.2}
    pool = {"kernel": 3, "stride": 2, "padding": 1}
    whole = {"kernel": 0, "stride": 1, "padding": 0}
    scaled = {"mul0": mul0, "shift": shift}
    return CompressedModel(
        "branching",
        InputSpec((2, 4, 4), 0.02, (0.4, 0.5), (0.2, 0.3)),
        (
            layer("b.conv1", "input", same, 3, seed),
            HostOp("b.norm", "lrn", ("b.conv1",), lrn),
            HostOp("b.add", "add", ("b.norm", "input"), {**scaled, "mul1": mul1, "relu": relu}),
            HostOp(
                "b.all", "concat", ("b.add", "b.conv1", "input"), {**scaled, "mul1": 1, "mul2": 2}
            ),
            HostOp("pool", "maxpool", ("b.all",), pool),
            HostOp(
                "mean", "avgpool", ("pool",), {**scaled, "kernel": 2, "stride": 1, "padding": 1}
            ),
            HostOp("average", "avgpool", ("mean",), {**scaled, **whole}),
            HostOp("flatten", "flatten", ("average",)),
            layer("fc", "flatten", Geometry("linear", 6, 3), 4, seed + 1),
        ),
    )


@given(st.integers(0, 1 << 32))
@settings(deadline=None)
def test_a_branching_model_comes_back(seed: int) -> None:
    model = branching(seed)
    blob = container.to_bytes(model)
    assert same(container.from_bytes(blob), model)
    assert container.to_bytes(container.from_bytes(blob)) == blob


# A file of schema 1: maxpool 2/2, flatten and a linear layer of 4 x 2 weights, 408 bytes
SCHEMA_1 = """
Lr+slM@|6%1ONa4NJT+J00000LjeE)HJ8V7Nlrvq0ssI20RR918N_Y)Ohr~q0ssI20{{R3B6zJ@LP<eW0ssI20RR
91m3Is?DjTOtc-nPR(Qbn<4Ez^AM-
^nCP5jD)s*JcKDkLlkT06wQ&rWIKWjy&D`|fPBfKwwv1AfpTz`AKp&@2#*nkfBQib_<ifY_;laB(W6fDx6Wx8hXu
OVT-(b-
N01USlM@<cN5UkBNvkmC5^oke?_X)op`WmAf{5VpS=H$VRRh91hS(RtlCm<+_T0_%8!BqI*j0aF@uM2ZbZqpzatB
Y+bqU<UrP=A2Ee{_Gg{uPU}#GTz&40a^#uFEAla?Lqg^PgSIzBS!VQObut+|XQi!|?LO}YC#AJ@Juh1ngta9@*1K
0hAN)L#NJ)42vOMjZfNwrpO*fl~xGLx)Vq-5PFDVQ-
%+RDTWA^eov#cN1Ux|`4&iz93&g?3l9}*S!X}s|+I{z@p>Z6KRc>18((9tyfYkaJ0yZ!;Ok;W(c0ofKy
"""


def test_files_of_schema_1_are_still_read() -> None:
    model = container.from_bytes(base64.b85decode(SCHEMA_1.replace("\n", "")))
    pool = model.nodes[0]
    assert isinstance(pool, HostOp)
    assert pooling_window(pool.attrs, (1, 4, 4)) == ((2, 2), (2, 2), (0, 0), (0, 0), (1, 1))
    assert model.layers[0].dense_levels().tolist() == [[2, 1, 0, -1], [-1, -2, -2, -2]]
    assert model.layers[0].bias.tolist() == [3, -4]
    assert same(container.from_bytes(container.to_bytes(model)), model)


# A file of schema 3: a convolution of 3 x 9 weights, maxpool 2/2 and a linear layer, adaptive
SCHEMA_3 = """
434f5349474e03002705736d616c6c010606000000010c01044022030304010001000202020000050122040401100100
0a6bf18400f5d078491019eb7f3c017b8ebef96abfed10e37b62d05ffb6c9bff8a0669c71799
"""


def test_files_of_schema_3_are_still_read() -> None:
    model = container.from_bytes(bytes.fromhex(SCHEMA_3))
    conv, fc = model.layers
    assert conv.dense_levels().tolist() == [
        [0, 1, 0, 0, -1, -3, -3, -3, 0],
        [0, 0, 3, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 2, 1, 0, 0, 3, 0],
    ]
    assert fc.dense_levels()[0].tolist() == [2, 0, 0, -1, 0, 0, -1, 0, -2, -2, 0, 0]
    assert (conv.bias.tolist(), fc.bias.tolist()) == ([-9, -5, -4], [-8, 4, -7, 0])
    assert same(container.from_bytes(container.to_bytes(model)), model)


@pytest.mark.parametrize("op", ["maxpool", "avgpool"])
@pytest.mark.parametrize("changed", [None, "stride", "padding", "end"])
def test_windows_side_by_side_take_one_byte(
    op: Literal["maxpool", "avgpool"], changed: str | None
) -> None:
    attrs: dict[str, float] = {"kernel": 3, "stride": 3, "padding": 0, "end": 0}
    if op == "avgpool":
        attrs |= {"exclude": 0, "mul0": 7, "shift": 6}
    if changed:
        attrs[changed] = 1
    source = InputSpec((2, 9, 9), 0.25, (0.0, 0.0), (1.0, 1.0))
    model = CompressedModel("", source, (HostOp("pool1", op, ("input",), attrs),))
    blob = container.to_bytes(model)
    assert same(container.from_bytes(blob), model)
    plain = container.to_bytes(
        CompressedModel("", source, (HostOp("flatten", "flatten", ("input",)),))
    )
    assert len(blob) - len(plain) == (4 if changed else 1) + (3 if op == "avgpool" else 0)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "message"),
    [
        ("upsample", ("input",), {}, "'upsample' is not one of maxpool, avgpool, lrn"),
        (
            "add",
            ("input",),
            {"mul0": 1, "mul1": 1, "shift": 1, "relu": 0},
            "takes two inputs, not 1",
        ),
        ("flatten", ("input", "input"), {}, "takes one input, not 2"),
        ("concat", (), {"shift": 1}, "takes at least one input, not 0"),
        ("maxpool", ("input",), {"kernel": 2}, "needs the attributes kernel, stride, padding, end"),
        ("flatten", ("input",), {"axis": 1}, "needs the attributes none, not axis"),
        ("maxpool", ("input",), {"kernel": 2, "stride": 0}, "stride is 0, must be 1"),
        ("maxpool", ("input",), {"kernel": 1.5, "stride": 1}, "kernel is 1.5, must be a whole"),
        ("maxpool", ("input",), {"kernel": math.nan, "stride": 1}, "kernel is nan"),
        ("maxpool", ("input",), {"kernel": 2, "stride": "2"}, "stride is '2'"),
        (
            "add",
            ("input", "input"),
            {"mul0": 1 << 16, "mul1": 1, "shift": 1, "relu": 0},
            "mul0 is 65536, must be 0..65535",
        ),
        (
            "lrn",
            ("input",),
            {"size": 5, "alpha": 1, "beta": 1, "k": 1, "in_scale": 1, "out_scale": 0},
            "out_scale is 0",
        ),
    ],
)
def test_an_impossible_host_operation_is_refused(
    op: str, inputs: tuple[str, ...], attrs: dict[str, float], message: str
) -> None:
    with pytest.raises(CosignError, match=message) as caught:
        HostOp("node", op, inputs, attrs)  # type: ignore[arg-type]
    assert "node 'node'" in str(caught.value)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            HostOp("a", "add", ("input", "half"), {"mul0": 1, "mul1": 1, "shift": 1, "relu": 0}),
            r"adds maps of \(2, 4, 4\) and \(2, 2, 2\)",
        ),
        (
            HostOp("c", "concat", ("input", "half"), {"mul0": 1, "mul1": 1, "shift": 1}),
            "joins maps of",
        ),
        (HostOp("p", "maxpool", ("half",), {"kernel": 3, "stride": 1}), "larger than the padded"),
        (
            HostOp("p", "maxpool", ("half",), {"kernel": 2, "stride": 1, "padding": 2}),
            "at most half the kernel",
        ),
        (layer("l", "half", Geometry("conv", 2, 1, 4, 4), 3, 0), r"takes maps of \(2, 4, 4\), but"),
        (HostOp("f", "flatten", ("nowhere",)), "reads 'nowhere', which is not before it"),
        (HostOp("half", "flatten", ("input",)), "two nodes are called 'half'"),
    ],
)
def test_nodes_that_do_not_fit_together_are_refused(node: HostOp | Layer, message: str) -> None:
    half = HostOp("half", "maxpool", ("input",), {"kernel": 2, "stride": 2})
    spec = InputSpec((2, 4, 4), 0.02, (0.4, 0.5), (0.2, 0.3))
    with pytest.raises(CosignError, match=message):
        CompressedModel("bad", spec, (half, node))


def linear(q: np.ndarray, dead: int, **changes: object) -> Layer:
    """A layer of len(q) filters, the last `dead` of them without weights."""
    dense = np.ones((len(q), 3), np.int8)
    dense[len(q) - dead :] = 0
    given = {"in_scale": 0.5, "out_scale": 0.25}
    fields = {"bits": 2, "bias": np.arange(len(q)), "relu": True, "q": q.copy()}
    if "mul" not in changes:
        fields |= requantiser(given, q)
    return Layer.from_dense(
        dense,
        name="fc1",
        input="input",
        geometry=Geometry("linear", 3, len(q)),
        **(fields | given | changes),
    )


def stored(layer: Layer) -> int:
    """Bytes of a file with this layer alone, which is read as it was."""
    source = InputSpec((3, 1, 1), 0.02, (0.4,) * 3, (0.2,) * 3)
    model = CompressedModel("", source, (layer,))
    blob = container.to_bytes(model, "bitmask")
    assert same(container.from_bytes(blob), model)
    return len(blob)


def test_what_scales_of_filters_take() -> None:
    """Of q its significant bits and those of its range; dead filters nothing; mul and shift three
    bytes, where they do not follow from q."""
    rng = np.random.default_rng(0)
    filters = 80
    short = rng.integers(128, 256, filters) / 1024.0
    q = short * 2.0 ** rng.integers(0, 4, filters)  # a mantissa of 8 bits, its first one included
    one = np.full(filters, q[0])
    head = 5  # bytes in the header
    uniform = stored(linear(one, 0))
    assert 0 <= stored(linear(q, 0)) - uniform - (7 + 2) * filters // 8 <= head
    assert 0 <= stored(linear(short, 0)) - uniform - 7 * filters // 8 <= head
    q[40:] = 0.125
    assert stored(linear(q, 40)) - stored(linear(one, 40)) <= -(-(7 + 3) * 41 // 8) + head + 1
    mul = {"mul": np.arange(filters), "shift": 9}
    assert 0 <= stored(linear(one, 0, **mul)) - uniform - (16 + 6) * filters // 8 <= head


@given(
    st.lists(
        st.floats(5e-324, 1.7e308, allow_subnormal=True), min_size=2, max_size=20, unique=True
    ),
    st.integers(0, 3),
)
def test_any_intervals_come_back(q: list[float], dead: int) -> None:
    stored(linear(np.array(q), min(dead, len(q)), mul=1, shift=1))


@pytest.mark.parametrize("name", ["lenet5-890", "lenet5-1236"])
def test_layers_whose_filters_are_alike_are_written_as_ever(name: str) -> None:
    blob = (Path(__file__).parents[3] / "examples" / f"{name}.cosign").read_bytes()
    assert container.to_bytes(container.from_bytes(blob)) == blob


@pytest.mark.parametrize("coding", CODINGS)
def test_every_flipped_bit_is_noticed(coding: str) -> None:
    blob = container.to_bytes(network(3, 5), coding)
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(CosignError):
            container.from_bytes(bytes(damaged))


@pytest.mark.parametrize("coding", CODINGS)
def test_every_truncation_and_extension_is_noticed(coding: str) -> None:
    blob = container.to_bytes(network(3, 5), coding)
    for length in range(len(blob)):
        with pytest.raises(CosignError):
            container.from_bytes(blob[:length])
    with pytest.raises(CosignError, match="truncated or damaged"):
        container.from_bytes(blob + b"\0")


def test_another_schema_is_named() -> None:
    blob = bytearray(container.to_bytes(network(3, 5)))
    blob[6] = 9
    with pytest.raises(CosignError, match="has schema 9, this version reads 1 to 7"):
        container.from_bytes(bytes(blob))


def test_file_round_trip_and_missing_file(tmp_path: Path) -> None:
    model = network(4, 9)
    container.save(model, tmp_path / "model.cosign")
    assert same(container.load(tmp_path / "model.cosign"), model)
    with pytest.raises(CosignError, match="cannot read"):
        container.load(tmp_path / "other.cosign")


@pytest.mark.parametrize("coding", [None, *CODINGS])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_sizes_are_those_of_the_file(bits: int, coding: str | None) -> None:
    model = network(bits, 2, channels=40)
    blob = container.to_bytes(model, coding)
    sizes = container.parse(blob)[1]
    sections = sum(part.data_bytes + part.index_bytes + part.bias_bytes for part in sizes.values())
    assert 0 < len(blob) - sections < 150
    if coding in FIXED:
        assert sizes["conv1"].data_bytes == (model.layers[0].nnz * bits + 7) // 8
    if coding:
        assert {part.index_coding for part in sizes.values()} == {coding}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 9}, "bits is 9"),
        ({"q": 0.0}, "q is 0.0, must be positive"),
        ({"mul": 1 << 16}, "mul"),
        ({"shift": 0}, "shift"),
        ({"bias": np.zeros(39)}, "bias must have"),
        ({"bits": 1}, "levels of 1 bits"),
    ],
)
def test_an_impossible_layer_is_refused(change: dict[str, object], message: str) -> None:
    geometry = Geometry("linear", 60, 40)
    good = layer("fc1", "input", geometry, 4, seed=3)
    assert good.nnz > 0
    with pytest.raises(CosignError, match=message):
        dataclasses.replace(good, **change)
