"""`cosign breakeven` on small cores."""

import json
from pathlib import Path

import pytest

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
    assert cores == [(core.name, core.lanes) for core in CoreSet.read(SMALL).cores]
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


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--layers", "conv9"], "has no layer 'conv9'; it has conv1"),
        (["--network", "lenet6"], "lenet6"),
        (["--bits", "9"], "weight_bits is 9"),
        (["--ratios", "0.5"], "0.5 is no pruning ratio"),
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
