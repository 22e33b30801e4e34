"""Verification of a whole model: every value, resumable, refusing what does not fit."""

import dataclasses

import numpy as np
import pytest

import sim.verify
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer
from compress.model.hostops import HostOp
from cosign import CosignError, read_json
from rtl.config import CoreConfig
from sim.verify import Execution, input_ranges, verify

CORE = CoreConfig(
    lanes=13,
    index_bits=5,
    drain=2,
    act_banks=4,
    bank_bytes=4,
    act_depth=512,
    weight_depth=512,
    acc_bits=28,
)


def small_model() -> CompressedModel:
    rng = np.random.default_rng(5)

    def layer(name: str, source: str, geometry: Geometry, relu: bool) -> Layer:
        levels = rng.integers(-8, 9, (geometry.out_channels, geometry.columns))
        return Layer.from_dense(
            levels.astype(np.int8),
            name=name,
            input=source,
            geometry=geometry,
            bits=4,
            q=0.1,
            bias=rng.integers(-99, 99, geometry.out_channels),
            mul=40000,
            shift=21,
            relu=relu,
            in_scale=1.0,
            out_scale=1.0,
        )

    return CompressedModel(
        "small",
        InputSpec((1, 10, 10), 0.01, (0.5,), (0.5,)),
        (
            layer("conv", "input", Geometry("conv", 1, 4, 10, 10, (3, 3)), True),
            HostOp("pool", "maxpool", ("conv",), {"kernel": 2, "stride": 2}),
            HostOp("flat", "flatten", ("pool",)),
            layer("fc", "flat", Geometry("linear", 64, 10), False),
        ),
    )


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-128, 128, (count, 1, 10, 10), np.int8)


def test_every_value_of_every_layer_is_compared(tmp_path):
    reported = []
    result = verify(small_model(), images(3), CORE, tmp_path, report=reported.append)
    assert [layer.name for layer in result.layers] == ["conv", "fc"]
    assert result.values_compared == 3 * (4 * 8 * 8 + 10)
    assert result.mismatches == 0
    assert tuple(reported) == result.layers
    assert all(layer.cycles > 0 and layer.first_mismatch == "" for layer in result.layers)
    assert result.to_json()["mismatches"] == 0


def test_convolutions_of_fewer_images_than_linear_layers(tmp_path):
    """Linear layers get whole batches; what the convolutions are of the others is computed."""
    few = Execution(batch=2, maps=1)
    result = verify(small_model(), images(4), CORE, tmp_path, execution=few)
    conv, fc = result.layers
    assert (conv.images, conv.values_compared) == (1, 4 * 8 * 8)
    assert (fc.images, fc.values_compared) == (4, 4 * 10)
    assert result.agrees
    every = verify(small_model(), images(4), CORE, execution=Execution(batch=2))
    assert conv.cycles * 4 == every.layers[0].cycles
    assert fc.cycles == every.layers[1].cycles
    assert verify(small_model(), images(4), CORE, tmp_path, execution=few) == result


def test_finished_layers_are_not_run_again(tmp_path, monkeypatch):
    model = small_model()
    first = verify(model, images(2), CORE, tmp_path)
    monkeypatch.setattr(sim.verify, "run_layer", lambda *a, **k: pytest.fail("ran again"))
    assert verify(model, images(2), CORE, tmp_path) == first


def test_other_images_or_weights_are_run_again(tmp_path):
    verify(small_model(), images(2), CORE, tmp_path, layers=["fc"])
    (file,) = tmp_path.glob("*.json")
    before = read_json(file)
    verify(small_model(), images(2) + 1, CORE, tmp_path, layers=["fc"])
    assert read_json(file)["fingerprint"] != before["fingerprint"]


def test_a_wrong_value_is_found_and_located(tmp_path, monkeypatch):
    def corrupted(layer, x):
        out = golden(layer, x).copy()
        out[1, 2, 0, 0] ^= 1
        return out

    golden = sim.verify.golden.layer_output
    monkeypatch.setattr(sim.verify.golden, "layer_output", corrupted)
    result = verify(small_model(), images(2), CORE, tmp_path, layers=["fc"])
    assert result.mismatches == 1
    assert "(1, 2, 0, 0)" in result.layers[0].first_mismatch


def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path):
    small = dataclasses.replace(CORE, weight_depth=16)
    with pytest.raises(CosignError, match=r"'fc' does not fit the core.*raise weight_depth"):
        verify(small_model(), images(1), small, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_layers_are_refused(tmp_path):
    with pytest.raises(CosignError, match="no accelerated layer 'conv9'; it has conv, fc"):
        verify(small_model(), images(1), CORE, tmp_path, layers=["conv9"])


def test_inputs_are_positive_only_if_all_that_feeds_them_is():
    spec, rectified = small_model().input, small_model().nodes[0]
    assert isinstance(rectified, Layer)
    signed = dataclasses.replace(rectified, name="signed", relu=False)
    scale = {"mul0": 1, "mul1": 1, "shift": 1}

    def bounds(channels, size, *between):
        geometry = Geometry("conv", channels, 1, size, size)
        last = dataclasses.replace(
            rectified,
            name="last",
            input=between[-1].name,
            geometry=geometry,
            row_ptr=[0, 0],
            col_idx=[],
            levels=[],
            bias=[0],
            **{key: getattr(rectified, key)[:1] for key in ("q", "mul", "shift")},
        )
        return input_ranges(CompressedModel("m", spec, (rectified, signed, *between, last)))["last"]

    def add(first, second, relu):
        return HostOp("add", "add", (first, second), {**scale, "relu": relu})

    def join(first, second):
        return HostOp("join", "concat", (first, second), scale)

    mean = HostOp(
        "mean",
        "avgpool",
        ("add",),
        {"kernel": 0, "stride": 1, "padding": 0, "mul0": 1, "shift": 6},
    )
    assert bounds(4, 8, add("conv", "conv", 0)) == (0, 127)
    assert bounds(4, 8, add("conv", "signed", 0)) == (-128, 127)
    assert bounds(4, 8, add("signed", "conv", 0)) == (-128, 127)
    assert bounds(4, 8, add("signed", "signed", 1)) == (0, 127)
    assert bounds(4, 1, add("conv", "signed", 0), mean) == (-128, 127)
    assert bounds(4, 1, add("signed", "conv", 1), mean) == (0, 127)
    assert bounds(8, 8, join("conv", "signed")) == (-128, 127)
    assert bounds(8, 8, join("conv", "conv")) == (0, 127)
