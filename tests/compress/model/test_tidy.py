"""tidy: fewer weights and bytes, the same outputs to the last bit."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.admm.projections import prune_mask
from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer
from compress.model.hostops import HostOp
from compress.model.pattern import Pattern
from compress.model.tidy import tidy
from sim import golden


def layer(
    rng: np.random.Generator, name: str, source: str, geometry: Geometry, relu: bool = True
) -> Layer:
    """Weights in some rows and some columns only; outputs neither all zero nor all saturated."""
    shape = (geometry.out_channels, geometry.columns)
    dense = rng.integers(-3, 4, shape) * (rng.random(shape) < 0.4)
    dense *= rng.random((shape[0], 1)) < 0.7
    dense *= rng.random((1, shape[1])) < 0.7
    each = (1, shape[0])[rng.integers(2)]  # scales of the layer, or of each filter
    return Layer.from_dense(
        dense.astype(np.int8),
        name=name,
        input=source,
        geometry=geometry,
        bits=3,
        q=rng.uniform(0.05, 0.2, each),
        bias=rng.integers(-400, 400, shape[0]) * (rng.random(shape[0]) < 0.7),
        mul=rng.integers(30_000, 60_000, each),
        shift=rng.integers(17, 20, each),
        relu=relu,
        in_scale=0.1,
        out_scale=0.1,
    )


def network(seed: int, padding: int, groups: int, branch: bool) -> CompressedModel:
    rng = np.random.default_rng(seed)
    first = Geometry("conv", 2, 6, 8, 8, (3, 3), padding=(1, 1))
    second = Geometry("conv", 6, 8, 4, 4, (3, 3), padding=(padding, padding), groups=groups)
    size = 2 + 2 * padding
    nodes = [
        layer(rng, "conv1", "input", first, bool(rng.integers(2))),
        HostOp("pool1", "maxpool", ("conv1",), {"kernel": 2, "stride": 2}),
        layer(rng, "conv2", "pool1", second),
        HostOp("flatten", "flatten", ("conv2",)),
        layer(rng, "fc1", "flatten", Geometry("linear", 8 * size * size, 7), bool(seed % 2)),
        layer(rng, "fc2", "fc1", Geometry("linear", 7, 4), False),
    ]
    if branch:
        attrs = {"mul0": 1, "mul1": 1, "shift": 1, "relu": 0}
        nodes.append(layer(rng, "fc3", "fc1", Geometry("linear", 7, 4), False))
        nodes.append(HostOp("add", "add", ("fc2", "fc3"), attrs))
    return CompressedModel("net", InputSpec((2, 8, 8), 0.02, (0.0, 0.0), (1.0, 1.0)), tuple(nodes))


@given(st.integers(0, 1 << 32), st.integers(0, 1), st.sampled_from([1, 2]), st.booleans())
@settings(deadline=None)
def test_outputs_stay_and_nothing_grows(seed: int, padding: int, groups: int, branch: bool) -> None:
    model = network(seed, padding, groups, branch)
    small = tidy(model)
    images = np.random.default_rng(seed).integers(-128, 128, (3, 2, 8, 8)).astype(np.int8)
    assert np.array_equal(golden.run(model, images), golden.run(small, images))
    assert all(a.nnz <= b.nnz for a, b in zip(small.layers, model.layers, strict=True))
    again = tidy(small)
    assert [one.nnz for one in again.layers] == [one.nnz for one in small.layers]


def test_a_constant_moves_into_the_next_bias_and_the_fullest_filter_comes_first() -> None:
    shared = {"bits": 3, "in_scale": 0.1, "out_scale": 0.1}
    scales = {"q": 0.1 * np.arange(1, 5), "mul": np.array([1, 2, 3, 4]), "shift": [1, 2, 3, 4]}
    fc1 = Layer.from_dense(
        np.array([[0, 0, 0], [1, 0, 0], [1, 2, 3], [1, 1, 1]], np.int8),
        name="fc1",
        input="input",
        geometry=Geometry("linear", 3, 4),
        bias=np.array([9, 8, 7, 6]),
        relu=True,
        **scales,
        **shared,
    )
    fc2 = Layer.from_dense(
        np.array([[2, 0, -1, 3], [-4, 0, 1, 0]], np.int8),
        name="fc2",
        input="fc1",
        geometry=Geometry("linear", 4, 2),
        bias=np.array([100, 200]),
        relu=False,
        q=0.1,
        mul=1,
        shift=1,
        **shared,
    )
    model = CompressedModel("two", InputSpec((3, 1, 1), 1.0, (0.0,) * 3, (1.0,) * 3), (fc1, fc2))
    one, two = tidy(model).layers
    # filter 0 is (9 + 1) / 2 = 5 whatever comes in, nothing reads filter 1
    assert one.dense_levels().tolist() == [[1, 2, 3], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert one.bias.tolist() == [7, 6, 0, 0]
    assert (one.mul.tolist(), one.shift.tolist()) == ([3, 4, 1, 2], [3, 4, 1, 2])
    assert one.q.tolist() == (0.1 * np.array([3, 4, 1, 2])).tolist()
    assert two.dense_levels().tolist() == [[-1, 3, 0, 0], [1, 0, 0, 0]]
    assert two.bias.tolist() == [100 + 2 * 5, 200 - 4 * 5]


@given(st.integers(0, 1 << 32), st.integers(0, 1))
@settings(deadline=None)
def test_in_order_a_pattern_of_channels_stays(seed: int, padding: int) -> None:
    """What is left out is left out as ever; no filter moves."""
    pattern = Pattern(2, 4)
    model = network(seed, padding, 1, False)
    layers = []
    for node in model.nodes:
        if isinstance(node, Layer):
            g = node.geometry
            levels = node.dense_levels().reshape(g.out_channels, g.in_channels, -1)
            keep = pattern.kept(g)
            levels = levels * prune_mask(levels, keep, pattern)
            fields = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
            for name in ("row_ptr", "col_idx", "levels"):
                del fields[name]
            node = Layer.from_dense(levels.reshape(g.out_channels, -1), **fields)
        layers.append(node)
    model = dataclasses.replace(model, nodes=tuple(layers))
    small = tidy(model, in_order=True)
    images = np.random.default_rng(seed).integers(-128, 128, (2, 2, 8, 8)).astype(np.int8)
    assert np.array_equal(golden.run(model, images), golden.run(small, images))
    assert sum(x.nnz for x in small.layers) == sum(x.nnz for x in tidy(model).layers)
    for before, after in zip(model.layers, small.layers, strict=True):
        left = after.dense_levels()
        assert np.array_equal(left, before.dense_levels() * (left != 0))
        assert pattern.holds(left.reshape(len(left), after.geometry.in_channels, -1))


def test_tidy_models_take_fewer_bytes() -> None:
    model = network(1, 0, 1, False)
    assert len(container.to_bytes(tidy(model))) < len(container.to_bytes(model))
