"""From a mapped netlist to a placed one, signed off with its wires.

1. Cells are placed roughly, without buffers; ports take places on the core's edge near their pins.
2. Fan-out trees and repeaters are built by position, cells sized on the wires' loads.
3. The core is laid out again for the cells that this took, and placed anew with the nets of slow
   paths weighted and more room for cells among many wires; trees are built again for the new
   positions, cells sized again.
4. Cells that have grown or are new are moved into rows, timed, and sized once more where that
   misses the clock; the best of these rounds stands.
5. OpenSTA signs the netlist off with the SPEF of exactly this placement.
"""

import copy
import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cosign import CosignError, values, write_json
from synth.blocks import BLOCKS, attribute
from synth.netlist import Netlist
from synth.place.buffers import STEM
from synth.place.closing import sizer
from synth.place.exchange import write_block_lef, write_def
from synth.place.floorplan import cells_um2, with_ports
from synth.place.geometry import Floorplan, Spots
from synth.place.job import Job
from synth.place.legal import faults
from synth.place.options import SCHEMA, Placed
from synth.place.placer import EFFORT, ROUGH_EFFORT, Placer
from synth.place.timing import sign_off
from synth.place.wires.congestion import Congestion, congestion
from synth.place.wires.spef import write_spef
from synth.place.wires.steiner import half_perimeters
from synth.place.wiring import Wiring

WEIGHT = 4.0
"""How much more than others the nets of the slowest path draw their cells together."""
SLOW_NS = 0.25
"""Paths so much faster than the slowest draw no more than others."""
CALM = 0.5
"""Routing demand over capacity above which a cell gets more room, in proportion."""
GROWTH = 1.15
"""Of the unbuffered, unsized cells, for the rough placement."""
RESERVE = 1.02
"""Of the sized cells, for the sizing after they were placed again."""
ROUNDS = 4
KEPT = (
    "core.def", "core.spef", "netlist.v", "cosign_sram.lef", "cosign_sram.lib", "sta.tcl",
    "timing.rpt", "timing_top20.rpt", "timing_hold.rpt", "timing_tns.rpt", "check_setup.rpt",
    "floorplan.png", "placed.json",
)  # fmt: skip
"""What a placement leaves."""

STEPS = 5 + ROUNDS
"""Of a placement: placed roughly, sized, placed, sized, rounds, signed off."""

Places = dict[tuple[str, int], tuple[float, float] | None]
"""By (port, bit)."""


def place(
    job: Job, provenance: dict[str, Any], done: Callable[[int], None] = lambda _: None
) -> Placed:
    """Place, size and sign off; leaves KEPT in the job's folder. Raises CosignError.

    provenance : of the placement (synth.place.provenance)
    done : gets how many of STEPS are
    """
    started = time.monotonic()
    sizer(job.netlist, job.pdk.library, {}).fit()
    rough = job.plan(GROWTH * cells_um2(job.netlist, job.lef))
    wiring = job.wiring()
    rough = with_ports(rough, wishes(job.netlist, wiring, *wiring.fixed(rough), fixed=True))
    placer = Placer(job.seed, ROUGH_EFFORT, job.cancel)
    spots = placer.place(job.netlist, job.lef, rough, wiring)
    wanted = wishes(job.netlist, wiring, *wiring.coordinates(rough, spots))
    rough = with_ports(rough, wanted)
    done(1)
    job.buffer(rough, spots)
    closed = job.close(rough, spots, rough=True)
    done(2)

    plan = job.plan(RESERVE * cells_um2(job.netlist, job.lef))
    plan = with_ports(plan, _moved(wanted, rough, plan))
    placer = Placer(job.seed, EFFORT, job.cancel)
    wiring, trees, _ = job.wires(rough, spots)
    pulls = weights(wiring, closed.slacks_ns)
    more = room(congestion(trees, rough, job.lef), wiring, spots)
    spots = placer.place(job.netlist, job.lef, plan, wiring, pulls, room=more)
    done(3)
    job.buffer(plan, spots)
    closed = job.close(plan, spots)
    best: tuple[float, Netlist, Spots] | None = None
    for number in range(ROUNDS):
        done(4 + number)
        wiring = job.wiring()
        pulls = weights(wiring, closed.slacks_ns)
        spots = placer.place(job.netlist, job.lef, plan, wiring, pulls, spots)
        legal = copy.deepcopy(job.netlist)
        closed = job.close(plan, spots)
        if best is None or closed.before_ns > best[0]:
            best = closed.before_ns, legal, spots
        if closed.before_ns >= 0:
            break
    assert best is not None
    done(STEPS - 1)
    job.netlist, spots = best[1], best[2]
    placed = _finish(job, plan, spots, closed.setup)
    placed = dataclasses.replace(
        placed, wall_s=round(time.monotonic() - started, 2), provenance=provenance
    )
    write_json(job.folder / "placed.json", values.stamped(placed, SCHEMA))
    done(STEPS)
    return placed


