import json
from pathlib import Path

import pytest

from cosign import command
from rtl.options import config_of
from synth.__main__ import main


def test_banks_follow_the_lanes() -> None:
    line = ["report", "--core", "dense-2d", "--lanes", "8", "--filters", "8", "--out", "x"]
    config = config_of(command.parse("synth", "synth.commands", line))
    assert (config.core, config.filters, config.act_banks) == ("dense-2d", 8, 4)
    line = ["report", "--out", "x"]
    assert config_of(command.parse("synth", "synth.commands", line)).lanes == 61


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--lanes", "0"], "lanes is 0, must be 1..256"),
        (["--liberty", "nowhere.lib"], "--liberty: cannot read nowhere.lib"),
        (["--filters", "8"], "the sparse core computes one filter"),
        (["--clock-ns", "-1"], "clock_ns is -1.0, must be positive"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    out = tmp_path / "out"
    assert main(["report", *options, "--out", str(out), "--json", str(tmp_path / "r.json")]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()
    assert not (tmp_path / "r.json").exists()


def test_missing_opensta(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["report", "--out", str(tmp_path / "out")]) == 2
    assert "install the package opensta" in capsys.readouterr().err


def test_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
    line = [
        "report",
        "--core",
        "dense-scalar",
        "--lanes",
        "1",
        "--act-depth",
        "32",
        "--weight-depth",
        "8",
    ]
    line += ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "r.json")]
    assert main(line) == 0
    said = capsys.readouterr().out
    value = json.loads((tmp_path / "r.json").read_text())
    assert f"{value['logic_um2']:,.0f} um2" in said
    assert f"{value['fmax_hz'] / 1e6:,.0f} MHz" in said
    assert f"{value['blocks_um2']['lanes']:,.0f} um2" in said
    assert "fastest" not in said
    assert value["name"] == "dense-scalar-1"
    assert value == json.loads((tmp_path / "out" / "core.json").read_text())
