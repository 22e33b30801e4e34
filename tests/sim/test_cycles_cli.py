"""`python -m sim cycles`, and what the sparse core reaches on the paper's layers."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_layers import random_layer

from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec
from compress.zoo.networks import densities, spec_of
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.program.fit import feed
from sim.__main__ import main
from sim.compare import compare, rivals
from sim.run import run_layer, simulators_dir
from sim.workload import masked_layer, structured_layer

LANES = (61, 64)


def cycles(*arguments: object) -> int:
    return main(["cycles", *map(str, arguments)])


def report(tmp_path: Path, *arguments: object) -> dict:
    file = tmp_path / "cycles.json"
    assert cycles(*arguments, "--json", file) == 0
    return json.loads(file.read_text())


def test_the_report_has_all_layers_and_their_totals(tmp_path, capsys):
    found = report(tmp_path, "--network", "alexnet", "--alpha", "ours1", "--lanes", 64)
    spec, chosen = spec_of("alexnet"), densities("alexnet", "ours1")
    assert [layer["name"] for layer in found["layers"]] == list(spec.geometries)
    for layer in found["layers"]:
        kept = round(chosen[layer["name"]] * spec.geometries[layer["name"]].weights)
        assert layer["nonzeros"] == kept
        by_core = layer["cycles"]
        assert list(by_core) == ["dense-scalar", "dense-2d", "sparse", "sparse-rows"]
        assert layer["speedup"] == by_core["dense-scalar"] / by_core["sparse"]
    for total, rows in (("total", found["layers"]), ("conv", found["layers"][:5])):
        sums = {core: sum(row["cycles"][core] for row in rows) for core in by_core}
        assert found[total]["cycles"] == sums
        assert found[total]["speedup"] == sums["dense-scalar"] / sums["sparse"]
    assert found["shapes"] == {
        "dense-scalar": "64x1",
        "dense-2d": "8x8",
        "sparse": "64x1",
        "sparse-rows": "8x8",
    }
    assert "6.66x" in capsys.readouterr().out


def test_the_cores_of_a_file(tmp_path, capsys):
    """Each under its name; the speedup is that of the roles, whatever their order."""
    small = Path(__file__).parents[1] / "small_cores.toml"
    found = report(tmp_path, "--network", "lenet5", "--alpha", "default", "--cores", small)
    names = [core.name for core in CoreSet.read(small).cores]
    assert list(found["cores"]) == list(found["total"]["cycles"]) == names
    by_core = found["total"]["cycles"]
    assert found["total"]["speedup"] == by_core["dense-scalar-5"] / by_core["sparse-5"]
    assert by_core["sparse-5"] < by_core["sparse-3"]
    assert "sparse-7-bitmask" in capsys.readouterr().out
    line = ("--network", "lenet5", "--alpha", "default", "--cores", small, "--index-bits", 9)
    assert cycles(*line) == 2
    assert capsys.readouterr().err == (
        "cosign: --cores says all of the cores; leave out --index-bits.\n"
    )


def test_a_channel_of_so_many_bytes(tmp_path, capsys):
    line = ("--network", "lenet5", "--alpha", "default", "--lanes", 16)
    unlimited = report(tmp_path, *line)
    assert report(tmp_path, *line, "--bytes-per-cycle", "inf") == unlimited
    assert unlimited["bytes_per_cycle"] is None
    slow = report(tmp_path, *line, "--bytes-per-cycle", 0.5)
    assert slow["bytes_per_cycle"] == 0.5
    for key in ("total", "conv"):
        for core, moved in slow[key]["dram_bytes"].items():
            rows = slow["layers"] if key == "total" else slow["layers"][:2]
            assert moved == sum(row["dram_bytes"][core] for row in rows)
            assert slow[key]["cycles"][core] > max(2 * moved, unlimited[key]["cycles"][core])
    assert slow["total"]["dram_bytes"] == unlimited["total"]["dram_bytes"]
    weights = 430_500  # a byte each
    assert weights < slow["total"]["dram_bytes"]["dense-scalar"] < 1.06 * weights
    assert slow["total"]["dram_bytes"]["sparse"] < 0.2 * weights
    capsys.readouterr()
    assert cycles(*line, "--bytes-per-cycle", 0.3) == 2
    assert "0.3 is no positive multiple of 0.125" in capsys.readouterr().err


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(
    ("alpha", "least"), [("ours1", 6.0), ("han", 2.1), ("mao", 2.8), ("wen", 3.0)]
)
def test_speedup_over_the_convolutions_of_alexnet(alpha, least, lanes):
    spec, chosen = spec_of("alexnet"), densities("alexnet", alpha)
    layers = [
        masked_layer(g, round(chosen[name] * g.weights), np.random.default_rng(0), name)
        for name, g in spec.geometries.items()
        if g.kind == "conv"
    ]
    assert compare(layers, cores(lanes), 1, 1 << 18)["conv"]["speedup"] >= least


def cores(lanes: int) -> dict[str, CoreConfig]:
    return rivals(feed(CoreConfig(drain=2), lanes=lanes))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(
    ("ratio", "least"),
    [(1, 1.0), (1.0001, 1.0), (1.01, 1.0), (1.1, 1.0), (2, 1.9), (13.2, 12.8), (39.6, 37.0)],
)
def test_speedup_on_conv4(ratio, least, lanes):
    geometry = spec_of("alexnet").geometries["conv4"]
    layer = masked_layer(geometry, round(geometry.weights / ratio), np.random.default_rng(1))
    assert compare([layer], cores(lanes), 1, 1 << 18)["total"]["speedup"] >= least


@pytest.mark.parametrize("lanes", [12, 7, 1])
def test_all_cores_have_the_same_number_of_multipliers(lanes):
    for core in rivals(feed(CoreConfig(drain=2), lanes=lanes)).values():
        assert core.lanes * core.filters == lanes
        assert core.filters <= core.lanes


def test_the_rtl_takes_as_many_cycles(tmp_path):
    """The report's configs, as they stand in the file, hold the layers and give its cycles."""
    geometries = [
        Geometry("conv", 3, 5, 40, 40, (5, 5), (2, 2), (2, 2)),
        Geometry("conv", 5, 6, 20, 20, (3, 3), (1, 1), (1, 1)),
    ]
    layers = tuple(
        random_layer(g, 0.3, seed=n, name=f"conv{n}", input=f"conv{n - 1}" if n else "input")
        for n, g in enumerate(geometries)
    )
    path = tmp_path / "model.cosign"
    spec = InputSpec((3, 40, 40), 0.01, (0.5,) * 3, (0.5,) * 3)
    container.save(CompressedModel("two", spec, layers), path)
    found = report(tmp_path, "--model", path, "--lanes", 12, "--act-bytes", 2048)
    rng = np.random.default_rng(0)
    for name in ("sparse", "sparse-rows"):
        config = CoreConfig.from_json(found["cores"][name])
        for layer, row in zip(layers, found["layers"], strict=True):
            g = layer.geometry
            x = rng.integers(0, 128, (1, g.in_channels, g.in_height, g.in_width), np.int8)
            run = run_layer(layer, x, config, simulators_dir(), input_range=(0, 127))
            assert run.cycles == row["cycles"][name]


