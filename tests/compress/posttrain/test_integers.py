"""From levels to the file: integers as they were found, scales that fit the machine."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.admm.constraints import put_on_levels
from compress.file import container
from compress.model.graph import InputSpec, fixed_point
from compress.model.levels import Levels, max_level
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network
from compress.posttrain.calibration import best_clip, scales
from compress.posttrain.integers import assemble, input_spec
from cosign import CosignError
from sim import golden


@given(st.floats(1e-9, 1e4))
def test_fixed_point_is_normalised_and_near(factor: float) -> None:
    mul, shift = fixed_point(factor)
    assert 1 << 15 <= mul < 1 << 16
    assert mul / 2.0**shift == pytest.approx(factor, rel=2.0**-16)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e-14, 1e6])
def test_factors_out_of_range_are_refused(factor: float) -> None:
    with pytest.raises(CosignError, match="requantisation factor"):
        fixed_point(factor)


@pytest.mark.parametrize(("bits", "slack"), [(8, 1.02), (6, 1.02), (4, 1.05)])
def test_clip_minimises_the_error_of_rounding(bits: int, slack: float) -> None:
    """Against the measured error of rounding a long-tailed sample at every clip."""
    values = np.random.default_rng(0).exponential(1.0, 200_000) ** 1.5
    counts, edges = np.histogram(values, 4096, (0, values.max()))
    clip = best_clip(counts.astype(float), float(values.max()), bits)
    top = 2 ** (bits - 1) - 1

    def error(at: float) -> float:
        step = at / top
        return float(((np.minimum(np.rint(values / step), top) * step - values) ** 2).sum())

    assert clip < values.max()
    assert error(clip) <= slack * min(error(at) for at in edges[64::64])


def random_spec(rng: np.random.Generator) -> NetworkSpec:
    groups = int(rng.integers(1, 3))
    net = Builder("random", (2, int(rng.integers(3, 9)), int(rng.integers(3, 9))))
    net.conv("conv", groups * int(rng.integers(1, 5)), int(rng.integers(1, 4)), groups=groups)
    net.host("flatten", "flatten")
    net.linear("fc", int(rng.integers(1, 12)), relu=False)
    return net.spec()


@settings(deadline=None, max_examples=50)
@given(
    *(st.integers(0, 1 << 32), st.floats(-4, 2), st.integers(1, 8), st.floats(0, 1)),
    *(st.booleans(), st.integers(4, 8)),
)
def test_the_file_has_the_levels_that_quantisation_returned(
    seed: int, exponent: float, bits: int, density: float, each: bool, act_bits: int
) -> None:
    """Whatever floats the network holds: here they have nothing to do with the levels."""
    rng = np.random.default_rng(seed)
    spec = random_spec(rng)
    torch.manual_seed(seed)
    network = Network(spec)
    top = max_level(bits)
    levels = {
        name: Levels(
            np.where(
                rng.random(weight.shape) < density,
                rng.integers(1, top + 1, weight.shape) * rng.choice([-1, 1], weight.shape),
                0,
            ).astype(np.int8),
            10**exponent * rng.uniform(0.25, 4, weight.shape[:1] if each else ()),
            bits,
        )
        for name, weight in network.weights.items()
    }
    source = input_spec(spec.shape, (0.5, 0.5), (0.25, 0.25), act_bits)
    images = torch.randn(4, *spec.shape)
    model = assemble(network, levels, source, lambda: [images])
    back = container.from_bytes(container.to_bytes(model))
    assert back.act_bits == act_bits
    for layer in back.layers:
        found = levels[layer.name]
        assert np.array_equal(layer.dense_levels(), found.values.reshape(len(layer.bias), -1))
        assert layer.bits == bits
        if layer.nnz:
            used = np.diff(layer.row_ptr) > 0
            wanted = np.resize(found.q, len(used))[used]
            np.testing.assert_allclose(layer.q[used], wanted, rtol=2.0 ** -(10 if each else 14))
            assert len(set(layer.q[~used].tolist())) <= 1  # which the file writes once


def test_a_layer_without_weights_gives_its_biases() -> None:
    """To a part of a unit, whatever unit its own input has."""
    net = Builder("biases", (1, 4, 4))
    net.conv("off", 2, 1)
    net.host("flatten", "flatten")
    net.linear("fc", 3, relu=False)
    network = Network(net.spec())
    with torch.no_grad():
        network.weights["off"].zero_()
        network.weights["fc"].zero_()
        network.biases["off"].copy_(torch.tensor([-1.0, -2.0]))  # nothing passes the ReLU
        network.biases["fc"].copy_(torch.tensor([0.7, -0.31, 0.052]))
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in network.weights.items()}
    levels = put_on_levels(network.weights, masks, dict.fromkeys(masks, 8))
    model = assemble(
        network, levels, input_spec((1, 4, 4), (0.5,), (0.25,)), lambda: [torch.ones(1, 1, 4, 4)]
    )
    back = container.from_bytes(container.to_bytes(model))
    assert [layer.nnz for layer in back.layers] == [0, 0]
    units = golden.run(back, np.zeros((1, 1, 4, 4), np.int8)).reshape(-1)
    scale = back.layers[-1].out_scale
    assert units * scale == pytest.approx(network.biases["fc"].detach().numpy(), abs=0.51 * scale)


def test_a_scale_is_that_of_all_branches_that_are_read() -> None:
    """Not of the one that comes last, which may have small values only."""
    net = Builder("branches", (2, 1, 1))
    net.conv("conv", 2, 1)
    halves = [
        net.host(f"half{channel}", "take", "conv", layout=((channel,), (0,), (0,)))
        for channel in (0, 1)
    ]
    for half in halves:
        net.conv(f"{half}.conv", 2, 1, source=half)
    net.host("sum", "add", "half0.conv", "half1.conv")
    network = Network(net.spec())
    with torch.no_grad():
        network.weights["conv"].copy_(torch.tensor([[10.0, 0], [0, 1]])[..., None, None])
    for bits, top in ((8, 127), (4, 7)):
        source = InputSpec((2, 1, 1), 1.0, (0.0,) * 2, (1.0,) * 2, bits)
        found = scales(network, lambda: [torch.ones(1, 2, 1, 1)], source, 14)
        assert found["conv"] * top == pytest.approx(10, rel=0.1)
        # what a file of 8 bits says reaches as far
        known = scales(network, lambda: [torch.ones(1, 2, 1, 1)], source, 14, {"conv": 0.1})
        assert known["conv"] * top == pytest.approx(12.7, rel=1e-3)


def test_a_factor_counts_as_much_as_what_it_multiplies() -> None:
    """The inverse of a deviation is huge where a channel is always zero, which nothing sees."""
    net = Builder("normalised", (2, 4, 4))
    net.host("squares", "function", "input", program=("x", "x", "mul"))
    net.host("mean", "avgpool", "squares", kernel=0, stride=1)
    net.host("inverse", "function", "mean", program=(1.0, "x", 1e-6, "add", "sqrt", "div"))
    net.host("scaled", "mul", "input", "inverse")
    net.conv("conv", 2, 1, relu=False, source="scaled")
    images = torch.randn(8, 2, 4, 4)
    images[:, 1] = 0
    source = InputSpec((2, 4, 4), 0.03, (0.0,) * 2, (1.0,) * 2)
    found = scales(Network(net.spec()), lambda: [images], source, 14)
    assert found["inverse"] * 127 < 10  # that of the second channel is 1,000
