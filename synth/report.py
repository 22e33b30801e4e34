"""One core, priced: logic and SRAM area, Fmax, critical path. Cached by content."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosign import CosignError, cache_dir, read_json, write_json
from rtl import sram as rtl_sram
from rtl import verilog
from rtl.config import CoreConfig
from synth import sram
from synth.map import map_core, measure_area, yosys_version
from synth.netlist import Netlist
from synth.pdk import Pdk, find_pdk
from synth.process import Cancelled
from synth.recipe import recipe_hash
from synth.sizing import buffer_fanout, close_timing
from synth.sta import Timer, opensta_version, sign_off

SCHEMA = 1
TOP = "cosign_core"
KEPT = ("netlist.v", "area.rpt", "area.json", "timing.rpt", "timing_top20.rpt", "timing_hold.rpt",
        "timing_tns.rpt", "check_setup.rpt", "sta.tcl", "map.ys", "map.abc", "map.log",
        "cosign_sram.lib", "cosign_core.v", "core.json")  # fmt: skip

Progress = Callable[[CoreConfig, str], None]


@dataclass(frozen=True)
class CoreReport:
    """What one core costs. Areas in square micrometres, Fmax in hertz.

    `sram_um2` is {model: {purpose: area}}; `cells` counts library cells by name. `fmax_hz` is that
    of the netlist sized for the config's clock target. `wall_s` is the time of the synthesis
    that made it, wherever it is read from.
    """

    config: CoreConfig
    logic_um2: float
    sram_um2: dict[str, dict[str, float]]
    fmax_hz: float
    slack_ns: float
    critical_path: str
    cells: dict[str, int]
    flip_flops: int
    provenance: dict[str, Any]
    wall_s: float

    @property
    def name(self) -> str:
        """sparse-61, dense-scalar-61, dense-2d-8x8."""
        config = self.config
        lanes = f"{config.filters}x{config.lanes}" if config.filters > 1 else f"{config.lanes}"
        return f"{config.core}-{lanes}"

    def area_um2(self, sram_model: str) -> float:
        """Logic and all SRAM under `sram_model`."""
        if sram_model not in self.sram_um2:
            raise CosignError(
                f"the report of {self.name} has no SRAM model {sram_model!r}, "
                f"only {', '.join(self.sram_um2)}."
            )
        return self.logic_um2 + sum(self.sram_um2[sram_model].values())

    def to_json(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        total = {model: self.area_um2(model) for model in self.sram_um2}
        return {
            "schema": SCHEMA,
            "name": self.name,
            "config_hash": self.config.hash,
            **fields,
            "config": self.config.to_json(),
            "total_um2": total,
        }

    @classmethod
    def from_json(cls, value: Any) -> "CoreReport":
        """Raises CosignError on another schema or a missing field."""
        try:
            if value["schema"] != SCHEMA:
                raise CosignError(
                    f"a core report has schema {value['schema']}, this version reads {SCHEMA}."
                )
            report = cls(
                config=CoreConfig.from_json(value["config"]),
                logic_um2=float(value["logic_um2"]),
                sram_um2={
                    model: {purpose: float(area) for purpose, area in parts.items()}
                    for model, parts in value["sram_um2"].items()
                },
                fmax_hz=float(value["fmax_hz"]),
                slack_ns=float(value["slack_ns"]),
                critical_path=str(value["critical_path"]),
                cells={kind: int(count) for kind, count in value["cells"].items()},
                flip_flops=int(value["flip_flops"]),
                provenance=dict(value["provenance"]),
                wall_s=float(value["wall_s"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CosignError(f"a core report is damaged ({error}); synthesise again.") from error
        if report.logic_um2 <= 0 or report.fmax_hz <= 0:
            raise CosignError("a core report has no area or no Fmax; synthesise again.")
        return report

    def with_memories(self, config: CoreConfig) -> "CoreReport":
        """The same logic with the memories of `config`.

        Only memory depths may differ, and only their macros change here: the few address bits
        that a deeper memory adds are those of the core that was synthesised.
        """
        plain = dataclasses.replace(config, **{d: getattr(self.config, d) for d in DEPTHS})
        if plain != self.config:
            raise CosignError(f"the report of {self.name} can only change its memory depths.")
        macros = rtl_sram.macros(config)
        areas = {model: sram.area_by_purpose(model, macros) for model in self.sram_um2}
        return dataclasses.replace(self, config=config, sram_um2=areas)


DEPTHS = ("weight_depth", "act_depth", "mask_depth", "tap_depth")


def synthesize(
    config: CoreConfig,
    out: Path | None = None,
    liberty: Path | None = None,
    sram_models: Sequence[str] = sram.MODELS,
    *,
    cancel: threading.Event | None = None,
) -> CoreReport:
    """Map, buffer, size and time the core of `config`; files go to `out` if given.

    Equal work is done once: the result and its files are cached under
    cosign.cache_dir()/synth by the hash of config, Verilog, recipe, Liberty and tool versions (a
    cache that cannot be written is not used). Raises CosignError in a sentence.
    """
    pdk = find_pdk(liberty)
    for model in sram_models:
        sram.area_um2(model, 1, 1)  # an unknown model fails before the work, not after
    texts = verilog.generate(config)
    logic = {"cosign_core.v": texts["cosign_core.v"]}
    with tempfile.TemporaryDirectory(prefix="cosign-synth-") as temporary:
        scratch = Path(temporary)
        provenance = {
            "yosys": yosys_version(),
            "sta": opensta_version(scratch),
            "pdk": pdk.provenance(),
            "recipe": recipe_hash(),
            "core_config": config.hash,
            "sram_models": [sram.provenance(model) for model in sram.MODELS],
        }
        key = hashlib.sha256(json.dumps([provenance, logic], sort_keys=True).encode())
        entry = cache_dir() / "synth" / key.hexdigest()[:24]
        report = _cached(entry)
        source = entry
        if report is None:
            report = _synthesize(config, pdk, logic, scratch, provenance, cancel)
            source = scratch
            with contextlib.suppress(OSError, CosignError):
                _store(scratch, entry)
        if out is not None:
            _copy_kept(source, Path(out))
    areas = {model: report.sram_um2[model] for model in sram_models}
    return dataclasses.replace(report, sram_um2=areas)


def _synthesize(
    config: CoreConfig,
    pdk: Pdk,
    logic: dict[str, str],
    folder: Path,
    provenance: dict[str, Any],
    cancel: threading.Event | None,
) -> CoreReport:
    started = time.monotonic()
    macros = rtl_sram.macros(config)
    liberty = folder / "cosign_sram.lib"
    sram.write_liberty(macros, liberty)
    mapped = map_core(logic, TOP, pdk, liberty, folder, cancel)
    registers = frozenset(c.name for c in pdk.library.cells.values() if c.sequential)
    netlist = Netlist.from_yosys(mapped, TOP, registers)
    path = folder / "netlist.v"

    def open_timer(current: Netlist) -> Timer:
        current.write(path)
        return Timer(path, TOP, pdk, liberty, config.clock_ns, cancel)

    buffer_fanout(netlist, pdk.library, frozenset(netlist.ports["clk"][1]))
    close_timing(netlist, pdk.library, open_timer)
    netlist.write(path)
    area = measure_area(path, TOP, pdk, liberty, cancel)
    timing = sign_off(path, TOP, pdk, liberty, config.clock_ns, cancel)
    cells = {kind: count for kind, count in area.cells.items() if kind in pdk.library.cells}
    report = CoreReport(
        config=config,
        logic_um2=area.logic_um2,
        sram_um2={model: sram.area_by_purpose(model, macros) for model in sram.MODELS},
        fmax_hz=timing.fmax_hz,
        slack_ns=timing.slack_ns,
        critical_path=timing.words(),
        cells=cells,
        flip_flops=sum(n for kind, n in cells.items() if pdk.library.cells[kind].sequential),
        provenance=provenance,
        wall_s=round(time.monotonic() - started, 2),
    )
    write_json(folder / "core.json", report.to_json())
    return report


def _cached(entry: Path) -> CoreReport | None:
    """A whole entry of the cache, or None. A damaged entry counts as none."""
    if not all((entry / name).is_file() for name in KEPT):
        return None
    try:
        return CoreReport.from_json(read_json(entry / "core.json"))
    except CosignError:
        return None


def _store(folder: Path, entry: Path) -> None:
    """Put a finished run into the cache: whole or not at all, whoever comes first."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".new-") as temporary:
        fresh = Path(temporary) / "entry"
        fresh.mkdir()
        for name in KEPT:
            shutil.copyfile(folder / name, fresh / name)
        if entry.exists() and _cached(entry) is None:
            shutil.rmtree(entry)
        fresh.rename(entry)


