"""A small core through the real tools: area, timing, cache, and the function of the netlist."""

import dataclasses
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from cosign import CosignError
from rtl import verilog
from rtl.config import CoreConfig
from rtl.sram import macros
from sim.build import tools
from synth.map import yosys
from synth.pdk import find_pdk
from synth.place.options import Placement
from synth.report import KEPT, CoreReport, synthesize, synthesize_many
from synth.sta import sign_off

SMALL = CoreConfig(lanes=4, act_banks=2, act_depth=64, weight_depth=32, index_bits=6, acc_bits=20)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(cache))


@pytest.fixture(scope="module")
def small(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CoreReport, Path]:
    out = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSIGN_CACHE", str(cache))
        return synthesize(SMALL, out), out


def test_area_is_that_of_the_netlist(small: tuple[CoreReport, Path]) -> None:
    report, out = small
    cells = find_pdk().library.cells
    instances = re.findall(r"^  (\w+) \w+ \(\.", (out / "netlist.v").read_text(), re.M)
    by_hand = sum(cells[kind].area_um2 for kind in instances if kind in cells)
    assert report.logic_um2 == pytest.approx(by_hand, rel=1e-6)
    assert sum(report.cells.values()) == sum(kind in cells for kind in instances)
    assert report.flip_flops == sum(kind.startswith("DFF") for kind in instances)
    assert sum(kind.startswith("cosign_sram") for kind in instances) == SMALL.act_banks + 2
    flat = 0.57 * (8 * SMALL.act_bytes + 2 * SMALL.weight_depth * SMALL.entry_bits)
    assert report.area_um2("flat") == pytest.approx(report.logic_um2 + flat)
    assert report.area_um2("openram") > report.area_um2("flat")


def test_blocks_add_up(small: tuple[CoreReport, Path]) -> None:
    report, _ = small
    assert sum(report.blocks_um2.values()) == pytest.approx(report.logic_um2, rel=1e-9)
    assert report.blocks_um2["unattributed"] == 0
    assert report.blocks_um2["shared"] < 0.01 * report.logic_um2
    # Four lanes of a 17-bit product, two accumulator-wide registers: at least their flip-flops.
    flip_flops = SMALL.lanes * (2 * SMALL.acc_bits + 16)
    assert report.blocks_um2["lanes"] > flip_flops * find_pdk().library.cells["DFF_X1"].area_um2
    value = report.to_json()
    value["blocks_um2"] = {**report.blocks_um2, "lanes": report.blocks_um2["lanes"] + 1}
    with pytest.raises(CosignError, match="do not add up"):
        CoreReport.from_json(value)


def test_every_report_is_kept(small: tuple[CoreReport, Path]) -> None:
    report, out = small
    assert sorted(path.name for path in out.iterdir()) == sorted(KEPT)
    assert CoreReport.from_json(json.loads((out / "core.json").read_text())) == report
    assert report.name == "sparse-4"
    assert report.provenance["pdk"]["sha256"] == find_pdk().sha256
    assert report.provenance["sta"].startswith("OpenSTA")


def test_fmax_is_signed_off(small: tuple[CoreReport, Path], tmp_path: Path) -> None:
    """The kept netlist, timed by a fresh OpenSTA at the reported Fmax, just meets it."""
    report, out = small
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    period = 1e9 / report.fmax_hz
    macro_library = tmp_path / "cosign_sram.lib"
    record = sign_off(tmp_path / "netlist.v", "cosign_core", find_pdk(), macro_library, period)
    assert abs(record.slack_ns) < 2e-3
    assert report.critical_path.startswith(f"{record.start} to {record.end}")
    assert 0.5e9 < report.fmax_hz < 3e9


def test_registers_do_not_carry_the_broadcast(small: tuple[CoreReport, Path]) -> None:
    """A lone DFF_X1 that drives a broadcast takes over a nanosecond; buffered, a tenth."""
    _, out = small
    text = (out / "timing_top20.rpt").read_text()
    delays = re.findall(r"(\d+\.\d+)\s+\d+\.\d+ [v^] \S+/QN? \(DFF", text)
    assert len(delays) > 10  # the others of the twenty slowest paths begin at memories
    assert max(map(float, delays)) < 0.3