def wishes(
    netlist: Netlist, wiring: Wiring, x: np.ndarray, y: np.ndarray, fixed: bool = False
) -> Places:
    """Where each port would best stand: amid the other pins of its net, of memories alone when
    `fixed`; None where there are none."""
    found: Places = {
        (port, bit): None for port, (_, nets) in netlist.ports.items() for bit in range(len(nets))
    }
    starts = wiring.starts.tolist()
    for first, last in itertools.pairwise(starts):
        ports = [k for k in range(first, last) if not wiring.pins[k][0]]
        if ports:
            others = [
                k
                for k in range(first, last)
                if wiring.pins[k][0] and not (fixed and wiring.owners[k] >= 0)
            ]
            if others:
                middle = float(np.mean(x[others])), float(np.mean(y[others]))
                found |= {wiring.pins[k][1:]: middle for k in ports}
    return found


def _moved(wanted: Places, old: Floorplan, new: Floorplan) -> Places:
    """The same places on another core, by their shares of its width and height."""
    (old_width, old_height), (width, height) = old.core_um, new.core_um
    return {
        key: place
        and (
            new.x_um + (place[0] - old.x_um) * width / old_width,
            new.y_um + (place[1] - old.y_um) * height / old_height,
        )
        for key, place in wanted.items()
    }


def weights(wiring: Wiring, slacks_ns: dict[str, float]) -> np.ndarray:
    """1 for nets of fast paths, up to 1 + WEIGHT for those of the slowest, float64 [nets]."""
    worst = min(slacks_ns.values())
    drivers = (wiring.pins[k][0] for k in wiring.starts[:-1].tolist())
    over = np.array([slacks_ns.get(name, worst + SLOW_NS) - worst for name in drivers])
    return 1 + WEIGHT * np.clip(1 - over / SLOW_NS, 0, 1) ** 2


def room(full: Congestion, wiring: Wiring, spots: Spots) -> np.ndarray:
    """How much more room than others each cell of `wiring` needs, at least 1, float64 [cells]."""
    places = np.array([spots[name][:2] for name in wiring.cells])
    return np.maximum(full.at(*places.T) / CALM, 1.0)


def _finish(job: Job, plan: Floorplan, spots: Spots, setup: str) -> Placed:
    """Write the netlist and its wires, sign off, and tell what came out."""
    netlist, library, folder = job.netlist, job.pdk.library, job.folder
    if wrong := faults(netlist, job.lef, plan, spots):
        raise CosignError(
            f"the placer left {len(wrong)} cells where they cannot stand ({wrong[0].rstrip('.')}); "
            "choose a lower utilisation."
        )
    wiring, trees, wires_ff = job.wires(plan, spots)
    netlist.write(folder / "netlist.v")
    write_spef(folder / "core.spef", netlist, wiring, trees, job.metal)
    write_def(folder / "core.def", netlist, job.lef, plan, spots)
    write_block_lef(folder / "cosign_sram.lef", job.blocks, job.lef)
    timing = sign_off(setup, folder, job.config.clock_ns)
    full = congestion(trees, plan, job.lef)
    blocks = attribute(netlist, library, job.config)
    areas = dict.fromkeys(BLOCKS, 0.0)
    kinds: dict[str, int] = {}
    for name, block in blocks.items():
        kind = netlist.cells[name].kind
        areas[block] += library.cells[kind].area_um2
        kinds[kind] = kinds.get(kind, 0) + 1
    title = f"{job.config.name}, seed {job.seed}"
    from synth.place import picture  # matplotlib takes a second

    picture.draw(folder / "floorplan.png", title, netlist, job.lef, plan, spots, blocks, full)
    spans = half_perimeters(wiring.starts, *wiring.coordinates(plan, spots))
    fanouts = np.diff(wiring.starts) - 1
    return Placed(
        hpwl_mm=float(spans.sum()) / 1e3,
        wire_pf=sum(wires_ff.values()) / 1e3,
        library_wire_pf=sum(map(library.wire_load_ff, fanouts.tolist())) / 1e3,
        fmax_hz=timing.fmax_hz,
        slack_ns=timing.slack_ns,
        critical_path=timing.words(library),
        logic_um2=sum(areas.values()),
        blocks_um2=areas,
        cells=dict(sorted(kinds.items())),
        buffers=sum(name.startswith(STEM) for name in netlist.cells),
        utilisation=cells_um2(netlist, job.lef) / plan.core_um2,
        core_um=plan.core_um,
        die_um=(plan.width_um, plan.height_um),
        worst_bin=full.worst,
        seed=job.seed,
        wall_s=0.0,
        provenance={},
    )