def test_random_masks_follow_the_seed():
    geometry = Geometry("conv", 8, 16, 9, 9, (3, 3))
    for kept in (0, 1, 300, geometry.weights - 1, geometry.weights):
        one, same, other = (
            masked_layer(geometry, kept, np.random.default_rng(seed)) for seed in (5, 5, 6)
        )
        assert one.nnz == kept
        assert np.array_equal(one.dense_levels(), same.dense_levels())
        if 1 < kept < geometry.weights - 1:
            assert not np.array_equal(one.dense_levels(), other.dense_levels())


@pytest.mark.parametrize(("keep", "group"), [(2, 4), (1, 4), (4, 8), (4, 4)])
@pytest.mark.parametrize("channels", [8, 11, 3])
def test_random_patterns_keep_as_many_of_every_group_as_they_may(keep, group, channels):
    geometry = Geometry("conv", 2 * channels, 6, 9, 9, (3, 2), groups=2)
    layer, other = (
        structured_layer(geometry, keep, group, np.random.default_rng(seed)) for seed in (5, 6)
    )
    kept = layer.dense_levels().reshape(6, channels, 6)
    for first in range(0, channels, group):
        part = kept[:, first : first + group]
        assert np.all(part.sum(axis=1) == min(keep, part.shape[1]))
    assert np.array_equal(layer.dense_levels(), other.dense_levels()) == (layer.nnz == kept.size)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--network", "alexnet"), "give --alpha PRESET"),
        (("--network", "alexnet", "--alpha", "ours9"), "no alpha preset 'ours9'"),
        (("--model", "none.cosign"), "cannot read none.cosign"),
        (("--model", __file__, "--alpha", "ours1"), "--alpha belongs to --network"),
        (("--network", "lenet5", "--alpha", "default", "--lanes", "300"), "lanes is 300"),
        (("--network", "lenet5", "--alpha", "default", "--drain", "0"), "drain is 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, capsys):
    assert cycles(*arguments) == 2
    assert sentence in capsys.readouterr().err
