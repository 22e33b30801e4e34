"""Generated Verilog: repeatable, complete, and with its broadcast trees alive after synthesis."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rtl import verilog
from rtl.config import CoreConfig
from rtl.sram import behavioural, macros

SMALL = {
    "sparse": CoreConfig(lanes=13, act_banks=4, bank_bytes=4, act_depth=64, weight_depth=32),
    "dense": CoreConfig(
        "dense-2d", lanes=8, filters=4, act_banks=4, bank_bytes=4, act_depth=64, weight_depth=32
    ),
    "dense-packed": CoreConfig(
        "dense-packed",
        lanes=8,
        filters=4,
        act_banks=4,
        act_depth=64,
        weight_depth=32,
        mask_bits=8,
        mask_depth=4,
    ),
    "sparse-rows": CoreConfig(
        "sparse-rows", lanes=6, filters=2, act_banks=4, act_depth=64, weight_depth=32, tap_depth=32
    ),
    "sparse-nm": CoreConfig(
        "sparse-nm", lanes=6, filters=9, act_banks=8, act_depth=64, weight_depth=32
    ),
    "bitmask": CoreConfig(
        coding="bitmask", lanes=5, tiles=2, act_banks=2, act_depth=64, weight_depth=32, tap_depth=48
    ),
    "bitmask-windows": CoreConfig(
        coding="bitmask", lanes=6, windows=1, beats=3, act_banks=2, act_depth=64, weight_depth=32
    ),
    "bitmask-dot": CoreConfig(
        coding="bitmask", lanes=5, streams=3, run_bits=2, act_banks=2, act_depth=64, weight_depth=32
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


@pytest.mark.parametrize("words", [24, 32])
def test_synthesis_sees_a_memory_and_nothing_else(words: int, tmp_path: Path) -> None:
    """What a simulator's memories begin with, and what lies past their end, is not made."""
    path = tmp_path / "ram.v"
    path.write_text(behavioural(words, 8))
    found = tmp_path / "stat.json"
    commands = [f"read_verilog {path}", "hierarchy -auto-top", "proc", "opt", "select -assert-none"]
    commands[-1] += " t:$meminit t:$meminit_v2 a:init"
    subprocess.run(
        [sys.executable, "-c", SYNTHESIZE, *commands, f"tee -q -o {found} stat -json"],
        check=True,
        capture_output=True,
    )
    (module,) = json.loads(found.read_text())["modules"].values()
    assert not {"$ge", "$gt", "$le", "$lt"} & set(module["num_cells_by_type"])


def test_a_core_is_made_once_unless_what_is_kept_is_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    config = dataclasses.replace(SMALL["sparse"], lanes=2)
    made = []
    convert = verilog._convert

    def counted(component, name):
        made.append(name)
        return convert(component, name)

    def fresh():
        verilog._core.cache_clear()  # as in another process
        made.clear()
        return verilog.generate(config)["cosign_core.v"]

    monkeypatch.setattr(verilog, "_convert", counted)
    text = fresh()
    assert len(made) == 2
    (kept,) = (tmp_path / "verilog").glob("*/cosign_core.v")
    assert fresh() == text
    assert not made
    whole = kept.read_bytes()
    for damaged in (whole[:-100], whole.replace(b"endmodule", b"endmodulo"), b"\xff\x00"):
        kept.write_bytes(damaged)
        assert fresh() == text
        assert made
        assert kept.read_bytes() == whole
    other = verilog.generate(dataclasses.replace(config, lanes=3))["cosign_core.v"]
    assert other != text
    monkeypatch.setenv("COSIGN_CACHE", str(kept))  # a file, not a folder
    assert fresh() == text
    assert made
