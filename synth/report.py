"""One core, priced: logic by block, SRAM, Fmax, critical path. Cached by content."""

import contextlib
import dataclasses
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosign import CosignError, cache, read_json, scratch, values, write_json
from cosign.processes import Cancelled
from cosign.values import Amount, Count, Positive
from rtl import sram as rtl_sram
from rtl import verilog
from rtl.config import CoreConfig
from synth import fmax, sram
from synth.blocks import blocks_um2
from synth.gating import gated_clocks, split
from synth.map import measure_area, yosys_version
from synth.mapped import map_once
from synth.netlist import Netlist
from synth.pdk import Pdk, find_pdk
from synth.place import core as placement
from synth.place.options import Placed, Placement
from synth.recipe import recipe_hash
from synth.sizing import buffer_fanout, close_timing, ideal_nets, tie_constants
from synth.sta import Timer, opensta_version, sign_off
from synth.steps import Report, Steps
from synth.store import copy_kept

SCHEMA = 2
TOP = "cosign_core"
MEMORIES = "cosign_sram.lib"
KEPT = ("netlist.v", "area.rpt", "area.json", "timing.rpt", "timing_top20.rpt", "timing_hold.rpt",
        "timing_tns.rpt", "check_setup.rpt", "sta.tcl", "map.ys", "map.abc", "map.log",
        MEMORIES, "cosign_core.v", "core.json")  # fmt: skip
PLACED = "placed"
"""Folder of a placed core's files, in that of the others."""
FASTEST = ("fastest.v", "fastest_timing.rpt")  # of the Fmax search

Progress = Callable[[CoreConfig, str], None]


