"""`cosign rtl generate`: what it writes, what it refuses, and that other tools read it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from cosign import CosignError
from rtl.__main__ import main
from rtl.commands.generate import read_config
from rtl.config import CoreConfig
from rtl.sram import macros
from sim.build import tools

SMALL = ["--act-depth", "32", "--weight-depth", "16"]
CORES = {
    "sparse": ["--lanes", "5"],
    "absolute": ["--lanes", "5", "--coding", "absolute", "--act-buffers", "2"],
    "bitmask": ["--lanes", "5", "--coding", "bitmask", "--mask-bits", "9"],
    "dense-scalar": ["--core", "dense-scalar", "--lanes", "5", "--tiles", "2"],
    "dense-2d": ["--core", "dense-2d", "--lanes", "4", "--filters", "3", "--drain", "2"],
    "dense-packed": [
        "--core",
        "dense-packed",
        "--lanes",
        "4",
        "--filters",
        "2",
        "--mask-bits",
        "4",
    ],
    "sparse-rows": ["--core", "sparse-rows", "--lanes", "4", "--filters", "2"],
    "sparse-nm": ["--core", "sparse-nm", "--lanes", "4", "--nm-keep", "1", "--nm-group", "8"],
}

# What Yosys writes is well defined, but not what Verilator asks of handwritten Verilog; `interrupt`
# is a word of some C++ compilers. All other warnings are errors.
YOSYS_STYLE = ("-Wno-WIDTH", "-Wno-CASEINCOMPLETE", "-Wno-CMPCONST", "-Wno-SYMRSVDWORD")


@pytest.mark.parametrize("options", CORES.values(), ids=CORES)
def test_verilator_reads_every_core_and_its_top(options: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = ["generate", *options, *SMALL, "--out", str(out), "--json", str(tmp_path / "made.json")]
    assert main(line) == 0
    made = json.loads((tmp_path / "made.json").read_text())
    config = CoreConfig.from_json(made["config"])
    assert config == read_config(out / "config.json")
    assert made["hash"] == config.hash
    memories = {f"{macro.name}.v" for macro in macros(config)}
    assert (
        set(made["files"])
        == {path.name for path in out.iterdir()}
        == memories
        | {*("cosign_core.v", "cosign_top.v", "registers.md", "cosign_registers.h", "config.json")}
    )
    for name in ("cosign_core.v", "cosign_top.v"):
        head = (out / name).read_text()[:2000]
        assert name.removesuffix(".v") in head
        assert config.hash in head
    lint = subprocess.run(
        [
            *("verilator", "--lint-only", *YOSYS_STYLE, "--top-module", "cosign_top"),
            *sorted(out.glob("*.v")),
        ],
        env=tools(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stderr


@pytest.mark.parametrize("options", CORES.values(), ids=CORES)
def test_tdata_is_padded_to_powers_of_two_on_request(options: list[str], tmp_path: Path) -> None:
    widths, texts = {}, {}
    for name, more in (("plain", []), ("padded", ["--pad-tdata"])):
        line = ["generate", *options, *SMALL, *more]
        assert main([*line, "--out", str(tmp_path / name)]) == 0
        texts[name] = {path.name: path.read_text() for path in (tmp_path / name).iterdir()}
        found = re.findall(
            r"^  (?:in|out)put \[(\d+):0\] (\w+_tdata)", texts[name].pop("cosign_top.v"), re.M
        )
        widths[name] = {port: int(top) + 1 for top, port in found}
    assert texts["plain"] == texts["padded"]
    assert set(widths["plain"]) == set(widths["padded"])
    assert len(widths["padded"]) == 4
    for port, bits in widths["padded"].items():
        assert bits in (8 << n for n in range(12))
        assert bits // 2 < widths["plain"][port] <= bits
    assert [widths[name]["s_axis_biases_tdata"] for name in ("plain", "padded")] == [48, 64]


def test_a_config_file_generates_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["generate", *CORES["sparse"], *SMALL, "--out", str(first)]) == 0
    file = str(first / "config.json")
    assert main(["generate", "--config", file, "--out", str(second)]) == 0
    texts = [{p.name: p.read_text() for p in folder.iterdir()} for folder in (first, second)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--lanes", "300"], "lanes is 300, must be 1..256"),
        (["--bank-bytes", "3"], "bank_bytes is 3, must be a power of two"),
        (["--lanes", "64", "--act-banks", "2"], "64 lanes read up to 67 bytes at once"),
        (["--filters", "2"], "the sparse core computes one filter at a time"),
        (["--core", "sparse-nm", "--nm-group", "6"], "nm_group is 6, must be a power of two"),
        (["--core", "sparse-nm", "--nm-group", "16"], "nm_group is 16, must be 2..8"),
        (["--core", "sparse-nm", "--nm-keep", "5"], "nm_keep is 5, must be 1..4"),
        (["--config", "nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_bad_values_are_one_sentence(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "out", tmp_path / "made.json"
    assert main(["generate", *options, "--out", str(out), "--json", str(file)]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()
    assert not file.exists()


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": 2, "lanes": 4}', "{"])
def test_a_file_that_is_no_config_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CosignError, match=r"config\.json"):
        read_config(path)


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    line = ["generate", *CORES["sparse"], *SMALL, "--out", str(tmp_path / "out")]
    assert main(line) == 2
    assert "cannot write" in capsys.readouterr().err
