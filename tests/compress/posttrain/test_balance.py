"""Branches of a concat in one range: the same function, and integers that lose nothing."""

import functools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from compress.data.pixels import normalised
from compress.exchange import convert
from compress.exchange.onnx_writer import scales_of
from compress.model.graph import CompressedModel
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network
from compress.posttrain import pipeline
from compress.posttrain.balance import balance
from compress.posttrain.integers import input_spec
from sim import golden

SHAPE = (3, 8, 8)
SOURCE = input_spec(SHAPE, (0.5,) * 3, (0.25,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (8, *SHAPE), np.uint8)
IMAGES = normalised(SOURCE, PIXELS)
KINDS = ("convolved", "pooled", "linear", "fixed")


def two_branches(kind: str) -> NetworkSpec:
    """Branches `small` and `large` of 4 and 6 channels into layers, as `kind` says."""
    net = Builder("branches", SHAPE)
    stem = net.conv("stem", 6, 3, padding=1)
    small = net.conv("small", 4, 3, padding=1, relu=kind != "pooled", source=stem)
    if kind == "pooled":
        net.host("smaller", "relu", small)
        small = net.host("smallest", "avgpool", kernel=3, stride=1, padding=1)
    large = stem if kind == "fixed" else net.conv("large", 6, 1, source=stem)
    joint = net.host("joint", "concat", small, large)
    if kind == "linear":
        net.maxpool("pool", 2, 2)
        net.host("flatten", "flatten")
    elif kind == "added":
        net.host("sum", "add", joint, joint)
        net.conv("reader", 5, 3)
        net.host("flatten", "flatten")
    else:
        one = net.conv("reader", 10, 3, groups=2, source=joint)
        two = net.conv("other", 10, 3, relu=False, source=joint)
        net.host("sum", "add", one, two, relu=True)
        net.host("flatten", "flatten")
    net.linear("fc", 5, relu=False)
    return net.spec()


def network(spec: NetworkSpec, apart: float) -> Network:
    """Random weights; `small` is so many times smaller, and what reads it weighs it as much more.

    The function is the same for all `apart`.
    """
    torch.manual_seed(0)
    made = Network(spec).eval()
    with torch.no_grad():
        for bias in made.biases.values():
            bias.normal_(0, 0.1)
        made.weights["small"] /= apart
        made.biases["small"] /= apart
        for name in ("reader", "other", "fc"):
            weight = made.weights.get(name)
            if name == "fc" and "pool" in spec.shapes:
                weight[:, : 4 * 16] *= apart
            elif name == "reader" and weight is not None:
                half = spec.geometries[name].out_channels // spec.geometries[name].groups
                weight[:half, :4] *= apart
            elif name == "other" and weight is not None:
                weight[:, :4] *= apart
    return made


def compressed(made: Network, bits: int = 6) -> tuple[CompressedModel, list[str]]:
    lines: list[str] = []
    layers = list(made.spec.geometries)
    model = pipeline.compress(
        made,
        SOURCE,
        dict.fromkeys(layers, 1.0),
        dict.fromkeys(layers, bits),
        PIXELS,
        progress=lines.append,
    )
    return model, lines


def error(made: Network, bits: int = 6) -> float:
    """Of the integer model's outputs, relative, root mean square."""
    with torch.no_grad():
        wanted = made(IMAGES).numpy()
    model, _ = compressed(made, bits)
    units = golden.run(model, SOURCE.quantize(PIXELS)).reshape(wanted.shape)
    got = units * scales_of(model)["fc"]
    return float(np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2)))


@functools.cache
def usual_error(kind: str, bits: int) -> float:
    return error(network(two_branches(kind), 1.0), bits)


@pytest.mark.parametrize(
    ("kind", "apart", "bits"),
    [(kind, apart, 6) for kind in KINDS for apart in (2.0**16, 1e7)]
    + [("convolved", 2.0**-16, 6), ("fixed", 2.0**-16, 6), ("convolved", 1e7, 4)],
)
def test_integers_are_as_good_as_those_of_branches_alike(
    kind: str, apart: float, bits: int
) -> None:
    """But for the rest that powers of two leave of 10^7."""
    allowed = 1.05 if math.log2(apart).is_integer() else 1.35
    made = network(two_branches(kind), apart)
    assert error(made, bits) <= allowed * usual_error(kind, bits)


@pytest.mark.parametrize("kind", KINDS)
def test_the_function_stays_to_the_last_bit(kind: str) -> None:
    made = network(two_branches(kind), 2.0**16)
    lines: list[str] = []
    with torch.no_grad():
        before = made(IMAGES)
        balance(made, lambda: [IMAGES], lines.append)
        after = made(IMAGES)
    assert torch.equal(before, after)
    assert len(lines) == 1
    assert "'joint'" in lines[0]


@pytest.mark.parametrize(
    ("kind", "apart"), [("convolved", 1.0), ("convolved", 5.0), ("linear", 0.2), ("added", 2.0**16)]
)
def test_other_networks_keep_their_weights(kind: str, apart: float) -> None:
    """Branches alike, or read by more than layers."""
    made = network(two_branches(kind), apart)
    before = {name: weight.clone() for name, weight in made.weights.items()}
    balance(made, lambda: [IMAGES], pytest.fail)
    assert all(torch.equal(weight, made.weights[name]) for name, weight in before.items())


def test_a_small_branch_that_nothing_makes_large_is_left_and_told() -> None:
    """Its weights behind would be too small for levels; as zero it makes no difference."""
    made = network(two_branches("convolved"), 1.0)
    with torch.no_grad():
        for parameters in (made.weights, made.biases):
            parameters["small"] /= 2.0**16
    assert error(made) <= 1.25 * usual_error("convolved", 6)
    _, lines = compressed(made)
    assert len(lines) == 1
    assert "concat 'joint': its branch 'small' is zero in the integers" in lines[0]


def test_a_lost_branch_is_told_and_exported(tmp_path: Path) -> None:
    """First of its concat, whose scale is that of the other branch."""
    made = network(two_branches("added"), 2.0**16)
    seen: dict[str, np.ndarray] = {}
    with torch.no_grad():
        made(IMAGES, observe=lambda name, value: seen.update({name: value.numpy()}))
    model, lines = compressed(made)
    assert [line.split(" is zero")[0] for line in lines] == ["concat 'joint': its branch 'small'"]
    units = golden.trace(model, SOURCE.quantize(PIXELS))["joint"]
    assert not units[:, :4].any()
    got = units[:, 4:] * scales_of(model)["joint"]
    wanted = seen["joint"][:, 4:]
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.08 * np.sqrt(np.mean(wanted**2))
    for form in convert.FORMATS:
        convert.write(model, form, tmp_path / form, golden.trace)