@dataclass(frozen=True)
class CoreReport:
    """What one core costs. Area, clock and path are of one netlist, sized for the clock target.

    Parameters
    ----------
    config : what was synthesised
    logic_um2 : area without memories
    sram_um2 : area of the memories by SRAM model and purpose
    fmax_hz : the highest clock
    slack_ns : what is left of the target's period, negative when it is missed
    critical_path : the slowest path, in words
    cells : library cells by name
    flip_flops : of these cells
    provenance : tools, cell library, recipe, SRAM models
    wall_s : of the synthesis that made it, wherever it is read from
    blocks_um2 : `logic_um2` by block (synth.blocks)
    fmax_search : of another netlist, sized to be as fast as it gets; null unless asked for
    placed : the same core with its wires, placed; missing unless asked for
    """

    config: CoreConfig
    logic_um2: Positive
    sram_um2: dict[str, dict[str, Amount]]
    fmax_hz: Positive
    slack_ns: float
    critical_path: str
    cells: dict[str, Count]
    flip_flops: Count
    provenance: dict[str, Any]
    wall_s: Amount
    blocks_um2: dict[str, Amount]
    fmax_search: fmax.FmaxSearch | None = None
    placed: Placed | None = dataclasses.field(default=None, metadata=values.LATER)

    def __post_init__(self) -> None:
        if not math.isclose(sum(self.blocks_um2.values()), self.logic_um2, rel_tol=1e-6):
            raise CosignError(f"the blocks of {self.name} do not add up to its logic.")

    @property
    def name(self) -> str:
        """sparse-61, dense-scalar-61, dense-2d-8x8."""
        return self.config.name

    @property
    def config_hash(self) -> str:
        return self.config.hash

    @property
    def total_um2(self) -> dict[str, float]:
        """Logic and all SRAM by SRAM model."""
        return {model: self.area_um2(model) for model in self.sram_um2}

    def area_um2(self, sram_model: str) -> float:
        """Logic and all SRAM under `sram_model`."""
        if sram_model not in self.sram_um2:
            raise CosignError(
                f"the report of {self.name} has no SRAM model {sram_model!r}, "
                f"only {', '.join(self.sram_um2)}."
            )
        return self.logic_um2 + sum(self.sram_um2[sram_model].values())

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "config_hash": self.config_hash,
            **values.plain(self),
            "config": self.config.to_json(),
            "total_um2": self.total_um2,
        }

    @classmethod
    def from_json(cls, value: Any) -> "CoreReport":
        """Raises CosignError on another schema, an unknown, a missing or a wrong field."""
        return values.parse(value, cls, "a core report", "synthesise again", (SCHEMA,))

    @property
    def quoted(self) -> "CoreReport":
        """The core that figures are quoted of: with area, clock and cells as placed, where it was,
        else the same."""
        placed = self.placed
        if placed is None:
            return self
        return dataclasses.replace(
            self,
            logic_um2=placed.logic_um2,
            fmax_hz=placed.fmax_hz,
            slack_ns=placed.slack_ns,
            critical_path=placed.critical_path,
            cells=placed.cells,
            blocks_um2=placed.blocks_um2,
            provenance=self.provenance | {"placement": placed.provenance},
        )

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
    liberty: Sequence[Path] = (),
    sram_models: Sequence[str] = sram.MODELS,
    *,
    clock_gating: bool = False,
    search_fmax: bool = False,
    place: Placement | None = None,
    cancel: threading.Event | None = None,
    progress: Report = lambda *_: None,
) -> CoreReport:
    """Map, buffer, size and time the core of `config`; files go to `out` if given.

    `clock_gating` gives registers that share an enable a gated clock (synth.gating), `search_fmax`
    also sizes it to be as fast as it gets (`fmax_search` of the report), `place` also
    places it (`placed` of the report; files go to `out`/placed). `progress` is called with each
    step that is not found in the cache.

    Equal work is done once: the result and its files are cached under
    cosign.cache_dir()/synth by the hash of config, Verilog, recipe, Liberty and tool versions (a
    cache that cannot be written is not used). Raises CosignError in a sentence.
    """
    if clock_gating and place is not None:
        raise CosignError(
            "a core with gated clocks cannot be placed yet; leave out --place or --clock-gating."
        )
    cancel = cancel or threading.Event()
    pdk = find_pdk(liberty, clock_gating=clock_gating)
    for model in sram_models:
        sram.area_um2(model, 1, 1)  # an unknown model fails before the work, not after
    if place is not None:
        placement.check(pdk, place)
    started = time.monotonic()
    steps = Steps(progress, search_fmax)
    texts = verilog.generate(config)
    logic = {"cosign_core.v": texts["cosign_core.v"]}
    with scratch("synth") as work:
        provenance = {**toolchain(pdk), "core_config": config.hash}
        kept = (FASTEST if search_fmax else ()) + KEPT  # core.json last
        cached = cache.entry("synth", provenance, logic, search_fmax)
        with ThreadPoolExecutor(1) as beside, _stopped_by_errors(cancel):
            begun = _cached(cached, kept) or _mapped(
                config, pdk, logic, work, steps, cancel, place is not None
            )
            placing = None
            if place is not None:  # starts from the mapped netlist as well
                folder = None if out is None else Path(out) / PLACED
                job = config, TOP, pdk, logic, provenance, place, folder, cancel, progress
                placing = beside.submit(placement.place_core, *job)
            if isinstance(begun, CoreReport):
                report, source = begun, cached
            else:
                report = _sized(begun, config, pdk, provenance, started, steps, cancel)
                source = work
                cache.keep(cached, {name: (work / name).read_bytes() for name in kept})
            placed = None if placing is None else placing.result()
        if out is not None:
            copy_kept(source, Path(out), kept)
    areas = {model: report.sram_um2[model] for model in sram_models}
    return dataclasses.replace(report, sram_um2=areas, placed=placed)


@contextlib.contextmanager
def _stopped_by_errors(cancel: threading.Event) -> Iterator[None]:
    """Whatever ends the block stops the tools of all that goes on beside it."""
    try:
        yield
    except BaseException:
        cancel.set()
        raise


def toolchain(pdk: Pdk) -> dict[str, Any]:
    """What a result depends on beside the core: tools, library, recipe, SRAM models."""
    with scratch("synth") as work:
        return {
            "yosys": yosys_version(),
            "sta": opensta_version(work),
            "pdk": pdk.provenance(),
            "recipe": recipe_hash(pdk.library),
            "sram_models": [sram.provenance(model) for model in sram.MODELS],
        }


def _mapped(
    config: CoreConfig,
    pdk: Pdk,
    logic: dict[str, str],
    folder: Path,
    steps: Steps,
    cancel: threading.Event,
    keep: bool,
) -> Path:
    """The netlist of `config`, neither buffered nor sized, and beside it its memories' Liberty."""
    steps.done("Verilog")
    liberty = folder / MEMORIES
    sram.write_liberty(rtl_sram.macros(config), liberty)
    path = map_once(logic, TOP, pdk, liberty, folder, cancel, keep=keep)
    steps.done("mapping")
    return path


