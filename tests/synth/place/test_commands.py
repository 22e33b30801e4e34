"""`report --place` from the command line, and what it refuses."""

import json
import sys
from pathlib import Path

import pytest
from placed_cores import CONFIG, chains, without_cell

from cosign import CosignError
from synth.__main__ import main
from synth.pdk import find_pdk
from synth.place.flow import KEPT
from synth.place.job import Job
from synth.place.lef import find_lef, read_lef
from synth.place.options import Placement
from synth.place.wires.metal import metal_of
from synth.report import CoreReport

SMALL = ["--core", "dense-scalar", "--lanes", "1", "--act-depth", "32", "--weight-depth", "64"]


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    out, file = folder / "out", folder / "r.json"
    line = ["report", *SMALL, "--out", str(out), "--json", str(file), *options]
    assert main(line) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()
    assert not file.exists()
    return said


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--place", "--utilisation", "1.2"], "--utilisation: 1.2 is not between 0.05 and 0.9"),
        (["--place", "--utilisation", "0.95"], "--utilisation: 0.95 is not between"),
        (["--place", "--utilisation", "0.01"], "--utilisation: 0.01 is not between"),
        (["--place", "--aspect", "50"], "--aspect: 50 is not between 0.1 and 10"),
        (["--place", "--lef", "nowhere.lef"], "--lef: cannot read nowhere.lef"),
        (["--utilisation", "0.7"], "--utilisation is of a placement; add --place"),
        (["--seeds", "3"], "--seeds is of a placement; add --place"),
        (["--lef", __file__], "--lef is of a placement; add --place"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    assert reason in refused(tmp_path, capsys, *options)


def test_no_placer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "coloquinte", None)
    assert "no placer is installed; run `pip install colo" in refused(tmp_path, capsys, "--place")


def test_no_lef(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.lib"
    own.write_bytes(find_pdk().files[0].read_bytes())
    said = refused(tmp_path, capsys, "--place", "--liberty", str(own))
    assert "no LEF is known for NangateOpenCellLibrary" in said
    assert "--lef" in said


def test_lef_without_a_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    technology, cells = find_lef(find_pdk()).files
    short = without_cell(cells, "DFF_X1", tmp_path / "short.lef")
    said = refused(tmp_path, capsys, "--place", "--lef", str(technology), "--lef", str(short))
    assert "holds DFF_X1, which rtk-tech.lef and short.lef does not have" in said
    # One that only this netlist holds, and one that sizing might choose for it.
    for name in ("NAND2_X1", "NAND2_X4"):
        lef = read_lef(technology, without_cell(cells, name, tmp_path / f"{name}.lef"))
        pdk = find_pdk()
        with pytest.raises(CosignError, match=f"holds {name}, which"):
            Job(CONFIG, chains(), pdk, lef, metal_of(pdk, lef), Placement(), 1, tmp_path)


def test_a_cell_of_two_rows(tmp_path: Path) -> None:
    technology, cells = find_lef(find_pdk()).files
    high = tmp_path / "high.lef"
    text = cells.read_text()
    begin = text.index("MACRO NAND2_X2\n")
    high.write_text(text[:begin] + text[begin:].replace("BY 1.4", "BY 2.8", 1))
    pdk, lef = find_pdk(), read_lef(technology, high)
    with pytest.raises(CosignError, match=r"NAND2_X2 is 2\.8 um high, a row 1\.4"):
        Job(CONFIG, chains(), pdk, lef, metal_of(pdk, lef), Placement(), 1, tmp_path)


def test_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
    out, file = tmp_path / "out", tmp_path / "r.json"
    line = ["report", *SMALL, "--place", "--seeds", "2", "--out", str(out), "--json", str(file)]
    assert main(line) == 0
    said = capsys.readouterr()
    assert "nothing is routed" in said.out
    assert "2 seeds" in said.out
    shown = [line.split()[1] for line in said.err.splitlines() if line.startswith("place ")]
    assert (shown[0], shown[-1]) == ("0/18", "18/18")
    assert len(shown) > 6  # of both seeds
    for name in KEPT:
        assert (out / "placed" / name).stat().st_size or name == "check_setup.rpt"
    content = json.loads(file.read_text())
    placed = content["placed"]
    assert placed["spread"]["seeds"] == 2
    low, high = placed["spread"]["fmax_hz"]
    assert low <= placed["fmax_hz"] <= high
    wires = placed["provenance"]["wires"]
    assert (wires["short_ohm_um"], wires["short_ff_um"]) == (3.6, 0.105)
    assert placed["provenance"]["utilisation"] == 0.7
    report = CoreReport.from_json(content)
    taken = report.quoted
    assert (taken.logic_um2, taken.fmax_hz) == (placed["logic_um2"], placed["fmax_hz"])
    assert taken.provenance["placement"] == placed["provenance"]
    plain = CoreReport.from_json({k: v for k, v in content.items() if k != "placed"})
    assert plain.quoted is plain
    assert "placed" not in plain.to_json()