BENCH = """
module bench (input clk);
  {wires}
  cosign_core rtl ({rtl});
  cosign_core_mapped mapped ({mapped});
  integer cycle = 0, mismatches = 0, words = 0, layers = 0;
  initial begin
    rst = 1; {quiet}
  end
  always @(posedge clk) begin
    cycle <= cycle + 1;
    rst <= cycle < 4;
    if (!rst) begin
      if ({differ}) mismatches <= mismatches + 1;
      if (o__valid_a && o__ready && o__payload_a != 0) words <= words + 1;
      if (done_a) layers <= layers + 1;
    end
    start <= ($urandom % 100) == 0;
    if (!busy_a && !start) begin  // the descriptor is held while the core is busy
      layer__last_pass <= $urandom % 4; layer__last_tile <= $urandom % 4;
      layer__last_in_group <= $urandom % 2; layer__group_step <= $urandom;
      layer__last_shifts <= $urandom; layer__relu <= $urandom;
    end
    i_acts__valid <= $urandom; i_acts__payload <= {{$urandom, $urandom}};
    i_weights__valid <= $urandom; i_weights__payload <= $urandom;
    i_biases__valid <= $urandom; i_biases__payload <= {{$urandom, $urandom}};
    i_biases__payload[41:36] <= 7 + $urandom % 12;  // the shift
    o__ready <= ($urandom % 4) != 0;
    if (cycle == 100000) begin
      $display("RESULT %0d %0d %0d", mismatches, words, layers);
      $finish;
    end
  end
endmodule
"""
MAIN = """
#include "Vbench.h"
int main() {
  VerilatedContext context;
  Vbench bench{&context};
  while (!context.gotFinish()) { bench.clk = !bench.clk; bench.eval(); }
}
"""


