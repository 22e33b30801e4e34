"""model.cosign: round trip, damage is always noticed, sizes add up."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress import container
from compress.container import CompressedModel, Geometry, HostOp, InputSpec, Layer
from cosign import CosignError


def layer(name: str, source: str, geometry: Geometry, bits: int, seed: int) -> Layer:
    rng = np.random.default_rng(seed)
    shape = (geometry.out_channels, geometry.columns)
    mask = rng.random(shape) < rng.choice([0.0, 0.05, 0.5, 1.0])
    top = container.max_level(bits)
    nnz = int(mask.sum())
    return Layer(
        name=name,
        input=source,
        geometry=geometry,
        bits=bits,
        q=float(rng.uniform(1e-4, 1)),
        row_ptr=np.concatenate([[0], np.cumsum(mask.sum(axis=1))]),
        col_idx=np.nonzero(mask)[1],
        levels=rng.integers(1, top + 1, nnz) * rng.choice([-1, 1], nnz),
        bias=rng.integers(-(1 << 20), 1 << 20, geometry.out_channels),
        mul=int(rng.integers(1 << 15, 1 << 16)),
        shift=int(rng.integers(1, 48)),
        relu=bool(rng.integers(2)),
        in_scale=float(rng.uniform(1e-3, 1)),
        out_scale=float(rng.uniform(1e-3, 1)),
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


@given(st.integers(1, 8), st.integers(0, 1 << 32))
@settings(deadline=None)
def test_a_model_comes_back(bits: int, seed: int) -> None:
    model = network(bits, seed)
    blob = container.to_bytes(model)
    assert same(container.from_bytes(blob), model)
    assert container.to_bytes(model) == blob


@given(st.integers(1, 8), st.lists(st.integers(-127, 127).filter(bool), max_size=40))
def test_level_codes_come_back_and_fit(bits: int, raw: list[int]) -> None:
    top = container.max_level(bits)
    levels = np.clip(np.array(raw, np.int8), -top, top)
    codes = container.level_codes(levels, bits)
    assert codes.max(initial=0) < 1 << bits
    assert np.array_equal(container.codes_to_levels(codes, bits), levels)


def test_every_flipped_bit_is_noticed() -> None:
    blob = container.to_bytes(network(3, 5))
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(CosignError):
            container.from_bytes(bytes(damaged))


def test_every_truncation_and_extension_is_noticed() -> None:
    blob = container.to_bytes(network(3, 5))
    for length in range(len(blob)):
        with pytest.raises(CosignError):
            container.from_bytes(blob[:length])
    with pytest.raises(CosignError, match="truncated or damaged"):
        container.from_bytes(blob + b"\0")


def test_another_schema_is_named() -> None:
    blob = bytearray(container.to_bytes(network(3, 5)))
    blob[6] = 9
    with pytest.raises(CosignError, match="has schema 9, this version reads 1"):
        container.from_bytes(bytes(blob))


def test_file_round_trip_and_missing_file(tmp_path: Path) -> None:
    model = network(4, 9)
    container.save(model, tmp_path / "model.cosign")
    assert same(container.load(tmp_path / "model.cosign"), model)
    with pytest.raises(CosignError, match="cannot read"):
        container.load(tmp_path / "other.cosign")


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_sizes_are_those_of_the_file(bits: int) -> None:
    model = network(bits, 2, channels=40)
    sizes = container.sizes(model)
    sections = sum(part.data_bytes + part.index_bytes + part.bias_bytes for part in sizes.values())
    assert 0 < len(container.to_bytes(model)) - sections < 1000
    conv = model.layers[0]
    assert sizes["conv1"].data_bytes == (conv.nnz * bits + 7) // 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 9}, "bits is 9"),
        ({"q": 0.0}, "interval q"),
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
