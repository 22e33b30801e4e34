"""The SoC top on Verilator, with the buses of cocotbext-axi around it."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from cocotb_tools import config as cocotb_config
from cocotb_tools.runner import get_results, get_runner

from rtl import verilog
from rtl.config import CoreConfig
from rtl.soc.axi import MODULE
from sim.build import power_on, tools, without_initial_values

SMALL = {"act_banks": 2, "act_depth": 48, "act_buffers": 2, "weight_depth": 32, "index_bits": 4}
CONFIGS = {
    "sparse": CoreConfig(lanes=5, **SMALL),
    "bitmask": CoreConfig(lanes=5, coding="bitmask", mask_bits=7, **SMALL),
    "dense-2d": CoreConfig("dense-2d", lanes=4, filters=3, drain=2, **SMALL),
    "dense-packed": CoreConfig("dense-packed", lanes=4, filters=3, mask_bits=4, drain=2, **SMALL),
    "sparse-rows": CoreConfig(
        "sparse-rows", lanes=4, filters=2, window_span=2, **SMALL | {"weight_depth": 64}
    ),
    "sparse-nm": CoreConfig("sparse-nm", lanes=2, filters=3, **SMALL),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS if name != "sparse"]


def compile_top(sources: list[Path], build: Path) -> None:
    """A simulator of `cosign_top` in which cocotb sees the ports."""
    library = cocotb_config.libs_dir
    main = cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp"
    for step in (
        [
            *("verilator", "-cc", "--exe", "--vpi", "--public-depth", "1", "-Mdir", build),
            *("--top-module", MODULE, "--prefix", "Vtop", "-o", MODULE),
            # Of large tops the parts would read a header that this make file does not find.
            *("-Wno-fatal", "-Wno-lint", "--x-initial", "unique", "--output-split", "0"),
            *("-LDFLAGS", f"-L{library} -lcocotbvpi_verilator", main, *sources),
        ],
        ["make", "-C", build, "-j2", "-f", "Vtop.mk", "OPT_FAST=-O1", "OPT_SLOW=-O0"],
    ):
        done = subprocess.run(step, env=tools(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("name", ["sparse", *SLOW])
def test_the_top_on_its_buses(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # which is where the simulator looks
    config = CONFIGS[name]
    texts = verilog.generate(config) | verilog.generate_top(config)
    texts = {file: without_initial_values(text) for file, text in texts.items()}
    sources = verilog.write_texts(texts, tmp_path / "rtl")
    build = tmp_path / "build"
    compile_top(sources, build)
    libraries = [str(cocotb_config.libs_dir), os.environ.get("LD_LIBRARY_PATH", "")]
    results = tmp_path / "results.xml"
    with contextlib.suppress(SystemExit):  # of a test that failed; the log says which one
        get_runner("verilator").test(
            test_module="axi_bench",
            hdl_toplevel=MODULE,
            hdl_toplevel_lang="verilog",
            build_dir=build,
            test_dir=tmp_path,
            plusargs=power_on(seed=1),
            results_xml=str(results),
            log_file=tmp_path / "test.log",
            extra_env={
                "COSIGN_AXI_CONFIG": json.dumps(config.to_json()),
                "COCOTB_LOG_LEVEL": "WARNING",
                "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
            },
        )
    tests, failed = get_results(results)
    log = (tmp_path / "test.log").read_text()
    assert tests > 0, log
    assert failed == 0, log