def test_netlist_computes_what_the_rtl_does(small: tuple[CoreReport, Path], tmp_path: Path) -> None:
    """RTL and sized netlist in lockstep under Verilator, on random streams over many layers."""
    _, out = small
    (liberty,) = find_pdk().files
    ports = json.loads(json.dumps(_ports(out / "netlist.v")))
    inputs = {n: w for n, (d, w) in ports.items() if d == "input" and n != "clk"}
    outputs = {n: w for n, (d, w) in ports.items() if d == "output"}
    wires = [f"reg [{w - 1}:0] {n};" for n, w in inputs.items()]
    wires += [f"wire [{w - 1}:0] {n}_{s};" for n, w in outputs.items() for s in "ab"]
    shared = [".clk(clk)", *(f".{n}({n})" for n in inputs)]
    text = BENCH.format(
        wires=" ".join(wires),
        rtl=", ".join([*shared, *(f".{n}({n}_a)" for n in outputs)]),
        mapped=", ".join([*shared, *(f".{n}({n}_b)" for n in outputs)]),
        quiet=" ".join(f"{n} = 0;" for n in inputs if n != "rst"),
        differ=" || ".join(f"{n}_a !== {n}_b" for n in outputs),
    )
    (tmp_path / "bench.v").write_text(text)
    netlist = (out / "netlist.v").read_text().replace("cosign_core", "cosign_core_mapped", 1)
    (tmp_path / "netlist.v").write_text(netlist)
    (tmp_path / "cosign_core.v").write_text((out / "cosign_core.v").read_text())
    for name, model in verilog.generate(SMALL).items():
        if name != "cosign_core.v":
            (tmp_path / name).write_text(model)
    yosys(f"read_liberty -ignore_miss_func {liberty}\nwrite_verilog cells.v", tmp_path, "cells")
    sources = ["bench.v", "netlist.v", "cosign_core.v", "cells.v"]
    sources += [f"{macro.name}.v" for macro in macros(SMALL)]
    (tmp_path / "main.cpp").write_text(MAIN)
    flags = "--cc --exe --build --output-split 0 --no-timing -O1 -Wno-fatal -Wno-lint"
    flags += " --x-assign 0 --x-initial 0 --top bench -Mdir obj"
    command = ["verilator", *flags.split(), "main.cpp", *sources]
    subprocess.run(command, cwd=tmp_path, env=tools(), check=True, capture_output=True)
    ran = subprocess.run(
        [tmp_path / "obj" / "Vbench"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    mismatches, words, layers = map(int, ran.stdout.split("RESULT")[1].split()[:3])
    assert words > 100
    assert layers > 5
    assert mismatches == 0


def _ports(netlist: Path) -> dict[str, tuple[str, int]]:
    found = {}
    for match in re.finditer(
        r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", netlist.read_text(), re.M
    ):
        found[match[3]] = (match[1], int(match[2] or 0) + 1)
    return found


def test_equal_work_is_done_once(small: tuple[CoreReport, Path], tmp_path: Path) -> None:
    report, out = small
    again = synthesize(SMALL, tmp_path, sram_models=("flat",))
    # Equal to the last digit of wall_s, which a second synthesis would not repeat.
    assert again == dataclasses.replace(report, sram_um2={"flat": report.sram_um2["flat"]})
    for name in KEPT:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_a_damaged_entry_is_made_anew(
    small: tuple[CoreReport, Path],
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An edited figure and a netlist cut short: the report and the files are the right ones."""
    report, out = small
    (entry,) = (cache / "synth").iterdir()
    kept = json.loads((entry / "core.json").read_text())
    (entry / "core.json").write_text(json.dumps({**kept, "fmax_hz": 91e9}))
    (entry / "netlist.v").write_bytes((entry / "netlist.v").read_bytes()[:-500])
    again = synthesize(SMALL, tmp_path)
    assert dataclasses.replace(again, wall_s=report.wall_s) == report
    assert (tmp_path / "netlist.v").read_bytes() == (out / "netlist.v").read_bytes()
    said = capsys.readouterr().err
    assert said == f"cosign: {entry} is not as it was kept; it is made anew.\n"
    assert synthesize(SMALL) == again
    assert capsys.readouterr().err == ""


def test_cache_that_cannot_be_written(
    small: tuple[CoreReport, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = small
    blocked = tmp_path / "file-instead-of-folder"
    blocked.write_text("")
    monkeypatch.setenv("COSIGN_CACHE", str(blocked))
    fresh = synthesize(SMALL, tmp_path / "out")
    assert (fresh.logic_um2, fresh.fmax_hz) == (report.logic_um2, report.fmax_hz)
    assert (tmp_path / "out" / "core.json").stat().st_mode & stat.S_IRUSR


def test_many_keep_their_order_and_tell(small: tuple[CoreReport, Path], tmp_path: Path) -> None:
    dense = dataclasses.replace(SMALL, core="dense-2d", lanes=2, filters=2, act_banks=2)
    told: list[tuple[str, str]] = []
    reports = synthesize_many(
        [dense, SMALL], tmp_path, progress=lambda config, what: told.append((config.core, what))
    )
    assert [r.name for r in reports] == ["dense-2d-2x2", "sparse-4"]
    assert sorted(told) == sorted(
        (c, w) for c in ("dense-2d", "sparse") for w in ("started", "done")
    )
    for config in (dense, SMALL):
        assert (tmp_path / config.hash / "timing.rpt").is_file()


def test_memories_change_without_new_logic(small: tuple[CoreReport, Path]) -> None:
    report, _ = small
    deeper = dataclasses.replace(SMALL, weight_depth=4096)
    more = report.with_memories(deeper)
    assert more.logic_um2 == report.logic_um2
    assert more.sram_um2["flat"]["weight"] == pytest.approx(
        4096 / SMALL.weight_depth * report.sram_um2["flat"]["weight"]
    )
    assert more.sram_um2["flat"]["activation"] == report.sram_um2["flat"]["activation"]
    with pytest.raises(CosignError, match="only change its memory depths"):
        report.with_memories(dataclasses.replace(SMALL, lanes=3))


def test_an_error_stops_the_placement_beside_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was placed to its end would be kept."""

    def fail(*_: object) -> None:
        raise CosignError("no sizes.")

    monkeypatch.setattr("synth.report.close_timing", fail)
    with pytest.raises(CosignError, match="no sizes"):
        synthesize(dataclasses.replace(SMALL, lanes=3), place=Placement())
    assert (cache / "mapped").is_dir()
    assert not (cache / "placed").exists()


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="not one of openram, flat"):
        synthesize(SMALL, tmp_path, sram_models=("cacti",))
    (tmp_path / "a.lib").write_text("not a library")
    with pytest.raises(CosignError, match="not a Liberty file"):
        synthesize_many([SMALL, SMALL], tmp_path, [tmp_path / "a.lib"])
