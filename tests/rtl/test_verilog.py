"""Generated Verilog: repeatable, complete, and with its broadcast trees alive after synthesis."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rtl import verilog
from rtl.config import CoreConfig
from rtl.sram import macros

SMALL = {
    "sparse": CoreConfig(lanes=13, act_banks=4, bank_bytes=4, act_depth=64, weight_depth=32),
    "dense": CoreConfig(
        "dense-2d", lanes=8, filters=4, act_banks=4, bank_bytes=4, act_depth=64, weight_depth=32
    ),
    "sparse-rows": CoreConfig(
        "sparse-rows", lanes=6, filters=2, act_banks=4, act_depth=64, weight_depth=32, tap_depth=32
    ),
    "bitmask": CoreConfig(
        coding="bitmask", lanes=5, tiles=2, act_banks=2, act_depth=64, weight_depth=32, tap_depth=48
    ),
}

SYNTHESIZE = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1:]:
    ys.run_pass(command, design)
"""


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_equal_configs_give_equal_text(config, tmp_path):
    paths = verilog.write(config, tmp_path)
    again = verilog.generate(CoreConfig.from_json(config.to_json()))
    assert {path.name: path.read_text() for path in paths} == again
    assert paths[0].name == "cosign_core.v"
    for macro in macros(config):
        assert f"{macro.name}.v" in again
        assert again["cosign_core.v"].count(f"  {macro.name} ") == macro.count


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_synthesis_keeps_every_copy_of_a_broadcast(config, tmp_path: Path):
    core, *memories = verilog.write(config, tmp_path)
    boxes = " ".join(str(path) for path in memories)
    subprocess.run(
        [
            *(sys.executable, "-c", SYNTHESIZE, f"read_verilog -lib {boxes}"),
            *(f"read_verilog {core}", "synth -flatten -top cosign_core", "check -assert"),
            f"tee -q -o {tmp_path}/stat.json stat -json",
        ],
        check=True,
        capture_output=True,
    )
    report = json.loads((tmp_path / "stat.json").read_text())
    top = report["modules"]["\\cosign_core"]["num_cells_by_type"]
    kept = sum(count for name, count in top.items() if "cosign_replica" in name)
    written = core.read_text().count("cosign_replica #(") - 1  # less the module itself
    assert kept == written > 20
    assert not any("DLATCH" in name for name in top)
