"""`cosign breakeven` on small cores."""

import json
from pathlib import Path

import numpy as np
import pytest

from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer
from compress.zoo.networks import spec_of
from cosign.names import file_name
from flows.__main__ import main
from rtl.coreset import CoreSet

SMALL = Path(__file__).parents[2] / "small_cores.toml"


def test_curves_against_both_dense_cores_under_both_models(tmp_path: Path, capsys):
    out = tmp_path / "curves.json"
    line = ["breakeven", "--network", "lenet5", "--layers", "conv2", "--out", str(tmp_path / "out")]
    line += ["--cores", str(SMALL)]
    assert main([*line, "--ratios", "4", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    keys = ("core", "against", "sram_model", "weights")
    found = {tuple(curve[key] for key in keys) for curve in content["curves"]}
    assert len(found) == len(content["curves"]) == 2 * 2 * 2 * 2
    assert {"dense-2d-2x2", "dense-scalar-5"} == {against for _, against, _, _ in found}
    cores = [(core["name"], core["config"]["lanes"]) for core in content["cores"]]
    kinds = ("dense-2d", "dense-scalar", "sparse", "sparse-rows")
    named = [(core.name, core.lanes) for core in CoreSet.read(SMALL).cores if core.core in kinds]
    assert cores == named
    for curve in content["curves"]:
        assert (curve["network"], curve["layer"], curve["equal_bits"]) == ("lenet5", "conv2", True)
        portions = [point["portion"] for point in curve["points"]]
        assert {*(n / 100 for n in range(10, 95, 5)), 0.95, 0.975} <= set(portions)
        assert portions == sorted(portions)
        for point in curve["points"]:
            assert point["area_um2"] > 0
            assert (point["area_um2"] <= curve["limit_um2"]) == (point["lanes"] > 0)
    assert (tmp_path / "out" / "conv2.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "conv2 sparse against dense-2d-2x2" in printed
    (quarter,) = (p for p in content["curves"][0]["points"] if p["portion"] == 0.75)
    assert f"4x pruned {quarter['speedup']:.2f}x faster" in printed
    assert main([*line, "--ratios", "4", "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == content
    assert "conv2 sparse against dense-2d-2x2" in printed.err


def test_curves_by_bytes_a_cycle(tmp_path: Path, capsys):
    out, pictures = tmp_path / "curves.json", tmp_path / "out"
    line = ["breakeven", "--network", "lenet5", "--layers", "conv2", "--cores", str(SMALL)]
    line += ["--kinds", "sparse", "--ratios", "10", "--out", str(pictures), "--json", str(out)]
    assert main([*line, "--bytes-per-cycle", "0.5", "8", "inf", "--dram-pj-per-bit", "4"]) == 0
    content = json.loads(out.read_text())
    settings = [(curve["bytes_per_cycle"], curve["weights"]) for curve in content["curves"]]
    assert settings.count((None, "on-chip")) == settings.count((0.5, "streamed")) == 4
    assert (0.5, "on-chip") not in settings
    assert len(settings) == 4 * 4  # two dense cores, two models of SRAM
    assert "weights streamed at 0.5 bytes a cycle" in capsys.readouterr().out
    assert (pictures / "conv2-bandwidth.png").stat().st_size > 1000
    dram = content["dram"]
    assert (dram["pj_per_bit"], dram["source"]) == (4.0, "given")
    rows = {(row["core"], row["ratio"]): row for row in dram["layers"]}
    geometry = spec_of("lenet5").geometries["conv2"]
    maps = {"inputs": 20 * 12 * 12, "outputs": 50 * 8 * 8}
    for (core, ratio), row in rows.items():
        assert {name: row["bytes"][name] for name in maps} == maps
        assert row["total_bytes"] == sum(row["bytes"].values())
        assert row["energy_nj"] == pytest.approx(row["total_bytes"] * 8 * 4 / 1000)
        assert ratio == 1 or core.startswith("sparse")
    assert rows["dense-scalar-5", 1.0]["bytes"]["weights"] == geometry.weights
    entry = 12 + 8 + 1  # distance, level, last
    assert rows["sparse-5", 10.0]["bytes"]["weights"] == geometry.weights / 10 * entry / 8


def test_a_layers_name_is_no_path_and_no_markup(tmp_path: Path, capsys):
    name = "../../$[/conv1]"
    geometry = Geometry("conv", 2, 4, 4, 4, (3, 3), padding=(1, 1))
    dense = np.tile(np.array([1, -1, 2], np.int8), (4, 6))
    fields = {"bits": 3, "q": 0.1, "mul": 40_000, "shift": 20, "relu": True}
    scales = {"in_scale": 1.0, "out_scale": 1.0, "bias": np.zeros(4)}
    layer = Layer.from_dense(dense, name=name, input="input", geometry=geometry, **fields, **scales)
    source = InputSpec((2, 4, 4), 0.02, (0.5, 0.5), (0.5, 0.5))
    container.save(CompressedModel("net", source, (layer,)), tmp_path / "m.cosign")
    out = tmp_path / "in" / "it"
    line = ["breakeven", "--model", str(tmp_path / "m.cosign"), "--cores", str(SMALL)]
    assert main([*line, "--layers", name, "--ratios", "2", "--out", str(out)]) == 0
    assert name in capsys.readouterr().out
    assert [path.name for path in out.glob("*.png")] == [f"{file_name(name)}.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"m.cosign", "in"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--layers", "conv9"], "has no layer 'conv9'; it has conv1"),
        (["--network", "lenet6"], "lenet6"),
        (["--bits", "9"], "9 is not 1 to 8"),
        (["--ratios", "0.5"], "0.5 is no pruning ratio"),
        (["--bytes-per-cycle", "8", "0.1"], "0.1 is no positive multiple of 0.125"),
        (["--dram-pj-per-bit", "-1"], "-1 is not positive"),
        (["--model", "nowhere.cosign"], "nowhere.cosign"),
        (["--cores", "nowhere.toml"], "cannot read nowhere.toml"),
    ],
)
def test_bad_input_is_one_sentence(line, sentence, capsys):
    assert main(["breakeven", "--network", "lenet5", "--layers", "conv2", *line]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_no_core_of_a_kind(tmp_path: Path, capsys):
    file = tmp_path / "cores.toml"
    file.write_text("schema = 1\nrows = []\n")
    assert main(["breakeven", "--kinds", "sparse-rows", "--cores", str(file)]) == 2
    said = capsys.readouterr().err
    assert said == f"cosign: {file} has no sparse-rows core; leave sparse-rows out of --kinds.\n"