def _copy_kept(source: Path, out: Path) -> None:
    """Copy the kept files, core.json last, so that it stands for a whole folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            partial = out / f".{name}.part"
            shutil.copyfile(source / name, partial)
            partial.replace(out / name)
    except OSError as error:
        raise CosignError(
            f"cannot write {out}: {error.strerror}; free some space or choose another folder."
        ) from error


def synthesize_many(
    configs: Sequence[CoreConfig],
    out: Path | None = None,
    liberty: Path | None = None,
    sram_models: Sequence[str] = sram.MODELS,
    *,
    progress: Progress | None = None,
    workers: int = 2,
) -> list[CoreReport]:
    """`synthesize` every config, `workers` at a time; the reports come in the order of `configs`.

    Files go to `out`/<config hash>. `progress(config, what)` is called from this thread when a core
    is "started" (all at once, in order) and "done". The first error stops the others.
    """
    cancel = threading.Event()
    pool = ThreadPoolExecutor(max_workers=workers)
    reports: dict[int, CoreReport] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        stack.callback(cancel.set)  # runs first: an error or Ctrl-C stops the tools of the others
        jobs = {}
        for index, config in enumerate(configs):
            folder = None if out is None else Path(out) / config.hash
            job = pool.submit(synthesize, config, folder, liberty, sram_models, cancel=cancel)
            jobs[job] = index
            if progress:
                progress(config, "started")
        for job in as_completed(jobs):
            with contextlib.suppress(Cancelled):
                reports[jobs[job]] = job.result()
                if progress:
                    progress(configs[jobs[job]], "done")
    return [reports[index] for index in range(len(configs))]