def _sized(
    mapped: Path,
    config: CoreConfig,
    pdk: Pdk,
    provenance: dict[str, Any],
    started: float,
    steps: Steps,
    cancel: threading.Event,
) -> CoreReport:
    """Buffered, sized, measured and timed; what it leaves lies beside the mapped netlist.

    started : by time.monotonic, with the mapping
    """
    library = pdk.library
    registers = pdk.registers
    liberty = mapped.parent / MEMORIES
    netlist = Netlist.from_yosys(mapped, TOP, registers)
    path = mapped.parent / "netlist.v"

    def open_timer(netlist: Netlist, period_ns: float) -> Timer:
        netlist.write(path)
        return Timer(path, TOP, pdk, liberty, period_ns, cancel)

    if library.tie_high is None or library.tie_low is None:
        tie_constants(netlist, library)
    split(netlist, library)
    ideal = ideal_nets(netlist, library, "clk") | gated_clocks(netlist, library)
    buffer_fanout(netlist, library, ideal)
    close_timing(netlist, library, lambda current: open_timer(current, config.clock_ns))
    steps.done("sizing")
    found = None
    if steps.search:
        found = _search(netlist, pdk, liberty, config.clock_ns, steps.trials(open_timer), cancel)
    netlist.write(path)
    area = measure_area(path, TOP, pdk, liberty, cancel)
    steps.done("area")
    timing = sign_off(path, TOP, pdk, liberty, config.clock_ns, cancel)
    steps.done("timing")
    cells = {kind: count for kind, count in area.cells.items() if kind in library.cells}
    macros = rtl_sram.macros(config)
    report = CoreReport(
        config=config,
        logic_um2=area.logic_um2,
        sram_um2={model: sram.area_by_purpose(model, macros) for model in sram.MODELS},
        fmax_hz=timing.fmax_hz,
        slack_ns=timing.slack_ns,
        critical_path=timing.words(library),
        cells=cells,
        flip_flops=sum(n for kind, n in cells.items() if kind in registers),
        provenance=provenance,
        wall_s=round(time.monotonic() - started, 2),
        blocks_um2=blocks_um2(netlist, library, config),
        fmax_search=found,
    )
    write_json(mapped.parent / "core.json", report.to_json())
    steps.end()
    return report


def _search(
    netlist: Netlist,
    pdk: Pdk,
    liberty: Path,
    clock_ns: float,
    open_timer: fmax.OpenTimer,
    cancel: threading.Event | None,
) -> fmax.FmaxSearch:
    """The search for the highest clock, signed off; its netlist and path lie beside the others."""
    library = pdk.library
    path = liberty.parent / FASTEST[0]
    netlist.write(path)
    slack = sign_off(path, TOP, pdk, liberty, clock_ns, cancel).slack_ns
    first = fmax.Trial(clock_ns, slack, fmax.area_um2(netlist, library))
    fastest, trials = fmax.search(netlist, library, open_timer, first)
    fastest.write(path)
    period = min(trial.achieved_ns for trial in trials)
    timing = sign_off(path, TOP, pdk, liberty, period, cancel)
    shutil.copyfile(liberty.parent / "timing.rpt", liberty.parent / FASTEST[1])
    area = fmax.area_um2(fastest, library)
    return fmax.FmaxSearch(timing.fmax_hz, area, timing.words(library), tuple(trials))


def _cached(folder: Path, kept: Sequence[str] = KEPT) -> CoreReport | None:
    """A whole entry of the cache, or None. A damaged entry counts as none."""
    if not cache.intact(folder, kept):
        return None
    try:
        return CoreReport.from_json(read_json(folder / "core.json"))
    except CosignError:
        return None


def synthesize_many(
    configs: Sequence[CoreConfig],
    out: Path | None = None,
    liberty: Sequence[Path] = (),
    sram_models: Sequence[str] = sram.MODELS,
    *,
    progress: Progress | None = None,
    workers: int = 2,
    place: Placement | None = None,
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
            job = pool.submit(
                synthesize, config, folder, liberty, sram_models, place=place, cancel=cancel
            )
            jobs[job] = index
            if progress:
                progress(config, "started")
        for job in as_completed(jobs):
            with contextlib.suppress(Cancelled):
                reports[jobs[job]] = job.result()
                if progress:
                    progress(configs[jobs[job]], "done")
    return [reports[index] for index in range(len(configs))]
