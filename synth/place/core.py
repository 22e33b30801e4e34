"""A core's placements, one for each seed, cached by content like its synthesis."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cosign import CosignError, cache, read_json, scratch, values
from rtl import sram as rtl_sram
from rtl.config import CoreConfig
from synth import sram
from synth.mapped import map_once
from synth.netlist import Netlist
from synth.pdk import Pdk
from synth.place.flow import KEPT, STEPS, place
from synth.place.job import Job
from synth.place.lef import Lef, find_lef
from synth.place.options import SCHEMA, Placed, Placement, Spread
from synth.place.placer import require_placer
from synth.place.provenance import provenance
from synth.place.wires.metal import metal_of
from synth.steps import Report
from synth.store import copy_kept


def check(pdk: Pdk, asked: Placement) -> Lef:
    """What is asked can be placed: a placer is there, and a LEF with the cells that every netlist
    holds. Raises CosignError."""
    require_placer()
    lef = find_lef(pdk, [Path(name) for name in asked.lef])
    library = pdk.library
    for cell in (*library.flip_flops, *library.inverters, *library.buffers):
        lef.outline(cell.name)
    return lef


def place_core(
    config: CoreConfig,
    top: str,
    pdk: Pdk,
    logic: dict[str, str],
    toolchain: dict[str, Any],
    asked: Placement,
    out: Path | None = None,
    cancel: threading.Event | None = None,
    progress: Report = lambda *_: None,
) -> Placed:
    """Place the core of `config`, whose Verilog is `logic`, with every seed; files of the first go
    to `out`. The figures are those of the first seed. `progress` gets "place", the steps of all
    seeds that are done, and all of them. Raises CosignError in a sentence."""
    lef = check(pdk, asked)
    said = provenance(pdk, lef, metal_of(pdk, lef), asked)
    placed: list[Placed] = []
    for seed in range(1, asked.seeds + 1):
        cached = cache.entry("placed", toolchain, said, logic, config.to_json(), seed)
        found = _cached(cached)
        with scratch("place") as folder:
            if found is None:
                done = _told(progress, seed, asked.seeds)
                done(0)
                job = _job(config, top, pdk, lef, logic, asked, seed, folder, cancel)
                found = place(job, said, done)
                cache.keep(cached, {name: (folder / name).read_bytes() for name in KEPT})
            if out is not None and seed == 1:
                copy_kept(folder if (folder / KEPT[-1]).exists() else cached, out, KEPT)
        placed.append(found)
    return dataclasses.replace(placed[0], spread=_spread(placed))


def _job(
    config: CoreConfig,
    top: str,
    pdk: Pdk,
    lef: Lef,
    logic: dict[str, str],
    asked: Placement,
    seed: int,
    folder: Path,
    cancel: threading.Event | None,
) -> Job:
    memories = folder / "cosign_sram.lib"
    sram.write_liberty(rtl_sram.macros(config), memories)
    mapped = map_once(logic, top, pdk, memories, folder, cancel, keep=True)
    netlist = Netlist.from_yosys(mapped, top, pdk.registers)
    return Job(config, netlist, pdk, lef, metal_of(pdk, lef), asked, seed, folder, cancel)


def _told(progress: Report, seed: int, seeds: int) -> Callable[[int], None]:
    """Tells of a seed's steps as those of all."""
    return lambda done: progress("place", (seed - 1) * STEPS + done, seeds * STEPS)


def _spread(placed: list[Placed]) -> Spread | None:
    if len(placed) < 2:
        return None

    def ends(of: Callable[[Placed], float]) -> tuple[float, float]:
        found = [of(one) for one in placed]
        return min(found), max(found)

    return Spread(
        seeds=len(placed),
        fmax_hz=ends(lambda one: one.fmax_hz),
        hpwl_mm=ends(lambda one: one.hpwl_mm),
        logic_um2=ends(lambda one: one.logic_um2),
        worst_bin=ends(lambda one: one.worst_bin),
    )


def _cached(folder: Path) -> Placed | None:
    """A whole entry of the cache, or None. A damaged entry counts as none."""
    if not cache.intact(folder, KEPT):
        return None
    try:
        value = read_json(folder / "placed.json")
        return values.parse(value, Placed, "a placement", "place again", (SCHEMA,))
    except CosignError:
        return None
