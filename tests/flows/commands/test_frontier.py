"""`cosign frontier` on a small network."""

import json
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs

from flows.__main__ import main
from flows.measure import frontier
from synth import __main__ as synth
from synth.prices import PlacedLogic, PriceList


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "MOST", 24)


LINE = ["frontier", "--network", "lenet5", "--layers", "conv2", "--seeds", "2"]


def test_points_by_area_and_the_unpruned_advantage(tmp_path: Path, capsys):
    out, plot = tmp_path / "f.json", tmp_path / "f.png"
    assert main([*LINE, "--areas", "4,8,0.45mm2", "--json", str(out), "--plot", str(plot)]) == 0
    content = json.loads(out.read_text())
    assert (content["schema"], content["network"], content["seeds"]) == (1, "lenet5", [0, 1])
    found = {
        (p["against"], p["sram_model"], p["weights"], p["multipliers"]): p
        for p in content["points"]
    }
    assert len(found) == len(content["points"])
    counts = Counter(against for against, *_ in found)
    assert counts["dense"] == counts["dense-arrays"] == counts["dense-windows"] == 2 * 2 * 3
    assert counts["dense-2d-8x8"] == 2 * 2
    assert 0 < counts["sparse-nm"] <= 2 * 2 * 3  # where one is small enough
    assert 0 < counts["dense-packed"] <= 2 * 2 * 3
    assert ("dense-2d-8x8", "openram", "streamed", 64) in found
    for point in content["points"]:
        assert point["dense"]["area_um2"] <= point["area_um2"] * (1 + 1e-9)
        kind = {"sparse-nm": "sparse-nm-", "dense-packed": "dense-packed-"}
        name = point["dense"]["name"]
        if point["against"] != "dense-windows" or not name.endswith(", bare"):
            assert name.startswith(kind.get(point["against"], "dense-"))
        assert point["layer"] == "conv2"
        assert point["bytes_per_cycle"] is None
        if point["sparse"] is not None:
            assert point["sparse"]["area_um2"] <= point["area_um2"]
            assert point["measured"] == (point["sparse"]["measured"] and point["dense"]["measured"])
        assert [ratio for ratio, _ in point["speedups"]] == list(frontier.RATIOS)
        if point["against"] == "dense":
            assert point["speedups"][0][1] <= 1.01
    assert 0 < content["unpruned_advantage"] <= 1.01
    assert content["prices"]["cores"] >= 20
    assert plot.stat().st_size > 1000
    assert "conv2, random masks, against dense, SRAM openram" in capsys.readouterr().out


def test_the_rooms_own_program_has_it_too(capsys):
    words = ["--areas", "4", "--seeds", "1", "--sram", "flat", "--weights", "streamed"]
    assert synth.main([*LINE, *words, "--json", "-"]) == 0
    said = capsys.readouterr()
    assert [p["multipliers"] for p in json.loads(said.out)["points"]] == [4, 4, 4, 4, 4, 64]
    assert "against dense-2d-8x8" in said.err


def _listed(path: Path, grown: float | None) -> list[str]:
    """The built-in list, its cores placed and `grown`; None for none of them."""
    listed = PriceList.read()
    cores = []
    for core in listed.cores:
        placed = grown and PlacedLogic(
            logic_um2=grown * core.logic_um2,
            fmax_hz=0.9 * core.fmax_hz,
            blocks_um2={block: grown * area for block, area in core.blocks_um2.items()},
        )
        cores.append(structs.replace(core, placed=placed))
    structs.replace(listed, cores=tuple(cores)).write(path)
    return ["--prices", str(path)]


def test_placed_cores_are_compared_by_what_they_take_placed(tmp_path: Path, capsys):
    words = [*LINE[:-2], "--seeds", "1", "--areas", "8", "--sram", "flat", "--weights", "streamed"]
    listed = _listed(tmp_path / "list.json", 1.05)
    found = {}
    for how in ([], ["--place"]):
        assert main([*words, *listed, *how, "--json", str(tmp_path / "f.json")]) == 0
        content = json.loads((tmp_path / "f.json").read_text())
        found[bool(how)] = next(p for p in content["points"] if p["against"] == "dense")
        assert content["prices"]["placed"] == bool(how)
        cores = len(PriceList.read().cores)
        assert (
            f"priced by {cores} {'placed' if how else 'synthesised'} cores"
            in capsys.readouterr().out
        )
    mapped, placed = found[False]["dense"], found[True]["dense"]
    if mapped["name"] == placed["name"]:
        assert placed["fmax_hz"] == pytest.approx(0.9 * mapped["fmax_hz"])
        assert mapped["area_um2"] < placed["area_um2"] < 1.05 * mapped["area_um2"]


def test_a_list_without_placed_cores_says_how_to_make_one(tmp_path: Path, capsys):
    listed = _listed(tmp_path / "list.json", None)
    assert main([*LINE, *listed, "--place"]) == 2
    assert "has no placed cores; write one by `python -m synth pr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--layers", "conv9"], "lenet5 has no layer 'conv9'; it has conv1"),
        (["--areas", "0.001mm2"], "no dense core has at most 0.001 mm2"),
        (["--areas", "many"], "many is no area; write multipliers, 64, or an area with its unit"),
        (["--areas", "0"], "0 is not positive"),
        (["--model", __file__], "--network and --model contradict each other"),
        (["--prices", "nowhere.json"], "nowhere.json"),
        (["--liberty", __file__], "--liberty is for the cores that --measure synthesises"),
        (["--seeds", "0"], "0 is not positive"),
        (
            ["--liberty", __file__, "--prices", __file__, "--measure", "--place"],
            "--place has the LEF of the usual cell library alone here",
        ),
    ],
)
def test_bad_input_is_one_sentence(line, sentence, capsys):
    assert main([*LINE, *line]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
